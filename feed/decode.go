package feed

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/wherry/wherry/config"
)

// decodeState reads what encodeState wrote. It never has more in memory than the state and one frame.
func decodeState(in io.Reader) (*State, error) {
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	f := frames{in: bufio.NewReaderSize(io.LimitReader(z, stateMax), 64<<10)}
	r := stateReader{nodes: map[string]config.NodeID{}}
	s := &State{}
	if r.b, err = f.next(); err != nil {
		return nil, err
	}
	s.Position = Position{r.number(), r.number()}
	s.Head = r.hash()
	s.PurgeFloor = r.number()
	docs, purges := r.number(), r.number()
	switch {
	case r.bad:
		return nil, errShort
	case s.Position.Epoch == 0 && s.Position.Seq > 0:
		return nil, errEpoch
	case purges > PurgesMax:
		return nil, fmt.Errorf("%d purges, more than %d", purges, PurgesMax)
	}
	s.Docs = make(map[string]Doc, min(docs, 1<<16))
	for range docs {
		if r.b, err = f.next(); err != nil {
			return nil, err
		}
		key, doc := r.doc()
		if r.bad {
			return nil, errShort
		}
		s.Docs[key] = doc
	}
	for range purges {
		if r.b, err = f.next(); err != nil {
			return nil, err
		}
		if s.Purges = append(s.Purges, r.purge()); r.bad {
			return nil, errShort
		}
	}
	// What follows is of a later version; reading it checks gzip's sum.
	_, err = io.Copy(io.Discard, f.in)
	return s, err
}

// frames reads one frame after the other. What it returns is good until the next.
type frames struct {
	in      *bufio.Reader
	scratch []byte
}

func (f *frames) next() ([]byte, error) {
	size, err := binary.ReadUvarint(f.in)
	switch {
	case errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	case size > frameMax:
		return nil, fmt.Errorf("a frame of %d bytes, more than %d", size, frameMax)
	case size > uint64(cap(f.scratch)):
		f.scratch = make([]byte, size)
	}
	b := f.scratch[:size]
	if _, err := io.ReadFull(f.in, b); err != nil {
		return nil, fmt.Errorf("a frame of %d bytes: %w", size, io.ErrUnexpectedEOF)
	}
	return b, nil
}
