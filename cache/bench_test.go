package cache

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/cache/store"
)

// discard is a ResponseWriter that keeps nothing.
type discard struct {
	header http.Header
	status int
	bytes  int64
}

var _ http.ResponseWriter = (*discard)(nil)

func (d *discard) Header() http.Header { return d.header }

func (d *discard) WriteHeader(status int) { d.status = status }

func (d *discard) Write(p []byte) (int, error) {
	d.bytes += int64(len(p))
	return len(p), nil
}

func (d *discard) Flush() {}

func (d *discard) reset() {
	clear(d.header)
	d.status, d.bytes = 0, 0
}

// constant is an upstream that always gives the same answer.
type constant struct {
	header http.Header
	body   []byte
}

func (c *constant) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: c.header.Clone(), Request: r,
		ContentLength: int64(len(c.body)), Body: io.NopCloser(bytes.NewReader(c.body)),
	}, nil
}

// bench is a cache whose upstream has answered /0 with size bytes.
type bench struct {
	c *Cache
	p *Policy
	r *http.Request
}

func newBench(tb testing.TB, size int) *bench {
	tb.Helper()
	memory, err := store.NewMemory(1<<30, 1<<28)
	if err != nil {
		tb.Fatal(err)
	}
	b := &bench{c: New(Options{
		Name: "lisbon-1", Store: memory, Metrics: NewMetrics(prometheus.NewRegistry()),
	})}
	b.p = &Policy{Keys: &store.KeyPolicy{Site: "shop"}, Scheme: "http", Host: "shop.test", Upstream: &constant{
		header: http.Header{
			"Cache-Control":  {"public, max-age=3600"},
			"Content-Type":   {"text/html; charset=utf-8"},
			"Content-Length": {strconv.Itoa(size)},
			"Etag":           {`"5e8f-1"`},
			"Last-Modified":  {"Sat, 01 Jan 2000 00:00:00 GMT"},
			"Vary":           {"Accept-Encoding"},
			"Server":         {"origin"},
		},
		body: bytes.Repeat([]byte("x"), size),
	}}
	b.r = b.request("/0")
	w := &discard{header: http.Header{}}
	if o := b.c.Serve(w, b.r, b.p); o.Err != nil || w.bytes != int64(size) {
		tb.Fatalf("filling: %+v, %d bytes", o, w.bytes)
	}
	b.c.fills.Wait()
	return b
}

// request is what a browser sends.
func (b *bench) request(path string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, "http://shop.test"+path, nil)
	if err != nil {
		panic(err)
	}
	r.Header = http.Header{
		"Accept":          {"text/html,application/xhtml+xml,*/*;q=0.8"},
		"Accept-Encoding": {"gzip, deflate, br, zstd"},
		"Accept-Language": {"en-US,en;q=0.5"},
		"User-Agent":      {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
	}
	return r
}

func (b *bench) serve(tb testing.TB, w *discard, r *http.Request, want Verdict, status int) {
	w.reset()
	if o := b.c.Serve(w, r, b.p); o.Verdict != want || w.status != status {
		tb.Fatalf("verdict %s, status %d; want %s, %d", o.Verdict, w.status, want, status)
	}
}

func BenchmarkHit(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		b.Run(strconv.Itoa(size>>10)+"KiB", func(b *testing.B) {
			s, w := newBench(b, size), &discard{header: http.Header{}}
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				s.serve(b, w, s.r, Hit, http.StatusOK)
			}
		})
	}
}

func BenchmarkHitParallel(b *testing.B) {
	s := newBench(b, 1<<10)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		w, r := &discard{header: http.Header{}}, s.request("/0")
		for pb.Next() {
			s.serve(b, w, r, Hit, http.StatusOK)
		}
	})
}

func BenchmarkHit304(b *testing.B) {
	s, w := newBench(b, 1<<10), &discard{header: http.Header{}}
	s.r.Header.Set("If-None-Match", `"5e8f-1"`)
	b.ReportAllocs()
	for b.Loop() {
		s.serve(b, w, s.r, Hit, http.StatusNotModified)
	}
}

func BenchmarkMiss(b *testing.B) {
	s, w := newBench(b, 1<<10), &discard{header: http.Header{}}
	r := s.request("/")
	b.ReportAllocs()
	for i := 1; b.Loop(); i++ {
		r.URL.Path = "/" + strconv.Itoa(i)
		s.serve(b, w, r, Miss, http.StatusOK)
	}
}

// BenchmarkCollapse is 32 requests at once for one object that isn't stored; an operation is all 32.
func BenchmarkCollapse(b *testing.B) {
	const clients = 32
	s := newBench(b, 16<<10)
	b.ReportAllocs()
	for i := 1; b.Loop(); i++ {
		var group sync.WaitGroup
		for range clients {
			group.Go(func() {
				w := &discard{header: http.Header{}}
				if o := s.c.Serve(w, s.request("/"+strconv.Itoa(i)), s.p); o.Err != nil || w.bytes != 16<<10 {
					b.Errorf("%+v, %d bytes", o, w.bytes)
				}
			})
		}
		group.Wait()
	}
}

// TestHitAllocates is the ceiling of what a hit may allocate: the key, and the values of Age and Cache-Status with their slices.
func TestHitAllocates(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields []string
		status int
		max    float64
	}{
		{"whole", nil, http.StatusOK, 4},
		{"304", []string{"If-None-Match", `"5e8f-1"`}, http.StatusNotModified, 4},
		{"another client's Accept-Encoding", []string{"Accept-Encoding", "br, gzip,zstd,  deflate"}, http.StatusOK, 5},
		{"with request directives", []string{"Cache-Control", "max-age=100"}, http.StatusOK, 4},
		{"part", []string{"Range", "bytes=10-19"}, http.StatusPartialContent, 11},
	} {
		s, w := newBench(t, 1<<10), &discard{header: http.Header{}}
		for i := 0; i < len(c.fields); i += 2 {
			s.r.Header.Set(c.fields[i], c.fields[i+1])
		}
		if got := testing.AllocsPerRun(200, func() { s.serve(t, w, s.r, Hit, c.status) }); got > c.max {
			t.Errorf("%s: %v allocations, at most %v expected", c.name, got, c.max)
		}
	}
}
