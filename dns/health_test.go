package dns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/wherry/wherry/config"
)

// fate is what becomes of the health checks of an edge.
type fate string

const (
	answers   fate = "answers"
	refuses   fate = "refuses connections"
	busy      fate = "answers 503"
	blackHole fate = "takes packets and says nothing"
	slow      fate = "answers after 600 ms"
)

// edges is a network of edges as the health checks see it, by host.
type edges struct {
	mu    sync.Mutex
	fates map[string]fate
	next  map[string]fate // takes effect right after the next answered check: the worst moment to die
	died  map[string]time.Time
	asked map[string]int
	open  int // checks under way
	most  int
}

func newEdges() *edges {
	return &edges{fates: map[string]fate{}, next: map[string]fate{}, died: map[string]time.Time{}, asked: map[string]int{}}
}

// ask stands in for a probe.
func (e *edges) ask(ctx context.Context, at netip.AddrPort, _ bool) (status int, err error) {
	host := at.Addr().String()
	e.mu.Lock()
	e.open++
	e.most = max(e.most, e.open)
	e.asked[host]++
	f := e.fates[host]
	if next, ok := e.next[host]; ok && (f == answers || f == "") {
		e.fates[host], e.died[host] = next, time.Now()
		delete(e.next, host)
	}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.open--
		e.mu.Unlock()
	}()
	switch f {
	case refuses:
		return 0, errors.New("connection refused")
	case blackHole:
		<-ctx.Done()
		return 0, ctx.Err()
	case slow:
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(600 * time.Millisecond):
		}
	case busy:
		return http.StatusServiceUnavailable, nil
	}
	return http.StatusOK, nil
}

func (e *edges) set(host string, f fate) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fates[host] = f
}

func (e *edges) dieAfterNextAnswer(host string, f fate) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next[host] = f
}

func (e *edges) diedAt(host string) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.died[host]
}

// bubble runs a server over e in synthetic time.
func bubble(t *testing.T, snapshot *config.Snapshot, e *edges, test func(*testing.T, *Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{Snapshot: snapshot, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		s.ask = e.ask
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		test(t, s)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func addresses(t *testing.T, s *Server, command string) []string {
	t.Helper()
	var list []string
	for _, rr := range askScript(t, s, command).Answer {
		if a, ok := rr.(*miekg.A); ok {
			list = append(list, a.A.String())
		}
	}
	return list
}

// until asks every 10 ms until the answers have addr, or haven't, and returns when that was.
func until(t *testing.T, s *Server, addr string, present bool) time.Time {
	t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; {
		if slices.Contains(addresses(t, s, "lisbon.clusters.wherry.test. A"), addr) == present {
			return time.Now()
		}
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
	}
	t.Fatalf("a minute later %s present is still not %v", addr, present)
	return time.Time{}
}

// However an edge dies, and at the worst moment, it has left the answers within two seconds, and it comes back.
func TestDeadEdgeLeavesWithinTwoSeconds(t *testing.T) {
	const addr = "192.0.2.2"
	for _, interval := range []time.Duration{50 * time.Millisecond, 500 * time.Millisecond, time.Second} {
		for _, f := range []fate{refuses, busy, blackHole} {
			t.Run(fmt.Sprintf("%v/%s", interval, f), func(t *testing.T) {
				snapshot := loadSnapshot(t, "testdata/network.yaml", "")
				snapshot.DNS.HealthInterval = interval
				e := newEdges()
				bubble(t, snapshot, e, func(t *testing.T, s *Server) {
					for range 20 { // the jitter differs
						time.Sleep(5 * time.Second)
						e.dieAfterNextAnswer(addr, f)
						gone := until(t, s, addr, false)
						if took := gone.Sub(e.diedAt(addr)); took > 2*time.Second {
							t.Errorf("out of the answers after %v", took)
						}
						revived := time.Now()
						e.set(addr, answers)
						if took := until(t, s, addr, true).Sub(revived); took > 3*time.Second {
							t.Errorf("back after %v", took)
						}
					}
				})
			})
		}
	}
}

// When a whole cluster dies, its clients are sent to the next one within two seconds.
func TestDeadClusterFallsOver(t *testing.T) {
	e := newEdges()
	bubble(t, loadSnapshot(t, "testdata/network.yaml", ""), e, func(t *testing.T, s *Server) {
		const command = "shop.test. A from 127.0.0.1"
		time.Sleep(5 * time.Second)
		if got := addresses(t, s, command); !slices.Contains(got, "192.0.2.3") {
			t.Fatalf("before: %v", got)
		}
		for _, addr := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2", "2001:db8::3"} {
			e.set(addr, blackHole)
		}
		time.Sleep(2 * time.Second)
		if got := addresses(t, s, command); !slices.Equal(got, []string{"198.51.100.1"}) {
			t.Errorf("two seconds later: %v, want osaka's", got)
		}
	})
}

// One bad check is no reason to go; neither is one good check to come back.
func TestOneContraryCheckChangesNothing(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	failed := errors.New("refused")
	h := health{up: true, since: now}
	for i, step := range []struct {
		err    error
		turned bool
		up     bool
	}{
		{failed, false, true},
		{nil, false, true},
		{failed, false, true},
		{failed, true, false},
		{failed, false, false},
		{nil, false, false},
		{failed, false, false},
		{nil, false, false},
		{nil, true, true},
	} {
		at := now.Add(time.Duration(i) * time.Second)
		if turned := h.note(time.Millisecond, step.err, at); turned != step.turned || h.up != step.up {
			t.Errorf("check %d: turned %v, up %v; want %v, %v", i, turned, h.up, step.turned, step.up)
		}
		if step.turned && h.since != at {
			t.Errorf("check %d: since %v, want %v", i, h.since, at)
		}
	}
}

// A far edge that takes 600 ms to answer stays, nobody is down before the first checks, and what isn't checked counts as up.
func TestStays(t *testing.T) {
	e := newEdges()
	e.set("198.51.100.1", slow)
	bubble(t, loadSnapshot(t, "testdata/network.yaml", ""), e, func(t *testing.T, s *Server) {
		for _, h := range s.Health() {
			if !h.Up || !h.Checked.IsZero() {
				t.Errorf("before the first check: %+v", h)
			}
		}
		time.Sleep(30 * time.Second)
		for _, h := range s.Health() {
			if !h.Up || h.Checked.IsZero() || h.LastErr != "" {
				t.Errorf("after 30 s: %+v", h)
			}
			if h.Node == "osaka-1" && h.RTT != 600*time.Millisecond {
				t.Errorf("osaka-1's RTT is %v", h.RTT)
			}
		}
	})
}

func TestHealthTells(t *testing.T) {
	e := newEdges()
	for host, f := range map[string]fate{"192.0.2.1": refuses, "192.0.2.2": busy, "192.0.2.3": blackHole} {
		e.set(host, f)
	}
	bubble(t, loadSnapshot(t, "testdata/network.yaml", ""), e, func(t *testing.T, s *Server) {
		began := time.Now()
		time.Sleep(10 * time.Second)
		want := map[string]string{"192.0.2.1": "connection refused", "192.0.2.2": "status 503", "192.0.2.3": "no answer within 650ms"}
		for _, h := range s.Health() {
			if text, bad := want[h.Addr.String()]; bad != !h.Up || !strings.Contains(h.LastErr, text) {
				t.Errorf("%+v, want error %q", h, text)
			}
			if !h.Up && (h.Since.Before(began) || time.Since(h.Checked) > 2*time.Second) {
				t.Errorf("%+v", h)
			}
		}
	})
}

// A thousand nodes, a third of them black holes: all of those are gone in two seconds, and the checks under way stay bounded.
func TestThousandNodes(t *testing.T) {
	snapshot := loadSnapshot(t, "testdata/network.yaml", "")
	c := &snapshot.Clusters[0]
	c.Nodes = nil
	e := newEdges()
	for i := range 1000 {
		addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		c.Nodes = append(c.Nodes, config.Node{Name: config.NodeID(fmt.Sprintf("lisbon-%d", i)), Addresses: []netip.Addr{addr}})
	}
	bubble(t, snapshot, e, func(t *testing.T, s *Server) {
		time.Sleep(5 * time.Second)
		for i := 0; i < 1000; i += 3 {
			e.set(c.Nodes[i].Addresses[0].String(), blackHole)
		}
		time.Sleep(2 * time.Second)
		for i, h := range s.Health()[:1000] {
			if h.Up != (i%3 != 0) {
				t.Errorf("two seconds later: %+v", h)
			}
		}
	})
	if e.most > 1003 {
		t.Errorf("%d checks under way at once, want one for each address at most", e.most)
	}
}

// A node keeps its state over a reload; a new one is checked, one that is gone isn't any more.
func TestReloadKeepsHealth(t *testing.T) {
	e := newEdges()
	e.set("192.0.2.1", refuses)
	e.set("192.0.2.9", refuses)
	bubble(t, loadSnapshot(t, "testdata/network.yaml", ""), e, func(t *testing.T, s *Server) {
		time.Sleep(5 * time.Second)
		next := loadSnapshot(t, "testdata/network.yaml", "")
		nodes := next.Clusters[0].Nodes
		nodes[1] = config.Node{Name: "lisbon-9", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.9")}}
		reload(t, s, next)
		got := addresses(t, s, "lisbon.clusters.wherry.test. A")
		if slices.Sort(got); !slices.Equal(got, []string{"192.0.2.3", "192.0.2.9"}) {
			t.Errorf("right after the reload: %v, want the new node and the old one that is up", got)
		}
		synctest.Wait() // the watch of the node that is gone has ended
		e.mu.Lock()
		before := e.asked["192.0.2.2"]
		e.mu.Unlock()
		time.Sleep(5 * time.Second)
		if got := addresses(t, s, "lisbon.clusters.wherry.test. A"); !slices.Equal(got, []string{"192.0.2.3"}) {
			t.Errorf("later: %v, want the one that is up", got)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.asked["192.0.2.2"] != before {
			t.Errorf("the node that is gone is still checked")
		}
	})
}

// lineWriter passes on the first lines that are written, as a log does after the new state is in force.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	select {
	case w <- string(bytes.TrimSpace(b)):
	default:
	}
	return len(b), nil
}
