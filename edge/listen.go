package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/h3"
)

// Listeners are the doors of an Edge. A nil one stays closed.
type Listeners struct {
	HTTP  net.Listener // cleartext HTTP/1.1, and HTTP/2 by prior knowledge (RFC 9113 §3.3)
	HTTPS net.Listener // HTTP/1.1 and HTTP/2 by ALPN
	// HTTP3 is announced by answers over HTTPS. h3.New says what it may be beside a socket. Serve closes it.
	HTTP3 net.PacketConn
}

const (
	// streamsMax is how many requests one HTTP/2 connection may have open; RFC 9113 §6.5.2 recommends no fewer than 100.
	streamsMax = 128
	// pingAfter is how long an HTTP/2 connection may be silent before it is asked whether it is alive.
	pingAfter = 30 * time.Second
)

// errCutOff ends the context of requests that take longer than the drain.
var errCutOff = errors.New("cut off: the node stops and limits.drain_timeout is over")

// Serve accepts connections until ctx ends, then drains: the health endpoint turns 503, after
// limits.drain_delay the listeners close,
// and what is in flight, upgraded connections too, has limits.drain_timeout to end before it is cut off. When Serve returns, all
// its goroutines are gone. It may be called once.
func (e *Edge) Serve(ctx context.Context, l Listeners) error {
	if l.HTTP == nil && l.HTTPS == nil && l.HTTP3 == nil {
		return errors.New("edge: no listener")
	}
	if (l.HTTPS != nil || l.HTTP3 != nil) && e.tls == nil {
		return errors.New("edge: a listener for HTTPS needs a TLS configuration")
	}
	// Requests in flight outlive ctx; they end with this one when draining takes too long.
	requests, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	cutOff := func() { cancel(errCutOff) }
	defer cutOff()

	var doors sync.WaitGroup
	var closing atomic.Bool
	failed := make(chan error, 4)
	start := func(at net.Addr, serve func() error) {
		doors.Go(func() {
			if err := serve(); !errors.Is(err, http.ErrServerClosed) && !closing.Load() {
				failed <- fmt.Errorf("edge: accept on %s: %w", at, err)
			}
		})
	}
	if e.altSvc = nil; h3.AltSvc(l.HTTP3) != "" {
		e.altSvc = []string{h3.AltSvc(l.HTTP3)}
	}
	servers := e.open(requests, l, func(l net.Listener, serve func(net.Listener) error) {
		start(l.Addr(), func() error { return serve(l) })
	})
	var third *h3.Server
	if l.HTTP3 != nil {
		third = e.newThirdServer(requests, l.HTTP3)
		servers = append(servers, third)
		start(l.HTTP3.LocalAddr(), third.Serve)
	}

	pages, endPages := context.WithCancel(requests)
	doors.Go(func() { e.ahead.Run(pages) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	e.draining.Store(true)
	endPages() // nobody waits for what is fetched ahead
	if wait := e.limits().DrainDelay; err == nil && wait > 0 {
		delay := time.NewTimer(wait)
		defer delay.Stop()
		select {
		case <-delay.C:
		case err = <-failed:
		}
	}
	closing.Store(true)
	for _, door := range []net.Listener{l.HTTP, l.HTTPS} {
		if door != nil {
			_ = door.Close()
		}
	}
	if third != nil {
		third.Leave()
	}
	e.drain(servers, &doors, cutOff)
	return err
}

// server is an http.Server, a secondServer or an h3.Server.
type server interface {
	Shutdown(ctx context.Context) error
	Close() error
}

// open makes the servers and starts each on its listener. One speaks HTTP/1.1 behind the lane, the other takes the connections
// that turn out to be for HTTP/2.
func (e *Edge) open(ctx context.Context, l Listeners, start func(net.Listener, func(net.Listener) error)) []server {
	if e.laneless {
		second := e.newServer(ctx, true)
		if l.HTTP != nil {
			start(&listener{Listener: l.HTTP, edge: e}, second.Serve)
		}
		if l.HTTPS != nil {
			start(&listener{Listener: l.HTTPS, edge: e, secure: true}, func(l net.Listener) error { return second.ServeTLS(l, "", "") })
		}
		return []server{second}
	}
	first := e.newServer(ctx, false)
	lane := newLane(e)
	second := newSecondServer(ctx, e, lane.others)
	start(lane.others, second.Serve)
	if l.HTTP != nil {
		start(&listener{Listener: l.HTTP, edge: e, lane: lane}, first.Serve)
	}
	if l.HTTPS != nil {
		start(&listener{Listener: l.HTTPS, edge: e, lane: lane, secure: true}, first.Serve)
	}
	return []server{first, second}
}

// Left is closed when Serve takes no more connections; requests may be under way.
func (e *Edge) Left() <-chan struct{} { return e.left }

// drain ends the servers, in peace if they do so within limits.drain_timeout.
func (e *Edge) drain(servers []server, doors *sync.WaitGroup, cutOff func()) {
	limit, cancel := context.WithTimeout(context.Background(), e.limits().DrainTimeout)
	defer cancel()
	e.leaving()
	var group sync.WaitGroup
	begun := make(chan struct{})
	group.Go(func() {
		defer close(begun)
		e.conns.awaitFirst(limit)
	})
	group.Go(func() {
		<-begun
		e.conns.drain()
	})
	for _, s := range servers {
		group.Go(func() {
			if _, ok := s.(*h3.Server); !ok {
				<-begun // from Shutdown on, net/http drops what it reads
			}
			if s.Shutdown(limit) != nil {
				cutOff()
				closeServer(s)
			}
		})
	}
	ended := make(chan struct{})
	group.Go(func() {
		doors.Wait()      // from here on there is no new connection
		e.conns.wait()    // those that are not upgraded
		e.inFlight.wait() // those that are upgraded, and streams whose connection has gone
		close(ended)
	})
	select {
	case <-ended:
	case <-limit.Done():
		e.log.Warn("requests were cut off: they took longer than limits.drain_timeout", "limit", e.limits().DrainTimeout)
		cutOff()
		e.conns.cutOff()
	}
	group.Wait()
}

// cutOffGrace is how long what was cut off may take to say so to its clients.
const cutOffGrace = time.Second

func closeServer(s server) {
	grace, cancel := context.WithTimeout(context.Background(), cutOffGrace)
	defer cancel()
	if s.Shutdown(grace) != nil {
		s.Close()
	}
}

// newServer returns a server whose requests' contexts end with ctx.
func (e *Edge) newServer(ctx context.Context, http2 bool) *http.Server {
	limits := e.limits()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(http2)
	protocols.SetUnencryptedHTTP2(http2)
	s := &http.Server{
		Handler:           e,
		ReadHeaderTimeout: limits.HeaderTimeout, // also bounds the TLS handshake
		IdleTimeout:       limits.IdleTimeout,
		// Twice the limit, so that admit can answer and count what is between; ReadTimeout and WriteTimeout stay unset, because
		// they would bound whole bodies: requestBody and response bound silence.
		MaxHeaderBytes: 2 * int(limits.HeaderSize),
		Protocols:      protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: streamsMax, SendPingTimeout: pingAfter, WriteByteTimeout: limits.WriteTimeout,
		},
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ConnContext:                  withConn,
		ConnState:                    e.track,
		ErrorLog:                     e.serverLog,
		DisableGeneralOptionsHandler: true, // OPTIONS * is admit's
	}
	if e.tls != nil {
		s.TLSConfig = e.tls.Clone()
	}
	return s
}

// serverLog takes what net/http says, mostly of clients that misbehave, to the debug level, at most serverLogPerSecond lines a
// second, so that strangers can't fill the log.
type serverLog struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex // protects what follows
	second  int64
	lines   int
	skipped int
}

const serverLogPerSecond = 5

func (s *serverLog) Write(p []byte) (int, error) {
	if skipped, ok := s.allow(s.now().Unix()); ok {
		s.log.Debug("http server", "message", string(p[:len(p)-1]), "skipped", skipped)
	}
	return len(p), nil
}

// allow says whether a line may be written in this second, and how many were skipped since the last one.
func (s *serverLog) allow(second int64) (skipped int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if second != s.second {
		s.second, s.lines = second, 0
	}
	if s.lines++; s.lines > serverLogPerSecond {
		s.skipped++
		return 0, false
	}
	skipped, s.skipped = s.skipped, 0
	return skipped, true
}
