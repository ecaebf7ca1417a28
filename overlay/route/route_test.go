package route

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
)

func id(i int) config.NodeID { return config.NodeID(fmt.Sprintf("n%04d", i)) }

// network is a node in a network of n others.
func network(t testing.TB, n int) *Router {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	spot := func() *config.Location {
		return &config.Location{Latitude: -60 + 120*rng.Float64(), Longitude: -180 + 360*rng.Float64()}
	}
	r := New(Options{Self: "self", Seed: 1})
	var peers []Peer
	for i := 1; i <= n; i++ {
		peers = append(peers, Peer{ID: id(i), Cluster: config.ClusterName(fmt.Sprint(i / 4)), Place: spot(), Helps: true})
	}
	if err := r.SetPeers(Peer{ID: "self", Place: spot()}, peers, began); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestProbesDontGrowWithTheNetwork(t *testing.T) {
	sent := map[int]int{}
	for _, n := range []int{30, 300, 2000} {
		r, now := network(t, n), began
		for range 6000 {
			for _, p := range r.Probes(now) {
				sent[n]++
				r.Answered(p.ID, now.Add(20*time.Millisecond))
			}
			now = now.Add(100 * time.Millisecond)
		}
		if len(r.ways) > 60 {
			t.Errorf("of %d nodes %d are measured after ten minutes", n, len(r.ways))
		}
	}
	if sent[2000] > sent[30]*11/10 || sent[30] == 0 {
		t.Errorf("probes in ten minutes, by the size of the network: %v", sent)
	}
}

func TestNeighboursOfOneClusterAreTwoAtMost(t *testing.T) {
	r := network(t, 300)
	count := map[config.ClusterName]int{}
	for _, id := range r.near {
		if count[r.byID[id].Cluster]++; count[r.byID[id].Cluster] > 2 {
			t.Errorf("%v", r.near)
		}
	}
	if len(r.near) != 8 || len(r.far) != 4 {
		t.Errorf("near %v, far %v", r.near, r.far)
	}
}

// TestTablesAreBounded sends traffic everywhere while nothing answers, and reports from everybody.
func TestTablesAreBounded(t *testing.T) {
	r, now := network(t, 2000), began
	rng := rand.New(rand.NewPCG(1, 1))
	second := map[int64]int{}
	for i := range 1300 {
		to := id(1 + i)
		d := r.Choose(to, Class(rng.IntN(2)), now)
		r.Timeout(d.Use, now.Add(-time.Millisecond), now)
		r.Spend(Route{to, id(1 + rng.IntN(2000))}, 1000, now)
		r.Take(Report{Node: id(1 + rng.IntN(3000)), Links: []Link{{To: to, RTT: time.Millisecond}}}, now)
		second[now.Unix()] += len(r.Probes(now))
		now = now.Add(5 * time.Millisecond)
		if len(d.Open) > openMax+1 || len(d.Race) > racersMax || !slices.Contains(d.Open, d.Use) {
			t.Fatalf("%+v", d)
		}
	}
	if len(r.dests) != destsMax || len(r.ways) > destsMax*(openMax+4) || len(r.graph.nodes) > 2000 || len(r.probes.waiting) > outAllMax || len(r.detours.nodes) > budgetNodes {
		t.Errorf("%d destinations, %d reports, %d probes on their way, %d budgets", len(r.dests), len(r.graph.nodes), len(r.probes.waiting), len(r.detours.nodes))
	}
	for _, d := range r.dests {
		if len(d.known) > knownMax {
			t.Errorf("%d detours of %s are remembered", len(d.known), d.to)
		}
	}
	for s, n := range second {
		if float64(n) > r.o.ProbeRate+probeBurst {
			t.Errorf("%d probes in second %d", n, s-began.Unix())
		}
	}
	if err := r.SetPeers(r.self, make([]Peer, peersMax+1), now); err == nil {
		t.Error("any number of peers is taken")
	}
	if err := r.SetPeers(r.self, nil, now); err != nil || len(r.dests) != 0 || len(r.graph.nodes) != 0 {
		t.Errorf("after all have left: %v, %d destinations, %d reports", err, len(r.dests), len(r.graph.nodes))
	}
	r.Probes(now)
	r.Choose("n0001", Latency, now)
}

func TestOpinionsOfALink(t *testing.T) {
	r, now := network(t, 10), began
	far := light(r.place("n0001"), r.place("n0002"))
	r.Take(Report{Node: "n0001", Links: []Link{{To: "n0002", RTT: time.Microsecond, Loss: 0.01}}}, now)
	if l, ok := r.graph.between("n0002", "n0001", now); !ok || l.RTT != far {
		t.Errorf("quicker than light (%v): %+v", far, l)
	}
	r.Take(Report{Node: "n0002", Links: []Link{{To: "n0001", RTT: far + time.Second, Loss: 0.2}}}, now)
	if l, _ := r.graph.between("n0001", "n0002", now); l.RTT != far+time.Second || l.Loss != 0.2 {
		t.Errorf("of two opinions the worse counts: %+v", l)
	}
	if _, ok := r.graph.between("n0001", "n0002", now.Add(hintFor)); ok {
		t.Error("an old report counts")
	}
	r.Take(Report{Node: "stranger", Links: []Link{{To: "n0001"}}}, now)
	if len(r.graph.nodes) != 2 {
		t.Error("a stranger's report is kept")
	}
}

func TestReportHasWhatWasMeasured(t *testing.T) {
	r, now := network(t, 100), began
	r.SetSpare(1e6)
	for range 100 {
		for _, p := range r.Probes(now) {
			if p.Route.To != r.near[0] {
				r.Answered(p.ID, now.Add(20*time.Millisecond))
			}
		}
		now = now.Add(100 * time.Millisecond)
	}
	got := r.Report(now)
	if got.Node != "self" || got.Spare != 1e6 || len(got.Links) != 12 {
		t.Fatalf("%+v", got)
	}
	for _, l := range got.Links {
		if l.Dead != (l.To == r.near[0]) || !l.Dead && l.RTT != 20*time.Millisecond {
			t.Errorf("%+v", l)
		}
	}
}

func TestBudgetHolds(t *testing.T) {
	b := NewBudget(1000, 1500)
	now := began
	sent := map[config.NodeID]int{}
	for range 10_000 {
		now = now.Add(time.Millisecond)
		for _, via := range []config.NodeID{"a", "b"} {
			if b.Take(via, 10, now) {
				sent[via] += 10
			}
		}
	}
	if all := sent["a"] + sent["b"]; all > 1500*11 || all < 1500*9 || sent["a"] > 1000*11 {
		t.Errorf("in ten seconds: %v", sent)
	}
	bytes, over := b.Spent()
	if bytes != uint64(sent["a"]+sent["b"]) || over == 0 || !b.Tight("a", 0, now) {
		t.Errorf("%d, %d held back", bytes, over)
	}
}

// TestTransportsAnswerProbesByWhatTheyHear is how it is used where a probe is a challenge on a path and has no answer of its own.
func TestTransportsAnswerProbesByWhatTheyHear(t *testing.T) {
	r, now := network(t, 20), began
	c := map[Route]*Counters{}
	for range 600 {
		now = now.Add(100 * time.Millisecond)
		r.Choose("n0001", Latency, now)
		for _, w := range r.ways {
			if known := c[w.route]; known != nil && !known.Heard.After(now) {
				r.Observe(w.route, *known, now)
			}
		}
		for _, p := range r.Probes(now) {
			if c[p.Route] == nil {
				c[p.Route] = &Counters{Alive: true, Smoothed: 50 * time.Millisecond}
			}
			c[p.Route].Heard = now.Add(50 * time.Millisecond)
			c[p.Route].Arrived++
		}
	}
	for _, w := range r.ways {
		if e := w.est.Estimate(now); w.roles != 0 && e.Samples > 0 && (e.State != Alive || e.Loss > 0.01) {
			t.Errorf("%v: %+v", w.route, e)
		}
	}
	if d := r.Choose("n0001", Latency, now); !d.Use.Direct() || len(d.Race) > 0 || len(d.Open) < 4 {
		t.Errorf("%+v", d)
	}
}
