package cache

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStaleWhileRevalidate(t *testing.T) {
	var gate chan struct{}
	handler := script(
		always(200, "old", "Cache-Control", "max-age=10, stale-while-revalidate=60", "Etag", `"a"`),
		func(w http.ResponseWriter, _ *http.Request) {
			<-gate
			answer(w, 200, "new", "Cache-Control", "max-age=10", "Etag", `"b"`)
		},
	)
	bubble(t, handler, func(w *world) {
		gate = make(chan struct{}) // of the bubble
		w.get("/")
		time.Sleep(15 * time.Second)
		for range 5 { // RFC 5861 §3: at once, and one refresh behind
			c := w.get("/")
			w.expect(c, Stale, 200, "old")
			if got := c.sent.Get("Cache-Status"); got != "lisbon-1; hit; ttl=-5" {
				t.Errorf("Cache-Status %q", got)
			}
		}
		w.expectSeen(2)
		if h := w.up.request(1).Header; h.Get("If-None-Match") != `"a"` {
			t.Errorf("refreshed with %v", h)
		}
		close(gate)
		synctest.Wait()
		w.expect(w.get("/"), Hit, 200, "new")
	})
}

func TestStaleWhileRevalidateByHead(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=10, stale-while-revalidate=60"), func(w *world) {
		w.get("/")
		time.Sleep(15 * time.Second)
		w.expect(w.do(http.MethodHead, "/"), Stale, 200, "")
		w.expectSeen(2)
		if m := w.up.request(1).Method; m != http.MethodGet {
			t.Errorf("refreshed by %s", m)
		}
		w.expect(w.get("/"), Hit, 200, "2")
	})
}

// TestRefreshNotStorable is about a refresh whose response is for nobody: it must not wait for somebody to take it.
func TestRefreshNotStorable(t *testing.T) {
	handler := script(always(200, "old", "Cache-Control", "max-age=10, stale-while-revalidate=60"), always(200, "new",
		"Cache-Control", "no-store"))
	bubble(t, handler, func(w *world) {
		w.get("/")
		time.Sleep(15 * time.Second)
		w.expect(w.get("/"), Stale, 200, "old")
		w.expectEmpty()
		w.expect(w.get("/"), Miss, 200, "new")
	})
}

func TestRefreshFails(t *testing.T) {
	handler := script(always(200, "old", "Cache-Control", "max-age=10, stale-while-revalidate=60"), refused,
		always(200, "new", "Cache-Control", "max-age=60"))
	bubble(t, handler, func(w *world) {
		w.get("/")
		time.Sleep(15 * time.Second)
		w.expect(w.get("/"), Stale, 200, "old")
		w.expect(w.get("/"), Stale, 200, "old") // and this one refreshes again
		w.expect(w.get("/"), Hit, 200, "new")
	})
}

func TestStaleIfError(t *testing.T) {
	for _, c := range []struct {
		name, cacheControl string
		site               time.Duration
		failure            http.HandlerFunc
		stale              bool
	}{
		{"RFC 5861 §4: can't connect", "max-age=10, stale-if-error=60", 0, refused, true},
		{"RFC 5861 §4: 500", "max-age=10, stale-if-error=60", 0, always(500, "oops"), true},
		{"RFC 5861 §4: 503", "max-age=10, stale-if-error=60", 0, always(503, "oops"), true},
		{"RFC 5861 §4: 404 is an answer", "max-age=10, stale-if-error=60", 0, always(404, "oops"), false},
		{"501 is an answer", "max-age=10, stale-if-error=60", 0, always(501, "oops"), false},
		{"for too long", "max-age=10, stale-if-error=4", 0, refused, false},
		{"the site's", "max-age=10", 60 * time.Second, refused, true},
		{"nobody allows it", "max-age=10", 0, refused, false},
		{"RFC 9111 §5.2.2.2: must-revalidate", "max-age=10, stale-if-error=60, must-revalidate", 60 * time.Second, refused, false},
		{"RFC 9111 §5.2.2.2: must-revalidate and 503", "max-age=10, must-revalidate", 60 * time.Second, always(503, "oops"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, script(always(200, "old", "Cache-Control", c.cacheControl), c.failure), func(w *world) {
				w.policy.StaleIfError = c.site
				w.get("/")
				time.Sleep(15 * time.Second)
				second := w.get("/")
				if !c.stale {
					if second.got() == "old" || second.outcome.Verdict == Stale {
						t.Errorf("%s %q", second.outcome.Verdict, second.got())
					}
					return
				}
				w.expect(second, Stale, 200, "old")
				if got := second.sent.Get("Cache-Status"); !strings.Contains(got, "fwd=stale") || !strings.Contains(got, "detail=stale-if-error") {
					t.Errorf("Cache-Status %q", got)
				}
				if second.sent.Get("Age") != "15" {
					t.Errorf("Age %q", second.sent.Get("Age"))
				}
				w.expect(w.get("/"), Stale, 200, "old")
			})
		})
	}
}
