package h3

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

const (
	// retryAbove is how many handshakes may be under way before a client has to show that it gets what is sent to its address (RFC 9000
	// §8.1.2), which takes it another round trip.
	retryAbove = 256
	// uniStreamsMax is how many streams of one direction a client may have open: a control stream and two of QPACK (RFC 9114 §6.2), and some
	// that are there to be ignored.
	uniStreamsMax = 16
	// floodFactor times Limits.Streams is how many requests of one connection may be under way: more than one time only if the client resets
	// streams faster than what it asked for ends.
	floodFactor = 2
	// How much of request content waits for a slow upstream (RFC 9000 §4).
	streamWindowBytes = 1 << 20
	connWindowBytes   = 2 << 20
	// handshakePatience is how long a node that stops waits for handshakes that are under way.
	handshakePatience = 2 * time.Second
	// quietMin and quietMax bound how long an ending connection is silent before it is closed: what was sent has to arrive, again if it was
	// lost, and GOAWAY has to cross with the client's latest requests. Most clients close it themselves.
	quietMin, quietMax = time.Second, 3 * time.Second
	quietRTTs          = 8
)

// Limits bound what clients may do.
type Limits struct {
	Streams     int           // requests that a connection may have open
	HeaderBytes int           // of a header section, with 32 bytes a field on top (RFC 9114 §4.2.2)
	Handshake   time.Duration // that a client may be silent in the handshake
	Idle        time.Duration // that a connection may have no request
	Content     time.Duration // that a client may take to say whether there is content, where a method has none most of the time
	Ping        time.Duration // that a connection may be silent before it is asked whether it is alive
}

// Options are the neighbours of a Server. All are required.
type Options struct {
	Handler http.Handler
	TLS     *tls.Config // without ALPN
	Keys    Keys
	Limits  Limits
	// Context is the end of all requests, with its cause.
	Context context.Context
	// Admit says whether another connection may begin, with so many handshakes under way.
	Admit func(shaking int) bool
	// Open is called for each connection after its handshake. It adds to the context of its requests; closed is called at its end. Without ok the
	// connection is one too many.
	Open func(ctx context.Context, remote net.Addr) (_ context.Context, closed func(), ok bool)
	// Flooded is called for a connection that is closed because it has too many requests under way.
	Flooded func()
}

// Server serves HTTP/3 on one socket.
type Server struct {
	o         Options
	door      net.PacketConn
	transport *quic.Transport
	server    *http3.Server

	shaking atomic.Int64  // handshakes under way
	shaken  chan struct{} // has a token after shaking went down
	ending  chan struct{} // closed when there shall be no more connections
	ended   chan struct{} // closed when Serve returns

	mu    sync.Mutex // protects what follows
	conns map[*quic.Conn]*conn
}

// leaver is a socket that can tell packets of connections that we have from others. Once it leaves, we get no others.
type leaver interface{ Leave() }

// New returns a server for a socket, which Serve closes. The connection IDs are those that door generates, if it is a
// quic.ConnectionIDGenerator. Its Leave is called, if it has one, when there shall be no more connections.
func New(door net.PacketConn, o Options) *Server {
	s := &Server{
		o: o, door: door, conns: map[*quic.Conn]*conn{},
		shaken: make(chan struct{}, 1), ending: make(chan struct{}), ended: make(chan struct{}),
	}
	s.transport = &quic.Transport{
		Conn: door, StatelessResetKey: &s.o.Keys.reset, TokenGeneratorKey: &s.o.Keys.token,
		VerifySourceAddress: func(net.Addr) bool { return s.shaking.Load() > retryAbove },
		ConnContext:         s.admit,
	}
	s.transport.ConnectionIDGenerator, _ = door.(quic.ConnectionIDGenerator)
	s.server = &http3.Server{
		Handler: http.HandlerFunc(s.serveHTTP), ConnContext: s.withConn, Logger: slog.New(slog.DiscardHandler), MaxHeaderBytes: o.Limits.HeaderBytes,
	}
	return s
}

func (s *Server) config() *quic.Config {
	l := &s.o.Limits
	return &quic.Config{
		HandshakeIdleTimeout: l.Handshake, MaxIdleTimeout: l.Idle, KeepAlivePeriod: l.Ping,
		MaxIncomingStreams: int64(l.Streams), MaxIncomingUniStreams: uniStreamsMax,
		InitialStreamReceiveWindow: streamWindowBytes / 4, MaxStreamReceiveWindow: streamWindowBytes,
		InitialConnectionReceiveWindow: connWindowBytes / 4, MaxConnectionReceiveWindow: connWindowBytes,
	}
}

type shakeKey struct{}

// admit is quic.Transport.ConnContext: an error refuses the connection.
func (s *Server) admit(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	if !s.o.Admit(int(s.shaking.Load())) {
		return nil, errors.New("too many connections")
	}
	s.shaking.Add(1)
	done := sync.OnceFunc(func() {
		s.shaking.Add(-1)
		select {
		case s.shaken <- struct{}{}:
		default:
		}
	})
	context.AfterFunc(ctx, done)
	return context.WithValue(ctx, shakeKey{}, done), nil
}

// Serve serves until Shutdown or Close, and returns when all connections have ended.
func (s *Server) Serve() error {
	defer close(s.ended)
	defer s.door.Close()
	defer s.transport.Close()
	listener, err := s.transport.Listen(http3.ConfigureTLSConfig(s.o.TLS.Clone()), s.config())
	if err != nil {
		return err
	}
	defer listener.Close()
	accepting, stop := context.WithCancel(context.Background())
	defer stop()
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		select {
		case <-s.ending:
			s.awaitHandshakes()
		case <-accepting.Done():
		}
		stop()
	})
	for {
		q, err := listener.Accept(accepting)
		if err != nil {
			if accepting.Err() != nil {
				break
			}
			stop()
			_ = s.server.Close()
			return err
		}
		if done, ok := q.Context().Value(shakeKey{}).(func()); ok {
			done()
		}
		group.Go(func() { s.serve(q) })
	}
	_ = listener.Close() // what comes now is dropped, or the next program's
	group.Go(s.goAway)
	s.sayGoodbye()
	group.Wait()
	return http.ErrServerClosed
}

// awaitHandshakes lets handshakes end that are under way.
func (s *Server) awaitHandshakes() {
	limit := time.NewTimer(handshakePatience)
	defer limit.Stop()
	for s.shaking.Load() > 0 {
		select {
		case <-s.shaken:
		case <-limit.C:
			return
		}
	}
}

// goAway sends GOAWAY on all connections (RFC 9114 §5.2): what comes behind is rejected untouched, for the client to ask elsewhere.
func (s *Server) goAway() { _ = s.server.Shutdown(context.Background()) }

// sayGoodbye ends what is silent from now on.
func (s *Server) sayGoodbye() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.settle()
	}
}

// Leave takes no new connections. It is called once.
func (s *Server) Leave() {
	if l, ok := s.door.(leaver); ok {
		l.Leave()
	}
	close(s.ending)
}

// Shutdown is http.Server.Shutdown, after Leave.
func (s *Server) Shutdown(ctx context.Context) error {
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close is http.Server.Close, for a server that was shut down.
func (s *Server) Close() error { return s.server.Close() }

// conn is one connection.
type conn struct {
	server *Server
	quic   *quic.Conn
	ctx    context.Context // Open's

	mu       sync.Mutex // protects what follows
	requests int        // under way
	timer    *time.Timer
}

type connKey struct{}

// serve serves one connection.
func (s *Server) serve(q *quic.Conn) {
	var closed func()
	c := &conn{server: s, quic: q}
	ok := false
	if c.ctx, closed, ok = s.o.Open(q.Context(), q.RemoteAddr()); !ok {
		_ = q.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "too many connections")
		return
	}
	defer closed()
	s.mu.Lock()
	s.conns[q] = c
	s.mu.Unlock()
	c.settle()
	defer func() {
		s.mu.Lock()
		delete(s.conns, q)
		s.mu.Unlock()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.timer.Stop()
	}()
	if err := s.server.ServeQUICConn(q); err != nil { // came too late: Shutdown has begun
		_ = q.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	}
}

// withConn is http3.Server.ConnContext.
func (s *Server) withConn(ctx context.Context, q *quic.Conn) context.Context {
	s.mu.Lock()
	c := s.conns[q]
	s.mu.Unlock()
	ctx, cut := context.WithCancelCause(context.WithValue(values{ctx, c.ctx}, connKey{}, c))
	stop := context.AfterFunc(s.o.Context, func() { cut(context.Cause(s.o.Context)) })
	context.AfterFunc(ctx, func() { stop() })
	return ctx
}

// values is a context with the values of two.
type values struct {
	context.Context
	more context.Context
}

func (v values) Value(key any) any {
	if value := v.Context.Value(key); value != nil {
		return value
	}
	return v.more.Value(key)
}

// settle begins to wait for the end of a silence: a connection on which no request is under way for that long is closed. So is one whose
// requests never come to an end of their header sections.
func (c *conn) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		c.timer = time.AfterFunc(c.silence(), c.close)
	} else if c.requests == 0 {
		c.timer.Reset(c.silence())
	}
}

// silence is how long the connection may be without requests.
func (c *conn) silence() time.Duration {
	select {
	case <-c.server.ending:
		return min(max(quietMin, quietRTTs*c.quic.ConnectionStats().SmoothedRTT), quietMax)
	default:
		return c.server.o.Limits.Idle
	}
}

func (c *conn) close() {
	c.mu.Lock()
	silent := c.requests == 0
	c.mu.Unlock()
	if silent {
		_ = c.quic.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	}
}

// begin says whether the connection may have another request.
func (c *conn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	return c.requests <= floodFactor*c.server.o.Limits.Streams
}

func (c *conn) done() {
	c.mu.Lock()
	c.requests--
	c.mu.Unlock()
	c.settle()
}

// serveHTTP makes of a request what net/http would have made of it.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		defer c.done()
		if !c.begin() {
			s.o.Flooded()
			_ = c.quic.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "too many requests under way")
			return
		}
	}
	r.Proto = "HTTP/3.0" // for CONNECT with :protocol (RFC 9220) it is what the client says
	if wantsNoContent(r) {
		s.findContent(w, r)
	}
	s.o.Handler.ServeHTTP(w, r)
}

// wantsNoContent says whether the request most likely has no content, though nothing says so but the end of its stream.
func wantsNoContent(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete:
		return r.ContentLength <= 0
	}
	return r.ContentLength == 0
}

// findContent looks whether there is content: for a request without, r has http.NoBody as of net/http.
func (s *Server) findContent(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(s.o.Limits.Content)) // fails only with the stream
	var first [1]byte
	n, err := io.ReadFull(r.Body, first[:])
	_ = control.SetReadDeadline(time.Time{})
	if err == io.EOF {
		r.Body, r.ContentLength = http.NoBody, 0
		return
	}
	r.Body = &lookedAt{ReadCloser: r.Body, first: first[:n], err: err}
}

// lookedAt is content of which the first byte, or an error, has been read.
type lookedAt struct {
	io.ReadCloser
	first []byte
	err   error
}

func (b *lookedAt) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(b.first) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	return b.ReadCloser.Read(p)
}
