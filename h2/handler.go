package h2

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
)

// start has a request answered by a handler.
func (c *conn) start(id uint32, handler http.Handler) *failure {
	x := &c.section
	r := newRequest(&x.Request, x.endStream, x.length)
	if r == nil {
		return malformed(id, "a target that is no URI")
	}
	s := c.newStream(id)
	s.length, s.remoteEnd, s.trailer, s.handling = x.length, x.endStream, r.Trailer, true
	ctx, cancel := context.WithCancel(c.ctx)
	s.cancel = cancel
	r = r.WithContext(ctx)
	r.RemoteAddr = c.remote
	if x.Scheme == "https" {
		r.TLS = c.peer.TLS
	}
	w := &responseWriter{s: s, c: c, head: r.Method == http.MethodHead, header: http.Header{}, length: -1}
	if !x.endStream {
		b := &requestBody{s: s}
		if hasToken(r.Header["Expect"], "100-continue") { // RFC 9110 §10.1.1
			delete(r.Header, "Expect")
			b.awaited = true
		}
		r.Body = b
	}
	c.running++
	c.handlers.Go(func() { c.run(handler, s, w, r) })
	return nil
}

// newRequest returns what net/http would make of x, or nil if the target is no URI.
func newRequest(x *Request, ended bool, length int64) *http.Request {
	r := &http.Request{
		Method: x.Method, Proto: "HTTP/2.0", ProtoMajor: 2, Header: make(http.Header, len(x.Fields)), Host: x.Authority,
		RequestURI: x.Path, Body: http.NoBody,
	}
	if x.Method == http.MethodConnect {
		r.URL, r.RequestURI = &url.URL{Host: x.Authority}, x.Authority
	} else {
		var err error
		if r.URL, err = url.ParseRequestURI(x.Path); err != nil {
			return nil
		}
	}
	values := make([]string, len(x.Fields)) // one array for the values of all fields that come once
	for i, f := range x.Fields {
		name := http.CanonicalHeaderKey(f.Name)
		switch {
		case name == "Host":
		case name == "Trailer":
			r.Trailer = announcing(r.Trailer, f.Value)
		case r.Header[name] == nil:
			values[i] = f.Value
			r.Header[name] = values[i : i+1 : i+1]
		default:
			r.Header[name] = append(r.Header[name], f.Value)
		}
	}
	if crumbs := r.Header["Cookie"]; len(crumbs) > 1 {
		r.Header["Cookie"] = []string{strings.Join(crumbs, "; ")} // RFC 9113 §8.2.3
	}
	if !ended {
		r.ContentLength = length
	}
	return r
}

// announcing adds the names in a value of Trailer to trailer.
func announcing(trailer http.Header, value string) http.Header {
	for name := range strings.SplitSeq(value, ",") {
		name = http.CanonicalHeaderKey(strings.TrimSpace(name))
		switch name {
		case "", "Transfer-Encoding", "Trailer", "Content-Length": // RFC 9110 §6.5.1
			continue
		}
		if trailer == nil {
			trailer = http.Header{}
		}
		trailer[name] = nil
	}
	return trailer
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// run calls the handler.
func (c *conn) run(handler http.Handler, s *stream, w *responseWriter, r *http.Request) {
	returned := false
	defer func() {
		v := recover()
		if !returned && v != http.ErrAbortHandler {
			c.server.log.Printf("http2: panic serving %s: %v\n%s", c.remote, v, debug.Stack())
		}
		if returned {
			w.finish()
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running--
		s.handling = false
		c.forget(s)
		s.cond.Broadcast()
		switch {
		case s.err != nil || s.answered:
		case !returned:
			c.reset(s.id, codeInternal, errReturned)
		case s.ending && len(s.queued) == 0:
			c.sendEnd(s)
		}
		c.flush()
	}()
	handler.ServeHTTP(w, r)
	returned = true
}

// requestBody is the content of a request, for its handler.
type requestBody struct {
	s       *stream
	awaited bool // the client waits for 100 Continue
}

var _ io.ReadCloser = (*requestBody)(nil)

func (b *requestBody) Read(p []byte) (int, error) {
	s := b.s
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.awaited {
		b.awaited = false
		c.askOn(s)
	}
	for {
		switch {
		case s.closed || !s.handling:
			return 0, http.ErrBodyReadAfterClose
		case s.reading.passed:
			return 0, os.ErrDeadlineExceeded
		case s.read < len(s.body):
			n := copy(p, s.body[s.read:])
			if s.read += n; s.read == len(s.body) {
				s.body, s.read = s.body[:0], 0
			}
			c.taken(int64(n))
			s.giveBack(int64(n))
			c.flush()
			return n, nil
		case s.err != nil:
			return 0, s.err
		case s.remoteEnd:
			s.fillTrailer()
			return 0, io.EOF
		}
		if len(p) == 0 {
			return 0, nil
		}
		s.cond.Wait()
	}
}

// fillTrailer shows the trailers to the handler, which has read the content to its end. Those that weren't announced are dropped, as
// net/http does.
func (s *stream) fillTrailer() {
	for _, f := range s.arrived {
		name := http.CanonicalHeaderKey(f.Name)
		if values, ok := s.trailer[name]; ok {
			s.trailer[name] = append(values, f.Value)
		}
	}
	s.arrived = nil
}

// askOn tells a client that waits for it to send the content.
func (c *conn) askOn(s *stream) {
	if s.err == nil && !s.begun {
		begin := c.openHeaders()
		c.next.out = closeHeaders(AppendStatus(c.next.out, http.StatusContinue), begin, s.id, 0)
		c.flush()
	}
}

// Close says that nobody reads the rest.
func (b *requestBody) Close() error {
	c := b.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	b.s.closed = true
	return nil
}
