package origin

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/config"
)

// server is one origin of a pool.
type server struct {
	name   string // the URL, for people and labels
	scheme string
	host   string // with port where the URL has one
	prefix string // of all paths, escaped, without final slash

	transport *http.Transport
	// upgrader asks for upgrades where transport could negotiate HTTP/2, which has none (RFC 9113 §8.6).
	upgrader *http.Transport
	// checker asks for health: always on a new connection, so that it finds what a client's next connection would, and outside
	// the limit on connections, so that a full origin isn't a dead one.
	checker http.RoundTripper
	// tunnel asks an origin that is behind one, which has none of these; nil: it isn't.
	tunnel http.RoundTripper

	dialer         func(ctx context.Context, network, addr string) (net.Conn, error)
	connectTimeout time.Duration
	waitersMax     int64
	conns          *conns
	wires          string // the address of those of conns that speak HTTP/1.1 without a transport; empty: none do

	healthy  prometheus.Gauge
	nearness atomic.Pointer[nearness]
	inFlight atomic.Int64
	waiters  atomic.Int64 // requests that have no connection yet
}

func newServer(o *config.Origin, f *config.Fetch, roots *x509.CertPool,
	dial func(ctx context.Context, network, addr string) (net.Conn, error),
) *server {
	s := &server{
		name:           originName(o.URL),
		scheme:         o.URL.Scheme,
		host:           o.URL.Host,
		prefix:         strings.TrimSuffix(o.URL.EscapedPath(), "/"),
		dialer:         dial,
		connectTimeout: f.ConnectTimeout,
		waitersMax:     int64(f.Connections) * waitersPerConnection,
	}
	if s.conns = newConns(f.Connections); s.scheme == "http" && plainHost(s.host) {
		s.wires = s.host
		if o.URL.Port() == "" {
			s.wires = net.JoinHostPort(o.URL.Hostname(), "80")
		}
	}
	s.transport = newTransport(f, roots, true)
	s.transport.DialContext = s.dial
	s.upgrader = s.transport
	if s.scheme == "https" {
		s.upgrader = newTransport(f, roots, false)
		s.upgrader.DialContext = s.dial
	}
	checker := newTransport(f, roots, true)
	checker.DialContext, checker.DisableKeepAlives, checker.MaxConnsPerHost = s.connect, true, 0
	s.checker = checker
	return s
}

// originName returns u as people write it, without a password.
func originName(u *url.URL) string {
	return u.Scheme + "://" + u.Host + strings.TrimSuffix(u.EscapedPath(), "/")
}

// dial opens a connection of a transport within the limit. The transport doesn't end it with the request that asked for it: the
// next one may want the connection. So the slot is waited for also when that request has gone.
func (s *server) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	// Idle connections of one transport may be in the way of the other's.
	if _, err := s.conns.take(ctx, true, s.connectTimeout, s.closeIdleTransports); err != nil {
		return nil, err
	}
	conn, err := s.dialFor(ctx, network, addr)
	if err != nil {
		s.conns.release()
		return nil, err
	}
	return &countedConn{Conn: conn, closed: sync.OnceFunc(s.conns.release)}, nil
}

func (s *server) dialFor(ctx context.Context, network, addr string) (net.Conn, error) {
	if a := attemptFrom(ctx); a != nil {
		a.dialing()
	}
	return s.connect(ctx, network, addr)
}

// connect opens a connection within connect_timeout.
func (s *server) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	if s.connectTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.connectTimeout)
		defer cancel()
	}
	began := time.Now()
	conn, err := s.dialer(ctx, network, addr)
	if err == nil {
		s.nearness.Store(&nearness{time.Since(began), began})
	}
	if err != nil {
		if ctx.Err() == context.DeadlineExceeded {
			err = fmt.Errorf("no connection within %v: %w", s.connectTimeout, context.DeadlineExceeded)
		}
		return nil, &dialError{err}
	}
	return conn, nil
}

// countedConn gives its slot back when it's closed.
type countedConn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

// CloseWrite lets the client of an upgraded connection say that nothing more comes.
func (c *countedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (s *server) closeIdle() {
	s.conns.closeIdle()
	s.closeIdleTransports()
}

func (s *server) closeIdleTransports() {
	if s.tunnel != nil {
		return
	}
	s.transport.CloseIdleConnections()
	s.upgrader.CloseIdleConnections()
}
