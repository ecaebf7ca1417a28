package exchange

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// Limits bound what a session may ask for. Zero fields take the defaults.
type Limits struct {
	// ExchangesMax is how many requests of a session are answered at a time; more are refused, to be sent elsewhere. Default: 1024.
	ExchangesMax int
	// HeaderBytesMax bounds the header list of a request (RFC 9113 §6.5.2); a larger one is answered with 431. Default: 64 KiB.
	HeaderBytesMax int
	// HeaderTimeout bounds the time from a stream to its header section. Default: 10 s.
	HeaderTimeout time.Duration
	// DrainTimeout is how long requests may go on when Serve's context has ended. Default: 30 s.
	DrainTimeout time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.ExchangesMax <= 0 {
		l.ExchangesMax = 1024
	}
	if l.HeaderBytesMax <= 0 {
		l.HeaderBytesMax = headerBytesMax
	}
	if l.HeaderTimeout <= 0 {
		l.HeaderTimeout = 10 * time.Second
	}
	if l.DrainTimeout <= 0 {
		l.DrainTimeout = 30 * time.Second
	}
	return l
}

// Server answers what comes over sessions.
//
// A handler gets requests with Proto HTTP/2.0, and those that ask for another protocol with HTTP/1.1, Connection and Upgrade as they
// were. RemoteAddr is the peer's name. It may hijack a request that asks for another protocol, and CONNECT: what it writes first has
// to be the header section of an HTTP/1.1 response; TakeOver does without. http.ResponseController works, and all is full duplex.
type Server struct {
	Handler http.Handler
	Limits  Limits
	// Log gets panics of the handler. Default: slog.Default().
	Log *slog.Logger
}

// Serve answers the requests of a session until the session is gone, which is no error, or ctx ends; then new requests are refused
// and running ones have Limits.DrainTimeout. When it returns, all handlers have returned; what they wrote last may still be under way.
func (s *Server) Serve(ctx context.Context, session Session) error {
	// Handlers such as httputil.ReverseProxy break off what they can't complete only where they see this key.
	served := context.WithValue(context.WithoutCancel(ctx), http.ServerContextKey, &http.Server{Handler: s.Handler})
	running, cancel := context.WithCancel(served)
	defer cancel()
	v := &service{server: s, limits: s.Limits.withDefaults(), session: session, link: newLink(), ctx: running}
	v.room = make(chan struct{}, v.limits.ExchangesMax)
	defer v.exchanges.Wait()
	err := v.accept(ctx, func(stream Stream) {
		select {
		case v.room <- struct{}{}:
			v.exchanges.Go(func() {
				defer func() { <-v.room }()
				v.serve(stream)
			})
		default:
			stream.Reset(uint64(CodeRefused)) // RFC 9113 §8.7: it wasn't acted on
		}
	})
	if ctx.Err() == nil {
		cancel()
		return err
	}
	v.drain(cancel)
	return nil
}

// service is the requests of one session.
type service struct {
	server    *Server
	limits    Limits
	session   Session
	link      *link
	ctx       context.Context
	room      chan struct{} // holds one for each exchange
	exchanges sync.WaitGroup
}

// accept takes streams until ctx ends or the session is gone.
func (v *service) accept(ctx context.Context, take func(Stream)) error {
	for {
		stream, err := v.session.AcceptStream(ctx)
		switch {
		case err == nil:
			take(stream)
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			select {
			case <-v.session.Done():
				return nil
			default:
				return err
			}
		}
	}
}

// drain refuses what comes and waits for what runs.
func (v *service) drain(cancel context.CancelFunc) {
	late, stop := context.WithTimeout(v.ctx, v.limits.DrainTimeout)
	defer stop()
	var waiter sync.WaitGroup
	defer waiter.Wait()
	waiter.Go(func() {
		v.exchanges.Wait()
		stop()
	})
	_ = v.accept(late, func(stream Stream) { stream.Reset(uint64(CodeRefused)) })
	cancel()
}

// serve answers one request.
func (v *service) serve(stream Stream) {
	x := &answer{service: v, stream: stream, handler: v.server.Handler}
	x.frames.r = readers.Get().(*bufio.Reader)
	x.frames.r.Reset(stream)
	defer x.release()
	_ = stream.SetReadDeadline(time.Now().Add(v.limits.HeaderTimeout))
	r, k, err := x.receive()
	if err != nil {
		code := CodeCancelled
		var f *failure
		switch {
		case errors.As(err, &f):
			code = f.code
		case errors.Is(err, os.ErrDeadlineExceeded):
			code = CodeTimeout
		}
		stream.Reset(uint64(code))
		return
	}
	_ = stream.SetReadDeadline(time.Time{})
	ctx, cancel := context.WithCancel(context.WithValue(v.ctx, schemeKey{}, x.scheme))
	defer cancel()
	if w, ok := stream.(resetWatcher); ok {
		w.OnReset(cancel)
	}
	r = r.WithContext(ctx)
	w := newResponse(x, r)
	if k != kindEmpty && !w.canOpen() {
		x.body = &requestBody{answer: x, content: content{
			frames: &x.frames, framed: k == kindFramed, limit: v.limits.HeaderBytesMax, left: r.ContentLength,
		}}
		x.body.content.trailer = func(fields []field) { fillTrailer(r.Trailer, fields) }
		if hasToken(r.Header["Expect"], "100-continue") { // RFC 9110 §10.1.1
			x.body.awaited = w
		}
		r.Body = x.body
	}
	if u, ok := urgency(r.Header["Priority"]); ok {
		stream.SetPriority(u)
	}
	x.run(w, r)
}

// schemeKey is the key of a request's scheme in its context.
type schemeKey struct{}

// Scheme returns the scheme that the peer has asked for: http or https. It is "" for CONNECT and for requests that aren't of Server.
func Scheme(r *http.Request) string {
	s, _ := r.Context().Value(schemeKey{}).(string)
	return s
}

// answer is one exchange, as who answers sees it.
type answer struct {
	service *service
	stream  Stream
	frames  frames
	scheme  string
	handler http.Handler
	body    *requestBody  // nil without content
	conn    *Conn         // what the handler took over
	parted  chan struct{} // closed when that is closed
}

func (x *answer) release() {
	if x.conn == nil { // else the reader is its
		x.frames.r.Reset(nil)
		readers.Put(x.frames.r)
	}
}

// receive reads the header section of the request.
func (x *answer) receive() (*http.Request, kind, error) {
	v := x.service
	in := x.frames.borrow()
	defer x.frames.giveBack(in)
	k, err := x.frames.head(2 * v.limits.HeaderBytesMax) // the list is what is limited
	if err != nil {
		return nil, 0, inTheMiddle(err)
	}
	if k == kindInterim || k == kindTrailers {
		return nil, 0, malformed("a request that begins with something else")
	}
	s := &in.section
	if err := v.link.readRequest(s, x.frames.section, v.limits.HeaderBytesMax); err != nil {
		return nil, 0, err
	}
	if s.tooLarge {
		x.handler = http.HandlerFunc(refuseHeader)
		return &http.Request{Method: http.MethodGet, Proto: "HTTP/2.0", ProtoMajor: 2, Header: http.Header{}, Body: http.NoBody}, kindEmpty, nil
	}
	r, scheme, err := s.request(k)
	if err != nil {
		return nil, 0, err
	}
	x.scheme, r.RemoteAddr = scheme, v.session.Peer()
	return r, k, nil
}

// refuseHeader answers what wasn't read to its end.
func refuseHeader(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "the header section is too large", http.StatusRequestHeaderFieldsTooLarge)
}

// fillTrailer shows the trailers to the handler. Those that weren't announced are dropped, as net/http does.
func fillTrailer(trailer http.Header, fields []field) {
	for _, f := range fields {
		if values, ok := trailer[f.name]; ok {
			trailer[f.name] = append(values, f.value)
		}
	}
}

// run calls the handler and ends the exchange.
func (x *answer) run(w *response, r *http.Request) {
	returned := false
	defer func() {
		v := recover()
		if !returned && v != http.ErrAbortHandler {
			x.service.log().Error("handler panicked", "peer", x.service.session.Peer(), "panic", v, "stack", string(debug.Stack()))
		}
		if x.body != nil {
			x.body.end()
		}
		switch {
		case !returned || x.conn == nil && x.service.ctx.Err() != nil: // who was stopped may have returned in the middle
			x.stream.Reset(uint64(CodeInternal))
			if x.conn != nil {
				x.conn.leave()
			}
		case x.conn != nil:
			x.await()
		default:
			w.finish()
		}
	}()
	x.handler.ServeHTTP(w, r)
	returned = true
}

// await waits until a connection that the handler took over and left open is closed.
func (x *answer) await() {
	select {
	case <-x.parted:
	case <-x.service.session.Done():
	case <-x.service.ctx.Done():
		x.conn.Reset(CodeCancelled)
	}
}

func (v *service) log() *slog.Logger {
	if v.server.Log != nil {
		return v.server.Log
	}
	return slog.Default()
}

// requestBody is the content of a request, for its handler.
type requestBody struct {
	answer  *answer
	content content

	mu      sync.Mutex // held while reading; protects what follows
	awaited *response  // the peer waits for 100 Continue
	closed  bool
	over    bool // the handler has returned
}

var _ io.ReadCloser = (*requestBody)(nil)

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.over {
		return 0, http.ErrBodyReadAfterClose
	}
	if b.awaited != nil {
		b.awaited.askOn()
		b.awaited = nil
	}
	n, err := b.content.read(p)
	var f *failure
	if errors.As(err, &f) {
		b.answer.stream.Reset(uint64(f.code))
	}
	return n, err
}

// Close says that nobody reads the rest.
func (b *requestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// end makes the handler's goroutines stop reading: the handler has returned.
func (b *requestBody) end() {
	_ = b.answer.stream.SetReadDeadline(time.Unix(1, 0))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
}
