package origin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/trace"
)

// A call is an attempt over a wire: without http.Transport, whose two goroutines for each connection cost a miss more than anything
// else that this room does. It is for what nearly all misses are, a request without content to an http:// origin (see plainRequest);
// all else goes through the transports. What a client sees is the same, and so is what the origin's connections are limited to.
//
// Changing it, look also at: a connection that the origin closed while it was idle (the request goes out again, on another one, as long
// as nothing has been answered), a response that comes before the request is written, bytes behind a response (the connection isn't
// used again), and a body that one goroutine reads while another closes it.
type call struct {
	attempt
	wire *wire
	stop func() bool // of the context's watch over the wire

	resp  http.Response // the one that is answered, if we parsed it ourselves
	body  io.ReadCloser // that net/http reads; nil: left says what is still to come
	left  int64
	over  error       // that Read ended with
	keep  bool        // the wire may be used again after the body
	ended atomic.Bool // the wire is somebody else's, or closed
}

var _ io.ReadCloser = (*call)(nil)

// plainRequest returns the bytes of req as it goes to s, appended to dst, or false if that isn't plain enough for a wire. Such are also
// those that net/http would refuse: it has the words for why.
func plainRequest(dst []byte, req *http.Request, s *server, hostRule string) ([]byte, bool) {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions: // safe to send again without asking (RFC 9110 §9.2.1)
	default:
		return dst, false
	}
	if s.wires == "" || req.Body != nil && req.Body != http.NoBody || req.ContentLength != 0 || len(req.Trailer) > 0 ||
		req.Header["Upgrade"] != nil || req.Header["Expect"] != nil {
		return dst, false
	}
	path, host := rawPath(req.URL), outHost(req, s, hostRule)
	if strings.HasPrefix(path, "//") || !plainTarget(path) || !plainTarget(req.URL.RawQuery) || !plainHost(host) {
		return dst, false
	}
	dst = append(append(dst, req.Method...), ' ')
	if path != "*" { // of OPTIONS, RFC 9112 §3.2.4
		dst = append(dst, s.prefix...)
	}
	dst = append(dst, path...)
	if req.URL.ForceQuery || req.URL.RawQuery != "" {
		dst = append(append(dst, '?'), req.URL.RawQuery...)
	}
	dst = append(append(dst, " HTTP/1.1\r\nHost: "...), host...)
	dst = append(dst, "\r\n"...)
	for name, lines := range req.Header {
		if saidElsewhere(name) {
			continue
		}
		if !isToken(name) {
			return dst, false
		}
		for _, value := range lines {
			if !plainText(value) {
				return dst, false
			}
			dst = append(append(append(append(dst, name...), ": "...), strings.Trim(value, " \t")...), "\r\n"...)
		}
	}
	return append(dst, "\r\n"...), true
}

// saidElsewhere says whether a field is the request's own to say, in whatever case it is written.
func saidElsewhere(name string) bool {
	for _, own := range [...]string{"Host", "Content-Length", "Transfer-Encoding", "Trailer"} {
		if len(name) == len(own) && strings.EqualFold(name, own) {
			return true
		}
	}
	return false
}

// plainTarget says whether s can stand in a request line.
func plainTarget(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// plainHost says whether host is a name or an address with a port that needs no translation.
func plainHost(host string) bool {
	for i := range len(host) {
		c := host[i]
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']') {
			return false
		}
	}
	return host != ""
}

// call asks s over a wire, with a request that plainRequest has made.
func (p *pool) call(req *http.Request, s *server, choice pick, request []byte) (*http.Response, *attemptError) {
	c := &call{attempt: attempt{
		pool: p, server: s, index: choice.index, trial: choice.trial,
		trace: trace.From(req.Context()), began: time.Now(), ctx: req.Context(), asked: req.Context(), out: req,
	}}
	s.inFlight.Add(1)
	if s.waiters.Add(1) > s.waitersMax && s.waitersMax > 0 {
		return nil, c.fail(limitReached(errConnectionLimit))
	}
	for {
		used, err := c.connect(request)
		if err != nil {
			return nil, c.fail(c.classify(err))
		}
		resp, err := c.exchange(req, request)
		if err == nil {
			return c.answered(req, resp)
		}
		e := c.classify(err) // before the phase is another one
		c.end(false)
		if !used || !errors.As(err, new(unansweredError)) || c.ctx.Err() != nil {
			return nil, c.fail(e)
		}
		// The origin closed it at the moment when we began to use it.
		s.waiters.Add(1)
		c.phase, c.sent = phaseWait, false
		c.ended.Store(false)
	}
}

// connect gives the call a wire, and says whether that had requests before.
func (c *call) connect(request []byte) (used bool, err error) {
	s, limits := c.server, &c.pool.settings.fetch
	var since time.Time
	if c.trace.On() {
		since = time.Now()
	}
	for {
		w, err := s.conns.take(c.ctx, false, s.connectTimeout, s.closeIdleTransports)
		if err != nil {
			return false, err
		}
		if w == nil {
			break
		}
		if !w.ready(limits.HeaderTimeout, limits.BodyTimeout) {
			w.shut()
			s.conns.release()
			continue
		}
		s.waiters.Add(-1)
		c.use(w)
		if c.trace.On() {
			c.told(httptrace.GotConnInfo{Conn: w.conn, Reused: true, WasIdle: true, IdleTime: time.Since(w.idleSince)}, since)
			c.toldRequest(request)
		}
		return true, nil
	}
	s.waiters.Add(-1)
	c.phase = phaseDial
	conn, err := s.connect(c.ctx, "tcp", s.wires)
	if err != nil {
		s.conns.release()
		return false, err
	}
	w := newWire(conn)
	w.begin(limits.HeaderTimeout, limits.BodyTimeout)
	c.use(w)
	if c.trace.On() {
		c.told(httptrace.GotConnInfo{Conn: conn}, since)
		c.toldRequest(request)
	}
	return false, nil
}

// toldRequest adds to the trace what is sent.
func (c *call) toldRequest(request []byte) {
	line, rest, _ := bytes.Cut(request, []byte(" HTTP/1.1\r\nHost: "))
	host, _, _ := bytes.Cut(rest, []byte("\r\n"))
	c.trace.Addf("origin", "send", "%s, Host %s", line, host)
}

// use takes w for the call, watched by its context.
func (c *call) use(w *wire) {
	c.wire, c.phase, c.sent = w, phaseSend, true
	if after, ok := c.ctx.(interface{ AfterFunc(f func()) func() bool }); ok {
		c.stop = after.AfterFunc(w.leave) // what package context would call in the end
	} else {
		c.stop = context.AfterFunc(c.ctx, w.leave)
	}
}

// unansweredError is a connection that ended before the first byte of a response.
type unansweredError struct{ error }

func (e unansweredError) Unwrap() error { return e.error }

// exchange sends the request and reads the header section of the response. A request is small: its limit in time is that of the answer.
func (c *call) exchange(req *http.Request, request []byte) (*http.Response, error) {
	w := c.wire
	c.phase = phaseAwait
	if _, err := w.direct.Write(request); err != nil {
		return nil, unanswered(err)
	}
	if _, err := w.r.Peek(1); err != nil {
		return nil, unanswered(err)
	}
	resp, body, err := w.readResponse(req, &c.resp)
	if err != nil {
		return nil, err
	}
	w.headIsRead()
	c.body, c.left, c.keep = body, resp.ContentLength, !resp.Close
	if body == nil && c.left == 0 {
		resp.Body = http.NoBody
	}
	return resp, nil
}

func unanswered(err error) error {
	if terminated(err) {
		return unansweredError{err}
	}
	return err
}

// answered takes note of a response, unless it can't be passed on.
func (c *call) answered(req *http.Request, resp *http.Response) (*http.Response, *attemptError) {
	if err := vet(req, resp); err != nil {
		c.end(false)
		return nil, c.fail(err)
	}
	c.came(resp)
	c.phase = phaseRead
	if resp.Body == http.NoBody {
		c.end(true)
		c.finish()
	} else {
		resp.Body = c
	}
	return resp, nil
}

// end gives the wire away: to whoever comes next if all of the response has been read and the connection is good for more, else it is
// closed. Only the first call counts.
func (c *call) end(whole bool) {
	if c.ended.Swap(true) {
		return
	}
	w := c.wire
	whole = whole && c.keep && w.r.Buffered() == 0
	if c.stop() && whole {
		c.server.conns.put(w)
		return
	}
	w.shut()
	c.server.conns.release()
}

// Buffered tells how much of the body can be read without waiting.
func (c *call) Buffered() int {
	if c.body != nil || c.ended.Load() {
		return 0
	}
	return int(min(c.left, int64(c.wire.r.Buffered())))
}

// Read implements io.Reader: it reads the response's body.
func (c *call) Read(p []byte) (n int, err error) {
	switch {
	case c.over != nil:
		return 0, c.over
	case c.ended.Load():
		return 0, http.ErrBodyReadAfterClose
	}
	if c.body != nil {
		n, err = c.body.Read(p)
	} else {
		n, err = c.wire.r.Read(p[:min(int64(len(p)), c.left)])
		c.left -= int64(n)
		switch {
		case c.left == 0:
			err = io.EOF
		case err == io.EOF:
			err = io.ErrUnexpectedEOF
		}
	}
	if err == nil {
		return n, nil
	}
	c.end(err == io.EOF)
	if err != io.EOF {
		err = c.bodyError(err)
	}
	c.over = err
	c.finish()
	return n, err
}

// Close implements io.Closer. What of the body hasn't been read won't be.
func (c *call) Close() error {
	c.end(false)
	c.finish()
	return nil
}
