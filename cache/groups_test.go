package cache

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"
)

// grouped answers GET with a body that tells which request it was, and the groups; other methods with the fields.
func grouped(groups string, fields ...string) http.HandlerFunc {
	get := counted("Cache-Control", "max-age=60, stale-if-error=600", "Cache-Groups", groups)
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			get(w, r)
			return
		}
		status, _ := strconv.Atoi(r.Header.Get("X-Status"))
		answer(w, max(status, 200), "", fields...)
	}
}

// TestCacheGroups has /a stored in some groups and sends another request to /b.
func TestCacheGroups(t *testing.T) {
	for _, c := range []struct {
		name, groups  string
		method        string
		status        string
		invalidation  string
		invalidatesIt bool
	}{
		{"RFC 9875 §3: the group", `"x"`, "POST", "200", `"x"`, true},
		{"RFC 9875 §2.1: in any position", `"y", "x"`, "POST", "200", `"z", "x"`, true},
		{"RFC 9875 §2.1: parameters don't count", `"x";a`, "POST", "200", `"x";b=1`, true},
		{"RFC 9875 §2.1: another group", `"x"`, "POST", "200", `"y"`, false},
		{"RFC 9875 §2.1: case counts", `"x"`, "POST", "200", `"X"`, false},
		{"RFC 9875 §2: not a List of Strings", `x`, "POST", "200", `"x"`, false},
		{"RFC 9875 §3: not a List of Strings", `"x"`, "POST", "200", `x`, false},
		{"RFC 9875 §3: an unknown method is unsafe", `"x"`, "FROB", "200", `"x"`, true},
		{"RFC 9875 §3: whatever the status", `"x"`, "POST", "409", `"x"`, true},
		{"RFC 9875 §3: not by a safe method", `"x"`, "OPTIONS", "200", `"x"`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, grouped(c.groups, "Cache-Group-Invalidation", c.invalidation), func(w *world) {
				w.expect(w.get("/a"), Miss, 200, "1")
				time.Sleep(time.Second)
				w.do(c.method, "/b", "X-Status", c.status)
				time.Sleep(time.Second)
				if !c.invalidatesIt {
					w.expect(w.get("/a"), Hit, 200, "1")
					return
				}
				again := w.get("/a")
				w.expect(again, Miss, 200, "2")
				if !strings.Contains(again.outcome.CacheStatus, "fwd=stale") || !strings.Contains(again.outcome.Detail, `its group "x" was invalidated`) {
					t.Errorf("%+v", again.outcome)
				}
				w.expect(w.get("/a"), Hit, 200, "2")
			})
		})
	}
}

// TestCacheGroupsOfGet: a response to GET that has the field invalidates nothing.
func TestCacheGroupsOfGet(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60", "Cache-Groups", `"x"`, "Cache-Group-Invalidation", `"x"`), func(w *world) {
		w.get("/a")
		time.Sleep(time.Second)
		w.get("/b")
		w.do(http.MethodHead, "/c")
		w.expect(w.get("/a"), Hit, 200, "1") // RFC 9875 §3: MUST be ignored
	})
}

// TestCacheGroupsSameOrigin: groups are of one origin (RFC 9875 §2.1), but for what all hosts of a site share.
func TestCacheGroupsSameOrigin(t *testing.T) {
	bubble(t, grouped(`"x"`, "Cache-Group-Invalidation", `"x"`), func(w *world) {
		forPolicy := func(change func(p *Policy)) func() *client {
			return func() *client {
				before := w.policy
				defer func() { w.policy = before }()
				change(&w.policy)
				return w.get("/a")
			}
		}
		same := forPolicy(func(*Policy) {})
		scheme := forPolicy(func(p *Policy) { p.Scheme = "https" })
		host := forPolicy(func(p *Policy) { p.Host = "other.test" })
		site := forPolicy(func(p *Policy) { p.Keys = &store.KeyPolicy{Site: "blog"} })
		shared := forPolicy(func(p *Policy) { p.Host, p.Keys = "other.test", &store.KeyPolicy{Site: "shop", IgnoreHost: true} })
		all := []func() *client{same, scheme, host, site, shared}
		for _, get := range all {
			w.expect(get(), Miss, 200, "")
		}
		time.Sleep(time.Second)
		w.do(http.MethodPost, "/b")
		time.Sleep(time.Second)
		for i, want := range []Verdict{Miss, Hit, Hit, Hit, Miss} {
			if got := all[i]().outcome.Verdict; got != want {
				t.Errorf("%d: %s, want %s", i, got, want)
			}
		}
	})
}

// TestCacheGroupsAreValidated: what a group's invalidation leaves may be sent only once the origin says that it is current
// (RFC 9111 §4.4).
func TestCacheGroupsAreValidated(t *testing.T) {
	get := script(
		always(200, "x", "Cache-Control", "max-age=60, stale-while-revalidate=600, stale-if-error=600", "Cache-Groups", `"x"`, "Etag", `"a"`),
		refused, always(503, "oops"), always(304, "", "Etag", `"a"`),
	)
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			answer(w, 200, "", "Cache-Group-Invalidation", `"x"`)
			return
		}
		get(w, r)
	}
	bubble(t, handler, func(w *world) {
		w.get("/a")
		time.Sleep(time.Second)
		w.do(http.MethodPost, "/b")
		time.Sleep(time.Second)
		if _, ok := w.cache.LookupHit(store.NewKey(w.policy.Keys, "http", "shop.test", "/a", ""), field.Header{}, &w.policy, time.Now()); ok {
			t.Error("LookupHit finds it")
		}
		w.expect(w.get("/a", "Cache-Control", "only-if-cached"), Failed, 0, "")
		w.expect(w.get("/a"), Failed, 0, "")
		w.expect(w.get("/a"), Miss, 503, "oops")
		time.Sleep(time.Minute) // and what is stale doesn't come back as stale-while-revalidate
		w.expect(w.get("/a"), Revalidated, 200, "x")
		w.expect(w.get("/a"), Hit, 200, "x")
	})
}

// TestCacheGroupsDuringFetch: a response that was asked for before the invalidation may tell of the time before it.
func TestCacheGroupsDuringFetch(t *testing.T) {
	var gate chan struct{}
	get := script(func(w http.ResponseWriter, _ *http.Request) {
		<-gate
		answer(w, 200, "before", "Cache-Control", "max-age=60", "Cache-Groups", `"x"`)
	}, always(200, "after", "Cache-Control", "max-age=60", "Cache-Groups", `"x"`))
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			answer(w, 200, "", "Cache-Group-Invalidation", `"x"`)
			return
		}
		get(w, r)
	}
	bubble(t, handler, func(w *world) {
		gate = make(chan struct{})
		before := w.begin("/a")
		time.Sleep(time.Second)
		w.do(http.MethodPost, "/b")
		time.Sleep(time.Second)
		after := w.begin("/a") // waits for the same fetch
		close(gate)
		w.expect(before.wait(), Miss, 200, "before")
		w.expect(after.wait(), Miss, 200, "after")
		w.expect(w.get("/a"), Hit, 200, "after")
	})
}
