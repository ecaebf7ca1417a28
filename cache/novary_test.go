package cache

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"
)

// echo answers with the query as body.
func echo(fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, "?"+r.URL.RawQuery, append([]string{"Cache-Control", "max-age=600"}, fields...)...)
	}
}

// TestNoVarySearch asks for /a with a query, and then with another one.
func TestNoVarySearch(t *testing.T) {
	for _, c := range []struct {
		name, rule    string
		first, second string
		hit           bool
	}{
		{"§5: a parameter that makes no difference", `params=("utm")`, "?a=1&utm=x", "?a=1&utm=y", true},
		{"§5: and is missing", `params=("utm")`, "?a=1&utm=x", "?a=1", true},
		{"§5: and was missing", `params=("utm")`, "", "?utm=x", true},
		{"§5: another one", `params=("utm")`, "?a=1&utm=x", "?a=2&utm=x", false},
		{"§5: all but some", `params, except=("a")`, "?a=1&b=2", "?c=3&a=1", true},
		{"§5: one of the some", `params, except=("a")`, "?a=1&b=2", "?a=2&b=2", false},
		{"§5: the order", `key-order`, "?a=1&b=2", "?b=2&a=1", true},
		{"§5: the order of one parameter's values", `key-order`, "?a=1&a=2", "?a=2&a=1", false},
		{"§5: the order counts without key-order", `params=("utm")`, "?a=1&b=2", "?b=2&a=1", false},
		{"§5.1: spelling", `params=("utm")`, "?a=x%20y", "?%61=x+y", true},
		{"§4.1: an invalid field", `params=utm`, "?a=1&utm=x", "?a=1&utm=y", false},
		{"what isn't UTF-8 is itself alone", `params=("utm")`, "?a=%f6&utm=x", "?a=%f6", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, echo("No-Vary-Search", c.rule), func(w *world) {
				w.expect(w.get("/a"+c.first), Miss, 200, "")
				w.expect(w.get("/a"+c.first), Hit, 200, "")
				second := w.get("/a" + c.second)
				if hit := second.outcome.Verdict == Hit; hit != c.hit {
					t.Errorf("%s (%s)", second.outcome.Verdict, second.outcome.Detail)
				}
				w.expect(w.do(http.MethodHead, "/a"+c.second), Hit, 200, "")
				w.expect(w.get("/b"+c.first), Miss, 200, "") // another path
			})
		})
	}
}

// TestNoVarySearchOfTheResponse: a response is good for what its own field says, whatever the path's other responses have.
func TestNoVarySearchOfTheResponse(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		var rule []string
		if r.URL.Query().Has("utm") {
			rule = []string{"No-Vary-Search", `params=("utm")`}
		}
		echo(rule...)(w, r)
	}
	bubble(t, handler, func(w *world) {
		w.expect(w.get("/?a=1"), Miss, 200, "?a=1") // has no rule
		w.expect(w.get("/?a=1&utm=x"), Miss, 200, "?a=1&utm=x")
		w.expect(w.get("/?a=1&utm=y"), Hit, 200, "?a=1&utm=x")
		w.expect(w.get("/?a=2"), Miss, 200, "?a=2") // has none either, and takes the path's away
		w.expect(w.get("/?a=2&utm=x"), Miss, 200, "?a=2&utm=x")
		w.expect(w.get("/?a=2"), Hit, 200, "?a=2&utm=x") // equivalent by that one's rule
	})
}

// TestNoVarySearchOfErrors: a response without the field is found by its own URL.
func TestNoVarySearchOfErrors(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("bad") {
			answer(w, 404, "none", "Cache-Control", "max-age=600")
			return
		}
		echo("No-Vary-Search", `params=("utm")`)(w, r)
	}
	bubble(t, handler, func(w *world) {
		w.get("/?a=1")
		w.expect(w.get("/?bad=1"), Miss, 404, "none")
		w.expect(w.get("/?bad=1"), Hit, 404, "none")
		w.expect(w.get("/?bad=1&utm=x"), Miss, 404, "none")
		w.expect(w.get("/?a=1&utm=x"), Hit, 200, "?a=1") // the path's rule is still known
	})
}

// TestNoVarySearchCollapse: requests that are equivalent share one fetch, unless its response says otherwise.
func TestNoVarySearchCollapse(t *testing.T) {
	for name, shared := range map[string]bool{`params=("utm")`: true, `params=("x")`: false, ``: false} {
		t.Run(name, func(t *testing.T) {
			rule := `params=("utm")`
			var gate chan struct{}
			handler := func(w http.ResponseWriter, r *http.Request) {
				<-gate
				echo("No-Vary-Search", rule)(w, r)
			}
			bubble(t, handler, func(w *world) {
				gate = make(chan struct{})
				learn := w.begin("/?a=0")
				close(gate)
				learn.wait()
				gate, rule = make(chan struct{}), name
				one, two := w.begin("/?a=1&utm=1"), w.begin("/?a=1&utm=2")
				w.expectSeen(2)
				close(gate)
				w.expect(one.wait(), Miss, 200, "?a=1&utm=1")
				if shared {
					w.expect(two.wait(), Collapsed, 200, "?a=1&utm=1")
				} else {
					w.expect(two.wait(), Miss, 200, "?a=1&utm=2")
				}
			})
		})
	}
}

func TestNoVarySearchAndTheQueryPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		keys store.KeyPolicy
		hit  bool
	}{
		"drop": {store.KeyPolicy{Site: "shop", DropQuery: true}, true},
		"only": {store.KeyPolicy{Site: "shop", OnlyQuery: []string{"utm"}}, true},
		"sort": {store.KeyPolicy{Site: "shop", SortQuery: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, echo("No-Vary-Search", `params=("utm")`), func(w *world) {
				w.policy.Keys = &c.keys
				w.get("/?utm=x&a=1")
				if hit := w.get("/?a=2&utm=y").outcome.Verdict == Hit; hit != c.hit {
					t.Errorf("hit: %t", hit)
				}
				w.expect(w.get("/?a=1&utm=z"), Hit, 200, "")
			})
		})
	}
}

// TestNoVarySearchUpdate: a 304 doesn't change which requests a stored response is for.
func TestNoVarySearchUpdate(t *testing.T) {
	handler := script(
		always(200, "x", "Cache-Control", "max-age=10", "Etag", `"a"`, "No-Vary-Search", `params=("utm")`),
		always(304, "", "Cache-Control", "max-age=60", "Etag", `"a"`, "No-Vary-Search", `params`),
	)
	bubble(t, handler, func(w *world) {
		w.get("/?a=1")
		time.Sleep(11 * time.Second)
		w.expect(w.get("/?a=1&utm=x"), Revalidated, 200, "x")
		hit := w.get("/?a=1&utm=y")
		w.expect(hit, Hit, 200, "x")
		if got := hit.sent.Get("No-Vary-Search"); got != `params=("utm")` {
			t.Errorf("No-Vary-Search: %s", got)
		}
	})
}

// TestNoVarySearchPurge purges URLs whose responses came for other URLs, and while rules change.
func TestNoVarySearchPurge(t *testing.T) {
	rule := `params=("utm")`
	handler := func(w http.ResponseWriter, r *http.Request) { echo("No-Vary-Search", rule)(w, r) }
	bubble(t, handler, func(w *world) {
		purge := func(query string) int {
			return w.purge(store.NewKey(w.policy.Keys, "http", "shop.test", "/", query))
		}
		w.get("/?a=1&utm=x")
		if n := purge("utm=y&a=1"); n != 1 {
			t.Errorf("%d purged", n)
		}
		w.expectEmpty()

		w.get("/?a=1&utm=x")
		rule = "params"
		w.get("/?a=2") // now the rule is another one
		time.Sleep(time.Second)
		purge("a=1&utm=y")
		time.Sleep(time.Second)
		rule = `params=("utm")`
		w.get("/?a=3") // and now the first again
		seen := w.up.seen()
		w.get("/?a=1&utm=x")
		w.expectSeen(seen + 1) // what was stored before the purge is still there, and needs validation
		w.do(http.MethodPost, "/?a=1&utm=z")
		time.Sleep(time.Second)
		w.expect(w.get("/?a=1"), Miss, 200, "?a=1") // RFC 9111 §4.4
	})
}

func TestNoVarySearchPurgeDuringFetch(t *testing.T) {
	var gate chan struct{}
	handler := func(w http.ResponseWriter, r *http.Request) {
		<-gate
		echo("No-Vary-Search", `params=("utm")`)(w, r)
	}
	bubble(t, handler, func(w *world) {
		gate = make(chan struct{})
		c := w.begin("/?a=1&utm=x")
		time.Sleep(time.Second)
		w.purge(store.NewKey(w.policy.Keys, "http", "shop.test", "/", "a=1"))
		time.Sleep(time.Second)
		close(gate)
		c.wait()
		synctest.Wait()
		w.expect(w.get("/?a=1"), Miss, 200, "?a=1")
		w.expect(w.get("/?a=1&utm=z"), Hit, 200, "?a=1")
	})
}

// TestNoVarySearchKeys: what has a rule never stands under a key that a URL makes.
func TestNoVarySearchKeys(t *testing.T) {
	bubble(t, echo("No-Vary-Search", `params=("utm")`), func(w *world) {
		w.get("/?a=1&utm=x")
		for _, query := range []string{"a=1", "a=1&utm=x"} {
			key := store.NewKey(w.policy.Keys, "http", "shop.test", "/", query)
			if _, ok := w.cache.LookupHit(key, field.Header{}, &w.policy, time.Now()); ok {
				t.Errorf("found by %q", query)
			}
		}
	})
}

func TestSearchesAreBounded(t *testing.T) {
	s := newSearches()
	rule := field.NoVarySearch([]string{"params"})
	for n := range 2 * searchesMax {
		s.set(strings.Repeat("x", n%100)+string(rune(n)), rule)
	}
	if len(s.rules) > searchesMax {
		t.Errorf("%d rules", len(s.rules))
	}
	s.set("a", rule)
	if got := s.of("a"); got.IsDefault() {
		t.Error("the last one isn't there")
	}
	s.set("a", field.Search{})
	if got := s.of("a"); !got.IsDefault() || s.n.Load() != int64(len(s.rules)) {
		t.Error("it doesn't go away")
	}
}
