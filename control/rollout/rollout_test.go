package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// world plays edges that adopt what they are given, and are asked.
type world struct {
	now   time.Time
	nodes []feed.NodeRecord
	edges map[config.NodeID]*edge
	state State
	most  int // edges that held the candidate at a time
}

type edge struct {
	seen      Seen
	candidate bool
}

// model is what a revision makes of a request.
type model struct {
	errors  float64 // share
	latency time.Duration
	crash   bool
	refuse  bool
	clients float64 // requests a second; 0: only the node's own
}

var (
	from = feed.Ref{Revision: 1, Object: feed.HashOf([]byte("1"))}
	to   = feed.Ref{Revision: 2, Object: feed.HashOf([]byte("2"))}
)

func newWorld(clusters, size int, old model) *world {
	w := &world{now: time.Unix(1e9, 0), edges: map[config.NodeID]*edge{}}
	for c := range clusters {
		for i := range size {
			id := config.NodeID(fmt.Sprintf("c%d-%d", c, i))
			w.nodes = append(w.nodes, feed.NodeRecord{Name: id, Cluster: config.ClusterName(fmt.Sprint("c", c)), Roles: []feed.Role{feed.RoleEdge}})
			e := &edge{seen: Seen{Live: true, Report: feed.Report{Node: id, Boot: "1", Holds: map[string]uint64{"site/shop": 1}}}}
			e.seen.Sites = []feed.SiteTally{{Site: "shop", Revision: 1, Since: w.now}, {Site: "shop", Revision: 1, Since: w.now, Synthetic: true}}
			w.edges[id] = e
		}
	}
	for range 40 {
		w.serve(old, old)
		w.now = w.now.Add(250 * time.Millisecond)
	}
	w.state = Begin(Change{
		ID: "r1", Key: "site/shop", Site: "shop", From: from, To: to, Settings: config.Rollout{Bake: 10 * time.Second},
	}, w.nodes, w.seen(), w.now)
	return w
}

func (w *world) seen() map[config.NodeID]Seen {
	all := map[config.NodeID]Seen{}
	for id, e := range w.edges {
		s := e.seen
		s.Sites = slices.Clone(s.Sites)
		for i := range s.Sites {
			s.Sites[i].Latency = slices.Clone(s.Sites[i].Latency)
		}
		all[id] = s
	}
	return all
}

// serve plays a quarter of a second.
func (w *world) serve(old, candidate model) {
	tick := int(w.now.UnixMilli() / 250)
	for _, e := range w.edges {
		m := old
		if e.candidate {
			m = candidate
		}
		count := func(t *feed.SiteTally, rate float64) {
			for i := range int(float64(tick+1)*rate/4) - int(float64(tick)*rate/4) {
				t.Requests++
				n := float64(t.Requests)
				if int(n*m.errors) > int((n-1)*m.errors) {
					t.Errors++
				}
				bucket := 0
				for bucketUnit<<bucket < m.latency {
					bucket++
				}
				for len(t.Latency) <= bucket {
					t.Latency = append(t.Latency, 0)
				}
				t.Latency[bucket]++
				_ = i
			}
		}
		count(&e.seen.Sites[0], m.clients)
		count(&e.seen.Sites[1], 2)
	}
}

// step plays control, and the edges that hear of it.
func (w *world) step(old, candidate model) {
	w.state, _ = w.state.Step(Input{Now: w.now, Seen: w.seen()})
	doc := w.state.Doc(nil)
	holding := 0
	for id, e := range w.edges {
		ref, _ := doc.For(id)
		is := ref == to
		if is && candidate.refuse {
			e.seen.Refused = []feed.Refusal{{Key: "site/shop", Ref: to, Why: "can't be"}}
			continue
		}
		if is != e.candidate {
			e.candidate = is
			e.seen.Holds["site/shop"] = ref.Revision
			for i := range e.seen.Sites {
				e.seen.Sites[i] = feed.SiteTally{Site: "shop", Revision: ref.Revision, Since: w.now, Synthetic: i == 1}
			}
		} else if is && candidate.crash {
			e.seen.Boot += "x"
		}
		if e.candidate {
			holding++
		}
	}
	w.most = max(w.most, holding)
	w.serve(old, candidate)
	w.now = w.now.Add(250 * time.Millisecond)
}

func (w *world) run(old, candidate model) time.Duration {
	began := w.now
	for !w.state.IsOver() && w.now.Sub(began) < 10*time.Minute {
		w.step(old, candidate)
	}
	return w.now.Sub(began)
}

func TestWhatIsWorseStaysOnTheCanary(t *testing.T) {
	fine := model{latency: 5 * time.Millisecond, clients: 20}
	for _, c := range []struct {
		name           string
		old, candidate model
		state, why     string
	}{
		{"as good", fine, fine, Done, "0 errors"},
		{"500s", fine, model{errors: 1, clients: 20}, Reverted, "with errors, 0 % without the change"},
		{"some 500s", fine, model{errors: 0.3, clients: 20}, Reverted, "with errors"},
		{"500s with a request a second", model{clients: 1}, model{errors: 1, clients: 1}, Reverted, "with errors"},
		{"500s without any client", model{}, model{errors: 1}, Reverted, "requests of its own with errors"},
		{"slow", fine, model{latency: time.Second, clients: 20}, Reverted, "took"},
		{"slow without any client", model{latency: time.Millisecond}, model{latency: 2 * time.Second}, Reverted, "took"},
		{"no clients", model{}, model{}, Done, "of its own"},
		{"crash", fine, model{crash: true, clients: 20}, Reverted, "was started again"},
		{"refused", fine, model{refuse: true, clients: 20}, Reverted, "can't use it: can't be"},
		{"an origin that was down before", model{errors: 1, clients: 20}, model{errors: 1, clients: 20}, Done, "it was as bad before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(3, 4, c.old)
			took := w.run(c.old, c.candidate)
			if w.state.State != c.state || !strings.Contains(w.state.Why, c.why) {
				t.Errorf("%s after %s: %s", w.state.State, took, w.state.Why)
			}
			if c.state == Reverted {
				if w.most > 1 || took > 15*time.Second || len(w.state.Doc(nil).Variants) > 0 || w.state.Doc(nil).Ref != from {
					t.Errorf("reached %d edges, took %s, left %v", w.most, took, w.state.Doc(nil))
				}
				return
			}
			if w.most != 12 || w.state.Doc(nil).Ref != to {
				t.Errorf("reached %d edges, left %v", w.most, w.state.Doc(nil))
			}
			for _, p := range w.state.Phases {
				if p.Ended.IsZero() || p.Verdict == "" {
					t.Errorf("phase %s ended %v: %q", p.Name, p.Ended, p.Verdict)
				}
			}
		})
	}
}

func TestPhases(t *testing.T) {
	w := newWorld(4, 10, model{})
	var sizes []string
	for _, p := range w.state.Phases {
		sizes = append(sizes, fmt.Sprint(p.Name, " ", len(p.Nodes)))
	}
	if got := strings.Join(sizes, ", "); got != "canary 1, cluster 9, all 30" {
		t.Error(got)
	}
	w = newWorld(10, 2, model{})
	sizes = nil
	for _, p := range w.state.Phases {
		sizes = append(sizes, fmt.Sprint(p.Name, " ", len(p.Nodes)))
	}
	if got := strings.Join(sizes, ", "); got != "canary 1, cluster 1, quarter 3, all 15" {
		t.Error(got)
	}
}

func TestACanaryThatIsChosen(t *testing.T) {
	w := newWorld(2, 3, model{})
	for _, c := range []struct {
		canaries []config.NodeID
		want     config.NodeID
	}{{[]config.NodeID{"gone", "c1-2"}, "c1-2"}, {nil, "c0-1"}} {
		w.edges["c0-1"].seen.Sites[0].Requests = 1000
		s := Begin(Change{Key: "site/shop", Site: "shop", From: from, To: to, Settings: config.Rollout{Canaries: c.canaries}}, w.nodes, w.seen(), w.now)
		if got := s.Phases[0].Nodes[0]; got != c.want {
			t.Errorf("canaries %v: %s", c.canaries, got)
		}
	}
}

func TestSteering(t *testing.T) {
	fine := model{clients: 5}
	w := newWorld(2, 2, fine)
	w.step(fine, fine)
	w.state, _ = w.state.Step(Input{Now: w.now, Seen: w.seen(), Steer: "pause", By: "ann"})
	for range 400 {
		w.step(fine, fine)
	}
	if w.state.State != Paused || w.state.Phase != 0 || w.most != 1 {
		t.Fatalf("paused: %+v", w.state)
	}
	w.state, _ = w.state.Step(Input{Now: w.now, Seen: w.seen(), Steer: "resume", By: "ann"})
	w.step(fine, fine)
	w.state, _ = w.state.Step(Input{Now: w.now, Seen: w.seen(), Steer: "abort", By: "ann"})
	if w.state.State != Aborted || w.state.Doc(nil).Ref != from {
		t.Errorf("aborted: %+v", w.state)
	}
}

// Software leaves most of each cluster as it is, and control nodes go one by one at the end.
func TestWavesOfSoftware(t *testing.T) {
	w := newWorld(2, 8, model{})
	for i := range 3 {
		id := config.NodeID(fmt.Sprint("control-", i))
		w.nodes = append(w.nodes, feed.NodeRecord{Name: id, Cluster: "x", Roles: []feed.Role{feed.RoleControl}})
		w.edges[id] = &edge{seen: Seen{Live: true, Report: feed.Report{Boot: "1"}}}
	}
	s := Begin(Change{Key: feed.KeySoftware, From: from, To: to}, w.nodes, w.seen(), w.now)
	given := map[config.NodeID]bool{}
	for _, p := range s.Phases {
		in := map[config.ClusterName]int{}
		for _, id := range p.Nodes {
			i := slices.IndexFunc(w.nodes, func(n feed.NodeRecord) bool { return n.Name == id })
			in[w.nodes[i].Cluster]++
			if given[id] {
				t.Errorf("%s twice", id)
			}
			given[id] = true
		}
		for c, n := range in {
			if n > 2 {
				t.Errorf("phase %s has %d of cluster %s", p.Name, n, c)
			}
		}
	}
	if len(given) != len(w.nodes) || s.Phases[len(s.Phases)-2].Nodes[0] != "control-2" {
		t.Errorf("%d of %d nodes: %v", len(given), len(w.nodes), s.Phases)
	}
}

// Whatever happens to nodes, a roll-out ends, and phases only go forward.
func TestARolloutEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fine := model{clients: float64(rapid.IntRange(0, 50).Draw(t, "clients")), latency: time.Millisecond}
		candidate := fine
		candidate.errors = float64(rapid.IntRange(0, 10).Draw(t, "errors")) / 10
		w := newWorld(rapid.IntRange(1, 4).Draw(t, "clusters"), rapid.IntRange(1, 4).Draw(t, "size"), fine)
		phase := 0
		for i := 0; !w.state.IsOver(); i++ {
			if i > 4*600 {
				t.Fatalf("doesn't end: %+v", w.state)
			}
			if rapid.IntRange(0, 99).Draw(t, "dies") == 0 {
				for _, e := range w.edges {
					e.seen.Live = !e.seen.Live
					break
				}
			}
			w.step(fine, candidate)
			if w.state.Phase < phase {
				t.Fatal("went back")
			}
			phase = w.state.Phase
		}
		if w.state.State == Reverted && w.state.Doc(nil).Ref != from {
			t.Error("not taken back")
		}
	})
}
