package cache

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/fault"
)

func TestRevalidation(t *testing.T) {
	handler := script(
		func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 200, "body", "Cache-Control", "max-age=10", "Etag", `"a"`, "Last-Modified", httpDate(-time.Hour),
				"Content-Type", "text/plain",
				"X-Changes", "old", "X-Stays", "old", "Age", "3", "Via", "1.1 other", "Content-Encoding", "gzip", "Vary", "X")
		},
		func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") != `"a"` || r.Header.Get("If-Modified-Since") == "" { // RFC 9111 §4.3.1
				t.Errorf("asked with %v", r.Header)
			}
			answer(w, 304, "", "Cache-Control", "max-age=20", "Etag", `"a"`, "X-Changes", "new", "X-New", "new", "Content-Length", "99",
				"Content-Encoding", "br", "Connection", "X-Hop", "X-Hop", "1", "Via", "1.1 nearer")
		},
	)
	bubble(t, handler, func(w *world) {
		w.expect(w.get("/"), Miss, 200, "body")
		time.Sleep(15 * time.Second)
		c := w.get("/", "If-None-Match", `"other"`, "Range", "bytes=0-0", "If-Range", `"other"`)
		w.expect(c, Revalidated, 200, "body")
		if status, want := c.sent.Get("Cache-Status"), "lisbon-1; fwd=stale; fwd-status=304; ttl=20"; status != want {
			t.Errorf("Cache-Status %q, want %q", status, want)
		}
		hit := w.get("/")
		w.expect(hit, Hit, 200, "body")
		for name, want := range map[string]string{
			"X-Changes": "new", "X-New": "new", "Cache-Control": "max-age=20", "Date": httpDate(0), // RFC 9111 §3.2: replaced
			"X-Stays": "old", "Content-Type": "text/plain", "Etag": `"a"`, // as they were
			"Content-Length": "4", "Content-Encoding": "gzip", "Vary": "X", // RFC 9111 §3.2: of the stored bytes
			"X-Hop": "", "Connection": "", // RFC 9110 §7.6.1
			"Age": "0", "Via": "1.1 nearer, 1.1 lisbon-1",
		} {
			if got := strings.Join(hit.sent[name], "|"); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		time.Sleep(19 * time.Second)
		w.expect(w.get("/"), Hit, 200, "body")
		w.expectSeen(2)
	})
}

func TestRevalidationFindsAnother(t *testing.T) {
	for _, c := range []struct {
		name   string
		second http.HandlerFunc
		stored bool
	}{
		{"a new one", always(200, "new", "Cache-Control", "max-age=60", "Etag", `"b"`), true},
		{"one that may not be stored", always(200, "new", "Cache-Control", "no-store"), false},
		{"it has gone", always(404, "new", "Cache-Control", "no-store"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, script(always(200, "old", "Cache-Control", "max-age=10", "Etag", `"a"`), c.second), func(w *world) {
				w.get("/")
				time.Sleep(11 * time.Second)
				if second := w.get("/"); second.got() != "new" || second.outcome.Verdict != Miss {
					t.Errorf("%s %q", second.outcome.Verdict, second.got())
				}
				if c.stored {
					w.expect(w.get("/"), Hit, 200, "new")
					return
				}
				w.expectEmpty() // RFC 9111 §4.3.3: the old one isn't so any more
			})
		})
	}
}

// TestRevalidationForbids is about a 304 that says that the response may not be kept any more.
func TestRevalidationForbids(t *testing.T) {
	handler := script(always(200, "x", "Cache-Control", "max-age=10", "Etag", `"a"`), always(304, "", "Cache-Control", "no-store"))
	bubble(t, handler, func(w *world) {
		w.get("/")
		time.Sleep(11 * time.Second)
		w.expect(w.get("/"), Revalidated, 200, "x")
		w.expectEmpty() // RFC 9111 §5.2.2.5
	})
}

// TestRevalidationByPrivateRequest is about a 304 to a request whose response may not be stored.
func TestRevalidationByPrivateRequest(t *testing.T) {
	for name, field := range map[string][]string{
		"RFC 9111 §3.5":     {"Authorization", "Basic a"},
		"RFC 9111 §5.2.1.5": {"Cache-Control", "no-store"},
	} {
		t.Run(name, func(t *testing.T) {
			handler := script(always(200, "x", "Cache-Control", "max-age=10", "Etag", `"a"`),
				always(304, "", "Cache-Control", "max-age=60", "X-User", "a"))
			bubble(t, handler, func(w *world) {
				w.get("/")
				time.Sleep(11 * time.Second)
				w.expect(w.get("/", field...), Revalidated, 200, "x")
				next := w.get("/")
				w.expect(next, Revalidated, 200, "x")
				if w.store.Usage().Responses != 1 {
					t.Error("the stored response has gone")
				}
				w.expectSeen(3)
			})
		})
	}
}

// TestRevalidationWithAnotherEtag is about an origin that answers 304 to the one entity-tag that it was asked about, and names
// another one: the stored response is current and keeps its own.
func TestRevalidationWithAnotherEtag(t *testing.T) {
	handler := script(
		always(200, "old", "Cache-Control", "max-age=10", "Etag", `"a"`),
		always(304, "", "Cache-Control", "max-age=20", "Etag", `"b"`),
	)
	bubble(t, handler, func(w *world) {
		w.get("/")
		time.Sleep(11 * time.Second)
		w.expect(w.get("/"), Revalidated, 200, "old")
		hit := w.get("/")
		w.expect(hit, Hit, 200, "old")
		if got := hit.sent.Get("Etag"); got != `"a"` {
			t.Errorf("Etag %s, want that of the stored bytes", got)
		}
		w.expectSeen(2)
	})
}

func TestUnaskedFor304(t *testing.T) {
	bubble(t, always(304, "", "Etag", `"a"`), func(w *world) {
		c := w.get("/")
		w.expect(c, Failed, 0, "")
		if f := fault.Of(c.outcome.Err); f.Party != fault.Origin || f.Status != http.StatusBadGateway {
			t.Errorf("%v", c.outcome.Err)
		}
	})
}

func TestNoCacheIsValidatedEachTime(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == `"a"` {
			answer(w, 304, "", "Cache-Control", "no-cache, max-age=60")
			return
		}
		answer(w, 200, "x", "Cache-Control", "no-cache, max-age=60", "Etag", `"a"`)
	}
	bubble(t, handler, func(w *world) {
		w.expect(w.get("/"), Miss, 200, "x")
		for range 3 {
			w.expect(w.get("/"), Revalidated, 200, "x") // RFC 9111 §5.2.2.4
		}
		w.expectSeen(4)
	})
}

func TestHead(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60", "Etag", `"a"`), func(w *world) {
		w.expect(w.do(http.MethodHead, "/"), Miss, 200, "")
		w.expectEmpty()
		w.expect(w.get("/"), Miss, 200, "2")
		head := w.do(http.MethodHead, "/")
		w.expect(head, Hit, 200, "")
		if head.got() != "" || head.sent.Get("Content-Length") != "1" {
			t.Errorf("body %q, Content-Length %q", head.got(), head.sent.Get("Content-Length"))
		}
		w.expect(w.do(http.MethodHead, "/", "If-None-Match", `"a"`), Hit, 304, "")
		w.expect(w.do(http.MethodHead, "/", "Range", "bytes=0-0"), Hit, 200, "") // RFC 9110 §14.2: Range is for GET
		w.expectSeen(2)
	})
}

func TestHeadUpdatesStored(t *testing.T) {
	for _, c := range []struct {
		name string
		head []string
		kept bool
	}{
		{"the same", []string{"Etag", `"a"`, "Content-Length", "4"}, true},
		{"nothing to compare", nil, true},
		{"another Etag", []string{"Etag", `"b"`}, false},
		{"another length", []string{"Etag", `"a"`, "Content-Length", "5"}, false},
		{"now no-store", []string{"Etag", `"a"`, "Cache-Control", "no-store"}, false},
	} {
		t.Run(c.name, func(t *testing.T) { // RFC 9111 §4.3.5
			handler := func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					answer(w, 200, "body", "Cache-Control", "max-age=10", "Etag", `"a"`)
					return
				}
				setFields(w.Header(), append([]string{"Cache-Control", "max-age=60", "X-New", "1"}, c.head...))
				if cc := w.Header()["Cache-Control"]; len(cc) == 2 {
					w.Header()["Cache-Control"] = cc[1:]
				}
			}
			bubble(t, handler, func(w *world) {
				w.get("/")
				time.Sleep(11 * time.Second)
				w.expect(w.do(http.MethodHead, "/"), Miss, 200, "")
				if !c.kept {
					w.expectEmpty()
					return
				}
				hit := w.get("/")
				w.expect(hit, Hit, 200, "body")
				if hit.sent.Get("X-New") != "1" {
					t.Error("the stored response has not been updated")
				}
			})
		})
	}
}

// TestHeadOfPrivateRequest is about a HEAD whose response may not be stored: it changes nothing.
func TestHeadOfPrivateRequest(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, "body", "Cache-Control", "max-age=10", "Etag", `"a"`, "X-User", r.Header.Get("Authorization"))
	}
	bubble(t, handler, func(w *world) {
		w.get("/")
		for _, field := range [][]string{{"Authorization", "me"}, {"Cache-Control", "no-store"}} {
			w.do(http.MethodHead, "/", append(field, "Cache-Control", "no-cache")...)
			if hit := w.get("/"); hit.outcome.Verdict != Hit || hit.sent.Get("X-User") != "" {
				t.Errorf("after %v: %s, %v", field, hit.outcome.Verdict, hit.sent)
			}
		}
	})
}
