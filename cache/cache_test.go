package cache

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/trace"
)

func TestMissThenHit(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60", "Content-Type", "text/plain"), func(w *world) {
		first := w.get("/a")
		w.expect(first, Miss, 200, "1")
		if first.sent["Age"] != nil || !first.outcome.Stored || first.outcome.FetchStatus != 200 {
			t.Errorf("Age %q, %+v", first.sent["Age"], first.outcome)
		}
		time.Sleep(59 * time.Second)
		hit := w.get("/a")
		w.expect(hit, Hit, 200, "1")
		for name, want := range map[string]string{
			"Age": "59", "Content-Length": "1", "Content-Type": "text/plain", "Via": "1.1 lisbon-1",
			"Cache-Status": "lisbon-1; hit; ttl=1", "Date": httpDate(-59 * time.Second),
		} {
			if got := strings.Join(hit.sent[name], "|"); got != want {
				t.Errorf("%s: %q, want %q", name, got, want) // RFC 9111 §5.1, RFC 9110 §7.6.3, §6.6.1, RFC 9211
			}
		}
		w.expectSeen(1)
		time.Sleep(time.Second)
		w.expect(w.get("/a"), Miss, 200, "2")
		w.expect(w.get("/b"), Miss, 200, "3")
	})
}

func TestAgeOfUpstreamCaches(t *testing.T) {
	slow := func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(3 * time.Second)
		answer(w, 200, "x", "Cache-Control", "max-age=60", "Age", "20", "Date", httpDate(-20*time.Second))
	}
	bubble(t, slow, func(w *world) {
		if first := w.get("/"); first.sent.Get("Age") != "20" {
			t.Errorf("what is fetched has Age %q", first.sent.Get("Age"))
		}
		time.Sleep(10 * time.Second)
		hit := w.get("/")
		w.expect(hit, Hit, 200, "x")
		if got := hit.sent.Get("Age"); got != "33" { // RFC 9111 §4.2.3: 20 + 3 + 10
			t.Errorf("Age %q, want 33", got)
		}
		time.Sleep(27 * time.Second)
		w.expect(w.get("/"), Miss, 200, "x")
	})
}

// TestRequestDirectivesReuse asks for a response of lifetime 60 s when it has some age.
func TestRequestDirectivesReuse(t *testing.T) {
	for _, c := range []struct {
		name, cacheControl string
		wait               time.Duration
		verdict            Verdict
		status             int
		body               string
	}{
		{"none", "", 10, Hit, 200, "1"},
		{"RFC 9111 §5.2.1.4", "no-cache", 10, Miss, 200, "2"},
		{"RFC 9111 §5.2.1.1", "max-age=9", 10, Miss, 200, "2"},
		{"RFC 9111 §5.2.1.1", "max-age=10", 10, Hit, 200, "1"},
		{"RFC 9111 §5.2.1.3", "min-fresh=51", 10, Miss, 200, "2"},
		{"RFC 9111 §5.2.1.3", "min-fresh=50", 10, Hit, 200, "1"},
		{"RFC 9111 §5.2.1.2", "max-stale=10", 70, Stale, 200, "1"},
		{"RFC 9111 §5.2.1.2", "max-stale=9", 70, Miss, 200, "2"},
		{"RFC 9111 §5.2.1.5: what is stored may be sent", "no-store", 10, Hit, 200, "1"},
		{"RFC 9111 §5.2.1.7", "only-if-cached", 10, Hit, 200, "1"},
	} {
		t.Run(c.name+" "+c.cacheControl, func(t *testing.T) {
			bubble(t, counted("Cache-Control", "max-age=60"), func(w *world) {
				w.expect(w.get("/"), Miss, 200, "1")
				time.Sleep(c.wait * time.Second)
				w.expect(w.get("/", "Cache-Control", c.cacheControl), c.verdict, c.status, c.body)
			})
		})
	}
}

func TestOnlyIfCached(t *testing.T) {
	bubble(t, counted(), func(w *world) {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			c := w.do(method, "/", "Cache-Control", "only-if-cached")
			w.expect(c, Failed, 0, "")
			if f := fault.Of(c.outcome.Err); f == nil || f.Status != http.StatusGatewayTimeout || f.Party != fault.Client {
				t.Errorf("RFC 9111 §5.2.1.7: %v", c.outcome.Err)
			}
			if c.outcome.CacheStatus == "" {
				t.Error("no Cache-Status for the error page")
			}
		}
		w.expectSeen(0)
	})
}

func TestRequestNoStore(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60", "Etag", `"a"`), func(w *world) {
		w.expect(w.get("/", "Cache-Control", "no-store"), Miss, 200, "1")
		w.expectEmpty() // RFC 9111 §5.2.1.5
		w.expect(w.get("/"), Miss, 200, "2")
		w.expect(w.get("/", "Cache-Control", "no-store, no-cache"), Miss, 200, "3")
		w.expect(w.get("/"), Hit, 200, "2") // what is stored stays
	})
}

// TestRequestNoStoreAsSent: nobody can share the answer, so the conditions and the range go along.
func TestRequestNoStoreAsSent(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60"), func(w *world) {
		w.get("/", "Cache-Control", "no-store", "Range", "bytes=0-1", "If-None-Match", `"x"`)
		w.expectSeen(1)
		if h := w.up.request(0).Header; h.Get("Range") == "" || h.Get("If-None-Match") == "" {
			t.Errorf("asked with %v", h)
		}
	})
}

func TestAuthorization(t *testing.T) {
	for _, c := range []struct {
		cacheControl string
		shared       bool
	}{
		{"max-age=60", false}, {"max-age=60, public", true}, {"max-age=60, must-revalidate", true}, {"s-maxage=60", true},
	} {
		t.Run(c.cacheControl, func(t *testing.T) { // RFC 9111 §3.5
			bubble(t, counted("Cache-Control", c.cacheControl), func(w *world) {
				w.expect(w.get("/", "Authorization", "Basic a"), Miss, 200, "1")
				second := w.get("/", "Authorization", "Basic b")
				if c.shared {
					w.expect(second, Hit, 200, "1")
					w.expect(w.get("/"), Hit, 200, "1")
					return
				}
				w.expect(second, Miss, 200, "2")
				w.expectEmpty()
				w.expect(w.get("/"), Miss, 200, "3")
				// What was stored without Authorization may answer one with it.
				w.expect(w.get("/", "Authorization", "Basic a"), Hit, 200, "3")
			})
		})
	}
}

func TestFieldsForOneUser(t *testing.T) {
	for _, directive := range []string{"private", "no-cache"} {
		t.Run(directive, func(t *testing.T) {
			handler := always(200, "x", "Cache-Control", "max-age=60, "+directive+`="set-cookie, x-user"`, "Set-Cookie",
				"a=b", "X-User", "me", "X-All", "us")
			bubble(t, handler, func(w *world) {
				if first := w.get("/"); first.sent.Get("Set-Cookie") != "a=b" || first.sent.Get("X-User") != "me" {
					t.Errorf("the first client gets %v", first.sent)
				}
				hit := w.get("/")
				w.expect(hit, Hit, 200, "x")
				if hit.sent["Set-Cookie"] != nil || hit.sent["X-User"] != nil || hit.sent.Get("X-All") != "us" {
					t.Errorf("RFC 9111 §5.2.2.4, §5.2.2.7: the second client gets %v", hit.sent)
				}
			})
		})
	}
}

func TestConnectionFieldsAreNotStored(t *testing.T) {
	handler := always(200, "x", "Cache-Control", "max-age=60", "Connection", "X-Hop", "X-Hop", "1", "Keep-Alive", "timeout=5",
		"Proxy-Authenticate", "Basic", "X-End", "2")
	bubble(t, handler, func(w *world) {
		for range 2 {
			c := w.get("/", "Connection", "X-Ask", "X-Ask", "1", "TE", "trailers")
			for _, name := range []string{"Connection", "X-Hop", "Keep-Alive", "Proxy-Authenticate"} {
				if c.sent[name] != nil {
					t.Errorf("%s: %s is sent on", c.outcome.Verdict, name) // RFC 9110 §7.6.1
				}
			}
			if c.sent.Get("X-End") != "2" {
				t.Errorf("%s: X-End is lost", c.outcome.Verdict)
			}
		}
		if h := w.up.request(0).Header; h["X-Ask"] != nil || h["Connection"] != nil || h["Te"] != nil || h.Get("Via") != "1.1 lisbon-1" {
			t.Errorf("asked with %v", h)
		}
	})
}

func TestVariants(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, r.Header.Get("Accept-Language"), "Cache-Control", "max-age=60", "Vary", "Accept-Language")
	}
	bubble(t, handler, func(w *world) {
		for _, language := range []string{"en", "de", "fr"} {
			c := w.get("/", "Accept-Language", language)
			w.expect(c, Miss, 200, language)
		}
		for _, language := range []string{"fr", "en", "de"} { // RFC 9111 §4.1
			w.expect(w.get("/", "Accept-Language", language), Hit, 200, language)
		}
		w.expectSeen(3)
		if c := w.get("/", "Accept-Language", "it"); !strings.Contains(c.sent.Get("Cache-Status"), "fwd=vary-miss") {
			t.Errorf("Cache-Status %q", c.sent.Get("Cache-Status"))
		}
		if n := w.store.Usage().Responses; n != 4 {
			t.Errorf("%d variants stored", n)
		}
	})
}

func TestManyVariantsAreBounded(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, "x", "Cache-Control", "max-age=60", "Vary", "User-Agent")
	}
	bubble(t, handler, func(w *world) {
		const most = 256 // the store's
		for i := range 3 * most {
			w.get("/", "User-Agent", strconv.Itoa(i))
		}
		if n := w.store.Usage().Responses; n != most {
			t.Errorf("%d variants stored, want %d", n, most)
		}
		w.expect(w.get("/", "User-Agent", strconv.Itoa(3*most-1)), Hit, 200, "x")
	})
}

func TestTargetedFieldWins(t *testing.T) {
	bubble(t, counted("Cache-Control", "no-store", "CDN-Cache-Control", "max-age=60"), func(w *world) {
		w.get("/")
		c := w.get("/")
		w.expect(c, Hit, 200, "1") // RFC 9213 §2.2
		if !strings.Contains(c.outcome.Detail, "Cdn-Cache-Control max-age") {
			t.Errorf("detail %q doesn't name the field", c.outcome.Detail)
		}
	})
}

func TestSetCookie(t *testing.T) {
	guess := func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, "x", "Last-Modified", httpDate(-1000*time.Hour), "Set-Cookie", "a=b")
	}
	bubble(t, guess, func(w *world) {
		w.get("/")
		w.expectEmpty()
	})
	bubble(t, counted("Cache-Control", "max-age=60", "Set-Cookie", "a=b"), func(w *world) {
		w.get("/")
		w.expect(w.get("/"), Hit, 200, "1") // RFC 9111 §7.3: Set-Cookie alone forbids nothing
	})
}

func TestUpstreamFails(t *testing.T) {
	bubble(t, refused, func(w *world) {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			c := w.do(method, "/")
			w.expect(c, Failed, 0, "")
			if c.outcome.Err == nil || c.outcome.Err.Error() != "connection refused" {
				t.Errorf("%s: %v", method, c.outcome.Err)
			}
			if name, _ := parseStatus(t, c.outcome.CacheStatus); name == nil {
				t.Errorf("%s: Cache-Status %q", method, c.outcome.CacheStatus)
			}
		}
	})
}

// TestStatusOfEachVerdict reads what is sent as another implementation of RFC 9211 does.
func TestStatusOfEachVerdict(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			answer(w, 304, "")
			return
		}
		answer(w, 200, "x", "Cache-Control", "max-age=10", "Etag", `"a"`, "Cache-Status", "other; hit")
	}
	bubble(t, handler, func(w *world) {
		check := func(c *client, params ...string) {
			t.Helper()
			lines := c.sent["Cache-Status"]
			if len(lines) == 0 || lines[len(lines)-1] != c.outcome.CacheStatus {
				t.Errorf("%s: %q sent, outcome says %q", c.outcome.Verdict, lines, c.outcome.CacheStatus)
				return
			}
			if lines[0] != "other; hit" {
				t.Errorf("%s: %q: the one nearer to the origin isn't first", c.outcome.Verdict, lines) // RFC 9211 §2
			}
			_, got := parseStatus(t, lines[len(lines)-1])
			if len(got) != len(params) {
				t.Errorf("%s: %q, want %q", c.outcome.Verdict, lines, params)
			}
			for _, p := range params {
				if got[p] == nil {
					t.Errorf("%s: %q lacks %s", c.outcome.Verdict, lines, p)
				}
			}
		}
		check(w.get("/"), "fwd", "fwd-status", "stored", "ttl")
		check(w.get("/"), "hit", "ttl")
		check(w.do(http.MethodPost, "/other"), "fwd", "fwd-status")
		time.Sleep(11 * time.Second)
		check(w.get("/"), "fwd", "fwd-status", "ttl")
		traced := w.start(newClient(), request("GET", "/").WithContext(trace.With(w.t.Context(), trace.New("1")))).wait()
		check(traced, "hit", "ttl", "key")
	})
}

func TestBypass(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60"), func(w *world) {
		w.get("/")
		w.policy.Bypass = "rule admin"
		c := w.get("/", "If-None-Match", `"a"`, "Range", "bytes=0-0")
		w.expect(c, Pass, 200, "2")
		if h := w.up.request(1).Header; h.Get("If-None-Match") == "" || h.Get("Range") == "" {
			t.Errorf("forwarded with %v", h)
		}
		if c.outcome.Detail != "rule admin" || !strings.Contains(c.outcome.CacheStatus, "fwd=bypass") {
			t.Errorf("%+v", c.outcome)
		}
		w.policy.Bypass = ""
		w.expect(w.get("/"), Hit, 200, "1") // nothing was stored, nothing dropped
	})
}

func TestGetWithContent(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60"), func(w *world) {
		w.get("/")
		r := request(http.MethodGet, "/")
		r.Body, r.ContentLength = http.NoBody, -1
		w.expect(w.start(newClient(), r).wait(), Pass, 200, "2")
	})
}

func TestClientLeavesWhileItWaits(t *testing.T) {
	bubble(t, func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(brokenOff{r.Context().Err()})
	}, func(w *world) {
		c := w.begin("/")
		c.cancel()
		w.expect(c.wait(), Failed, 0, "")
		if f := fault.Of(c.outcome.Err); f.Party != fault.Client || f.Status != fault.StatusClientClosedRequest {
			t.Errorf("%v", c.outcome.Err)
		}
	})
}

func TestAfterRun(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60"), func(w *world) {
		w.get("/a")
		w.stop()
		w.expect(w.get("/a"), Hit, 200, "1")
		c := w.get("/b")
		w.expect(c, Failed, 0, "")
		if f := fault.Of(c.outcome.Err); f.Party != fault.Edge || f.Status != http.StatusServiceUnavailable {
			t.Errorf("%v", c.outcome.Err)
		}
	})
}

func TestTraceTellsTheSteps(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60"), func(w *world) {
		tr := trace.New("1")
		w.start(newClient(), request("GET", "/").WithContext(trace.With(w.t.Context(), tr))).wait()
		synctest.Wait()
		steps, _ := tr.Steps()
		var names []string
		for _, s := range steps {
			if s.Room != "cache" || s.Decision == "" {
				t.Errorf("%+v", s)
			}
			names = append(names, s.Step)
		}
		if got := strings.Join(names, " "); got != "receive lookup store deliver" {
			t.Errorf("steps %q", got)
		}
	})
}

// TestDirectivesArePassedOn: a proxy passes directives on in both directions, whatever it makes of them itself (RFC 9111 §5.2).
func TestDirectivesArePassedOn(t *testing.T) {
	const response, request = "max-age=60, x=y, no-transform", "max-age=0, only-if-wanted"
	bubble(t, counted("Cache-Control", response, "CDN-Cache-Control", "max-age=60", "Pragma", "x"), func(w *world) {
		for range 2 {
			if c := w.get("/"); c.sent.Get("Cache-Control") != response || c.sent.Get("Cdn-Cache-Control") != "max-age=60" {
				t.Errorf("%s: %v", c.outcome.Verdict, c.sent)
			}
		}
		time.Sleep(time.Second)
		w.get("/", "Cache-Control", request)
		if got := w.up.request(1).Header.Get("Cache-Control"); got != request {
			t.Errorf("asked with %q", got)
		}
	})
}

// TestMostRecentWithVary: an origin that says Vary only where it compresses (RFC 9111 §4.1).
func TestMostRecentWithVary(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Header["Accept-Encoding"] == nil {
			answer(w, 200, "plain", "Cache-Control", "max-age=60")
			return
		}
		answer(w, 200, "small", "Cache-Control", "max-age=60", "Vary", "Accept-Encoding")
	}
	bubble(t, handler, func(w *world) {
		w.expect(w.get("/", "Accept-Encoding", "gzip"), Miss, 200, "small")
		time.Sleep(2 * time.Second)
		w.expect(w.get("/"), Miss, 200, "plain")
		w.expect(w.get("/", "Accept-Encoding", "gzip"), Hit, 200, "small")
		w.expect(w.get("/"), Hit, 200, "plain")
	})
}

// TestVaryNoMore: an origin that doesn't vary any more is believed as soon as what varied is stale.
func TestVaryNoMore(t *testing.T) {
	handler := script(
		always(200, "old", "Cache-Control", "max-age=10", "Vary", "A", "Etag", `"a"`),
		always(200, "new", "Cache-Control", "max-age=60", "Etag", `"b"`),
	)
	bubble(t, handler, func(w *world) {
		w.get("/", "A", "1")
		time.Sleep(11 * time.Second)
		w.expect(w.get("/", "A", "1"), Miss, 200, "new")
		w.expect(w.get("/", "A", "1"), Hit, 200, "new")
	})
}

// TestFieldsAreStoredAsTheyCame: all of them (RFC 9111 §3.1), also those that mean nothing to a cache on the way.
func TestFieldsAreStoredAsTheyCame(t *testing.T) {
	sent := []string{
		"Warning", `110 - "Response is Stale"`, // RFC 9111 §5.5: obsolete
		"Clear-Site-Data", `"cache"`, // for user agents
		"Content-Disposition", "attachment", "X-Unknown", "1", "Pragma", "no-cache", // RFC 9111 §5.4: of requests
	}
	bubble(t, counted(append(sent, "Cache-Control", "max-age=60")...), func(w *world) {
		w.get("/")
		hit := w.get("/")
		w.expect(hit, Hit, 200, "1")
		for i := 0; i < len(sent); i += 2 {
			if got := strings.Join(hit.sent[sent[i]], "|"); got != sent[i+1] {
				t.Errorf("%s: %q, want %q", sent[i], got, sent[i+1])
			}
		}
	})
}
