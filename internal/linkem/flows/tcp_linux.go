package flows

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tcp is the kernel's TCP with a congestion control by name, and TLS over it if security is there.
type tcp struct {
	congestion string
	security   *security
}

func newTLS(congestion string) (transport, error) {
	s, err := newSecurity()
	if err != nil {
		return nil, err
	}
	return tcp{congestion, s}, nil
}

// control sets the congestion control of a socket before it connects or listens; what is accepted inherits it.
func (t tcp) control(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, t.congestion)
	})
	if failed != nil {
		failed = fmt.Errorf("set the congestion control %s: %w: load it with modprobe tcp_%s", t.congestion, failed, t.congestion)
	}
	return errors.Join(err, failed)
}

func (t tcp) listen(ctx context.Context, at side) (listener, error) {
	l, err := at.Listen(ctx, anyPort(at), t.control)
	if err != nil {
		return nil, err
	}
	return &tcpListener{l, t.security}, nil
}

func (t tcp) dial(ctx context.Context, from side, to netip.AddrPort) (session, error) {
	c, err := from.Dial(ctx, to, t.control)
	if err != nil {
		return nil, err
	}
	s := &tcpSession{raw: c.(*net.TCPConn), stream: c.(*net.TCPConn)}
	if t.security != nil {
		secure := tls.Client(c, t.security.client())
		if err := secure.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		s.stream = secure
	}
	return s, nil
}

type tcpListener struct {
	net.Listener
	security *security
}

func (l *tcpListener) addr() netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }
func (l *tcpListener) close()               { l.Close() }

func (l *tcpListener) vitals() (Vitals, error) {
	return Vitals{}, errors.New("BUG: objects over TCP come by HTTP/2")
}

func (l *tcpListener) serve(ctx context.Context, received *counter) error {
	defer context.AfterFunc(ctx, l.close)()
	var streams sync.WaitGroup
	defer streams.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return unlessDone(ctx, err)
		}
		streams.Go(func() {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			if l.security == nil {
				serveStream(c.(*net.TCPConn), received) // the sender sees what went wrong
				return
			}
			serveStream(tls.Server(c, l.security.server()), received)
		})
	}
}

// tcpSession is one connection with one stream.
type tcpSession struct {
	raw    *net.TCPConn
	stream stream
}

func (s *tcpSession) send(ctx context.Context, bytes int64) error {
	defer context.AfterFunc(ctx, s.close)()
	return sendOn(ctx, s.stream, bytes)
}

func (s *tcpSession) fetch(context.Context, int64) error {
	return errors.New("BUG: objects over TCP come by HTTP/2")
}

func (s *tcpSession) vitals() (Vitals, error) { return tcpVitals(s.raw) }

// close breaks the connection off: what waits to be sent isn't.
func (s *tcpSession) close() {
	s.raw.SetLinger(0)
	s.raw.Close()
}

func tcpVitals(c *net.TCPConn) (v Vitals, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return v, err
	}
	var info *unix.TCPInfo
	var failed error
	err = raw.Control(func(fd uintptr) { info, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err := errors.Join(err, failed); err != nil {
		return v, err
	}
	return Vitals{
		RTT:           time.Duration(info.Rtt) * time.Microsecond,
		MinRTT:        time.Duration(info.Min_rtt) * time.Microsecond,
		WindowBytes:   int64(info.Snd_cwnd) * int64(info.Snd_mss),
		Retransmitted: int64(info.Total_retrans),
	}, nil
}
