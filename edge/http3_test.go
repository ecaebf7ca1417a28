package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/config"
)

// client3 returns a client of n for HTTP/3. Every host leads there.
func (n *node) client3() *http.Client {
	n.t.Helper()
	transport := &http3.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		Dial: func(ctx context.Context, _ string, t *tls.Config, q *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, n.http3, t, q)
		},
	}
	n.t.Cleanup(func() { transport.Close() })
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

func fetch3(t testing.TB, c *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func request(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestHTTP3 asks over HTTP/3 what the other tests ask over HTTP/1 and HTTP/2: the steps are the same.
func TestHTTP3(t *testing.T) {
	var mu sync.Mutex // protects seen
	var seen []string
	n := start(t, nodeOptions{
		yaml: `
limits: {header_size: 4KiB}
sites: [{name: shop, hosts: [shop.test], origins: [{url: "http://127.0.0.1:9000"}], body_size: 100}, {name: other, hosts: [other.test], origins: [{url: "http://127.0.0.1:9001"}]}]`,
		upstream: func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, fmt.Sprint(r.Method, " ", r.ContentLength, " ", r.Body == nil || r.Body == http.NoBody, " ", r.Header.Get("X-Forwarded-For"), " ", r.Header.Get("X-Forwarded-Proto")))
			resp, err := echo(r)
			if err == nil {
				resp.Header.Set("Alt-Svc", `h3=":9"`)
			}
			return resp, err
		},
	})
	c := n.client3()
	for _, test := range []struct {
		name   string
		r      *http.Request
		header http.Header
		status int
		body   string
		seen   string
	}{
		{"get", request(t, "GET", "https://shop.test/a?b", nil), nil, 200, "", "GET 0 true 127.0.0.1 https"},
		{"put", request(t, "PUT", "https://shop.test/a", strings.NewReader("content")), nil, 200, "content", "PUT 7 false 127.0.0.1 https"},
		{"stream", request(t, "POST", "https://shop.test/a", io.MultiReader(strings.NewReader("content"))), nil, 200, "content", "POST -1 false 127.0.0.1 https"},
		{"get with content", request(t, "GET", "https://shop.test/a", io.MultiReader(strings.NewReader("content"))), nil, 200, "content", "GET -1 false 127.0.0.1 https"},
		{"too much content", request(t, "PUT", "https://shop.test/a", strings.NewReader(strings.Repeat("x", 101))), nil, 413, "", ""},
		{"too large", request(t, "GET", "https://shop.test/a", nil), http.Header{"Long": {strings.Repeat("x", 5000)}}, 431, "", ""},
		{"far too large", request(t, "GET", "https://shop.test/a", nil), http.Header{"Long": {strings.Repeat("x", 20000)}}, 431, "", ""},
		{"other site", request(t, "GET", "https://shop.test/a", nil), http.Header{"Host": {"other.test"}}, 421, "", ""},
		{"no site", request(t, "GET", "https://shop.test/a", nil), http.Header{"Host": {"none.test"}}, 421, "", ""},
		{"bad host", request(t, "GET", "https://shop.test/a", nil), http.Header{"Host": {"a_b..test"}}, 400, "", ""},
		{"trace", request(t, "TRACE", "https://shop.test/a", nil), nil, 405, "", ""},
		{"loop", request(t, "GET", "https://shop.test/a", nil), http.Header{"Cdn-Loop": {"lisbon-1"}}, 508, "", ""},
		{"health", request(t, "GET", "https://shop.test"+config.HealthPath, nil), nil, 200, "ok\n", ""},
	} {
		mu.Lock()
		seen = nil
		mu.Unlock()
		for name, values := range test.header {
			if name == "Host" {
				test.r.Host = values[0]
			}
			test.r.Header[name] = values
		}
		resp, body := fetch3(t, c, test.r)
		if resp.StatusCode != test.status || test.status == 200 && body != test.body || resp.Proto != "HTTP/3.0" {
			t.Errorf("%s: %s %d %.200q, want %d %q", test.name, resp.Proto, resp.StatusCode, body, test.status, test.body)
		}
		mu.Lock()
		if strings.Join(seen, "; ") != test.seen {
			t.Errorf("%s: the upstream saw %q, want %q", test.name, seen, test.seen)
		}
		mu.Unlock()
		if resp.Header.Get("Alt-Svc") != "" {
			t.Errorf("%s: Alt-Svc over HTTP/3", test.name)
		}
	}
	if got := testutil.ToFloat64(n.metrics.protocols[3]); got < 10 {
		t.Errorf("%v requests counted for HTTP/3", got)
	}
	for _, line := range n.records() {
		if line["protocol"] != "HTTP/3.0" || line["client"] != "127.0.0.1" || line["tls"] != "TLS 1.3" {
			t.Errorf("logged %v", line)
		}
	}
}

// TestAltSvc: answers over TLS tell of HTTP/3, those of the lane too, and no answer passes on what an origin says.
func TestAltSvc(t *testing.T) {
	n := start(t, nodeOptions{cacher: realCache(t), upstream: func(*http.Request) (*http.Response, error) {
		resp := respond(200, "stored")
		resp.Header = http.Header{"Cache-Control": {"max-age=60"}, "Alt-Svc": {`h3=":9"; ma=60`}}
		return resp, nil
	}})
	_, port, _ := net.SplitHostPort(n.http3)
	want := `h3=":` + port + `"; ma=86400`
	one := client(t, n.https, nil)
	two := client(t, n.https, func(t *http.Transport) { t.Protocols.SetHTTP1(false); t.Protocols.SetHTTP2(true) })
	for i := range 3 {
		for name, c := range map[string]*http.Client{"HTTP/1": one, "HTTP/2": two} {
			for _, path := range []string{"/stored", "/a b"} {
				resp, _ := fetch3(t, c, request(t, "GET", "https://shop.test"+path, nil))
				if got := resp.Header["Alt-Svc"]; len(got) != 1 || got[0] != want {
					t.Errorf("%s %s, time %d: Alt-Svc %q, want %q", name, path, i, got, want)
				}
			}
		}
		resp, _ := fetch3(t, client(t, n.http, nil), request(t, "GET", "http://shop.test/stored", nil))
		if got := resp.Header["Alt-Svc"]; got != nil {
			t.Errorf("without TLS: Alt-Svc %q", got)
		}
	}
}

// realCache returns a cache in memory.
func realCache(t testing.TB) *cache.Cache {
	t.Helper()
	memory, err := store.NewMemory(16<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return cache.New(cache.Options{Name: "lisbon-1", Store: memory, Metrics: cache.NewMetrics(prometheus.NewRegistry())})
}

// TestHTTP3Drains: what is under way is finished, what comes meanwhile is rejected untouched, and the socket is free in the end.
func TestHTTP3Drains(t *testing.T) {
	held, asked := make(chan struct{}), make(chan struct{}, 1)
	n := start(t, nodeOptions{upstream: func(r *http.Request) (*http.Response, error) {
		asked <- struct{}{}
		select {
		case <-held:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		return respond(200, strings.Repeat("whole ", 100_000)), nil
	}})
	c := n.client3()
	type answer struct {
		size int
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		resp, err := c.Get("https://shop.test/a")
		if err != nil {
			answers <- answer{0, err}
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		answers <- answer{len(body), err}
	}()
	<-asked
	stopped := make(chan error, 1)
	go func() { stopped <- n.stop() }()
	for !n.draining.Load() {
		time.Sleep(time.Millisecond)
	}
	close(held)
	if a := <-answers; a.err != nil || a.size != 600_000 {
		t.Errorf("got %d bytes, %v", a.size, a.err)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenPacket("udp", n.http3)
	if err != nil {
		t.Fatalf("the socket is still in use: %v", err)
	}
	u.Close()
}

// TestHTTP3CutOff: a request that takes longer than the drain is told so.
func TestHTTP3CutOff(t *testing.T) {
	asked := make(chan struct{}, 1)
	n := start(t, nodeOptions{yaml: "limits: {drain_timeout: 50ms}\n" + shopYAML, upstream: func(r *http.Request) (*http.Response, error) {
		asked <- struct{}{}
		<-r.Context().Done()
		return nil, r.Context().Err()
	}})
	c := n.client3()
	status := make(chan int, 1)
	go func() {
		resp, err := c.Get("https://shop.test/a")
		if err != nil {
			status <- 0
			return
		}
		resp.Body.Close()
		status <- resp.StatusCode
	}()
	<-asked
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	if got := <-status; got != http.StatusServiceUnavailable {
		t.Errorf("status %d", got)
	}
}

// TestHTTP3Limits: connections beyond the limit are refused, idle ones are closed, and so are those whose requests don't come to an end.
func TestHTTP3Limits(t *testing.T) {
	n := start(t, nodeOptions{yaml: "limits: {connections: 1, idle_timeout: 300ms}\n" + shopYAML})
	first := n.dial3()
	if _, err := quic.DialAddr(t.Context(), n.http3, tls3(), nil); err == nil {
		t.Error("a second connection was taken")
	} else if e := new(quic.TransportError); !errors.As(err, &e) || e.ErrorCode != quic.ConnectionRefused {
		t.Errorf("a second connection: %v", err)
	}
	if n.refusals(refusedConnections) == 0 {
		t.Error("not counted")
	}
	stream, err := first.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Write([]byte{1, 40, 0}); err != nil { // HEADERS of 40 bytes, of which one comes
		t.Fatal(err)
	}
	select {
	case <-first.Context().Done():
	case <-time.After(10 * time.Second):
		t.Fatal("a connection with half a header section stays open")
	}
	if e := new(quic.ApplicationError); !errors.As(context.Cause(first.Context()), &e) || e.ErrorCode != quic.ApplicationErrorCode(http3.ErrCodeNoError) {
		t.Errorf("closed with %v", context.Cause(first.Context()))
	}
}

func tls3() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "shop.test", NextProtos: []string{"h3"}}
}

// dial3 opens a connection for raw frames.
func (n *node) dial3() *quic.Conn {
	n.t.Helper()
	c, err := quic.DialAddr(n.t.Context(), n.http3, tls3(), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = c.CloseWithError(0, "") })
	control, err := c.OpenUniStream()
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := control.Write([]byte{0, 4, 0}); err != nil { // control stream, SETTINGS
		n.t.Fatal(err)
	}
	return c
}

// ask3 sends a header section as it is and returns the status, or 0 for a stream that was reset.
func ask3(t *testing.T, c *quic.Conn, fields ...string) int {
	t.Helper()
	var block bytes.Buffer
	e := qpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		if err := e.WriteField(qpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := c.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	frame := append(quicvarint.Append(quicvarint.Append(nil, 1), uint64(block.Len())), block.Bytes()...)
	if _, err := stream.Write(frame); err != nil {
		t.Fatal(err)
	}
	_ = stream.Close()
	_ = stream.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer, err := io.ReadAll(stream)
	if e := new(quic.StreamError); errors.As(err, &e) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(answer)
	_, _ = quicvarint.Read(r) // HEADERS
	size, err := quicvarint.Read(r)
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, size)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	next := qpack.NewDecoder().Decode(head)
	f, err := next()
	if err != nil || f.Name != ":status" {
		t.Fatalf("%v, %v", f, err)
	}
	var status int
	_, _ = fmt.Sscan(f.Value, &status)
	return status
}

// TestHTTP3Smuggling sends requests that could be read in two ways. None gets to the upstream.
func TestHTTP3Smuggling(t *testing.T) {
	var reached atomic.Value
	n := start(t, nodeOptions{upstream: func(r *http.Request) (*http.Response, error) {
		reached.Store(r.Host + " " + r.URL.String())
		return echo(r)
	}})
	c := n.dial3()
	with := func(more ...string) []string {
		return append([]string{":method", "GET", ":scheme", "https", ":authority", "shop.test", ":path", "/"}, more...)
	}
	for _, test := range []struct {
		name   string
		fields []string
		status int // 0: the stream is reset (RFC 9114 §4.1.2)
	}{
		{"right", with("host", "shop.test"), 200},
		{"host without authority", []string{":method", "GET", ":scheme", "https", ":path", "/", "host", "shop.test"}, 200},
		{"two hosts", with("host", "other.test"), 0},
		{"host twice", with("host", "shop.test", "host", "shop.test"), 0},
		{"authority twice", with(":authority", "shop.test"), 0},
		{"path twice", with(":path", "/"), 0},
		{"method twice", with(":method", "GET"), 0},
		{"pseudo field behind others", with("a", "b", ":path", "/admin"), 0},
		{"unknown pseudo field", with(":host", "shop.test"), 0},
		{"status in a request", with(":status", "200"), 0},
		{"no path", []string{":method", "GET", ":scheme", "https", ":authority", "shop.test"}, 0},
		{"empty path", []string{":method", "GET", ":scheme", "https", ":authority", "shop.test", ":path", ""}, 0},
		{"absolute path", []string{":method", "GET", ":scheme", "https", ":authority", "shop.test", ":path", "https://other.test/"}, 0},
		{"user", []string{":method", "GET", ":scheme", "https", ":authority", "me@shop.test", ":path", "/"}, 0},
		{"space in the path", []string{":method", "GET", ":scheme", "https", ":authority", "shop.test", ":path", "/ HTTP/1.1"}, 400},
		{"line in the path", []string{":method", "GET", ":scheme", "https", ":authority", "shop.test", ":path", "/\r\nHost: other.test"}, 0},
		{"line in the method", []string{":method", "GET / HTTP/1.1\r\nA: b", ":scheme", "https", ":authority", "shop.test", ":path", "/"}, 0},
		{"line in a value", with("a", "b\r\nc: d"), 0},
		{"upper case", with("Host", "other.test"), 0},
		{"colon in a name", with("a:b", "c"), 0},
		{"connection", with("connection", "close"), 0},
		{"transfer-encoding", with("transfer-encoding", "chunked"), 0},
		{"upgrade", with("upgrade", "h2c"), 0},
		{"te", with("te", "gzip"), 0},
		{"lengths", with("content-length", "1", "content-length", "2"), 0},
		{"no length", with("content-length", "-1"), 0},
		{"fragment", []string{":method", "GET", ":scheme", "https", ":authority", "shop.test", ":path", "/#a"}, 400},
		{"tunnel", []string{":method", "CONNECT", ":authority", "shop.test"}, 405},
		{"websocket", []string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "shop.test", ":path", "/"}, 405},
	} {
		reached.Store("")
		if got := ask3(t, c, test.fields...); got != test.status {
			t.Errorf("%s: status %d, want %d", test.name, got, test.status)
		}
		if reached.Load() != "" && test.status != 200 {
			t.Errorf("%s: reached the upstream as %s", test.name, reached.Load())
		}
	}
}

// BenchmarkHTTP3Hit is a hit with its client, to be profiled; bench/http3 measures the server alone.
func BenchmarkHTTP3Hit(b *testing.B) {
	n := start(b, nodeOptions{cacher: realCache(b), upstream: func(*http.Request) (*http.Response, error) {
		resp := respond(200, strings.Repeat("x", 1<<10))
		resp.Header = http.Header{"Cache-Control": {"max-age=60"}}
		return resp, nil
	}})
	c := n.client3()
	b.ReportAllocs()
	b.SetBytes(1 << 10)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			resp, err := c.Get("https://shop.test/a")
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				b.Fatal(err)
			}
			resp.Body.Close()
		}
	})
}
