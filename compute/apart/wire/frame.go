package wire

import (
	"encoding/binary"
	"fmt"
)

// Kind is what a frame is.
type Kind uint8

// The kinds.
const (
	Open   Kind = 1 + iota // begins a stream: the head says what is asked
	Head                   // the answer's beginning, from who was asked
	Data                   // a piece of a body
	Fail                   // the sender's body ends with an error (AppendError); from who was asked it ends the stream
	Cancel                 // who opened the stream wants nothing more of it
	Credit                 // the sender has room for n more bytes
	Tell                   // no stream: something that isn't answered
	kindEnd
)

// End is the flag of an Open, a Head or a Data with which its sender's body ends.
const End = 1

const (
	// FrameSize is how long a frame is without head and body.
	FrameSize = 16
	// HeadMax bounds a head, in bytes.
	HeadMax = 256 << 10
	// PieceMax bounds the body in one frame, in bytes.
	PieceMax = 32 << 10
	// RecordMax bounds a frame.
	RecordMax = FrameSize + HeadMax + PieceMax
)

// Frame is one, without its bytes.
type Frame struct {
	Kind   Kind
	End    bool
	N      uint32
	Stream uint64
}

// Put writes f's first FrameSize bytes to b.
func (f Frame) Put(b *[FrameSize]byte) {
	b[0], b[1], b[2], b[3] = byte(f.Kind), 0, 0, 0
	if f.End {
		b[1] = End
	}
	binary.LittleEndian.PutUint32(b[4:], f.N)
	binary.LittleEndian.PutUint64(b[8:], f.Stream)
}

// Parse reads a record. head and body are parts of it.
func Parse(record []byte) (f Frame, head, body []byte, err error) {
	if len(record) < FrameSize {
		return f, nil, nil, fmt.Errorf("a frame of %d bytes", len(record))
	}
	f = Frame{
		Kind: Kind(record[0]), End: record[1] == End, N: binary.LittleEndian.Uint32(record[4:]), Stream: binary.LittleEndian.Uint64(record[8:]),
	}
	rest := record[FrameSize:]
	switch {
	case f.Kind == 0 || f.Kind >= kindEnd || record[1] > End || record[2] != 0 || record[3] != 0:
		return f, nil, nil, fmt.Errorf("a frame of kind %d with flags %d", record[0], record[1])
	case (f.Kind == Tell) != (f.Stream == 0):
		return f, nil, nil, fmt.Errorf("a frame of kind %d in stream %d", f.Kind, f.Stream)
	case f.End && f.Kind != Open && f.Kind != Head && f.Kind != Data:
		return f, nil, nil, fmt.Errorf("a frame of kind %d that ends a body", f.Kind)
	}
	switch f.Kind {
	case Open, Head:
		if uint64(f.N) > uint64(min(len(rest), HeadMax)) {
			return f, nil, nil, fmt.Errorf("a head of %d bytes in a frame of %d", f.N, len(record))
		}
		head, body = rest[:f.N:f.N], rest[f.N:]
	case Cancel, Credit:
		if len(rest) > 0 {
			return f, nil, nil, fmt.Errorf("a frame of kind %d with %d bytes", f.Kind, len(rest))
		}
	default:
		if f.N != 0 && f.Kind != Tell {
			return f, nil, nil, fmt.Errorf("a frame of kind %d with a head", f.Kind)
		}
		body = rest
	}
	if len(body) > PieceMax {
		return f, nil, nil, fmt.Errorf("a piece of %d bytes; %d are taken", len(body), PieceMax)
	}
	return f, head, body, nil
}
