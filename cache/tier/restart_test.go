package tier

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/cache/storetest"
)

// origin answers from a table of bodies by path; what isn't there gets 304 to a condition.
type origin map[string]string

func (o origin) RoundTrip(r *http.Request) (*http.Response, error) {
	h := http.Header{"Cache-Control": {"max-age=600"}, "Content-Type": {"text/plain"}, "Etag": {`"1"`}}
	body, ok := o[r.URL.Path]
	resp := &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Request: r,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
	if !ok && r.Header.Get("If-None-Match") == `"1"` {
		h.Set("Renewed", "yes")
		resp.StatusCode, resp.Body, resp.ContentLength = http.StatusNotModified, http.NoBody, 0
	} else if !ok {
		resp.StatusCode = http.StatusNotFound
		h.Set("Cache-Control", "no-store")
	}
	return resp, nil
}

// node is a cache over a world at a time.
type node struct {
	t      *testing.T
	world  *world
	cache  *cache.Cache
	origin origin
	stop   func()

	upstream http.RoundTripper
}

func startNode(t *testing.T, dir string, now func() time.Time, o origin) *node {
	return startNodeWith(t, options{dir: dir, now: now}, o)
}

func startNodeWith(t *testing.T, opts options, o origin) *node {
	w, now := open(t, opts), opts.now
	c := cache.New(cache.Options{Name: "lisbon-1", Store: w.Store, Metrics: cache.NewMetrics(prometheus.NewRegistry()), Now: now})
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		_ = c.Run(ctx)
	}()
	return &node{t: t, world: w, cache: c, origin: o, upstream: o, stop: func() {
		cancel()
		<-ran
		w.stop()
	}}
}

func (n *node) get(path string) (*httptest.ResponseRecorder, cache.Outcome) {
	return n.do(httptest.NewRequest(http.MethodGet, "http://shop.test"+path, nil))
}

func (n *node) do(r *http.Request) (*httptest.ResponseRecorder, cache.Outcome) {
	rec := httptest.NewRecorder()
	out := n.cache.Serve(rec, r, &cache.Policy{
		Keys: &store.KeyPolicy{Site: "shop"}, Scheme: "http", Host: "shop.test", Upstream: n.upstream,
	})
	return rec, out
}

func (n *node) expect(path string, verdict cache.Verdict, body string) *httptest.ResponseRecorder {
	n.t.Helper()
	rec, out := n.get(path)
	if out.Verdict != verdict || rec.Body.String() != body {
		n.t.Fatalf("%s: %s (%s), %.40q of %d bytes; want %s, %d bytes", path, out.Verdict, out.Detail, rec.Body, rec.Body.Len(), verdict, len(body))
	}
	return rec
}

// TestRestart: what was asked for twice is there after a restart, as old as it is; what was purged isn't.
func TestRestart(t *testing.T) {
	small, large := strings.Repeat("s", 1000), strings.Repeat("large", 200_000)
	clock := time.Now()
	now := func() time.Time { return clock }
	dir := t.TempDir()
	n := startNode(t, dir, now, origin{"/small": small, "/large": large, "/once": "once", "/purged": "purged", "/stale": "stale"})
	for _, path := range []string{"/small", "/large", "/purged", "/stale"} {
		n.expect(path, cache.Miss, n.origin[path])
		n.expect(path, cache.Hit, n.origin[path])
	}
	n.expect("/once", cache.Miss, "once")
	n.world.settle()
	if removed := n.cache.Invalidate(cache.Purge{Keys: []store.Key{"shop http://shop.test/purged"}}); removed != 1 {
		t.Errorf("%d purged", removed)
	}
	n.stop()

	clock = clock.Add(100 * time.Second)
	n = startNode(t, dir, now, origin{})
	for path, body := range map[string]string{"/small": small, "/large": large} {
		for range 2 {
			if rec := n.expect(path, cache.Hit, body); rec.Header().Get("Age") != "100" {
				t.Errorf("%s: Age %q", path, rec.Header().Get("Age"))
			}
		}
	}
	n.expect("/once", cache.Miss, "")
	n.expect("/purged", cache.Miss, "")

	clock = clock.Add(600 * time.Second)
	if rec := n.expect("/stale", cache.Revalidated, "stale"); rec.Header().Get("Renewed") != "yes" {
		t.Error("the 304's fields are missing")
	}
	n.expect("/stale", cache.Hit, "stale")
	n.stop()

	clock = clock.Add(50 * time.Second)
	n = startNode(t, dir, now, origin{})
	if rec := n.expect("/stale", cache.Hit, "stale"); rec.Header().Get("Age") != "50" || rec.Header().Get("Renewed") != "yes" {
		t.Errorf("what a 304 has renewed comes back as %v", rec.Header())
	}
	n.stop()

	clock = clock.Add(-24 * time.Hour) // the clock is set back: nobody knows how old it is
	n = startNode(t, dir, now, origin{})
	n.expect("/stale", cache.Revalidated, "stale")
	n.stop()
}

// TestRemovedStaysAwayOverRestarts: removed one by one or by function, from memory, disk or both.
func TestRemovedStaysAwayOverRestarts(t *testing.T) {
	dir := t.TempDir()
	w := open(t, options{dir: dir})
	for i := range 30 {
		storetest.Insert(t, w, key(i), "", 1, 1000)
		w.Lookup(key(i))
	}
	w.settle()
	w.forget()
	for i := range 10 {
		w.Lookup(key(i)) // some are in memory, too
	}
	odd := func(k store.Key) bool { return (k[len(k)-1]-'0')%2 == 1 }
	if n := w.RemoveFunc(odd); n != 15 {
		t.Errorf("%d removed, want 15", n)
	}
	for i := range 30 {
		if n := w.Remove(key(i)); n != (i+1)%2 {
			t.Errorf("%d of key %d removed", n, i)
		}
	}
	storetest.Insert(t, w, key(5), "", 2, 1000)
	w.Lookup(key(5))
	w.stop()
	w = open(t, options{dir: dir})
	for i := range 30 {
		if i == 5 {
			w.expect(key(i), 2)
			continue
		}
		w.expect(key(i))
	}
}
