//go:build linux

package apart

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/compute/apart/link"
	"github.com/wherry/wherry/compute/apart/wire"
)

// streamKey marks a call's context in the monitor: the number of its stream. programKey does in the edge: the program's name.
type (
	streamKey  struct{}
	programKey struct{}
)

// ask has the edge answer what a program asks.
func (m *monitor) ask(w http.ResponseWriter, r *http.Request) {
	a, _ := compute.AskerOf(r.Context())
	number, _ := a.Call.Value(streamKey{}).(uint64)
	q := wire.Request{Method: r.Method, Target: r.RequestURI, Host: r.Host, Header: r.Header, Length: r.ContentLength}
	var content []byte
	if q.Length > 0 && q.Length <= smallMax {
		content = make([]byte, q.Length)
		if _, err := io.ReadFull(r.Body, content); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	uploads := q.Length != int64(len(content))
	head := q.Append(binary.LittleEndian.AppendUint64([]byte{verbAsk}, number))
	s, err := m.link.Open(r.Context(), head, content, !uploads)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer s.Cancel(link.ErrOver)
	if uploads {
		go func() { // net/http ends reads of the body when the handler returns
			if _, err := io.Copy(s, r.Body); err != nil {
				s.Fail(err)
			} else {
				_ = s.CloseWrite() // the response says what became of it
			}
		}()
	}
	var p *wire.Response
	if head, err = s.Answer(); err == nil {
		p, err = wire.ParseResponse(head)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	for name, values := range p.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(p.Status)
	piece := pieces.Get().(*[wire.PieceMax]byte)
	defer pieces.Put(piece)
	for {
		n, err := s.Read(piece[:])
		if n > 0 {
			if _, err := w.Write(piece[:n]); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush() // an error comes at the next write
		}
		switch {
		case err == io.EOF:
			return
		case err != nil:
			panic(http.ErrAbortHandler) // the program sees that it isn't whole
		}
	}
}

// handle has Options.Compute.Gate answer a request of a program's. What the monitor says of it isn't believed: whose it is, is what its call was asked for.
func (s *session) handle(st *link.Stream) {
	r, err := s.asked(st)
	if err != nil {
		st.Fail(err)
		return
	}
	w := &answering{stream: st, header: http.Header{}}
	defer func() {
		switch v := recover(); v {
		case nil:
			w.end()
		case http.ErrAbortHandler:
			st.Fail(io.ErrUnexpectedEOF)
		default:
			s.host.o.Compute.Log.Error("BUG: panic while answering a program", "panic", v, "stack", string(debug.Stack()))
			st.Fail(errors.New("the edge failed to answer"))
		}
	}()
	s.host.o.Compute.Gate.ServeHTTP(w, r)
}

// asked is the request of a stream.
func (s *session) asked(st *link.Stream) (*http.Request, error) {
	if len(st.Head) < 9 || st.Head[0] != verbAsk {
		return nil, errors.New("a stream that asks nothing")
	}
	q, err := wire.ParseRequest(st.Head[9:])
	if err != nil {
		return nil, err
	}
	number := binary.LittleEndian.Uint64(st.Head[1:])
	call, ok := s.link.Opened(number)
	if !ok {
		return nil, fmt.Errorf("the call %d is over", number)
	}
	u, err := url.ParseRequestURI(q.Target)
	if err != nil {
		return nil, err
	}
	name, _ := call.Value(programKey{}).(string)
	asker := compute.Asker{Program: name, Tenant: (*s.host.known.Load())[name].tenant, Call: call}
	r := &http.Request{
		Method: q.Method, URL: u, RequestURI: q.Target, Host: q.Host, Header: q.Header, ContentLength: q.Length, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if q.Length != 0 {
		r.Body = io.NopCloser(st)
	}
	return r.WithContext(compute.WithAsker(st.Context(), asker)), nil
}

// answering is a response to a program. A small one is a frame.
type answering struct {
	stream *link.Stream
	header http.Header
	status int
	sent   bool
	held   []byte // of the body, before the head is sent
}

var (
	_ http.ResponseWriter = (*answering)(nil)
	_ http.Flusher        = (*answering)(nil)
)

// Header implements http.ResponseWriter.
func (a *answering) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. Interim responses aren't passed on.
func (a *answering) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answering) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if !a.sent && len(a.held)+len(p) <= wire.PieceMax {
		a.held = append(a.held, p...)
		return len(p), nil
	}
	if err := a.begin(false); err != nil {
		return 0, err
	}
	return a.stream.Write(p)
}

// Flush implements http.Flusher.
func (a *answering) Flush() {
	a.WriteHeader(http.StatusOK)
	_ = a.begin(false) // an error comes at the next write
}

// begin sends the head and what is held, unless that was done.
func (a *answering) begin(end bool) error {
	if a.sent {
		return nil
	}
	a.sent = true
	p := wire.Response{Status: a.status, Length: -1, Header: a.header}
	return a.stream.SendHead(p.Append(nil), a.held, end)
}

// end sends what is left.
func (a *answering) end() {
	a.WriteHeader(http.StatusOK)
	if !a.sent {
		_ = a.begin(true) // to who has gone
		return
	}
	_ = a.stream.CloseWrite()
}
