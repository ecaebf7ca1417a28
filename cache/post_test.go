package cache

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/cache/store"
)

// TestPostIsStored asks with POST and then with GET. What the origin answered to POST is the body "posted".
func TestPostIsStored(t *testing.T) {
	for _, c := range []struct {
		name, path string
		method     string
		status     int
		fields     []string
		stored     bool
	}{
		{"RFC 9110 §9.3.3: fresh, and of the target", "/a", "POST", 200, []string{"Cache-Control", "max-age=60", "Content-Location", "/a"}, true},
		{"RFC 9110 §9.3.3: with Expires", "/a", "POST", 200, []string{"Expires", "Fri, 31 Dec 9999 23:59:59 GMT", "Content-Location", "/a"}, true},
		{"RFC 9110 §9.3.3: absolute", "/a?b=c", "POST", 200, []string{"Cache-Control", "max-age=60", "Content-Location", "http://SHOP.test/a?b=c"}, true},
		{"RFC 9110 §9.3.3: relative", "/a/b", "POST", 200, []string{"Cache-Control", "max-age=60", "Content-Location", "b"}, true},
		{"RFC 9110 §9.3.3: another URI", "/a", "POST", 200, []string{"Cache-Control", "max-age=60", "Content-Location", "/b"}, false},
		{"RFC 9110 §9.3.3: another query", "/a?b=c", "POST", 200, []string{"Cache-Control", "max-age=60", "Content-Location", "/a"}, false},
		{"RFC 9110 §9.3.3: another origin", "/a", "POST", 200, []string{"Cache-Control", "max-age=60", "Content-Location", "http://other.test/a"}, false},
		{"RFC 9110 §9.3.3: no Content-Location", "/a", "POST", 200, []string{"Cache-Control", "max-age=60"}, false},
		{"two of them", "/a", "POST", 200, []string{"Cache-Control", "max-age=60", "Content-Location", "/a", "Content-Location", "/a"}, false},
		{"RFC 9110 §9.3.3: only a heuristic", "/a", "POST", 200, []string{"Last-Modified", at(-1000 * time.Hour), "Content-Location", "/a"}, false},
		{"RFC 9110 §9.3.3: no freshness, but a validator", "/a", "POST", 200, []string{"Etag", `"a"`, "Content-Location", "/a"}, false},
		{"RFC 9111 §5.2.2.5: no-store", "/a", "POST", 200, []string{"Cache-Control", "no-store, max-age=60", "Content-Location", "/a"}, false},
		{"RFC 9110 §8.7: 201 describes something else", "/a", "POST", 201, []string{"Cache-Control", "max-age=60", "Content-Location", "/a"}, false},
		{"RFC 9110 §9.3.4: PUT isn't cacheable", "/a", "PUT", 200, []string{"Cache-Control", "max-age=60", "Content-Location", "/a"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			handler := func(w http.ResponseWriter, r *http.Request) {
				if r.Method == c.method {
					answer(w, c.status, "posted", c.fields...)
					return
				}
				answer(w, 200, "got")
			}
			bubble(t, handler, func(w *world) {
				c0 := w.do(c.method, c.path)
				w.expect(c0, Pass, c.status, "posted")
				if got := strings.Contains(c0.sent.Get("Cache-Status"), "; stored"); got != c.stored || c0.outcome.Stored != c.stored {
					t.Errorf("Cache-Status %q", c0.sent.Get("Cache-Status"))
				}
				if !c.stored {
					w.expect(w.get(c.path), Miss, 200, "got")
					return
				}
				hit := w.get(c.path)
				w.expect(hit, Hit, 200, "posted")
				if hit.sent.Get("Via") != "1.1 lisbon-1" {
					t.Errorf("Via %q", hit.sent.Get("Via"))
				}
				w.expect(w.do(http.MethodHead, c.path), Hit, 200, "")
				w.expect(w.do(c.method, c.path), Pass, 200, "posted") // RFC 9110 §9.3.3: never answered from the store
				w.expectSeen(2)
			})
		})
	}
}

// TestPostIsNotStoredUnder has policies under which a POST goes out with more than a GET would, which may have shaped the response.
func TestPostIsNotStoredUnder(t *testing.T) {
	for name, change := range map[string]func(p *Policy){
		"bypass":        func(p *Policy) { p.Bypass = "rule" },
		"query dropped": func(p *Policy) { p.Keys = &store.KeyPolicy{Site: "shop", DropQuery: true} },
		"query only":    func(p *Policy) { p.Keys = &store.KeyPolicy{Site: "shop", OnlyQuery: []string{"a"}} },
		"some cookies":  func(p *Policy) { p.Keys = &store.KeyPolicy{Site: "shop", Cookies: []string{}} },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, counted("Cache-Control", "max-age=60", "Content-Location", "/"), func(w *world) {
				change(&w.policy)
				w.do(http.MethodPost, "/")
				w.expectEmpty()
			})
		})
	}
	bubble(t, counted("Cache-Control", "max-age=60", "Content-Location", "/", "Set-Cookie", "a=b"), func(w *world) {
		w.do(http.MethodPost, "/") // a GET's rule may have another policy for cookies
		w.expectEmpty()
	})
	bubble(t, counted("Cache-Control", "max-age=60", "Content-Location", "/"), func(w *world) {
		w.policy.Keys = &store.KeyPolicy{Site: "shop", Headers: []string{"X-Country"}}
		w.do(http.MethodPost, "/", "X-Country", "pt")
		w.expect(w.get("/", "X-Country", "pt"), Hit, 200, "1")
		w.expect(w.get("/", "X-Country", "jp"), Miss, 200, "2")
	})
}

// TestPostBrokenOff: what isn't complete isn't stored.
func TestPostBrokenOff(t *testing.T) {
	for name, second := range map[string]func(w http.ResponseWriter){
		"an error": func(http.ResponseWriter) { panic(brokenOff{errors.New("reset")}) },
		"short":    func(http.ResponseWriter) {},
	} {
		t.Run(name, func(t *testing.T) {
			handler := func(w http.ResponseWriter, _ *http.Request) {
				setFields(w.Header(), []string{"Cache-Control", "max-age=60", "Content-Location", "/", "Content-Length", "9"})
				_, _ = w.Write([]byte("half"))
				second(w)
			}
			bubble(t, handler, func(w *world) {
				w.do(http.MethodPost, "/")
				w.expectEmpty()
			})
		})
	}
}

// TestPostTooLarge: the client gets all of it, and the store nothing.
func TestPostTooLarge(t *testing.T) {
	for _, length := range []string{"", "5000"} {
		handler := func(w http.ResponseWriter, _ *http.Request) {
			setFields(w.Header(), []string{"Cache-Control", "max-age=60", "Content-Location", "/"})
			if length != "" {
				w.Header().Set("Content-Length", length)
			}
			_, _ = w.Write([]byte(numbered(5000)))
		}
		bubbleWithStore(t, 1<<20, 4096, handler, func(w *world) {
			w.expect(w.do(http.MethodPost, "/"), Pass, 200, numbered(5000))
			w.expectEmpty()
		})
	}
}

func TestPurgeDuringPost(t *testing.T) {
	var gate chan struct{}
	handler := func(w http.ResponseWriter, _ *http.Request) {
		setFields(w.Header(), []string{"Cache-Control", "max-age=60", "Content-Location", "/", "Content-Length", "5"})
		_, _ = w.Write([]byte("who"))
		<-gate
		_, _ = w.Write([]byte("le"))
	}
	bubble(t, handler, func(w *world) {
		gate = make(chan struct{})
		c := w.start(newClient(), request(http.MethodPost, "/"))
		for c.got() == "" {
			time.Sleep(time.Second)
		}
		w.purge(store.NewKey(w.policy.Keys, "http", "shop.test", "/", ""))
		close(gate)
		w.expect(c.wait(), Pass, 200, "whole")
		w.expectEmpty()
	})
}
