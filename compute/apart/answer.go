//go:build linux

package apart

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/compute/apart/link"
	"github.com/wherry/wherry/compute/apart/wire"
	"github.com/wherry/wherry/fault"
)

// answer has a program answer a request.
func (m *monitor) answer(s *link.Stream) {
	q, err := wire.ParseRequest(s.Head[1:])
	if err != nil {
		s.Fail(err)
		return
	}
	r, err := m.request(s, q)
	if err != nil {
		s.Fail(err)
		return
	}
	response, err := m.host.RoundTripper(q.Program).RoundTrip(r)
	if err != nil {
		s.Fail(err)
		return
	}
	head := wire.Response{Status: response.StatusCode, Length: max(response.ContentLength, -1), Header: response.Header}
	if both, ok := response.Body.(io.ReadWriteCloser); ok && response.StatusCode == http.StatusSwitchingProtocols {
		tunnel(s, head.Append(nil), both)
		return
	}
	defer response.Body.Close()
	respond(s, head.Append(nil), response.Body, response.ContentLength)
}

// request is what the edge was asked.
func (m *monitor) request(s *link.Stream, q *wire.Request) (*http.Request, error) {
	u, err := url.ParseRequestURI(q.Target)
	if err != nil {
		return nil, fault.New(fault.Client, "write request", http.StatusBadRequest, err)
	}
	ctx := context.WithValue(s.Context(), streamKey{}, s.Number())
	if q.Connection != 0 {
		ctx = compute.WithConnection(ctx, m.connection(q.Connection))
	}
	r := &http.Request{
		Method: q.Method, URL: u, Host: q.Host, Header: q.Header, Body: http.NoBody, ContentLength: q.Length, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if q.Length != 0 && !q.Upgrade {
		r.Body = io.NopCloser(s)
	}
	return r.WithContext(ctx), nil
}

// headPatience is how long a response's head waits for its body's beginning, with which it is one frame.
const headPatience = time.Millisecond

var pieces = sync.Pool{New: func() any { return new([wire.PieceMax]byte) }}

// respond sends a response, all of it in one frame if that is possible.
func respond(s *link.Stream, head []byte, body io.Reader, length int64) {
	piece := pieces.Get().(*[wire.PieceMax]byte)
	defer pieces.Put(piece)
	headOnce := sync.OnceValue(func() error { return s.SendHead(head, nil, false) })
	notAlone := func() bool { return true }
	_, ready := body.(io.WriterTo)
	if !ready { // what can be written at once is in memory, and a timer costs more than the rest of this
		notAlone = time.AfterFunc(headPatience, func() { _ = headOnce() }).Stop
	}
	n, err := body.Read(piece[:])
	if notAlone() {
		if ready { // else its end may be a mistake yet
			err = whole(n, length, err)
		}
		if sendErr := s.SendHead(head, piece[:n], err == io.EOF); sendErr != nil {
			s.Fail(sendErr)
			return
		}
		n = 0
	} else if sendErr := headOnce(); sendErr != nil {
		s.Fail(sendErr)
		return
	}
	for {
		if n > 0 {
			if _, err := s.Write(piece[:n]); err != nil {
				return // nobody wants it
			}
		}
		switch {
		case err == io.EOF:
			_ = s.CloseWrite()
			return
		case err != nil:
			s.Fail(err)
			return
		}
		n, err = body.Read(piece[:])
	}
}

// whole is io.EOF if n bytes are all of a body.
func whole(n int, length int64, err error) error {
	if err == nil && int64(n) == length {
		return io.EOF
	}
	return err
}

// tunnel passes bytes both ways after a switch of protocols.
func tunnel(s *link.Stream, head []byte, both io.ReadWriteCloser) {
	if err := s.SendHead(head, nil, false); err != nil {
		s.Fail(err)
		_ = both.Close()
		return
	}
	var in sync.WaitGroup
	in.Go(func() {
		_, err := io.Copy(both, s)
		if err != nil && !errors.Is(err, context.Canceled) {
			_ = both.Close()
		}
	})
	if _, err := io.Copy(s, both); err != nil {
		s.Fail(err)
	} else {
		_ = s.CloseWrite()
	}
	_ = both.Close()
	s.Close()
	in.Wait()
}
