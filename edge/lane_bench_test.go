package edge

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/logs"
)

// browserRequest is what a browser sends.
const browserRequest = "GET /static/app.js?v=1 HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 " +
	"Firefox/140.0\r\nAccept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Referer: https://shop.test/\r\nCookie: a=b\r\nConnection: keep-alive\r\n\r\n"

// laneBench is an edge on loopback with all that a node has, and one client whose connection it returns, with the size of the
// response to browserRequest.
func laneBench(tb testing.TB, laneless, secure bool, bodyBytes int) (c net.Conn, responseBytes int) {
	tb.Helper()
	memory, err := store.NewMemory(64<<20, 16<<20)
	if err != nil {
		tb.Fatal(err)
	}
	quiet, registry := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	inner := cache.New(cache.Options{Name: "lisbon-1", Store: memory, Metrics: cache.NewMetrics(registry)})
	access := logs.NewWriter(io.Discard, logs.Options{Metrics: logs.NewMetrics(registry)})
	body := strings.Repeat("x", bodyBytes)
	var upstream http.RoundTripper = roundTrip(func(*http.Request) (*http.Response, error) {
		resp := respond(200, body)
		resp.Header = http.Header{
			"Cache-Control": {"public, max-age=3600"}, "Content-Type": {"text/javascript"}, "Etag": {`"5e8f-1"`},
			"Last-Modified": {"Sat, 01 Jan 2000 00:00:00 GMT"}, "Vary": {"Accept-Encoding"}, "Server": {"origin"},
		}
		return resp, nil
	})
	e, err := New(Options{
		Node: "lisbon-1", Snapshot: parse(tb, shopYAML), Cache: inner, Access: access, Log: quiet, Metrics: NewMetrics(registry),
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate(tb)}},
		// A new one each time it is asked for, as of package origin: a hit must not ask.
		Upstream: func(config.SiteName, *config.Rule) http.RoundTripper {
			return roundTrip(func(r *http.Request) (*http.Response, error) { return upstream.RoundTrip(r) })
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	e.laneless = laneless
	ctx, cancel := context.WithCancel(context.Background())
	l := listen(tb)
	doors := Listeners{HTTP: l}
	if secure {
		doors = Listeners{HTTPS: l}
	}
	var running sync.WaitGroup
	running.Go(func() { _ = e.Serve(ctx, doors) })
	running.Go(func() { _ = inner.Run(ctx) })
	running.Go(func() { _ = access.Run(ctx) })
	w := newWire(tb, l.Addr().String())
	if err := w.SetDeadline(time.Time{}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		w.Close()
		cancel()
		running.Wait()
	})
	c = w.Conn
	if secure {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: "shop.test"})
	}
	first := newReader(c)
	for memory.Usage().Responses == 0 {
		responseBytes = first.ask(tb)
	}
	for range 100 { // the ids and ages of later ones are as long
		responseBytes = first.ask(tb)
	}
	return c, responseBytes
}

// measuring reads responses and counts their bytes.
type measuring struct {
	net.Conn
	buf []byte
}

func newReader(c net.Conn) *measuring { return &measuring{c, make([]byte, 1<<20)} }

// ask sends browserRequest and returns the size of the response.
func (m *measuring) ask(tb testing.TB) int {
	tb.Helper()
	if _, err := io.WriteString(m, browserRequest); err != nil {
		tb.Fatal(err)
	}
	total, want := 0, 0
	var head strings.Builder
	for want == 0 || total < want {
		n, err := m.Read(m.buf)
		if err != nil {
			tb.Fatal(err)
		}
		total += n
		if want == 0 {
			head.Write(m.buf[:n])
			if end := strings.Index(head.String(), "\r\n\r\n"); end >= 0 {
				_, length, _ := strings.Cut(head.String(), "\r\nContent-Length: ")
				length, _, _ = strings.Cut(length, "\r\n")
				size, err := strconv.Atoi(length)
				if err != nil {
					tb.Fatal(err)
				}
				want = end + 4 + size
			}
		}
	}
	return total
}

// BenchmarkLane is one client that asks for a hit over loopback, one request after the other: its own costs are in the figures.
func BenchmarkLane(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10, 100 << 10, 1 << 20} {
		for _, secure := range []bool{false, true} {
			for _, laneless := range []bool{false, true} {
				b.Run(strconv.Itoa(size>>10)+"KiB/tls="+strconv.FormatBool(secure)+"/lane="+strconv.FormatBool(!laneless), func(b *testing.B) {
					c, want := laneBench(b, laneless, secure, size)
					request, buf := []byte(browserRequest), make([]byte, want)
					b.ReportAllocs()
					b.SetBytes(int64(size))
					for b.Loop() {
						askAgain(b, c, request, buf)
					}
				})
			}
		}
	}
}

// askAgain asks for a response of the size of buf, without allocating.
func askAgain(tb testing.TB, c net.Conn, request, buf []byte) {
	if _, err := c.Write(request); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.ReadFull(c, buf); err != nil {
		tb.Fatal(err)
	}
}

// A hit in the lane allocates nothing, with the access log written.
func TestLaneAllocations(t *testing.T) {
	for _, size := range []int{1 << 10, 100 << 10, 1 << 20} {
		c, want := laneBench(t, false, false, size)
		request, buf := []byte(browserRequest), make([]byte, want)
		best := 1e9 // of many: the race detector makes pools forget, and what else runs in the test may allocate
		for range 100 {
			best = min(best, testing.AllocsPerRun(1, func() { askAgain(t, c, request, buf) }))
		}
		if best > 0 {
			t.Errorf("a hit of %d bytes allocates %v times", size, best)
		}
	}
}
