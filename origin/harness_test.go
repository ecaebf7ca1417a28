package origin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// defaults are those of the configuration's reference.
func defaults() config.Fetch {
	return config.Fetch{
		Host: "client", ConnectTimeout: 3 * time.Second, TLSTimeout: 5 * time.Second, HeaderTimeout: 30 * time.Second,
		BodyTimeout: 30 * time.Second, Retries: 2, Connections: 256,
	}
}

func siteOf(t testing.TB, fetch config.Fetch, urls ...string) config.Site {
	t.Helper()
	site := config.Site{Name: "shop", Hosts: []config.HostPattern{"shop.test"}, Fetch: fetch}
	for _, raw := range urls {
		raw, isBackup := strings.CutSuffix(raw, " backup")
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		site.Origins = append(site.Origins, config.Origin{URL: u, Weight: 1, Backup: isBackup})
	}
	return site
}

func snapshotOf(sites ...config.Site) *config.Snapshot {
	return &config.Snapshot{Network: config.Network{Sites: sites}}
}

// memory is a network in memory: listeners by address. An address that nobody listens at refuses, and one in void never
// answers.
type memory struct {
	mu        sync.Mutex
	listeners map[string]*memoryListener
	void      map[string]bool
	dials     int
}

func newMemory() *memory {
	return &memory{listeners: map[string]*memoryListener{}, void: map[string]bool{}}
}

func (m *memory) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	m.mu.Lock()
	m.dials++
	l, void := m.listeners[addr], m.void[addr]
	m.mu.Unlock()
	if void {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	near, far := net.Pipe()
	select {
	case l.accepted <- far:
		return near, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *memory) dialCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dials
}

func (m *memory) listen(addr string) *memoryListener {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := &memoryListener{network: m, addr: addr, accepted: make(chan net.Conn), closed: make(chan struct{})}
	m.listeners[addr] = l
	return l
}

// serve answers at addr with h until the test ends or the returned function is called.
func (m *memory) serve(t testing.TB, addr string, h http.HandlerFunc) (stop func()) {
	t.Helper()
	l := m.listen(addr)
	server := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	stop = sync.OnceFunc(func() {
		_ = server.Close()
		<-done
	})
	t.Cleanup(stop)
	return stop
}

// raw answers at addr with f for each connection.
func (m *memory) raw(t testing.TB, addr string, f func(net.Conn)) {
	t.Helper()
	serveRaw(t, m.listen(addr), f)
}

func serveRaw(t testing.TB, l net.Listener, f func(net.Conn)) {
	t.Helper()
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				f(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		conns.Wait()
	})
}

type memoryListener struct {
	network  *memory
	addr     string
	accepted chan net.Conn
	once     sync.Once
	closed   chan struct{}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		delete(l.network.listeners, l.addr)
		l.network.mu.Unlock()
	})
	return nil
}

func (l *memoryListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80} }

// apply makes the pools those of snap.
func apply(t testing.TB, p *Pools, snap *config.Snapshot) {
	t.Helper()
	commit, err := p.Prepare(snap)
	if err != nil {
		t.Fatal(err)
	}
	commit()
}

// poolsOf returns Pools for one site over m (nil: real sockets), whose connections are closed when the test ends.
func poolsOf(t testing.TB, m *memory, site config.Site) *Pools {
	t.Helper()
	o := Options{}
	if m != nil {
		o.Dial = m.dial
	}
	p := New(o)
	apply(t, p, snapshotOf(site))
	t.Cleanup(func() { apply(t, p, snapshotOf()) })
	return p
}

// get asks the site shop for a path and returns status and body, or the fault.
func get(t testing.TB, p *Pools, path string) (status int, body string, _ *fault.Error) {
	t.Helper()
	return do(t, p, newRequest(t, http.MethodGet, path, nil))
}

func newRequest(t testing.TB, method, path string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://shop.test"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.GetBody = nil // what comes from a client can't be read twice
	return req
}

func do(t testing.TB, p *Pools, req *http.Request) (status int, body string, _ *fault.Error) {
	t.Helper()
	resp, err := p.Upstream("shop").RoundTrip(req)
	if err != nil {
		return 0, "", asFault(t, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, string(b), asFault(t, err)
	}
	return resp.StatusCode, string(b), nil
}

func asFault(t testing.TB, err error) *fault.Error {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T) is no fault", err, err)
	}
	return e
}

// readHeader reads a request's header section and returns its lines.
func readHeader(conn net.Conn) []string {
	var lines []string
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil || line == "\r\n" {
			return lines
		}
		lines = append(lines, strings.TrimRight(line, "\r\n"))
	}
}

func inFlight(p *Pools) (n int) {
	for _, s := range p.Status() {
		n += s.InFlight
	}
	return n
}

// quiet takes what servers say about clients that leave.
var quiet = log.New(io.Discard, "", 0)
