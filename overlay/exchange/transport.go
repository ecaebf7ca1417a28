package exchange

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"

	"github.com/wherry/wherry/fault"
)

// Transport asks over sessions. All requests over one Session have to go through the same Transport.
//
// A request with a field Upgrade asks for another protocol: if the answer is 101, its Body is a *Conn. The same holds for CONNECT and
// an answer of success. What expects 100 Continue sends its content after that, or after ContinueTimeout.
type Transport struct {
	// Session yields the session for a request. Dialing and pooling are its business.
	Session func(ctx context.Context) (Session, error)
	// HeaderBytesMax bounds the header list of a response (RFC 9113 §6.5.2). Default: 64 KiB.
	HeaderBytesMax int
	// ContinueTimeout is how long content waits for 100 Continue. Default: 1 s.
	ContinueTimeout time.Duration

	mu    sync.Mutex
	links map[Session]*link // of sessions that live, or have died since the last new one came
}

var _ http.RoundTripper = (*Transport)(nil)

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	p, err := planRequest(r)
	if err != nil {
		closeContent(r)
		return nil, &fault.Error{Party: fault.Client, Op: "request", Status: http.StatusBadRequest, Proxy: "http_request_error", Err: err}
	}
	session, stream, err := t.open(r)
	if err != nil {
		closeContent(r)
		return nil, err
	}
	c := &call{transport: t, r: r, plan: p, link: t.link(session), stream: stream, peer: session.Peer(), uploading: p.kind != kindEmpty, downloading: true}
	c.frames.r = readers.Get().(*bufio.Reader)
	c.frames.r.Reset(stream)
	c.stop = context.AfterFunc(r.Context(), func() { c.abort(CodeCancelled) })
	return c.run()
}

// open gets a stream. Nothing was sent if it fails.
func (t *Transport) open(r *http.Request) (Session, Stream, error) {
	ctx := r.Context()
	session, err := t.Session(ctx)
	if err != nil {
		return nil, nil, refusal(ctx, "connect", "destination_unavailable", err)
	}
	open := session.OpenStream
	if s, ok := session.(earlySession); ok && early(r) {
		open = s.OpenEarly
	}
	stream, err := open(ctx)
	if err != nil {
		return nil, nil, refusal(ctx, "open stream", "connection_terminated", fmt.Errorf("%s: %w", session.Peer(), err))
	}
	return session, stream, nil
}

// early says whether a request may be sent before it is certain that nobody repeats it (RFC 8470 §4).
func early(r *http.Request) bool {
	return (r.Method == "" || r.Method == http.MethodGet || r.Method == http.MethodHead) && (r.Body == nil || r.Body == http.NoBody)
}

func refusal(ctx context.Context, op, proxy string, err error) error {
	if ctx.Err() != nil {
		return cancelled(ctx, op)
	}
	return &fault.Error{Party: fault.Peer, Op: op, Status: http.StatusBadGateway, Retry: true, Proxy: proxy, Err: err}
}

// cancelled is the error of a request whose context has ended.
func cancelled(ctx context.Context, op string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &fault.Error{
			Party: fault.Peer, Op: op, Status: http.StatusGatewayTimeout, Proxy: "connection_read_timeout", Err: context.Cause(ctx),
		}
	}
	return &fault.Error{Party: fault.Client, Op: op, Status: fault.StatusClientClosedRequest, Err: context.Cause(ctx)}
}

// link returns what is kept for a session.
func (t *Transport) link(s Session) *link {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l, ok := t.links[s]; ok {
		return l
	}
	if t.links == nil {
		t.links = map[Session]*link{}
	}
	for old := range t.links {
		select {
		case <-old.Done():
			delete(t.links, old)
		default:
		}
	}
	l := newLink()
	t.links[s] = l
	return l
}

func (t *Transport) headerBytesMax() int {
	if t.HeaderBytesMax > 0 {
		return t.HeaderBytesMax
	}
	return headerBytesMax
}

func closeContent(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// call is one exchange, as who asks sees it.
type call struct {
	transport *Transport
	r         *http.Request
	plan      *plan
	link      *link
	stream    Stream
	peer      string
	frames    frames // its reader is who reads the response's, up to its end
	stop      func() bool
	closing   sync.Once     // of the request's content
	proceed   chan struct{} // 100 Continue has come; nil if the content doesn't wait for it
	final     chan struct{} // closed with the final response, for content that waits

	mu          sync.Mutex // protects what follows
	uploading   bool
	downloading bool
	taken       bool  // some of the request's content was read
	over        bool  // no more of it may be: somebody else gets it
	broken      error // why the request isn't whole
	proceeded   bool
}

// abort gives up: both directions, at once.
func (c *call) abort(code Code) {
	c.stream.Reset(uint64(code))
	c.stop()
	c.closing.Do(func() { closeContent(c.r) }) // or its Read might block for ever
}

// uploaded takes note that the request has been sent, or can't be.
func (c *call) uploaded(err error) {
	c.mu.Lock()
	c.uploading = false
	if err != nil && c.broken == nil {
		c.broken = err
	}
	over := !c.downloading
	c.mu.Unlock()
	if over {
		c.part()
	}
}

// downloaded takes note that the response is here. Who has answered doesn't want the rest of the request (RFC 9113 §8.1).
func (c *call) downloaded() {
	c.mu.Lock()
	c.downloading = false
	uploading := c.uploading
	c.mu.Unlock()
	if uploading {
		c.abort(CodeNone)
	} else {
		c.part()
	}
}

// part lets go of a stream whose both directions are through.
func (c *call) part() {
	c.stop()
	c.mu.Lock()
	broken := c.broken
	c.mu.Unlock()
	if broken != nil {
		c.stream.Reset(uint64(CodeNone)) // the end would look as if the request was whole
		return
	}
	_ = c.stream.Close() // nothing is lost if it fails
}

// release gives the reader back; nobody may read after it.
func (c *call) release() {
	if c.frames.r != nil {
		c.frames.r.Reset(nil)
		readers.Put(c.frames.r)
		c.frames.r = nil
	}
}

// run sends the request and returns its response.
func (c *call) run() (*http.Response, error) {
	if c.plan.urgency >= 0 {
		c.stream.SetPriority(c.plan.urgency)
	}
	trace := httptrace.ContextClientTrace(c.r.Context())
	var buf [512]byte
	frame, base := c.link.request(buf[:0], c.plan, c.r)
	if n, err := c.stream.Write(frame); err != nil {
		closeContent(c.r)
		return nil, c.failed("send header", err, n == 0)
	}
	if trace != nil && trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	c.send(trace)
	resp, err := c.await(trace, base)
	if err != nil {
		return nil, c.failed("read header", err, false)
	}
	resp.Request = c.r
	return c.deliver(resp)
}

// failed resets the stream, and says whether the request can be sent again.
func (c *call) failed(op string, err error, nothingSent bool) error {
	c.mu.Lock()
	c.over = true
	whole, broken := !c.taken || c.r.GetBody != nil, c.broken
	c.mu.Unlock()
	c.abort(codeFor(err))
	c.release()
	if ctx := c.r.Context(); ctx.Err() != nil {
		return cancelled(ctx, op)
	}
	code, reset := ResetCode(err)
	e := &fault.Error{Party: fault.Peer, Op: op, Status: http.StatusBadGateway, Proxy: "connection_terminated"}
	var f *failure
	var own *contentError
	switch {
	case errors.As(broken, &own):
		e.Party, e.Op, e.Status, e.Proxy, e.Err = fault.Client, "read request content", http.StatusBadRequest, "http_request_error", own.cause
	case errors.As(err, &f):
		e.Proxy, e.Err = "http_protocol_error", fmt.Errorf("%s sent %w", c.peer, err)
	case reset && code == CodeTooLarge:
		e.Party, e.Status, e.Proxy = fault.Client, http.StatusRequestHeaderFieldsTooLarge, "http_request_error"
		fallthrough
	case reset:
		e.Err = fmt.Errorf("%s %s: %w", c.peer, code, err)
	default:
		e.Err = fmt.Errorf("%s: %w", c.peer, err)
	}
	e.Retry = whole && (nothingSent || reset && (code == CodeRefused || code == CodeStale))
	return e
}

func codeFor(err error) Code {
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	return CodeCancelled
}

// await reads header sections until the final one.
func (c *call) await(trace *httptrace.ClientTrace, base uint64) (*http.Response, error) {
	limit := c.transport.headerBytesMax()
	in := c.frames.borrow()
	defer c.frames.giveBack(in)
	s := &in.section
	for interim := range interimMax + 1 {
		k, err := c.frames.head(2 * limit) // the list is what is limited
		if err != nil {
			return nil, inTheMiddle(err)
		}
		if interim == 0 { // the peer has read the request's section before it said anything
			if trace != nil && trace.GotFirstResponseByte != nil {
				trace.GotFirstResponseByte()
			}
			if base != 0 {
				c.link.arrived([]confirmation{{base, 1}})
			}
		}
		if err := c.link.readResponse(s, c.frames.section, limit); err != nil {
			return nil, err
		}
		if s.tooLarge {
			return nil, &failure{CodeTooLarge, "a header section that is too large; raise HeaderBytesMax if that is to be"}
		}
		resp, err := s.response(k)
		if err != nil {
			return nil, err
		}
		if k != kindInterim {
			return resp, c.prepare(resp, k)
		}
		if err := c.interim(trace, resp); err != nil {
			return nil, err
		}
	}
	return nil, malformed("interim responses without end")
}

// interim takes note of a 1xx response.
func (c *call) interim(trace *httptrace.ClientTrace, resp *http.Response) error {
	if resp.StatusCode == http.StatusContinue {
		if trace != nil && trace.Got100Continue != nil {
			trace.Got100Continue()
		}
		c.letProceed()
	}
	if trace != nil && trace.Got1xxResponse != nil {
		return trace.Got1xxResponse(resp.StatusCode, textproto.MIMEHeader(resp.Header))
	}
	return nil
}

// switched says whether the stream carries something else from now on.
func (c *call) switched(resp *http.Response) bool {
	if c.plan.protocol != "" {
		return resp.StatusCode == http.StatusSwitchingProtocols
	}
	return c.plan.method == http.MethodConnect && resp.StatusCode/100 == 2
}

// prepare checks what only who asked can check, and makes the body.
func (c *call) prepare(resp *http.Response, k kind) error {
	if resp.StatusCode == http.StatusSwitchingProtocols && c.plan.protocol == "" {
		return malformed("a switch to another protocol that nobody asked for")
	}
	if c.switched(resp) {
		if k != kindRaw {
			return malformed("another protocol in frames")
		}
		if resp.ContentLength = -1; resp.StatusCode == http.StatusSwitchingProtocols {
			resp.ContentLength = 0 // as net/http has it
		}
		return nil
	}
	bodyless := c.plan.method == http.MethodHead || bodylessStatus(resp.StatusCode)
	switch {
	case k == kindEmpty && !bodyless && resp.ContentLength > 0:
		return malformed("content that is missing")
	case k == kindEmpty && c.plan.method != http.MethodHead:
		resp.ContentLength = 0
	case k != kindEmpty && bodyless:
		return malformed("content where none can be") // RFC 9110 §6.4.1
	}
	if k == kindEmpty {
		resp.Body = http.NoBody
		return nil
	}
	b := &download{call: c, content: content{frames: &c.frames, framed: k == kindFramed, limit: c.transport.headerBytesMax(), left: resp.ContentLength}}
	b.content.trailer = func(fields []field) { resp.Trailer = addTrailers(resp.Trailer, fields) }
	resp.Body = b
	return nil
}

// addTrailers adds trailers; those that weren't announced, too, as net/http does for clients.
func addTrailers(trailer http.Header, fields []field) http.Header {
	if trailer == nil && len(fields) > 0 {
		trailer = http.Header{}
	}
	for _, f := range fields {
		trailer[f.name] = append(trailer[f.name], f.value)
	}
	return trailer
}

// bodylessStatus says whether a response with this status has no content (RFC 9110 §6.4.1).
func bodylessStatus(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified
}

// deliver hands the response over.
func (c *call) deliver(resp *http.Response) (*http.Response, error) {
	if c.proceed != nil {
		close(c.final)
	}
	switch {
	case c.switched(resp):
		c.stop() // from here on it is the caller's connection
		resp.Body = newConn(c.stream, c.frames.r, "", c.peer, nil)
		return resp, nil
	case c.plan.opens():
		c.uploaded(c.stream.CloseWrite())
	}
	if resp.Body == http.NoBody {
		c.release()
		c.downloaded()
	}
	return resp, nil
}

// download is the content of a response. It is for one goroutine, but for Close.
type download struct {
	call    *call
	content content

	mu      sync.Mutex // protects what follows
	closed  bool
	through bool // it has been read to its end
}

var _ io.ReadCloser = (*download)(nil)

func (b *download) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	b.mu.Unlock()
	n, err := b.content.read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.finish()
	default:
		if ctx := b.call.r.Context(); ctx.Err() != nil {
			return n, cancelled(ctx, "read content")
		}
		b.call.abort(codeFor(err))
		b.call.mu.Lock()
		if b.call.broken != nil {
			err = b.call.broken
		}
		b.call.mu.Unlock()
		err = &fault.Error{
			Party: fault.Peer, Op: "read content", Status: http.StatusBadGateway, Proxy: "http_response_incomplete",
			Err: fmt.Errorf("%s: %w", b.call.peer, err),
		}
	}
	return n, err
}

// finish lets the stream go.
func (b *download) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.through {
		b.through = true
		b.call.release()
		b.call.downloaded()
	}
}

// Close gives up what hasn't been read.
func (b *download) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	switch {
	case b.through:
	case b.content.left == 0 && !b.content.framed:
		b.through = true
		b.call.downloaded()
	default:
		b.call.abort(CodeCancelled)
	}
	return nil
}
