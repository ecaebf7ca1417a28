package cache

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/cache/store"
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

// TestRevalidationIdentifies is about which 304 updates the stored response; one that doesn't makes the cache ask for the whole.
func TestRevalidationIdentifies(t *testing.T) {
	for _, c := range []struct {
		name                          string
		storedTag, storedDate         string
		updateTag, updateLastModified string
		about                         bool
	}{
		{"RFC 9111 §4.3.4: the same strong tag", `"a"`, "", `"a"`, "", true},
		{"RFC 9111 §4.3.4: the same strong tag and another date", `"a"`, at(0), `"a"`, at(1), true},
		{"RFC 9111 §4.3.4: another strong tag", `"a"`, "", `"b"`, "", false},
		{"RFC 9111 §4.3.4: another strong tag and the same date", `"a"`, at(0), `"b"`, at(0), false},
		{"RFC 9111 §4.3.4: a strong tag, stored without", "", at(0), `"a"`, at(0), false},
		{"RFC 9111 §4.3.4: a strong tag, the stored one is weak", `W/"a"`, "", `"a"`, "", false},
		{"RFC 9111 §4.3.4: the same weak tag", `W/"a"`, "", `W/"a"`, "", true},
		{"RFC 9111 §4.3.4: a weak tag, the stored one is strong", `"a"`, "", `W/"a"`, "", true},
		{"RFC 9111 §4.3.4: another weak tag", `W/"a"`, "", `W/"b"`, "", false},
		{"RFC 9111 §4.3.4: the same date", "", at(0), "", at(0), true},
		{"RFC 9111 §4.3.4: another date", "", at(0), "", at(time.Second), false},
		{"RFC 9111 §4.3.4: no validator, a tag is stored", `"a"`, "", "", "", true},
		{"RFC 9111 §4.3.4: no validator, a date is stored", "", at(0), "", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := func(h http.Header, tag, date string) {
				if tag != "" {
					h.Set("Etag", tag)
				}
				if date != "" {
					h.Set("Last-Modified", date)
				}
			}
			handler := func(w http.ResponseWriter, r *http.Request) {
				if r.Header["If-None-Match"] == nil && r.Header["If-Modified-Since"] == nil {
					set(w.Header(), c.storedTag, c.storedDate)
					answer(w, 200, "x", "Cache-Control", "max-age=10", "X-Of", "200")
					return
				}
				set(w.Header(), c.updateTag, c.updateLastModified)
				answer(w, 304, "", "Cache-Control", "max-age=20", "X-Of", "304")
			}
			bubble(t, handler, func(w *world) {
				w.get("/")
				time.Sleep(11 * time.Second)
				if c.about {
					w.expect(w.get("/"), Revalidated, 200, "x")
				} else {
					second := w.get("/")
					w.expect(second, Miss, 200, "x")
					if second.outcome.FetchStatus != 200 || !strings.Contains(second.outcome.CacheStatus, "fwd=stale; fwd-status=200") {
						t.Errorf("%+v", second.outcome)
					}
				}
				hit := w.get("/")
				w.expect(hit, Hit, 200, "x")
				if got := hit.sent.Get("X-Of") == "304"; got != c.about {
					t.Errorf("updated: %t, want %t", got, c.about)
				}
			})
		})
	}
}

// TestRevalidationThatNeverEnds is about an origin that answers 304 whatever it is asked.
func TestRevalidationThatNeverEnds(t *testing.T) {
	handler := script(always(200, "x", "Cache-Control", "max-age=10", "Etag", `"a"`), always(304, "", "Etag", `"b"`))
	bubble(t, handler, func(w *world) {
		w.get("/")
		time.Sleep(11 * time.Second)
		w.expect(w.get("/"), Failed, 0, "")
		w.expectSeen(3)
	})
}

// TestRevalidationUpdatesTwins has two stored responses that a request may select, because Vary has changed in between, and that
// have one strong validator.
func TestRevalidationUpdatesTwins(t *testing.T) {
	for _, c := range []struct {
		name, tag string
		updated   bool
	}{
		{"RFC 9111 §4.3.4: the same strong tag", `"a"`, true},
		{"RFC 9111 §4.3.4: of those with a weak one the most recent", `W/"a"`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			handler := script(
				always(200, "x", "Cache-Control", "max-age=10", "Etag", c.tag, "Vary", "A"),
				always(200, "x", "Cache-Control", "max-age=10", "Etag", c.tag, "Vary", "B"),
				always(304, "", "Cache-Control", "max-age=60", "Etag", c.tag),
			)
			bubble(t, handler, func(w *world) {
				w.get("/", "A", "1", "B", "1")
				time.Sleep(2 * time.Second)
				w.get("/", "A", "2", "B", "2") // not for A: 1
				time.Sleep(12 * time.Second)
				key := store.NewKey(w.policy.Keys, "http", "shop.test", "/", "")
				w.expect(w.get("/", "A", "1", "B", "2"), Revalidated, 200, "x")
				for _, r := range w.store.Lookup(key) {
					if fresh := r.Fresh.Left(time.Now()) > 0; fresh != (c.updated || r.Header.Get("Vary") == "B") {
						t.Errorf("that with Vary: %s is fresh: %t", r.Header.Get("Vary"), fresh)
					}
				}
			})
		})
	}
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
		{"a length that is none", []string{"Etag", `"a"`, "Content-Length", "x"}, false},
		{"a validator that isn't stored", []string{"Etag", `"a"`, "Last-Modified", at(0)}, false},
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

// TestHeadUpdatesParts compares with the length of all of a response that is stored in parts (RFC 9111 §4.3.5).
func TestHeadUpdatesParts(t *testing.T) {
	content := numbered(20_000)
	handler := func(w http.ResponseWriter, r *http.Request) {
		lifetime := "max-age=10"
		if r.Method == http.MethodHead {
			lifetime = "max-age=60"
		}
		answer(w, 200, content, "Cache-Control", lifetime, "Etag", `"a"`)
	}
	bubbleWithStore(t, 1<<20, 8<<10, handler, func(w *world) {
		w.expect(w.get("/"), Miss, 200, content)
		time.Sleep(11 * time.Second)
		w.do(http.MethodHead, "/")
		w.expect(w.get("/"), Hit, 200, content)
	})
}

func TestCondition(t *testing.T) {
	for _, c := range []struct {
		name           string
		stored         http.Header
		match, changed string
	}{
		{"RFC 9111 §4.3.1: both", fields("Etag", `W/"a"`, "Last-Modified", at(-time.Hour)), `W/"a"`, at(-time.Hour)},
		{"RFC 9111 §4.3.1: tag", fields("Etag", `"a"`), `"a"`, ""},
		{"RFC 9111 §4.3.1: date", fields("Last-Modified", at(-time.Hour)), "", at(-time.Hour)},
		{"neither", fields(), "", ""},
	} {
		h := http.Header{}
		condition(h, storedAt(nil, c.stored))
		if h.Get("If-None-Match") != c.match || h.Get("If-Modified-Since") != c.changed {
			t.Errorf("%s: %v", c.name, h)
		}
	}
}
