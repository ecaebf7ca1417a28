package edge

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

const (
	// altSvcAge is how long clients may remember that there is HTTP/3 (RFC 7838 §3.1).
	altSvcAge = 24 * time.Hour
	// retryAbove is how many handshakes may be under way before a client has to show that it gets what is sent to its address (RFC 9000
	// §8.1.2), which takes it another round trip.
	retryAbove = 256
	// uniStreamsMax is how many streams of one direction a client may have open: a control stream and two of QPACK (RFC 9114 §6.2), and some
	// that are there to be ignored.
	uniStreamsMax = 16
	// floodStreams is how many requests of one connection may be in the steps: more than streamsMax only if it resets streams faster than
	// what it asked for ends.
	floodStreams = 2 * streamsMax
	// How much of request content waits for a slow upstream (RFC 9000 §4).
	streamWindowBytes = 1 << 20
	connWindowBytes   = 2 << 20
	// handshakePatience is how long a node that stops waits for handshakes that are under way.
	handshakePatience = 2 * time.Second
	// quietMin and quietMax bound how long an ending connection is silent before it is closed: what was sent has to arrive, again if it was
	// lost, and GOAWAY has to cross with the client's latest requests. Most clients close it themselves.
	quietMin, quietMax = time.Second, 3 * time.Second
	quietRTTs          = 8
	// quicSecretBytes is the least length of Options.QUICSecret.
	quicSecretBytes = 32
)

// leaver is a socket that can tell packets of connections that we have from others. Once it leaves, we get no others.
type leaver interface{ Leave() }

// thirdServer serves HTTP/3 (RFC 9114) on one socket. Requests take the steps like those of net/http.
//
// 0-RTT is off (RFC 8470 §3): what came in it could be played again by anybody who saw it.
type thirdServer struct {
	edge      *Edge
	ctx       context.Context // of the requests
	door      net.PacketConn
	transport *quic.Transport
	server    *http3.Server
	idle      time.Duration

	shaking atomic.Int64  // handshakes under way
	shaken  chan struct{} // has a token after shaking went down
	ending  chan struct{} // closed when there shall be no more connections
	ended   chan struct{} // closed when Serve returns

	mu    sync.Mutex // protects what follows
	conns map[*quic.Conn]*quicConn
}

func newThirdServer(ctx context.Context, e *Edge, door net.PacketConn) *thirdServer {
	limits := e.limits()
	s := &thirdServer{
		edge: e, ctx: ctx, door: door, idle: limits.IdleTimeout, conns: map[*quic.Conn]*quicConn{},
		shaken: make(chan struct{}, 1), ending: make(chan struct{}), ended: make(chan struct{}),
	}
	s.transport = &quic.Transport{
		Conn: door, StatelessResetKey: e.quic.reset, TokenGeneratorKey: e.quic.token,
		VerifySourceAddress: func(net.Addr) bool { return s.shaking.Load() > retryAbove },
		ConnContext:         s.admit,
	}
	s.transport.ConnectionIDGenerator, _ = door.(quic.ConnectionIDGenerator)
	s.server = &http3.Server{
		Handler: http.HandlerFunc(s.serveHTTP), ConnContext: s.withConn, Logger: slog.New(slog.DiscardHandler),
		// Twice the limit, so that admit can answer and count what is between. QPACK's sizes have 32 bytes a field on top (RFC 9114 §4.2.2).
		MaxHeaderBytes: 4 * int(limits.HeaderSize),
	}
	return s
}

func (s *thirdServer) config() *quic.Config {
	limits := s.edge.limits()
	return &quic.Config{
		HandshakeIdleTimeout: limits.HeaderTimeout, MaxIdleTimeout: limits.IdleTimeout, KeepAlivePeriod: pingAfter,
		MaxIncomingStreams: streamsMax, MaxIncomingUniStreams: uniStreamsMax,
		InitialStreamReceiveWindow: streamWindowBytes / 4, MaxStreamReceiveWindow: streamWindowBytes,
		InitialConnectionReceiveWindow: connWindowBytes / 4, MaxConnectionReceiveWindow: connWindowBytes,
	}
}

// quicSecrets are what has to be the same after a restart, so that clients of the process before aren't left waiting.
type quicSecrets struct {
	reset *quic.StatelessResetKey // RFC 9000 §10.3
	token *quic.TokenGeneratorKey // RFC 9000 §8.1
}

// newQUICSecrets derives them; without a secret they are this process's.
func newQUICSecrets(secret []byte, node string) (q quicSecrets, err error) {
	if secret == nil {
		secret = make([]byte, quicSecretBytes)
		_, _ = rand.Read(secret) // never fails
	}
	if len(secret) < quicSecretBytes {
		return q, fmt.Errorf("edge: the secret for QUIC has %d bytes, want %d", len(secret), quicSecretBytes)
	}
	var reset quic.StatelessResetKey
	var token quic.TokenGeneratorKey
	for _, k := range []struct {
		to   []byte
		what string
	}{{reset[:], "reset"}, {token[:], "token"}} {
		key, err := hkdf.Key(sha256.New, secret, nil, "wherry quic "+k.what+" "+node, len(k.to))
		if err != nil {
			return q, fmt.Errorf("edge: %w", err)
		}
		copy(k.to, key)
	}
	return quicSecrets{&reset, &token}, nil
}

// announce returns the value of Alt-Svc (RFC 7838 §3) for HTTP/3 on the socket; empty if that has no port.
func announce(door net.PacketConn) string {
	if door == nil {
		return ""
	}
	at, err := netip.ParseAddrPort(door.LocalAddr().String())
	if err != nil {
		return ""
	}
	return `h3=":` + strconv.Itoa(int(at.Port())) + `"; ma=` + strconv.Itoa(int(altSvcAge.Seconds()))
}

type shakeKey struct{}

// admit is quic.Transport.ConnContext: an error refuses the connection.
func (s *thirdServer) admit(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	e := s.edge
	if e.conns.count()+int(s.shaking.Load()) >= e.limits().Connections {
		e.metrics.refused[refusedConnections].Inc()
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
func (s *thirdServer) Serve() error {
	defer close(s.ended)
	defer s.door.Close()
	defer s.transport.Close()
	listener, err := s.transport.Listen(http3.ConfigureTLSConfig(s.edge.tls.Clone()), s.config())
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
func (s *thirdServer) awaitHandshakes() {
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
func (s *thirdServer) goAway() { _ = s.server.Shutdown(context.Background()) }

// sayGoodbye ends what is silent from now on.
func (s *thirdServer) sayGoodbye() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.settle()
	}
}

// leave takes no new connections.
func (s *thirdServer) leave() {
	if l, ok := s.door.(leaver); ok {
		l.Leave()
	}
	close(s.ending)
}

// Shutdown is http.Server.Shutdown, after leave.
func (s *thirdServer) Shutdown(ctx context.Context) error {
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close is http.Server.Close, for a server that was shut down.
func (s *thirdServer) Close() error { return s.server.Close() }

// quicConn is one connection.
type quicConn struct {
	*conn
	server *thirdServer
	quic   *quic.Conn

	mu       sync.Mutex // protects what follows
	requests int        // in the steps
	timer    *time.Timer
}

type quicConnKey struct{}

// serve serves one connection.
func (s *thirdServer) serve(q *quic.Conn) {
	e := s.edge
	c := &quicConn{server: s, quic: q, conn: &conn{owner: &e.conns, secure: true, client: clientAddr(q.RemoteAddr().String())}}
	c.forwardedFor = []string{c.client.String()}
	c.multiplexed.Store(true)
	c.state.Store(int32(http.StateActive)) // drain has nothing to close: GOAWAY does that
	if !e.conns.add(c.conn, e.limits().Connections) || c.over {
		e.conns.remove(c.conn)
		_ = q.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "too many connections")
		return
	}
	defer e.conns.remove(c.conn)
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
func (s *thirdServer) withConn(ctx context.Context, q *quic.Conn) context.Context {
	s.mu.Lock()
	c := s.conns[q]
	s.mu.Unlock()
	ctx, cut := context.WithCancelCause(context.WithValue(context.WithValue(ctx, connKey{}, c.conn), quicConnKey{}, c))
	stop := context.AfterFunc(s.ctx, func() { cut(context.Cause(s.ctx)) })
	context.AfterFunc(ctx, func() { stop() })
	return ctx
}

// settle begins to wait for the end of a silence: a connection on which no request is in the steps for that long is closed. So is one whose
// requests never come to an end of their header sections.
func (c *quicConn) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		c.timer = time.AfterFunc(c.silence(), c.close)
	} else if c.requests == 0 {
		c.timer.Reset(c.silence())
	}
}

// silence is how long the connection may be without requests.
func (c *quicConn) silence() time.Duration {
	select {
	case <-c.server.ending:
		return min(max(quietMin, quietRTTs*c.quic.ConnectionStats().SmoothedRTT), quietMax)
	default:
		return c.server.idle
	}
}

func (c *quicConn) close() {
	c.mu.Lock()
	silent := c.requests == 0
	c.mu.Unlock()
	if silent {
		_ = c.quic.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	}
}

// begin says whether the connection may have another request in the steps.
func (c *quicConn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	return c.requests <= floodStreams
}

func (c *quicConn) done() {
	c.mu.Lock()
	c.requests--
	c.mu.Unlock()
	c.settle()
}

// serveHTTP makes of a request what net/http would have made of it.
func (s *thirdServer) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if c, ok := r.Context().Value(quicConnKey{}).(*quicConn); ok {
		defer c.done()
		if !c.begin() {
			s.edge.countRefused(refusedFlood)
			_ = c.quic.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "too many requests under way")
			return
		}
	}
	r.Proto = "HTTP/3.0" // for CONNECT with :protocol (RFC 9220) it is what the client says
	if wantsNoContent(r) {
		s.findContent(w, r)
	}
	s.edge.ServeHTTP(w, r)
}

// wantsNoContent says whether the request most likely has no content, though nothing says so but the end of its stream.
func wantsNoContent(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete:
		return r.ContentLength <= 0
	}
	return r.ContentLength == 0
}

// findContent looks whether there is content: for a request without, r has http.NoBody as the steps expect it.
func (s *thirdServer) findContent(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(s.edge.limits().BodyTimeout)) // fails only with the stream
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
