package cache

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/cache/store"
)

// gated answers in pieces: the i-th piece is sent when the i-th gate opens. The header section goes with the first.
type gated struct {
	fields []string
	pieces []string
	gates  []chan struct{}
	fails  error // how the body ends, if not well
}

// in makes the gates; they belong to the bubble that it is called in.
func (g *gated) in() {
	g.gates = make([]chan struct{}, len(g.pieces)+1)
	for i := range g.gates {
		g.gates[i] = make(chan struct{})
	}
}

// open opens gate i and returns when nothing moves any more.
func (g *gated) open(i int) {
	close(g.gates[i])
	synctest.Wait()
}

func (g *gated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setFields(w.Header(), g.fields)
	for i, piece := range g.pieces {
		select {
		case <-g.gates[i]:
		case <-r.Context().Done():
			panic(brokenOff{r.Context().Err()})
		}
		if _, err := io.WriteString(w, piece); err != nil {
			return
		}
	}
	<-g.gates[len(g.pieces)]
	if g.fails != nil {
		panic(brokenOff{g.fails})
	}
}

// begins starts n GETs at once and returns when nothing moves any more.
func (w *world) begins(n int, fields ...string) []*client {
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = w.start(newClient(), request(http.MethodGet, "/", fields...))
	}
	synctest.Wait()
	return clients
}

// verdicts waits for the clients and counts how they were answered.
func verdicts(clients []*client) map[Verdict]int {
	n := map[Verdict]int{}
	for _, c := range clients {
		n[c.wait().outcome.Verdict]++
	}
	return n
}

func TestCollapse(t *testing.T) {
	g := &gated{fields: []string{"Cache-Control", "max-age=60"}, pieces: []string{"first ", "second"}}
	bubble(t, g.ServeHTTP, func(w *world) {
		g.in()
		clients := w.begins(100)
		w.expectSeen(1)
		g.open(0)
		for i, c := range clients {
			if c.got() != "first " || c.flushed != len("first ") {
				t.Fatalf("client %d: %q of the first half has come, %d bytes flushed, and the second isn't sent yet",
					i, c.got(), c.flushed)
			}
		}
		clients = append(clients, w.begin("/")) // in the middle of the body
		if got := clients[100].got(); got != "first " {
			t.Errorf("the one that came late has got %q", got)
		}
		g.open(1)
		g.open(2)
		if n := verdicts(clients); n[Miss] != 1 || n[Collapsed] != 100 {
			t.Errorf("verdicts %v", n)
		}
		for i, c := range clients {
			if c.got() != "first second" || c.outcome.Err != nil || c.status != 200 {
				t.Fatalf("client %d: %d %q %v", i, c.status, c.got(), c.outcome.Err)
			}
			_, status := parseStatus(t, c.outcome.CacheStatus)
			if c.outcome.Verdict == Collapsed && status["collapsed"] != true {
				t.Errorf("client %d: Cache-Status %q", i, c.outcome.CacheStatus)
			}
		}
		w.expect(w.get("/"), Hit, 200, "first second")
		w.expectSeen(1)
	})
}

// TestCollapseOfUncacheable: nobody waits for another's answer longer than it takes to see that it can't be shared.
func TestCollapseOfUncacheable(t *testing.T) {
	for _, cacheControl := range []string{"no-store", "private", "max-age=0", "no-cache, max-age=60"} {
		t.Run(cacheControl, func(t *testing.T) {
			handler := func(w http.ResponseWriter, _ *http.Request) {
				time.Sleep(time.Second)
				answer(w, 200, "x", "Cache-Control", cacheControl, "Etag", `"a"`)
			}
			bubble(t, handler, func(w *world) {
				began := time.Now()
				clients := w.begins(50)
				w.expectSeen(1)
				if n := verdicts(clients); n[Miss] != 50 {
					t.Errorf("verdicts %v", n)
				}
				w.expectSeen(50)
				if took := time.Since(began); took != 2*time.Second {
					t.Errorf("all took %s: one must be 1 s, the others together another", took)
				}
				began = time.Now()
				verdicts(w.begins(50)) // the key is known now
				if took := time.Since(began); took != time.Second {
					t.Errorf("the second time all took %s", took)
				}
				time.Sleep(soloTime)
			})
		})
	}
}

// TestCollapseByRequestNoStore: one client's no-store says nothing about the others.
// TestCollapseOfFailing: an origin that fails gets no herd for the next minute; each wave waits behind one request again.
func TestCollapseOfFailing(t *testing.T) {
	failing := true
	handler := func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Second)
		if failing {
			answer(w, 500, "x")
			return
		}
		answer(w, 200, "y", "Cache-Control", "max-age=60")
	}
	bubble(t, handler, func(w *world) {
		w.get("/")
		failing = false
		verdicts(w.begins(20))
		w.expectSeen(2)
	})
}

func TestCollapseByRequestNoStore(t *testing.T) {
	for name, field := range map[string][]string{
		"RFC 9111 §5.2.1.5: no-store":   {"Cache-Control", "no-store"},
		"RFC 9111 §3.5: Authorization":  {"Authorization", "Basic a"},
		"RFC 9110 §14.2: several parts": {"Range", "bytes=0-0, 1-1"},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gated{fields: []string{"Cache-Control", "max-age=60"}, pieces: []string{"x"}}
			bubble(t, g.ServeHTTP, func(w *world) {
				g.in()
				g.open(0)
				g.open(1)
				w.get("/", field...)
				w.purgeAll()
				seen := w.up.seen()
				g.in()
				alone := w.begin("/", field...)
				clients := w.begins(10)
				if n := w.up.seen() - seen; n > 2 {
					t.Errorf("the upstream got %d requests for one and ten", n)
				}
				g.open(0)
				g.open(1)
				alone.wait()
				if n := verdicts(clients); n[Collapsed] < 9 {
					t.Errorf("verdicts %v", n)
				}
			})
		})
	}
}

// TestCollapseByVary has three kinds of clients at once: each kind costs one request to the upstream.
func TestCollapseByVary(t *testing.T) {
	var header, body chan struct{}
	handler := func(w http.ResponseWriter, r *http.Request) {
		<-header
		setFields(w.Header(), []string{"Cache-Control", "max-age=60", "Vary", "Accept-Language"})
		_, _ = io.WriteString(w, r.Header.Get("Accept-Language"))
		<-body
	}
	bubble(t, handler, func(w *world) {
		header, body = make(chan struct{}), make(chan struct{})
		languages := []string{"en", "de", "fr"}
		var clients []*client
		for _, language := range languages {
			clients = append(clients, w.begins(10, "Accept-Language", language)...)
		}
		w.expectSeen(1)
		close(header)
		synctest.Wait()
		w.expectSeen(3)
		for _, language := range languages { // the bodies are still on their way
			clients = append(clients, w.begins(1, "Accept-Language", language)...)
		}
		w.expectSeen(3)
		close(body)
		if n := verdicts(clients); n[Miss] != 3 || n[Collapsed] != 30 {
			t.Errorf("verdicts %v", n)
		}
		for i, c := range clients {
			if want := languages[(i%30)/10]; i < 30 && c.got() != want || i >= 30 && c.got() != languages[i-30] {
				t.Errorf("client %d got %q", i, c.got())
			}
		}
		w.expect(w.get("/", "Accept-Language", "de"), Hit, 200, "de")
	})
}

// TestCollapseForOneUser: what private="…" names is for the leader alone.
func TestCollapseForOneUser(t *testing.T) {
	g := &gated{fields: []string{"Cache-Control", `max-age=60, private="x-user"`, "X-User", "me"}, pieces: []string{"x"}}
	bubble(t, g.ServeHTTP, func(w *world) {
		g.in()
		clients := w.begins(10)
		g.open(0)
		g.open(1)
		verdicts(clients)
		for i, c := range clients {
			if got := c.sent.Get("X-User"); (got == "me") != (c.outcome.Verdict == Miss) {
				t.Errorf("client %d, %s: X-User %q", i, c.outcome.Verdict, got) // RFC 9111 §5.2.2.7
			}
		}
	})
}

// TestCollapseRequestDirectives joins a fetch whose response has an age of 30 s and a lifetime of 60 s, before and after its
// header section has come.
func TestCollapseRequestDirectives(t *testing.T) {
	for _, c := range []struct {
		cacheControl string
		early, late  Verdict
	}{
		{"max-age=30", Collapsed, Miss}, // 5 s later it is too old
		{"max-age=40", Collapsed, Collapsed},
		{"max-age=20", Miss, Miss},
		{"min-fresh=30", Collapsed, Miss},
		{"min-fresh=31", Miss, Miss},
		{"no-cache", Collapsed, Miss}, // the origin's answer came after the early request, but before the late one
		{"no-store", Collapsed, Collapsed},
	} {
		t.Run(c.cacheControl, func(t *testing.T) {
			g := &gated{fields: []string{"Cache-Control", "max-age=60", "Age", "30"}, pieces: []string{"x", "y"}}
			bubble(t, g.ServeHTTP, func(w *world) {
				g.in()
				leader := w.begin("/")
				early := w.begin("/", "Cache-Control", c.cacheControl)
				g.open(0)
				time.Sleep(5 * time.Second)
				late := w.begin("/", "Cache-Control", c.cacheControl)
				g.open(1)
				g.open(2)
				w.expect(leader.wait(), Miss, 200, "xy")
				w.expect(early.wait(), c.early, 200, "xy")
				w.expect(late.wait(), c.late, 200, "xy")
			})
		})
	}
}

// TestCollapseIntoStale: a body can take longer to come than its response stays fresh. Who comes then starts the next fetch, and
// those who come after that join it.
func TestCollapseIntoStale(t *testing.T) {
	g := &gated{fields: []string{"Cache-Control", "max-age=10"}, pieces: []string{"x", "y"}}
	bubble(t, g.ServeHTTP, func(w *world) {
		g.in()
		first := w.begin("/")
		g.open(0)
		time.Sleep(11 * time.Second)
		later := w.begins(10)
		w.expectSeen(2) // RFC 9111 §4: stale responses aren't shared without validation
		g.open(1)
		g.open(2)
		w.expect(first.wait(), Miss, 200, "xy")
		if n := verdicts(later); n[Miss] != 1 || n[Collapsed] != 9 {
			t.Errorf("verdicts %v", n)
		}
	})
}

// TestLateFetchDoesNotReplaceNewer has two fetches of one key, of which the older ends last.
func TestLateFetchDoesNotReplaceNewer(t *testing.T) {
	var gates [2]chan struct{}
	handler := script(
		func(w http.ResponseWriter, _ *http.Request) {
			setFields(w.Header(), []string{"Cache-Control", "max-age=10", "Content-Length", "3"})
			w.WriteHeader(200)
			<-gates[0]
			_, _ = io.WriteString(w, "old")
		},
		always(200, "new", "Cache-Control", "max-age=60"),
	)
	bubble(t, handler, func(w *world) {
		gates[0] = make(chan struct{})
		old := w.begin("/")
		time.Sleep(11 * time.Second)
		w.expect(w.get("/"), Miss, 200, "new")
		close(gates[0])
		w.expect(old.wait(), Miss, 200, "old")
		synctest.Wait()
		w.expect(w.get("/"), Hit, 200, "new")
	})
}

func TestRevalidationIsShared(t *testing.T) {
	var gate chan struct{}
	handler := script(always(200, "x", "Cache-Control", "max-age=10", "Etag", `"a"`), func(w http.ResponseWriter, _ *http.Request) {
		<-gate
		answer(w, 304, "", "Cache-Control", "max-age=10")
	})
	bubble(t, handler, func(w *world) {
		w.get("/")
		time.Sleep(11 * time.Second)
		gate = make(chan struct{})
		clients := w.begins(20)
		w.expectSeen(2)
		close(gate)
		if n := verdicts(clients); n[Revalidated] != 1 || n[Collapsed] != 19 {
			t.Errorf("verdicts %v", n)
		}
		for _, c := range clients {
			w.expect(c, c.outcome.Verdict, 200, "x")
		}
	})
}

func TestFailureIsShared(t *testing.T) {
	var gate chan struct{}
	bubble(t, func(http.ResponseWriter, *http.Request) { <-gate; panic(brokenOff{errors.New("connection refused")}) }, func(w *world) {
		gate = make(chan struct{})
		clients := w.begins(20)
		close(gate)
		if n := verdicts(clients); n[Failed] != 20 {
			t.Errorf("verdicts %v", n)
		}
		w.expectSeen(1)
	})
}

func TestSoloKeysAreBounded(t *testing.T) {
	now := time.Unix(0, 0)
	s := soloKeys{until: map[flightID]time.Time{}}
	key := func(i int) flightID { return flightID{key: store.Key(strconv.Itoa(i))} }
	for i := range 2 * soloMax {
		s.set(key(i), true, now)
	}
	if len(s.until) != soloMax {
		t.Errorf("%d keys, want %d", len(s.until), soloMax)
	}
	last := key(2*soloMax - 1)
	if !s.has(last, now.Add(soloTime-1)) || s.has(last, now.Add(soloTime)) {
		t.Error("the last key isn't remembered for just soloTime")
	}
	s.set(last, false, now)
	if s.has(last, now) {
		t.Error("a key that can be shared again is remembered")
	}
}
