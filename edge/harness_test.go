package edge

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/logs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testToken = "operator's token"

// shopYAML has one site with one host and no limits of its own.
const shopYAML = `sites: [{name: shop, hosts: [shop.test], origins: [{url: "http://127.0.0.1:9000"}]}]`

func parse(t testing.TB, yaml string) *config.Snapshot {
	t.Helper()
	s, problems := config.Parse("test.yaml", []byte(yaml))
	if s == nil {
		t.Fatal(problems)
	}
	return s
}

// cacheFunc is a cache with nothing in it.
type cacheFunc func(w http.ResponseWriter, r *http.Request, p *cache.Policy) cache.Outcome

func (f cacheFunc) Serve(w http.ResponseWriter, r *http.Request, p *cache.Policy) cache.Outcome {
	return f(w, r, p)
}

func (f cacheFunc) Invalidate(cache.Purge) int { return 0 }

func (f cacheFunc) Restore([]cache.Purge, uint64, uint64) {}

// forwarding asks the upstream and streams the answer, as the cache does with what it can't store.
func forwarding(w http.ResponseWriter, r *http.Request, p *cache.Policy) cache.Outcome {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	resp, err := p.Upstream.RoundTrip(out)
	o := cache.Outcome{Verdict: cache.Miss, CacheStatus: "lisbon-1; fwd=uri-miss"}
	if err != nil {
		o.Verdict, o.Err = cache.Failed, err
		return o
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.Header().Set("Cache-Status", o.CacheStatus)
	o.Status, o.FetchStatus = resp.StatusCode, resp.StatusCode
	w.WriteHeader(resp.StatusCode)
	o.BodyBytes, o.Err = io.Copy(w, resp.Body)
	return o
}

// roundTrip is an upstream.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// respond returns an upstream response.
func respond(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// echo answers with the body it got.
func echo(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		return respond(http.StatusOK, "no body"), nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fault.New(fault.Origin, "write request", http.StatusBadGateway, err)
	}
	return respond(http.StatusOK, string(body)), nil
}

// node is an Edge that runs, with what it wrote.
type node struct {
	*Edge
	t           testing.TB
	http, https string // addresses
	http3       string
	registry    *prometheus.Registry
	stop        func() error

	mu    sync.Mutex
	lines bytes.Buffer
}

type nodeOptions struct {
	yaml     string
	cache    cacheFunc
	cacher   Cacher // instead of cache
	upstream roundTrip
	program  http.RoundTripper // for rules that name one
	laneless bool
}

// start runs a node called lisbon-1 on loopback, over HTTP and HTTPS, until the test ends.
func start(t testing.TB, o nodeOptions) *node {
	t.Helper()
	if o.yaml == "" {
		o.yaml = shopYAML
	}
	if o.cache == nil {
		o.cache = forwarding
	}
	if o.upstream == nil {
		o.upstream = echo
	}
	if o.cacher == nil {
		o.cacher = o.cache
	}
	n := &node{t: t, registry: prometheus.NewRegistry()}
	access := logs.NewWriter(n, logs.Options{Metrics: logs.NewMetrics(prometheus.NewRegistry()), Delay: time.Millisecond})
	var err error
	n.Edge, err = New(Options{
		Node: "lisbon-1", Snapshot: parse(t, o.yaml), Cache: o.cacher, Access: access,
		Upstream: func(_ config.SiteName, rule *config.Rule) http.RoundTripper {
			if rule != nil && rule.Program != "" {
				return o.program
			}
			return o.upstream
		},
		Program: func(config.SiteName, config.ProgramName) http.RoundTripper { return o.program },
		Origin:  func(config.SiteName) http.RoundTripper { return o.upstream },
		TLS:     &tls.Config{Certificates: []tls.Certificate{certificate(t)}},
		Log:     slog.New(slog.DiscardHandler), Metrics: NewMetrics(n.registry), OperatorToken: testToken,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.laneless = o.laneless
	l := Listeners{HTTP: listen(t), HTTPS: listen(t)}
	n.http, n.https = l.HTTP.Addr().String(), l.HTTPS.Addr().String()
	if l.HTTP3, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	n.http3 = l.HTTP3.LocalAddr().String()
	ctx, cancel := context.WithCancel(context.Background())
	logCtx, endLog := context.WithCancel(context.Background())
	served, logged := make(chan error, 1), make(chan error, 1)
	go func() { served <- n.Serve(ctx, l) }()
	go func() { logged <- access.Run(logCtx) }()
	n.stop = sync.OnceValue(func() error {
		cancel()
		err := <-served
		endLog()
		<-logged
		return err
	})
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return n
}

func (n *node) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lines.Write(p)
}

// records stops the node and returns its access log.
func (n *node) records() []map[string]any {
	n.t.Helper()
	if err := n.stop(); err != nil {
		n.t.Fatal(err)
	}
	var all []map[string]any
	d := json.NewDecoder(&n.lines)
	for {
		line := map[string]any{}
		if err := d.Decode(&line); err == io.EOF {
			return all
		} else if err != nil {
			n.t.Fatal(err)
		}
		all = append(all, line)
	}
}

func (n *node) refusals(why reason) int { return int(testutil.ToFloat64(n.metrics.refused[why])) }

// dial opens a cleartext connection that the test's end closes.
func (n *node) dial() *wire { return newWire(n.t, n.http) }

// dialAs is dial, with TLS for shop.test over HTTP/1.1 or without.
func (n *node) dialAs(secure bool) *wire {
	if !secure {
		return n.dial()
	}
	w := newWire(n.t, n.https)
	w.Conn = tls.Client(w.Conn, &tls.Config{InsecureSkipVerify: true, ServerName: "shop.test"})
	w.r.Reset(w.Conn)
	return w
}

// ask sends a raw request on a connection of its own and returns the response with its body read.
func (n *node) ask(raw string) (*http.Response, string) {
	n.t.Helper()
	w := n.dial()
	defer w.Close()
	w.send(raw)
	return w.response(http.MethodGet)
}

// wire is a client that speaks in raw bytes.
type wire struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func newWire(t testing.TB, addr string) *wire {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &wire{c, t, bufio.NewReader(c)}
}

func (w *wire) send(raw string) {
	w.t.Helper()
	if _, err := io.WriteString(w, raw); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) response(method string) (*http.Response, string) {
	w.t.Helper()
	resp, err := http.ReadResponse(w.r, &http.Request{Method: method})
	if err != nil {
		w.t.Fatalf("no response: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("body after %q: %v", body, err)
	}
	return resp, string(body)
}

// closed waits for the other side to close.
func (w *wire) closed() {
	w.t.Helper()
	if n, err := io.Copy(io.Discard, w.r); n > 0 || err != nil {
		w.t.Errorf("wanted the connection to be closed, got %d bytes and %v", n, err)
	}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// certificate returns one that net/http/httptest carries, so that none has to be made for each test.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return s.TLS.Certificates[0]
}

// client returns an HTTP client that finds every host at addr.
func client(t testing.TB, addr string, configure func(*http.Transport)) *http.Client {
	t.Helper()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		Protocols:       new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(true)
	if configure != nil {
		configure(transport)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
