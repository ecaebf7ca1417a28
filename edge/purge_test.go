package edge

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/feed"
)

const purgeYAML = `
sites:
- {name: shop, hosts: [shop.test, www.shop.test], aliases: [{host: shop.test, names: [www.shop.test]}], origins: [{url: "http://127.0.0.1:9000"}],
   purge: strict, rules: [{name: shared, match: {paths: ["/shared/*"]}, cache: {key: {host: false, query: drop}}}]}
- {name: blog, hosts: ["*.blog.test"], origins: [{url: "http://127.0.0.1:9000"}]}`

// storing is a node over a real cache whose origin counts its answers, and tags them by their paths.
func storing(t *testing.T, laneless bool) (n *node, asked *atomic.Int64) {
	t.Helper()
	memory, err := store.NewMemory(16<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int64)
	c := cache.New(cache.Options{Name: "lisbon-1", Store: memory, Metrics: cache.NewMetrics(prometheus.NewRegistry())})
	n = start(t, nodeOptions{yaml: purgeYAML, cacher: c, laneless: laneless, upstream: func(r *http.Request) (*http.Response, error) {
		resp := respond(200, fmt.Sprint(asked.Add(1)))
		resp.Header = http.Header{
			"Cache-Control": {"max-age=600, stale-if-error=600"}, "Content-Type": {"text/plain"}, "Cache-Tag": {"all, " + r.URL.Path[1:]},
			"Surrogate-Key": {"key"}, "Cache-Groups": {`"group"`},
		}
		return resp, nil
	}})
	return n, asked
}

func TestPurgeOverHTTP(t *testing.T) {
	for _, laneless := range []bool{false, true} {
		for _, c := range []struct {
			name string
			p    feed.Purge
			gone string // the paths that were purged
		}{
			{"URL", feed.Purge{Kind: feed.PurgeURL, Value: "https://shop.test/a"}, "/a"},
			{"URL of another name", feed.Purge{Kind: feed.PurgeURL, Value: "https://www.shop.test/a"}, "/a"},
			{"prefix", feed.Purge{Kind: feed.PurgePrefix, Value: "https://shop.test/shared/"}, "/shared/x"},
			{"prefix of all", feed.Purge{Kind: feed.PurgePrefix, Value: "https://shop.test"}, "/a /b /shared/x"},
			{"tag", feed.Purge{Kind: feed.PurgeTag, Value: "b"}, "/b"},
			{"tag of another site", feed.Purge{Kind: feed.PurgeTag, Value: "b", Site: "blog"}, ""},
			{"Surrogate-Key", feed.Purge{Kind: feed.PurgeTag, Value: "key", Site: "shop"}, "/a /b /shared/x"},
			{"Cache-Groups", feed.Purge{Kind: feed.PurgeTag, Value: "group"}, "/a /b /shared/x"},
			{"site", feed.Purge{Kind: feed.PurgeSite, Site: "shop"}, "/a /b /shared/x"},
			{"another site", feed.Purge{Kind: feed.PurgeSite, Site: "blog"}, ""},
			{"all", feed.Purge{Kind: feed.PurgeAll}, "/a /b /shared/x"},
		} {
			for _, soft := range []bool{false, true} {
				n, asked := storing(t, laneless)
				paths := []string{"/a", "/b", "/shared/x"}
				get := func(path string) bool {
					before := asked.Load()
					resp, _ := n.ask("GET " + path + " HTTP/1.1\r\nHost: shop.test\r\n\r\n")
					if resp.Header["Cache-Tag"] != nil || resp.Header["Surrogate-Key"] != nil || resp.Header["Cache-Groups"] == nil {
						t.Errorf("%s: the client gets %v", path, resp.Header)
					}
					return asked.Load() > before
				}
				for _, path := range paths {
					get(path)
					if get(path) {
						t.Fatalf("%s isn't stored", path)
					}
				}
				p := c.p
				p.Soft = soft
				if _, err := n.Purge(p, 0); err != nil {
					t.Fatal(err)
				}
				var gone []string
				for _, path := range paths {
					if get(path) {
						gone = append(gone, path)
					}
					if get(path) {
						t.Errorf("%s: %s isn't stored again", c.name, path)
					}
				}
				if got := strings.Join(gone, " "); got != c.gone {
					t.Errorf("%s, soft %t, laneless %t: %q was purged, want %q", c.name, soft, laneless, got, c.gone)
				}
				if err := n.stop(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// TestStrict: a site that would rather be slow than old isn't answered from the store while purges may be missing.
func TestStrict(t *testing.T) {
	for _, laneless := range []bool{false, true} {
		n, asked := storing(t, laneless)
		get := func(host string) bool {
			before := asked.Load()
			n.ask("GET /a HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
			return asked.Load() > before
		}
		get("shop.test")
		get("www.blog.test")
		n.SetCaughtUp(false)
		first, second := get("shop.test"), get("shop.test")
		if !first || !second || get("www.blog.test") {
			t.Error("behind: the strict site is answered from the store, or the other one isn't")
		}
		n.SetCaughtUp(true)
		if get("shop.test") || get("www.blog.test") {
			t.Error("caught up, and not answered from the store")
		}
		if details := fmt.Sprint(n.records()); strings.Count(details, behindText) != 2 {
			t.Errorf("the log doesn't say why: %s", details)
		}
	}
}

// TestRestorePurges: what a process before this one stored may not be used against the purges that the feed remembers.
func TestRestorePurges(t *testing.T) {
	var got []cache.Purge
	var floor, reached uint64
	n := start(t, nodeOptions{yaml: purgeYAML, cacher: restoring(func(list []cache.Purge, f, r uint64) { got, floor, reached = list, f, r })})
	n.Restore([]feed.PurgeAt{
		{Seq: 5, Purge: feed.Purge{Kind: feed.PurgeURL, Value: "http://nobody.test/"}},
		{Seq: 7, Purge: feed.Purge{Kind: feed.PurgeTag, Value: "a", Soft: true}},
	}, 3, 9)
	if len(got) != 1 || got[0].Seq != 7 || got[0].Tag != "a" || !got[0].Soft || floor != 3 || reached != 9 {
		t.Errorf("%+v, floor %d, reached %d", got, floor, reached)
	}
}

type restoring func([]cache.Purge, uint64, uint64)

func (restoring) Serve(http.ResponseWriter, *http.Request, *cache.Policy) cache.Outcome {
	return cache.Outcome{}
}
func (restoring) Invalidate(cache.Purge) int                                 { return 0 }
func (f restoring) Restore(list []cache.Purge, floor uint64, reached uint64) { f(list, floor, reached) }

// TestTally: hits by the lane and by HTTP/2 count as those that go through the steps, failures of clients are none of the site's.
func TestTally(t *testing.T) {
	n, _ := storing(t, false)
	n.SetRevisions(map[config.SiteName]uint64{"shop": 3})
	n.SetSnapshot(n.Snapshot())
	n.askAs("HTTP/1.1", "GET", "/a", "")
	n.askAs("HTTP/1.1", "GET", "/a", "")
	n.askAs("HTTP/2", "GET", "/a", "")
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	if got := n.Tally().Read("shop"); got.Requests != 3 || got.Hits != 2 || got.Errors != 0 || got.Revision != 3 {
		t.Errorf("%+v", got)
	}
}

func TestTallyOfFailures(t *testing.T) {
	var mu sync.Mutex
	answer := func() (*http.Response, error) { return respond(200, ""), nil }
	n := start(t, nodeOptions{upstream: func(*http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		return answer()
	}})
	for _, c := range []struct {
		name   string
		answer func() (*http.Response, error)
		errors uint64
	}{
		{"404", func() (*http.Response, error) { return respond(404, ""), nil }, 0},
		{"500", func() (*http.Response, error) { return respond(500, ""), nil }, 1},
		{"refused", func() (*http.Response, error) { return nil, fault.New(fault.Origin, "connect", 502, io.ErrClosedPipe) }, 1},
		{"breaks off", func() (*http.Response, error) {
			resp := respond(200, "part")
			resp.ContentLength = 100
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("part"), brokenReader{}))
			return resp, nil
		}, 1},
	} {
		mu.Lock()
		answer = c.answer
		mu.Unlock()
		before := n.Tally().Read("shop").Errors
		n.SetRevisions(nil)
		status, err := n.Synthetic(t.Context(), "shop", "/a?b")
		if after := n.Tally().ReadSynthetic("shop"); n.Tally().Read("shop").Errors != before || after.Requests == 0 || status == 0 {
			t.Errorf("%s: synthetic %d, %v: %+v", c.name, status, err, after)
		}
		w := n.dial()
		w.send("GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
		_, _ = io.Copy(io.Discard, w)
		for n.Tally().Read("shop").Requests == 0 { // it is recorded when the client has it
			runtime.Gosched()
		}
		if got := n.Tally().Read("shop").Errors - before; got != c.errors {
			t.Errorf("%s: %d errors, want %d", c.name, got, c.errors)
		}
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) {
	return 0, fault.New(fault.Origin, "read body", 502, io.ErrUnexpectedEOF)
}

// TestSynthetic: the node's own request goes to the origin though the answer is stored, and no client is seen.
func TestSynthetic(t *testing.T) {
	n, asked := storing(t, false)
	n.ask("GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	for range 2 {
		if status, err := n.Synthetic(t.Context(), "shop", "/a"); status != 200 || err != nil {
			t.Errorf("%d, %v", status, err)
		}
	}
	if status, err := n.Synthetic(t.Context(), "blog", "/a"); status != 200 || err != nil {
		t.Errorf("a site with patterns alone: %d, %v", status, err)
	}
	if _, err := n.Synthetic(t.Context(), "other", "/a"); err == nil {
		t.Error("a site that isn't there")
	}
	if _, err := n.Synthetic(t.Context(), "shop", "/%zz"); err == nil {
		t.Error("a path that is none")
	}
	if got := n.Tally().ReadSynthetic("shop"); asked.Load() != 4 || got.Requests != 2 || got.Errors != 0 {
		t.Errorf("the origin was asked %d times: %+v", asked.Load(), got)
	}
	if records := n.records(); len(records) != 1 || n.Stats().Requests != 1 || n.Tally().Read("shop").Requests != 1 {
		t.Errorf("%d log records, %+v", len(records), n.Stats())
	}
}
