package edge

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge/hop"
	"github.com/wherry/wherry/logs"
)

// sinkWriter is a ResponseWriter that costs nothing.
type sinkWriter struct{ header http.Header }

func (w *sinkWriter) Header() http.Header              { return w.header }
func (w *sinkWriter) Write(p []byte) (int, error)      { return len(p), nil }
func (w *sinkWriter) WriteHeader(int)                  {}
func (w *sinkWriter) SetWriteDeadline(time.Time) error { return nil }

// hitBench is an Edge over a cache that always hits, a request as a browser sends it, and a function that serves it once.
func hitBench(t testing.TB) (serve func()) {
	body := make([]byte, 1024)
	length, status := []string{"1024"}, []string{"lisbon-1; hit"}
	hit := cacheFunc(func(w http.ResponseWriter, _ *http.Request, _ *cache.Policy) cache.Outcome {
		h := w.Header()
		h["Content-Length"], h["Cache-Status"] = length, status
		w.WriteHeader(http.StatusOK)
		n, err := w.Write(body)
		return cache.Outcome{Verdict: cache.Hit, Status: http.StatusOK, BodyBytes: int64(n), Err: err, CacheStatus: status[0]}
	})
	e, err := New(Options{
		Node: "lisbon-1", Snapshot: parse(t, shopYAML), Cache: hit, Log: slog.New(slog.DiscardHandler),
		Upstream: func(config.SiteName, *config.Rule) http.RoundTripper { return roundTrip(echo) },
		// A writer that doesn't run keeps its buffer full: what is measured is the encoding.
		Access:  logs.NewWriter(io.Discard, logs.Options{BufferBytes: 1, Metrics: logs.NewMetrics(prometheus.NewRegistry())}),
		Metrics: NewMetrics(prometheus.NewRegistry()),
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &sinkWriter{header: http.Header{}}
	fields := http.Header{
		"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64)"}, "Accept": {"text/html,*/*"}, "Accept-Language": {"en"},
		"Accept-Encoding": {"gzip, br"}, "Cookie": {"a=b"}, "Referer": {"https://shop.test/"},
	}
	ctx := t.Context()
	target := url.URL{Path: "/static/app.js", RawQuery: "v=1"}
	return func() {
		clear(w.header)
		// As net/http does, each request is new; its cost is in the figures.
		u := target
		r := (&http.Request{
			Method: http.MethodGet, URL: &u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: fields, Body: http.NoBody,
			Host: "shop.test", RemoteAddr: "192.0.2.1:1234", RequestURI: "/static/app.js?v=1",
		}).WithContext(ctx)
		delete(fields, "Cdn-Loop")
		e.ServeHTTP(w, r)
	}
}

func BenchmarkServeHit(b *testing.B) {
	serve := hitBench(b)
	b.ReportAllocs()
	for b.Loop() {
		serve()
	}
}

// allocsMax is what a hit may allocate in edge, the benchmark's own request (3) and, for want of a connection, X-Forwarded-For
// (2) included: the id and its slice, the policy, X-Forwarded-Host, CDN-Loop.
const allocsMax = 10

func TestHitAllocations(t *testing.T) {
	serve := hitBench(t)
	best := 1e9 // of many: the race detector makes pools forget
	for range 100 {
		best = min(best, testing.AllocsPerRun(1, serve))
	}
	if best > allocsMax {
		t.Errorf("a hit allocates %v times, want at most %d", best, allocsMax)
	}
}

func BenchmarkRequestID(b *testing.B) {
	ids, err := hop.NewIDs()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		ids.Next()
	}
}
