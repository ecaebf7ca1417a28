package cache

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/wherry/wherry/cache/store"
)

// TestInvalidation has /a, /b and /c stored, sends an unsafe request to /a, and looks what of them is still there.
func TestInvalidation(t *testing.T) {
	for _, c := range []struct {
		name, method string
		status       int
		fields       []string
		gone         string // the paths that are dropped
	}{
		{"RFC 9111 §4.4: POST", "POST", 200, nil, "/a"},
		{"RFC 9111 §4.4: PUT", "PUT", 204, nil, "/a"},
		{"RFC 9111 §4.4: DELETE", "DELETE", 200, nil, "/a"},
		{"RFC 9111 §4.4: an unknown method", "FROB", 200, nil, "/a"},
		{"RFC 9110 §9.2.1: OPTIONS is safe", "OPTIONS", 200, nil, ""},
		{"RFC 9111 §4.4: a redirection is no error", "POST", 303, nil, "/a"},
		{"RFC 9111 §4.4: a client error", "POST", 404, nil, ""},
		{"RFC 9111 §4.4: a server error", "POST", 500, []string{"Location", "/b"}, ""},
		{"RFC 9111 §4.4: Location", "POST", 201, []string{"Location", "/b"}, "/a /b"},
		{"RFC 9111 §4.4: Location, relative", "POST", 201, []string{"Location", "b"}, "/a /b"},
		{"RFC 9111 §4.4: Location, absolute", "POST", 201, []string{"Location", "http://SHOP.test/b"}, "/a /b"},
		{"RFC 9111 §4.4: Content-Location", "POST", 200, []string{"Content-Location", "/b"}, "/a /b"},
		{"RFC 9111 §4.4: both", "POST", 201, []string{"Location", "/b", "Content-Location", "/c"}, "/a /b /c"},
		{"RFC 9111 §4.4: Location of another host", "POST", 201, []string{"Location", "http://other.test/b"}, "/a"},
		{"RFC 9111 §4.4: Location of another port", "POST", 201, []string{"Location", "http://shop.test:81/b"}, "/a"},
		{"RFC 9111 §4.4: Location of another scheme", "POST", 201, []string{"Location", "https://shop.test/b"}, "/a"},
		{"RFC 9111 §4.4: Location that is none", "POST", 201, []string{"Location", "http://[/b"}, "/a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			handler := func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					answer(w, 200, "x", "Cache-Control", "max-age=60")
					return
				}
				answer(w, c.status, "", c.fields...)
			}
			bubble(t, handler, func(w *world) {
				paths := []string{"/a", "/b", "/c"}
				for _, path := range paths {
					w.get(path)
				}
				w.expect(w.do(c.method, "/a"), Pass, c.status, "")
				var gone []string
				for _, path := range paths {
					if w.get(path).outcome.Verdict != Hit {
						gone = append(gone, path)
					}
				}
				if got := strings.Join(gone, " "); got != c.gone {
					t.Errorf("%q dropped, want %q", got, c.gone)
				}
			})
		})
	}
}

// TestInvalidationByBypassed: what the cache isn't to answer may still change what it has stored (RFC 9111 §4.4).
func TestInvalidationByBypassed(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60"), func(w *world) {
		w.get("/")
		w.policy.Bypass = "rule"
		w.do(http.MethodPost, "/")
		w.policy.Bypass = ""
		w.expect(w.get("/"), Miss, 200, "3")
	})
}

// TestInvalidationUnderAnotherKey has a rule that gives unsafe requests another key than the GET's (RFC 9111 §4.4).
func TestInvalidationUnderAnotherKey(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60"), func(w *world) {
		ofGet := w.policy.Keys
		w.get("/")
		w.policy.Keys = &store.KeyPolicy{Site: "shop", IgnoreHost: true}
		w.policy.Stored = func(path, query string) []store.Key {
			return []store.Key{store.NewKey(ofGet, "http", "shop.test", path, query)}
		}
		w.do(http.MethodPost, "/")
		w.policy.Keys = ofGet
		w.expect(w.get("/"), Miss, 200, "3")
	})
}

func TestPurge(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60", "Vary", "Accept"), func(w *world) {
		key := func(path string) store.Key { return store.NewKey(w.policy.Keys, "http", "shop.test", path, "") }
		w.get("/a", "Accept", "1")
		w.get("/a", "Accept", "2")
		w.get("/b")
		if n := w.purge(key("/none")); n != 0 {
			t.Errorf("%d purged of nothing", n)
		}
		if n := w.purge(key("/a")); n != 2 {
			t.Errorf("%d purged, want both variants", n)
		}
		w.expect(w.get("/b"), Hit, 200, "3")
		if n := w.purgeAll(); n != 1 {
			t.Errorf("%d purged, want 1", n)
		}
		w.expectEmpty()
	})
}

// TestPurgeDuringFetch purges before the header section, in the middle of the body, and while a 304 is on its way.
func TestPurgeDuringFetch(t *testing.T) {
	for _, c := range []struct {
		name   string
		stored bool
		header bool // the header section has come
		purge  func(w *world)
	}{
		{
			"Purge before the header section",
			false, false, func(w *world) { w.purge(store.NewKey(w.policy.Keys, "http", "shop.test", "/", "")) },
		},
		{"Purge in the body", false, true, func(w *world) { w.purge(store.NewKey(w.policy.Keys, "http", "shop.test", "/", "")) }},
		{"PurgeFunc in the body", false, true, func(w *world) { w.purgeAll() }},
		{"POST in the body", false, true, func(w *world) { w.do(http.MethodPost, "/") }},
		{"Purge before a 304", true, false, func(w *world) { w.purge(store.NewKey(w.policy.Keys, "http", "shop.test", "/", "")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var gate chan struct{}
			handler := func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method != http.MethodGet:
					answer(w, 200, "")
					return
				case gate == nil:
					answer(w, 200, "whole", "Cache-Control", "no-cache", "Etag", `"a"`)
					return
				case c.header:
					setFields(w.Header(), []string{"Cache-Control", "max-age=60", "Content-Length", "5"})
					w.WriteHeader(200)
				}
				<-gate
				if r.Header.Get("If-None-Match") != "" {
					answer(w, 304, "", "Cache-Control", "max-age=60")
					return
				}
				answer(w, 200, "whole", "Cache-Control", "max-age=60")
			}
			bubble(t, handler, func(w *world) {
				if c.stored {
					w.get("/")
				}
				gate = make(chan struct{})
				before := w.begin("/")
				c.purge(w)
				seen := w.up.seen()
				after := w.begin("/")
				w.expectSeen(seen + 1) // who comes after a purge doesn't join what began before
				close(gate)
				if before.wait().got() != "whole" || before.outcome.Err != nil {
					t.Errorf("%q, %v", before.got(), before.outcome.Err)
				}
				w.expect(after.wait(), Miss, 200, "whole")
				synctest.Wait()
				w.expect(w.get("/"), Hit, 200, "whole") // what came after
			})
			bubble(t, handler, func(w *world) {
				gate = nil
				if c.stored {
					w.get("/")
				}
				gate = make(chan struct{})
				before := w.begin("/")
				c.purge(w)
				close(gate)
				before.wait()
				synctest.Wait()
				w.expectEmpty()
			})
		})
	}
}

// TestPurgeRace purges while fetches end. What is stored after the last purge of its key would be a response from before it.
func TestPurgeRace(t *testing.T) {
	for range 200 {
		bubble(t, always(200, "x", "Cache-Control", "max-age=60"), func(w *world) {
			key := store.NewKey(w.policy.Keys, "http", "shop.test", "/", "")
			var group sync.WaitGroup
			for range 4 {
				w.start(newClient(), request(http.MethodGet, "/"))
			}
			for range 2 {
				group.Go(func() {
					for w.up.seen() == 0 {
						w.purge(key) // also before, so that the two meet anywhere
					}
					w.purge(key)
				})
			}
			group.Wait()
			began := w.up.seen()
			w.purge(key)
			synctest.Wait()
			if w.up.seen() == began && len(w.store.Lookup(key)) != 0 {
				t.Fatal("a response that was fetched before the purge is stored")
			}
		})
	}
}
