package flows

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// A stream begins with one request:
//
//	0       1                               9
//	┌───────┬───────────────────────────────┐
//	│ what  │ bytes of the object, or 0     │   big endian
//	└───────┴───────────────────────────────┘
//	what: 'b' bulk follows until the stream ends, and is answered by one byte; 'o' the answer is an object
const (
	requestBytes  = 9
	requestBulk   = 'b'
	requestObject = 'o'
)

const (
	chunkBytes     = 128 << 10
	objectBytesMax = 1 << 30
)

// stream is what carries one request: TCP, TLS over it, or a stream of QUIC or of ours.
type stream interface {
	io.Reader
	io.Writer
	CloseWrite() error
}

// counter is how many bytes a receiver has read.
type counter struct{ bytes atomic.Int64 }

// content is what flows are made of. It isn't zeros: a page that was never written is one that all share, which lies in the nearest cache and is
// copied for less than any real data.
var content = func() (c [chunkBytes]byte) {
	for i := range c {
		c[i] = byte(i*i>>7 + i)
	}
	return c
}()

// buffers are for reading: many streams come and go.
var buffers = sync.Pool{New: func() any { return new([chunkBytes]byte) }}

// serveStream answers the request that comes on s.
func serveStream(s stream, received *counter) error {
	var request [requestBytes]byte
	if _, err := io.ReadFull(s, request[:]); err != nil {
		return err
	}
	switch bytes := int64(binary.BigEndian.Uint64(request[1:])); {
	case request[0] == requestBulk:
		if err := drain(s, received); err != nil {
			return err
		}
		if _, err := s.Write(content[:1]); err != nil {
			return err
		}
		return s.CloseWrite()
	case request[0] == requestObject && bytes > 0 && bytes <= objectBytesMax:
		if err := fill(s, bytes); err != nil {
			return err
		}
		return s.CloseWrite()
	}
	return errors.New("a request that nobody of ours has sent")
}

// drain reads until the end.
func drain(r io.Reader, received *counter) error {
	buf := buffers.Get().(*[chunkBytes]byte)
	defer buffers.Put(buf)
	for {
		n, err := r.Read(buf[:])
		received.bytes.Add(int64(n))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fill writes so many bytes.
func fill(w io.Writer, bytes int64) error {
	for bytes > 0 {
		n, err := w.Write(content[:min(bytes, chunkBytes)])
		if err != nil {
			return err
		}
		bytes -= int64(n)
	}
	return nil
}

// sendOn sends bulk on a stream until ctx is done, whose owner then ends the stream; or so many bytes, and waits until they were read.
func sendOn(ctx context.Context, s stream, bytes int64) error {
	request := [requestBytes]byte{requestBulk}
	if _, err := s.Write(request[:]); err != nil {
		return err
	}
	if bytes == 0 {
		for ctx.Err() == nil {
			if _, err := s.Write(content[:]); err != nil {
				return unlessDone(ctx, err)
			}
		}
		return nil
	}
	if err := fill(s, bytes); err != nil {
		return unlessDone(ctx, err)
	}
	if err := s.CloseWrite(); err != nil {
		return unlessDone(ctx, err)
	}
	if _, err := io.ReadFull(s, request[:1]); err != nil {
		return fmt.Errorf("the receiver didn't confirm: %w", unlessDone(ctx, err))
	}
	return nil
}

// fetchOn asks for an object on a stream of its own.
func fetchOn(s stream, bytes int64) error {
	request := [requestBytes]byte{requestObject}
	binary.BigEndian.PutUint64(request[1:], uint64(bytes))
	if _, err := s.Write(request[:]); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	return readObject(s, bytes)
}

func readObject(r io.Reader, bytes int64) error {
	var got counter
	if err := drain(r, &got); err != nil {
		return err
	}
	if n := got.bytes.Load(); n != bytes {
		return fmt.Errorf("an object of %d bytes came with %d", bytes, n)
	}
	return nil
}

// unlessDone is nil where ctx's end is the reason: then the connection was broken off on purpose.
func unlessDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
