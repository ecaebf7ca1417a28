package cache

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/fault"
)

func TestLeaderLeavesBeforeTheHeader(t *testing.T) {
	g := &gated{fields: []string{"Cache-Control", "max-age=60"}, pieces: []string{"x"}}
	bubble(t, g.ServeHTTP, func(w *world) {
		g.in()
		leader, follower := w.begin("/"), w.begin("/")
		leader.cancel()
		w.expect(leader.wait(), Failed, 0, "")
		g.open(0)
		g.open(1)
		w.expect(follower.wait(), Collapsed, 200, "x")
		w.expectSeen(1)
		w.expect(w.get("/"), Hit, 200, "x")
	})
}

func TestLeaderLeavesWhatCannotBeShared(t *testing.T) {
	g := &gated{fields: []string{"Cache-Control", "no-store"}, pieces: []string{"x"}}
	bubble(t, g.ServeHTTP, func(w *world) {
		g.in()
		leader, follower := w.begin("/"), w.begin("/")
		leader.cancel()
		leader.wait()
		g.open(0)
		g.open(1)
		w.expect(follower.wait(), Miss, 200, "x")
		w.expectSeen(2)
	})
}

func TestAllLeaveBeforeTheHeader(t *testing.T) {
	var hold chan struct{}
	handler := script(
		func(w http.ResponseWriter, r *http.Request) { <-hold; panic(brokenOff{r.Context().Err()}) }, // slow to see that it is over
		always(200, "x", "Cache-Control", "max-age=60"),
	)
	bubble(t, handler, func(w *world) {
		hold = make(chan struct{})
		slowly := w.up
		w.policy.Upstream = roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := slowly.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
			return resp, errors.Join(err, r.Context().Err())
		})
		clients := w.begins(3)
		for _, c := range clients {
			c.cancel()
			c.wait()
		}
		// The cancelled fetch still runs. Who comes now has nothing to do with it.
		w.expect(w.get("/"), Miss, 200, "x")
		close(hold)
		synctest.Wait()
		w.expect(w.get("/"), Hit, 200, "x")
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAllLeaveCancels(t *testing.T) {
	g := &gated{pieces: []string{"x"}}
	bubble(t, g.ServeHTTP, func(w *world) {
		g.in()
		clients := w.begins(3)
		for _, c := range clients {
			if w.up.request(0).Context().Err() != nil {
				t.Error("cancelled while somebody waits")
			}
			c.cancel()
			c.wait()
		}
		synctest.Wait()
		if w.up.request(0).Context().Err() == nil {
			t.Error("the fetch goes on for nobody")
		}
	})
}

func TestLeaderLeavesInTheBody(t *testing.T) {
	for _, followers := range []int{0, 1} {
		g := &gated{fields: []string{"Cache-Control", "max-age=60"}, pieces: []string{"first ", "second"}}
		bubble(t, g.ServeHTTP, func(w *world) {
			g.in()
			leader, others := w.begin("/"), w.begins(followers)
			g.open(0)
			leader.cancel()
			leader.wait()
			if leader.outcome.Err == nil || leader.outcome.Status != 200 {
				t.Errorf("%+v", leader.outcome)
			}
			g.open(1)
			g.open(2)
			for _, c := range others {
				w.expect(c.wait(), Collapsed, 200, "first second")
			}
			w.expect(w.get("/"), Hit, 200, "first second")
			w.expectSeen(1)
		})
	}
}

func TestUpstreamDiesInTheBody(t *testing.T) {
	for _, c := range []struct {
		name   string
		length string
		fails  error
	}{
		{"it says so", "", errors.New("connection reset")},
		{"RFC 9112 §8: shorter than Content-Length", "99", nil},
		{"longer than Content-Length", "2", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &gated{fields: []string{"Cache-Control", "max-age=60"}, pieces: []string{"first "}, fails: c.fails}
			if c.length != "" {
				g.fields = append(g.fields, "Content-Length", c.length)
			}
			bubble(t, g.ServeHTTP, func(w *world) {
				g.in()
				clients := w.begins(10)
				g.open(0)
				g.open(1)
				for i, client := range clients {
					o := client.wait().outcome
					if o.Err == nil || o.Status != 200 || c.fails != nil && !errors.Is(o.Err, c.fails) {
						t.Errorf("client %d: %+v", i, o) // RFC 9111 §3.3: incomplete, and the client can tell
					}
				}
				w.expectEmpty()
			})
		})
	}
}

func TestUnsharedDiesInTheBody(t *testing.T) {
	g := &gated{pieces: []string{"first "}, fails: errors.New("connection reset")}
	bubble(t, g.ServeHTTP, func(w *world) {
		g.in()
		c := w.begin("/")
		g.open(0)
		g.open(1)
		if o := c.wait().outcome; !errors.Is(o.Err, g.fails) || o.Status != 200 || o.BodyBytes != 6 {
			t.Errorf("%+v", o)
		}
	})
}

// TestRunEndsFetches stops the cache before the header section and in the body; the bubble sees that no goroutine is left.
func TestRunEndsFetches(t *testing.T) {
	for _, inBody := range []bool{false, true} {
		g := &gated{fields: []string{"Cache-Control", "max-age=60"}, pieces: []string{"first ", "second"}}
		bubble(t, g.ServeHTTP, func(w *world) {
			g.in()
			clients := w.begins(3)
			if inBody {
				g.open(0)
			}
			w.stop()
			for _, c := range clients {
				if f := fault.Of(c.wait().outcome.Err); f == nil || f.Party != fault.Edge || f.Status != http.StatusServiceUnavailable {
					t.Errorf("in body %t: %v", inBody, c.outcome.Err)
				}
			}
			w.expectEmpty()
		})
	}
}

func TestRunEndsRefresh(t *testing.T) {
	hold := func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(brokenOff{r.Context().Err()})
	}
	bubble(t, script(always(200, "x", "Cache-Control", "max-age=1, stale-while-revalidate=60"), hold), func(w *world) {
		w.get("/")
		time.Sleep(2 * time.Second)
		w.expect(w.get("/"), Stale, 200, "x")
		w.stop()
	})
}

// TestWriterPanics: what is above the cache may unwind a request so; others and the cache go on.
func TestWriterPanics(t *testing.T) {
	g := &gated{fields: []string{"Cache-Control", "max-age=60"}, pieces: []string{"first ", "second"}}
	bubble(t, g.ServeHTTP, func(w *world) {
		g.in()
		bad, good := newClient(), w.begin("/")
		bad.onBody = func(int) error { panic(http.ErrAbortHandler) }
		policy := w.policy
		go func() {
			defer close(bad.done)
			defer func() {
				if v := recover(); v != http.ErrAbortHandler {
					t.Errorf("recovered %v", v)
				}
			}()
			w.cache.Serve(bad, request(http.MethodGet, "/"), &policy)
		}()
		synctest.Wait()
		g.open(0)
		bad.wait()
		g.open(1)
		g.open(2)
		w.expect(good.wait(), Miss, 200, "first second")
		w.expect(w.get("/"), Hit, 200, "first second")
	})
}
