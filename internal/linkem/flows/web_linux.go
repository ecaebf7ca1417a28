package flows

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// web fetches objects by HTTP/2 over TLS over the kernel's TCP, with net/http on both sides.
type web struct {
	tcp
	security *security
}

func newWeb(congestion string) (transport, error) {
	s, err := newSecurity("h2")
	if err != nil {
		return nil, err
	}
	return web{tcp{congestion: congestion}, s}, nil
}

func onlyHTTP2() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP2(true)
	return p
}

func (w web) listen(ctx context.Context, at side) (listener, error) {
	l, err := at.Listen(ctx, anyPort(at), w.control)
	if err != nil {
		return nil, err
	}
	return &webListener{Listener: l, security: w.security}, nil
}

type webListener struct {
	net.Listener
	security *security
	raw      atomic.Pointer[net.TCPConn] // accepted last
}

func (l *webListener) addr() netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }

// Accept is what the server calls.
func (l *webListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.raw.Store(c.(*net.TCPConn))
	}
	return c, err
}

func (l *webListener) vitals() (Vitals, error) {
	if c := l.raw.Load(); c != nil {
		return tcpVitals(c)
	}
	return Vitals{}, errNoConnection
}

// serve answers GET /BYTES.
func (l *webListener) serve(ctx context.Context, _ *counter) error {
	server := &http.Server{
		Protocols: onlyHTTP2(), TLSConfig: l.security.server(), ReadHeaderTimeout: handshakeMax,
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			bytes, err := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/"), 10, 64)
			if err != nil || bytes < 1 || bytes > objectBytesMax {
				http.Error(rw, "give the bytes of the object as the path", http.StatusBadRequest)
				return
			}
			rw.Header().Set("Content-Length", strconv.FormatInt(bytes, 10))
			fill(rw, bytes) // the client sees that it is broken off
		}),
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	err := server.ServeTLS(l, "", "")
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return unlessDone(ctx, err)
}

func (w web) dial(ctx context.Context, from side, to netip.AddrPort) (session, error) {
	s := &webSession{origin: "https://" + to.String() + "/"}
	s.client = &http.Transport{
		Protocols: onlyHTTP2(), DisableCompression: true, MaxConnsPerHost: 1,
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := from.Dial(ctx, to, w.control)
			if err != nil {
				return nil, err
			}
			secure := tls.Client(c, w.security.client())
			if err := secure.HandshakeContext(ctx); err != nil {
				c.Close()
				return nil, err
			}
			s.connections.Add(1)
			s.raw.Store(c.(*net.TCPConn))
			return secure, nil
		},
	}
	if err := s.fetch(ctx, 1); err != nil {
		return nil, err
	}
	return s, nil
}

type webSession struct {
	origin      string
	client      *http.Transport
	raw         atomic.Pointer[net.TCPConn]
	connections atomic.Int32
}

func (s *webSession) send(context.Context, int64) error {
	return errors.New("BUG: bulk over TCP goes without HTTP")
}

func (s *webSession) fetch(ctx context.Context, bytes int64) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.origin+strconv.FormatInt(bytes, 10), nil)
	if err != nil {
		return err
	}
	response, err := s.client.RoundTrip(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the object came with status %d", response.StatusCode)
	}
	if n := s.connections.Load(); n != 1 {
		return fmt.Errorf("HTTP/2 made %d connections: it wasn't warm", n)
	}
	return readObject(response.Body, bytes)
}

func (s *webSession) vitals() (Vitals, error) { return tcpVitals(s.raw.Load()) }

func (s *webSession) close() {
	s.raw.Load().SetLinger(0)
	s.raw.Load().Close()
	s.client.CloseIdleConnections()
}

// handshakeMax is how long a flow may take to begin.
const handshakeMax = 30 * time.Second
