package rollout

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// What is bad stays on the canary, and is taken back within 15 s.
func TestABadRevisionReachesTheCanaryAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fine := model{
			clients: rapid.SampledFrom([]float64{0, 1, 3, 20, 200}).Draw(t, "clients"), latency: 20 * time.Millisecond,
			hits: rapid.SampledFrom([]float64{0, 0.5, 0.9}).Draw(t, "hits"),
		}
		bad := fine
		switch rapid.SampledFrom([]string{"500", "slow", "404", "crash", "dies", "refuse"}).Draw(t, "bad") {
		case "500":
			bad.errors = 1
		case "slow":
			bad.latency, bad.hits = 2*time.Second, 0
		case "404":
			bad.rejected, bad.hits = 1, 0
		case "crash":
			bad.crash = true
		case "dies":
			bad.dies = true
		case "refuse":
			bad.refuse = true
		}
		w := newWorld(rapid.IntRange(1, 4).Draw(t, "clusters"), rapid.IntRange(2, 5).Draw(t, "size"), fine)
		w.begin(Change{})
		took := w.run(fine, bad)
		if w.state.State != Reverted || w.most > 1 || took > 15*time.Second {
			t.Errorf("%s after %s, reached %d: %s", w.state.State, took, w.most, w.state.Why)
		}
		if nodes, all := w.state.Variant(); len(nodes) > 0 || all || w.state.Doc().Ref != from {
			t.Errorf("left %v", w.state.Doc())
		}
	})
}

// What is as good as before isn't taken back, however the traffic looks, and whatever was wrong already.
func TestAGoodRevisionReachesAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := model{
			clients: rapid.Float64Range(0, 100).Draw(t, "clients"), latency: time.Duration(rapid.IntRange(1, 1000).Draw(t, "ms")) * time.Millisecond,
			errors: rapid.SampledFrom([]float64{0, 0.001, 0.01, 0.1, 0.5, 1}).Draw(t, "errors"), rejected: rapid.Float64Range(0, 0.5).Draw(t, "rejected"),
			hits: rapid.Float64Range(0, 1).Draw(t, "hits"), silent: rapid.Bool().Draw(t, "silent"),
		}
		w := newWorld(rapid.IntRange(1, 4).Draw(t, "clusters"), rapid.IntRange(1, 5).Draw(t, "size"), m)
		w.rand = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		w.begin(Change{})
		if took := w.run(m, m); w.state.State != Done || took > 3*time.Minute {
			t.Errorf("%s after %s: %s", w.state.State, took, w.state.Why)
		}
		if w.most != len(w.nodes) || w.state.Doc().Ref != to || w.state.Doc().Variants != nil {
			t.Errorf("reached %d, left %v", w.most, w.state.Doc())
		}
		for _, p := range w.state.Phases {
			if p.Ended.IsZero() || p.Verdict == "" {
				t.Errorf("phase %s ended %v: %q", p.Name, p.Ended, p.Verdict)
			}
		}
	})
}

// Whatever happens to nodes, a roll-out ends, phases only go forward (world.step), a state survives the store, and before the canary has passed nobody else holds it.
func TestARolloutEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fine := model{clients: float64(rapid.IntRange(0, 50).Draw(t, "clients")), latency: time.Millisecond}
		candidate := fine
		candidate.errors = float64(rapid.IntRange(0, 10).Draw(t, "errors")) / 10
		w := newWorld(rapid.IntRange(1, 4).Draw(t, "clusters"), rapid.IntRange(2, 4).Draw(t, "size"), fine)
		w.begin(Change{Key: rapid.SampledFrom([]string{"", feed.KeyNetwork, feed.KeySoftware}).Draw(t, "key")})
		for i := 0; !w.state.IsOver(); i++ {
			if i > 4*900 {
				t.Fatalf("doesn't end: %+v", w.state)
			}
			if i%8 == 0 && rapid.IntRange(0, 9).Draw(t, "turns") == 0 {
				e := w.edges[w.nodes[rapid.IntRange(0, len(w.nodes)-1).Draw(t, "node")].Name]
				if e.gone = !e.gone; rapid.Bool().Draw(t, "again") {
					e.seen.Boot += "."
				}
			}
			w.step(fine, candidate)
			if w.state.Phase == 0 && w.most > 1 {
				t.Fatalf("%d hold it before the canary passed", w.most)
			}
			data, err := json.Marshal(w.state)
			var back State
			if err != nil || json.Unmarshal(data, &back) != nil {
				t.Fatal(err)
			}
			if again, _ := json.Marshal(back); string(again) != string(data) {
				t.Fatalf("the state came back as\n%s instead of\n%s", again, data)
			}
		}
		if nodes, all := w.state.Variant(); w.state.State == Reverted && (len(nodes) > 0 || all) {
			t.Error("not taken back")
		}
		if last, changed := w.state.Step(Input{Now: w.now, Seen: w.seen(), Steer: "abort"}); changed || !reflect.DeepEqual(last, w.state) {
			t.Error("what is over can't be steered")
		}
	})
}

// Step leaves the state that it was given as it was: control tries again from it when somebody else wrote first.
func TestStepKeepsItsState(t *testing.T) {
	w := newWorld(2, 3, model{clients: 20})
	w.begin(Change{Settings: config.Rollout{Bake: time.Second}})
	for !w.state.IsOver() {
		before, _ := json.Marshal(w.state)
		old := w.state
		w.step(model{clients: 20}, model{clients: 20})
		if after, _ := json.Marshal(old); string(after) != string(before) {
			t.Fatalf("changed from\n%s to\n%s", before, after)
		}
	}
}

func TestPlans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.IntRange(1, 6).Draw(t, "clusters"), rapid.IntRange(1, 20).Draw(t, "size"), model{silent: true})
		software := rapid.Bool().Draw(t, "software")
		key := ""
		if software {
			key = feed.KeySoftware
		}
		w.begin(Change{Key: key})
		size, given, taken := map[config.ClusterName]int{}, map[config.NodeID]string{}, 0
		of := map[config.NodeID]feed.NodeRecord{}
		for _, n := range w.nodes {
			size[n.Cluster]++
			of[n.Name] = n
		}
		for _, p := range w.state.Phases {
			clusters, racks := map[config.ClusterName]int{}, map[string]bool{}
			for _, id := range p.Nodes {
				if given[id] != "" {
					t.Fatalf("%s is in %s and in %s", id, given[id], p.Name)
				}
				given[id] = p.Name
				n := of[id]
				clusters[n.Cluster]++
				rack := string(n.Cluster) + n.Rack
				if software && (clusters[n.Cluster] > max(1, size[n.Cluster]/4) || racks[rack]) {
					t.Fatalf("%s has too many of %s, rack %s", p.Name, n.Cluster, n.Rack)
				}
				racks[rack] = true
			}
			taken += len(p.Nodes)
			if p.Name == "quarter" && taken*4 < len(w.nodes) || p.Name == "cluster" && taken > max(2, len(w.nodes)/2) {
				t.Fatalf("%s: %d of %d", p.Name, taken, len(w.nodes))
			}
		}
		if len(given) != len(w.nodes) || !w.state.Phases[len(w.state.Phases)-1].All {
			t.Fatalf("%d of %d are planned", len(given), len(w.nodes))
		}
	})
}

func TestACanaryThatIsChosen(t *testing.T) {
	w := newWorld(2, 3, model{})
	w.edges["c0-1"].seen.Sites[0].Requests = 1000
	for _, c := range []struct {
		canaries []config.NodeID
		want     config.NodeID
	}{{[]config.NodeID{"gone", "c1-2"}, "c1-2"}, {nil, "c0-1"}} {
		w.begin(Change{Settings: config.Rollout{Canaries: c.canaries}})
		if got := w.state.Phases[0].Nodes[0]; got != c.want {
			t.Errorf("canaries %v: %s", c.canaries, got)
		}
	}
}

// Removing a site has no candidate that could be compared.
func TestRemoval(t *testing.T) {
	w := newWorld(2, 2, model{})
	s := Begin(Change{Key: "site/shop", Site: "shop", From: from, Settings: config.Rollout{Bake: time.Second}}, w.nodes, w.seen(), w.now)
	if d := s.Doc(); d.Ref != from || len(d.Variants) != 1 || !d.Variants[0].IsZero() {
		t.Errorf("begins with %+v", d)
	}
	for _, e := range w.edges {
		e.seen.Holds, e.seen.Sites = nil, nil
	}
	for range 400 {
		w.now = w.now.Add(tick)
		s, _ = s.Step(Input{Now: w.now, Seen: w.seen()})
	}
	if s.State != Done || s.Doc() != nil {
		t.Errorf("%s, %v: %s", s.State, s.Doc(), s.Why)
	}
}

// A value of the store has 256 KiB at most.
func TestAStateOfALargeNetworkIsSmall(t *testing.T) {
	w := newWorld(50, 100, model{clients: 1, silent: true, latency: time.Second})
	w.begin(Change{Settings: config.Rollout{Bake: time.Second}})
	most := 0
	for !w.state.IsOver() {
		if w.step(model{clients: 1}, model{clients: 1}) {
			data, err := json.Marshal(w.state)
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, len(data))
		}
	}
	if w.state.State != Done || most > 256<<10 {
		t.Errorf("%s with %d bytes: %s", w.state.State, most, w.state.Why)
	}
	t.Logf("%d bytes at most", most)
}

func TestChance(t *testing.T) {
	for _, c := range []struct {
		n, k         uint64
		p, reference float64
		less, more   float64
	}{
		{10, 0, 0.1, 100, 1.001, 0.999},
		{5, 5, 0.5 / 21, 21, 1e-5, 1e-6}, // a request a second for 20 s before
		{4, 4, 0.5 / 201, 201, 1e-5, 1e-10},
		{3, 3, 0.5 / 201, 201, 1, 1e-7},
		{10, 10, 0.5 / 8.5, 8.5, 1e-5, 1e-6}, // nothing known
		{8, 8, 0.5 / 8.5, 8.5, 1, 1e-5},
		{210, 210, 40.5 / 41, 41, 1, 1e-1}, // a reference as bad
		{1e6, 3e4, 0.005, 1e6, 1e-4, 0},    // 3 % for 0.5 %
		{1e6, 55e2, 0.005, 1e6, 1, 1e-2},   // 0.55 % for 0.5 %
		{100, 3, 0.005, 1000, 3e-2, 1e-2},  // chance
	} {
		if got := chance(c.n, c.k, c.p, c.reference); got > c.less || got < c.more {
			t.Errorf("chance(%d, %d, %g, %g) = %g", c.n, c.k, c.p, c.reference, got)
		}
	}
}

func TestQuantile(t *testing.T) {
	c := Count{Requests: 100, Hits: 50, Latency: []uint64{0, 50, 0, 0, 0, 40, 10}}
	if c.hitMedian() != 2*bucketUnit || c.missMedian() != 32*bucketUnit || c.quantile(1) != 64*bucketUnit {
		t.Error(c.hitMedian(), c.missMedian(), c.quantile(1))
	}
	if c.above(32*bucketUnit) != 10 || c.above(16*bucketUnit) != 50 || c.above(0) != 100 {
		t.Error(c.above(32*bucketUnit), c.above(16*bucketUnit), c.above(0))
	}
	if !slices.Equal(c.since(Count{Latency: []uint64{0, 20}}).Latency, []uint64{0, 30, 0, 0, 0, 40, 10}) {
		t.Error(c.since(Count{Latency: []uint64{0, 20}}))
	}
}

// The programs that nodes were installed with aren't one program: each node says that it runs its own.
func TestBackToTheInstalledProgram(t *testing.T) {
	nodes := []feed.NodeRecord{{Name: "lima-1", Cluster: "lima", Roles: []feed.Role{feed.RoleEdge}}}
	now := time.Unix(1e9, 0)
	seen := map[config.NodeID]Seen{"lima-1": {Live: true, Report: feed.Report{Node: "lima-1", Boot: "1", Program: to.Object}}}
	s := Begin(Change{ID: "r1", Key: feed.KeySoftware, From: from, To: to, Settings: config.Rollout{Bake: 10 * time.Second}}, nodes, seen, now)
	if now = now.Add(time.Second); step(&s, seen, now) || s.Marks["lima-1"].Adopted {
		t.Error("a node that runs another program counts as one that has gone back")
	}
	seen["lima-1"] = Seen{Live: true, Report: feed.Report{Node: "lima-1", Boot: "2", Program: feed.HashOf([]byte("own")), Own: true}}
	for range 60 {
		now = now.Add(time.Second)
		step(&s, seen, now)
	}
	if s.State != Done {
		t.Errorf("%s: %s", s.State, s.Why)
	}
}

func step(s *State, seen map[config.NodeID]Seen, now time.Time) (changed bool) {
	*s, changed = s.Step(Input{Now: now, Seen: seen})
	return changed
}

// The next leader's clock may say anything: a phase is watched for its time all the same, and not for a day.
func TestALeaderWithAnotherClock(t *testing.T) {
	nodes := []feed.NodeRecord{
		{Name: "lima-1", Cluster: "lima", Roles: []feed.Role{feed.RoleEdge}}, {Name: "osaka-1", Cluster: "osaka", Roles: []feed.Role{feed.RoleEdge}},
	}
	seen := map[config.NodeID]Seen{}
	for _, n := range nodes {
		seen[n.Name] = Seen{Live: true, Report: feed.Report{Node: n.Name, Boot: "1", Program: from.Object}}
	}
	const bake = 10 * time.Second
	for _, wrong := range []time.Duration{-24 * time.Hour, -time.Minute, 0, time.Minute, 24 * time.Hour} {
		now := time.Unix(1e9, 0)
		s := Begin(Change{ID: "r1", Key: feed.KeySoftware, From: from, To: to, Program: to.Object, Settings: config.Rollout{Bake: bake}}, nodes, seen, now)
		canary := s.Phases[0].Nodes[0]
		had := seen[canary]
		adopted := had
		adopted.Program, adopted.Boot = to.Object, "2"
		seen[canary] = adopted
		now = now.Add(2 * time.Second)
		step(&s, seen, now)
		now = now.Add(3*time.Second + wrong)
		s = s.TakenOver(now)
		took := 0 * time.Second
		for ; s.Phase == 0 && s.State == Running && took < time.Minute; took += 250 * time.Millisecond {
			step(&s, seen, now.Add(took))
		}
		if s.State != Running || s.Phase != 1 || took < bake || took > bake+time.Second {
			t.Errorf("a clock %s off: %s in phase %d after %s: %s", wrong, s.State, s.Phase, took, s.Why)
		}
		seen[canary] = had
	}
}

// What people see of the gate are the requests of the nodes with the change and of those without.
func TestGauge(t *testing.T) {
	fine := model{clients: 50, latency: 20 * time.Millisecond}
	w := newWorld(1, 4, fine)
	w.begin(Change{})
	for !w.state.Marks[w.state.Phases[0].Nodes[0]].Adopted {
		w.step(fine, fine)
	}
	for range 20 {
		w.step(fine, fine)
	}
	if w.state.Phase != 0 {
		t.Fatalf("the canary is over: %+v", w.state.Phases)
	}
	g := w.state.Gauge(Input{Now: w.now, Seen: w.seen()})
	if g.Nodes != 1 || g.Adopted != 1 || g.With.Requests == 0 || g.With.Errors != 0 || g.Before.Requests == 0 || g.Others.Requests <= g.With.Requests {
		t.Errorf("%+v", g)
	}
	if m := g.With.Median(); m < 10*time.Millisecond || m > 100*time.Millisecond {
		t.Errorf("the median is %s", m)
	}
}

// With a bake so short that the canary has answered a handful of its own requests, a change that breaks all of them still stays on the canary, also
// where nothing is known of before.
func TestAShortBakeLetsNoBrokenChangeThrough(t *testing.T) {
	for _, bake := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second} {
		w := newWorld(2, 3, model{silent: true})
		w.begin(Change{Settings: config.Rollout{Bake: bake}})
		w.run(model{silent: true}, model{errors: 1})
		if w.most > 1 || w.state.State != Reverted {
			t.Errorf("bake %v: on %d nodes, %s: %s", bake, w.most, w.state.State, w.state.Why)
		}
	}
}
