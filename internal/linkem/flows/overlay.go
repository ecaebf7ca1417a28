package flows

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/overlay"
	"github.com/wherry/wherry/overlay/congest"
)

// overlayTransport is ours, with a congestion controller by name and all else as nodes have it.
type overlayTransport struct {
	security   *security
	controller congest.Kind
}

func newOverlay(controller congest.Kind) (transport, error) {
	if _, err := congest.New(controller, congest.Options{Packet: 1200}); err != nil {
		return nil, err
	}
	s, err := newSecurity()
	return overlayTransport{s, controller}, err
}

// endpoint makes a node at a side. Both have the same certificate, and so each other's trust.
func (o overlayTransport) endpoint(at side) (*overlay.Endpoint, error) {
	c, err := at.ListenUDP(anyPort(at))
	if err != nil {
		return nil, err
	}
	server := o.security.server()
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, o.security.roots
	e, err := overlay.New(c, overlay.Options{
		Server: server,
		Client: func(string) *tls.Config {
			client := o.security.client()
			client.Certificates = []tls.Certificate{o.security.certificate}
			return client
		},
		Admit:      func(tls.ConnectionState) (string, error) { return serverName, nil },
		Controller: o.controller,
	})
	if err != nil {
		c.Close()
	}
	return e, err
}

func (o overlayTransport) listen(_ context.Context, at side) (listener, error) {
	e, err := o.endpoint(at)
	if err != nil {
		return nil, err
	}
	return &overlayListener{Endpoint: e}, nil
}

type overlayListener struct {
	*overlay.Endpoint
	last atomic.Pointer[overlay.Conn] // accepted last
}

func (l *overlayListener) addr() netip.AddrPort { return l.Addr() }

func (l *overlayListener) serve(ctx context.Context, received *counter) error {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		for {
			c, err := l.Accept(ctx)
			if err != nil {
				return
			}
			l.last.Store(c)
			all.Go(func() { serveOverlay(ctx, c, &all, received) })
		}
	})
	return l.Run(ctx)
}

func serveOverlay(ctx context.Context, c *overlay.Conn, all *sync.WaitGroup, received *counter) {
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		all.Go(func() {
			if err := serveStream(s, received); err != nil {
				s.Reset(overlay.CodeDone)
			}
		})
	}
}

func (l *overlayListener) vitals() (Vitals, error) {
	if c := l.last.Load(); c != nil {
		return overlayVitals(c)
	}
	return Vitals{}, errNoConnection
}

func (o overlayTransport) dial(ctx context.Context, from side, to netip.AddrPort) (session, error) {
	e, err := o.endpoint(from)
	if err != nil {
		return nil, err
	}
	s := &overlaySession{}
	running, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.running.Go(func() { s.failed = e.Run(running) })
	if s.conn, err = dialOverlay(ctx, e, to); err != nil {
		s.close()
		return nil, errors.Join(err, s.failed)
	}
	return s, nil
}

// dialOverlay tries again while Run hasn't got as far as to let anybody dial.
func dialOverlay(ctx context.Context, e *overlay.Endpoint, to netip.AddrPort) (c *overlay.Conn, err error) {
	for range 1000 {
		if c, err = e.Dial(ctx, to, serverName); !errors.Is(err, overlay.ErrClosed) {
			return c, err
		}
		time.Sleep(time.Millisecond)
	}
	return nil, err
}

type overlaySession struct {
	conn    *overlay.Conn
	stop    context.CancelFunc
	running sync.WaitGroup
	failed  error // of Run; after running is done
}

// stream opens one that is broken off when ctx is done.
func (s *overlaySession) stream(ctx context.Context) (st *overlay.Stream, release func() bool, err error) {
	if st, err = s.conn.OpenStream(ctx); err != nil {
		return nil, nil, err
	}
	return st, context.AfterFunc(ctx, func() { st.Reset(overlay.CodeDone) }), nil
}

func (s *overlaySession) send(ctx context.Context, bytes int64) error {
	st, release, err := s.stream(ctx)
	if err != nil {
		return err
	}
	defer release()
	return sendOn(ctx, st, bytes)
}

func (s *overlaySession) fetch(ctx context.Context, bytes int64) error {
	st, release, err := s.stream(ctx)
	if err != nil {
		return err
	}
	defer release()
	return fetchOn(st, bytes)
}

func (s *overlaySession) vitals() (Vitals, error) { return overlayVitals(s.conn) }

func (s *overlaySession) close() {
	s.stop()
	s.running.Wait()
}

func overlayVitals(c *overlay.Conn) (Vitals, error) {
	for _, p := range c.Paths() {
		if p.Primary {
			return Vitals{RTT: p.Smoothed, MinRTT: p.Min, WindowBytes: int64(p.Window), Retransmitted: int64(p.Lost)}, nil
		}
	}
	return Vitals{}, errNoConnection
}
