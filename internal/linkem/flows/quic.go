package flows

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// security is a certificate that lives as long as a measurement, and who trusts it.
type security struct {
	certificate tls.Certificate
	roots       *x509.CertPool
	protocols   []string
}

const serverName = "link.invalid"

func newSecurity(protocols ...string) (*security, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{serverName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &security{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots, protocols}, nil
}

func (s *security) server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{s.certificate}, NextProtos: s.protocols}
}

func (s *security) client() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: s.roots, ServerName: serverName, NextProtos: s.protocols}
}

// quicTransport is quic-go as it comes, but for windows that are no bound on any link that fits here.
type quicTransport struct{ security *security }

func newQUIC() (transport, error) {
	s, err := newSecurity("wherry-bench")
	return quicTransport{s}, err
}

func quicConfig() *quic.Config {
	const window = 64 << 20
	return &quic.Config{
		InitialStreamReceiveWindow: window, MaxStreamReceiveWindow: window,
		InitialConnectionReceiveWindow: window, MaxConnectionReceiveWindow: window,
		HandshakeIdleTimeout: handshakeMax,
	}
}

func (q quicTransport) listen(_ context.Context, at side) (listener, error) {
	c, err := at.ListenUDP(anyPort(at))
	if err != nil {
		return nil, err
	}
	t := &quic.Transport{Conn: c}
	l, err := t.Listen(q.security.server(), quicConfig())
	if err != nil {
		c.Close()
		return nil, err
	}
	return &quicListener{Listener: l, transport: t}, nil
}

type quicListener struct {
	*quic.Listener
	transport *quic.Transport
	last      atomic.Pointer[quic.Conn] // accepted last
}

func (l *quicListener) addr() netip.AddrPort { return l.Addr().(*net.UDPAddr).AddrPort() }

func (l *quicListener) close() {
	l.Listener.Close()
	l.transport.Close()
	l.transport.Conn.Close()
}

func (l *quicListener) serve(ctx context.Context, received *counter) error {
	defer context.AfterFunc(ctx, l.close)()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		c, err := l.Accept(ctx)
		if err != nil {
			return unlessDone(ctx, err)
		}
		l.last.Store(c)
		all.Go(func() {
			for {
				s, err := c.AcceptStream(ctx)
				if err != nil {
					return
				}
				all.Go(func() {
					if err := serveStream(quicStream{s}, received); err != nil {
						s.CancelRead(0)
						s.CancelWrite(0)
					}
				})
			}
		})
	}
}

func (q quicTransport) dial(ctx context.Context, from side, to netip.AddrPort) (session, error) {
	c, err := from.ListenUDP(anyPort(from))
	if err != nil {
		return nil, err
	}
	t := &quic.Transport{Conn: c}
	conn, err := t.Dial(ctx, net.UDPAddrFromAddrPort(to), q.security.client(), quicConfig())
	if err != nil {
		t.Close()
		c.Close()
		return nil, fmt.Errorf("dial by QUIC: %w", err)
	}
	return &quicSession{conn, t}, nil
}

type quicSession struct {
	conn      *quic.Conn
	transport *quic.Transport
}

func (s *quicSession) send(ctx context.Context, bytes int64) error {
	st, err := s.conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { st.CancelWrite(0); st.CancelRead(0) })()
	return sendOn(ctx, quicStream{st}, bytes)
}

func (s *quicSession) fetch(ctx context.Context, bytes int64) error {
	st, err := s.conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { st.CancelWrite(0); st.CancelRead(0) })()
	return fetchOn(quicStream{st}, bytes)
}

func (s *quicSession) vitals() (Vitals, error) { return quicVitals(s.conn), nil }

func (l *quicListener) vitals() (Vitals, error) {
	if c := l.last.Load(); c != nil {
		return quicVitals(c), nil
	}
	return Vitals{}, errNoConnection
}

func quicVitals(c *quic.Conn) Vitals {
	v := c.ConnectionStats()
	return Vitals{RTT: v.SmoothedRTT, MinRTT: v.MinRTT, WindowBytes: int64(v.CongestionWindow), Retransmitted: int64(v.PacketsLost)}
}

func (s *quicSession) close() {
	s.conn.CloseWithError(0, "")
	s.transport.Close()
	s.transport.Conn.Close()
}

// quicStream closes one direction where quic-go's Close does.
type quicStream struct{ *quic.Stream }

func (s quicStream) CloseWrite() error { return s.Close() }
