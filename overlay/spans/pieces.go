package spans

import "errors"

const (
	piecesMax = 32       // that wait for one before them
	aheadMax  = 64 << 10 // bytes that a piece may be ahead
)

// Pieces puts pieces in order that come whole, in any order, and may come again. The zero value has seen none.
type Pieces struct {
	got    uint64
	pieces map[uint64][]byte
}

var errPieces = errors.New("too many pieces, or too far ahead")

// Add takes a piece, and returns those that are in order now.
func (p *Pieces) Add(offset uint64, b []byte) (ready [][]byte, err error) {
	if offset < p.got {
		return nil, nil
	}
	if p.pieces == nil {
		p.pieces = map[uint64][]byte{}
	}
	if len(p.pieces) >= piecesMax || offset-p.got > aheadMax {
		return nil, errPieces
	}
	p.pieces[offset] = append([]byte(nil), b...)
	for {
		b, ok := p.pieces[p.got]
		if !ok || len(b) == 0 {
			return ready, nil
		}
		delete(p.pieces, p.got)
		p.got += uint64(len(b))
		ready = append(ready, b)
	}
}
