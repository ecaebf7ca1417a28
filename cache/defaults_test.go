package cache

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/cache/store"
)

func TestDefaultTTL(t *testing.T) {
	bubble(t, counted("Etag", `"1"`), func(w *world) {
		w.policy.Defaults = &store.Defaults{TTL: 10 * time.Second}
		w.expect(w.get("/"), Miss, 200, "1")
		time.Sleep(9 * time.Second)
		hit := w.get("/")
		w.expect(hit, Hit, 200, "1")
		if hit.outcome.Detail != "fresh by the site's default_ttl" || !strings.Contains(hit.outcome.CacheStatus, "hit; ttl=1") {
			t.Errorf("%s: %s", hit.outcome.CacheStatus, hit.outcome.Detail)
		}
		time.Sleep(time.Second)
		w.expect(w.get("/"), Miss, 200, "2")
		w.expect(w.get("/private", "Authorization", "x"), Miss, 200, "3")
		w.expect(w.get("/private", "Authorization", "x"), Miss, 200, "4") // RFC 9111 §3.5
	})
}

// TestDefaultTTLAfterValidation: a 304 without freshness begins another of the site's lifetimes.
func TestDefaultTTLAfterValidation(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			answer(w, 304, "", "Etag", `"1"`)
			return
		}
		answer(w, 200, "x", "Etag", `"1"`)
	}
	bubble(t, handler, func(w *world) {
		w.policy.Defaults = &store.Defaults{TTL: 10 * time.Second}
		w.get("/")
		for range 3 {
			time.Sleep(10 * time.Second)
			w.expect(w.get("/"), Revalidated, 200, "x")
			time.Sleep(9 * time.Second)
			w.expect(w.get("/"), Hit, 200, "x")
		}
	})
}

func TestNegativeTTL(t *testing.T) {
	w404 := always(404, "gone")
	bubble(t, script(w404, w404, always(503, "busy"), always(503, "busy"), always(200, "ok", "Cache-Control", "max-age=60")), func(w *world) {
		w.policy.Defaults = &store.Defaults{Negative: []store.Negative{{Statuses: []int{404}, Server: true, TTL: 10 * time.Second}}}
		w.policy.StaleIfError, w.policy.StaleWhileRevalidate = time.Hour, time.Hour
		w.expect(w.get("/"), Miss, 404, "gone")
		w.expect(w.get("/"), Hit, 404, "gone")
		time.Sleep(10 * time.Second)
		w.expect(w.get("/"), Miss, 404, "gone") // not stale while it is refreshed: the site's word ends here
		time.Sleep(11 * time.Second)
		w.expect(w.get("/"), Miss, 503, "busy") // nor stale if error
		w.expect(w.get("/"), Hit, 503, "busy")
		time.Sleep(10 * time.Second)
		w.expect(w.get("/"), Miss, 503, "busy")
		time.Sleep(10 * time.Second)
		w.expect(w.get("/"), Miss, 200, "ok")
		w.expectSeen(5)
	})
	bubble(t, script(always(404, "gone", "Cache-Control", "no-store"), always(404, "2")), func(w *world) {
		w.policy.Defaults = &store.Defaults{Negative: []store.Negative{{Statuses: []int{404}, TTL: 10 * time.Second}}}
		w.expect(w.get("/"), Miss, 404, "gone")
		w.expect(w.get("/"), Miss, 404, "2")
	})
}

// TestAFailureIsNoNegativeAnswer: what can't be reached is asked again at once.
func TestAFailureIsNoNegativeAnswer(t *testing.T) {
	bubble(t, script(refused, always(200, "ok")), func(w *world) {
		w.policy.Defaults = &store.Defaults{Negative: []store.Negative{{Server: true, TTL: time.Minute}}}
		if c := w.get("/"); c.outcome.Verdict != Failed {
			t.Errorf("%s", c.outcome.Verdict)
		}
		w.expect(w.get("/"), Miss, 200, "ok")
	})
}

func TestSetCookieBySite(t *testing.T) {
	for _, c := range []struct {
		name          string
		defaults      *store.Defaults
		control       string
		first, second string // the cookies that the first two clients get
		seen          int
	}{
		{"as the origin says", nil, "max-age=60", "1", "1", 1},
		{"store", &store.Defaults{}, "max-age=60", "1", "1", 1},
		{"strip", &store.Defaults{SetCookie: store.StripCookie}, "max-age=60", "1", "", 1},
		{"strip what is private beside", &store.Defaults{SetCookie: store.StripCookie}, `max-age=60, private="x-user"`, "1", "", 1},
		{"refuse", &store.Defaults{SetCookie: store.RefuseCookie}, "public, max-age=60", "1", "2", 2},
		{"store, by the site's word alone", &store.Defaults{TTL: time.Minute}, "", "1", "2", 2},
		{"store, public", &store.Defaults{TTL: time.Minute}, "public", "1", "1", 1},
		{"strip, by the site's word alone", &store.Defaults{TTL: time.Minute, SetCookie: store.StripCookie}, "", "1", "", 1},
		{"strip, by nobody's word", &store.Defaults{SetCookie: store.StripCookie}, "", "1", "2", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := 0
			handler := func(w http.ResponseWriter, _ *http.Request) {
				n++
				answer(w, 200, "x", "Set-Cookie", string(rune('0'+n)), "X-User", "me", "Content-Type", "text/plain")
			}
			if c.control != "" {
				inner := handler
				handler = func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Cache-Control", c.control)
					inner(w, r)
				}
			}
			bubble(t, handler, func(w *world) {
				w.policy.Defaults = c.defaults
				first, second := w.get("/"), w.get("/")
				if a, b := first.sent.Get("Set-Cookie"), second.sent.Get("Set-Cookie"); a != c.first || b != c.second {
					t.Errorf("the clients got the cookies %q and %q, want %q and %q", a, b, c.first, c.second)
				}
				w.expectSeen(c.seen)
			})
		})
	}
}

// TestSetCookieOfAValidation: a cookie that comes with a 304 is for the client whose request brought it.
func TestSetCookieOfAValidation(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			answer(w, 304, "", "Etag", `"1"`, "Cache-Control", "max-age=10", "Set-Cookie", "a=2")
			return
		}
		answer(w, 200, "x", "Etag", `"1"`, "Cache-Control", "max-age=10")
	}
	bubble(t, handler, func(w *world) {
		w.policy.Defaults = &store.Defaults{SetCookie: store.StripCookie}
		w.get("/")
		time.Sleep(10 * time.Second)
		validated := w.get("/")
		w.expect(validated, Revalidated, 200, "x")
		hit := w.get("/")
		w.expect(hit, Hit, 200, "x")
		if a, b := validated.sent.Get("Set-Cookie"), hit.sent.Get("Set-Cookie"); a != "a=2" || b != "" {
			t.Errorf("the clients got the cookies %q and %q", a, b)
		}
	})
}
