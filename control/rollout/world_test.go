package rollout

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

const tick = 250 * time.Millisecond

// model is what a revision makes of a request.
type model struct {
	clients  float64 // requests a second; 0: only the node's own, if it makes any
	errors   float64 // share
	rejected float64 // share
	hits     float64 // share
	latency  time.Duration
	crash    bool // the process dies and comes back, again and again
	dies     bool // the process dies and stays away
	refuse   bool
	ignore   bool // it never adopts
	silent   bool // no requests of its own
}

// world plays edges that adopt what they are given, and are asked.
type world struct {
	now, began time.Time
	rand       *rand.Rand
	nodes      []feed.NodeRecord
	edges      map[config.NodeID]*edge
	state      State
	most       int // edges that held the candidate at a time
}

type edge struct {
	seen      Seen
	candidate bool
	gone      bool // cut off by the test
}

var (
	from = feed.Ref{Revision: 1, Object: feed.HashOf([]byte("1"))}
	to   = feed.Ref{Revision: 2, Object: feed.HashOf([]byte("2"))}
)

func newWorld(clusters, size int, old model) *world {
	w := &world{now: time.Unix(1e9, 0), edges: map[config.NodeID]*edge{}, rand: rand.New(rand.NewPCG(1, 2))}
	for c := range clusters {
		for i := range size {
			w.add(feed.NodeRecord{
				Name: config.NodeID(fmt.Sprintf("c%d-%d", c, i)), Cluster: config.ClusterName(fmt.Sprint("c", c)), Rack: fmt.Sprint("r", i%3),
				Roles: []feed.Role{feed.RoleEdge},
			})
		}
	}
	for range 80 {
		w.serve(old, old)
		w.now = w.now.Add(tick)
	}
	return w
}

func (w *world) add(n feed.NodeRecord) {
	e := &edge{seen: Seen{Live: true, Report: feed.Report{Node: n.Name, Boot: "1", Holds: map[string]uint64{"site/shop": 1}, Program: from.Object}}}
	e.count(1, w.now)
	w.nodes, w.edges[n.Name] = append(w.nodes, n), e
}

// count begins the counts of a revision.
func (e *edge) count(revision uint64, now time.Time) {
	e.seen.Sites = []feed.SiteTally{{Site: "shop", Revision: revision, Since: now}, {Site: "shop", Revision: revision, Since: now, Synthetic: true}}
}

func (w *world) begin(c Change) {
	c.ID, c.From, c.To = "r1", from, to
	switch c.Key {
	case "":
		c.Key, c.Site = "site/shop", "shop"
	case feed.KeySoftware:
		c.Program = to.Object
	}
	if c.Settings.Bake == 0 {
		c.Settings.Bake = 10 * time.Second
	}
	w.began = w.now
	w.state = Begin(c, w.nodes, w.seen(), w.now)
}

func (w *world) seen() map[config.NodeID]Seen {
	all := map[config.NodeID]Seen{}
	for id, e := range w.edges {
		s := e.seen
		s.Live = s.Live && !e.gone
		s.Holds = maps.Clone(s.Holds)
		s.Sites = slices.Clone(s.Sites)
		for i := range s.Sites {
			s.Sites[i].Latency = slices.Clone(s.Sites[i].Latency)
		}
		all[id] = s
	}
	return all
}

// serve plays a tick of requests.
func (w *world) serve(old, candidate model) {
	for _, n := range w.nodes {
		e, m := w.edges[n.Name], old
		if e.candidate {
			m = candidate
		}
		if !e.seen.Live {
			continue
		}
		w.ask(&e.seen.Sites[0], m, m.clients)
		if !m.silent {
			w.ask(&e.seen.Sites[1], m, 2)
		}
	}
}

func (w *world) ask(t *feed.SiteTally, m model, rate float64) {
	at := w.now.Sub(time.Unix(1e9, 0))
	for range int((at+tick).Seconds()*rate) - int(at.Seconds()*rate) {
		t.Requests++
		latency := m.latency/2 + time.Duration(w.rand.ExpFloat64()*float64(m.latency/2))
		switch {
		case w.rand.Float64() < m.errors:
			t.Errors++
		case w.rand.Float64() < m.rejected:
			t.Rejected++
		case w.rand.Float64() < m.hits:
			t.Hits++
			latency = min(latency, 300*time.Microsecond)
		}
		bucket := 0
		for bucketUnit<<bucket <= latency {
			bucket++
		}
		for len(t.Latency) <= bucket {
			t.Latency = append(t.Latency, 0)
		}
		t.Latency[bucket]++
	}
}

// hear is how a node takes what the state says of it.
func (w *world) hear(id config.NodeID, e *edge, is bool, m model) {
	s := &e.seen
	switch {
	case e.gone:
	case is && m.refuse:
		s.Refused = []feed.Refusal{{Key: w.state.Key, Ref: to, Why: "line 3: no such origin"}}
	case is && m.ignore:
	case is && m.dies:
		s.Live = false
	case is != e.candidate:
		e.candidate = is
		s.Refused = nil
		if s.Live = true; w.state.software() {
			s.Boot, s.Program = s.Boot+"'", map[bool]feed.Hash{false: from.Object, true: to.Object}[is]
			e.count(1, w.now)
			return
		}
		s.Holds[w.state.Key] = map[bool]uint64{false: 1, true: 2}[is]
		if w.state.Site != "" {
			e.count(s.Holds[w.state.Key], w.now)
		}
	case is && m.crash:
		s.Boot += "x"
	}
}

// step plays control, and the edges that hear of it.
func (w *world) step(old, candidate model) (changed bool) {
	was := w.state.Phase
	w.state, changed = w.state.Step(Input{Now: w.now, Seen: w.seen()})
	if w.state.Phase < was {
		panic("BUG: a phase came again")
	}
	nodes, all := w.state.Variant()
	holding := 0
	for _, n := range w.nodes {
		e := w.edges[n.Name]
		w.hear(n.Name, e, all || slices.Contains(nodes, n.Name), candidate)
		if e.candidate {
			holding++
		}
	}
	w.most = max(w.most, holding)
	w.serve(old, candidate)
	w.now = w.now.Add(tick)
	return changed
}

func (w *world) run(old, candidate model) time.Duration {
	for !w.state.IsOver() && w.now.Sub(w.began) < 15*time.Minute {
		w.step(old, candidate)
	}
	return w.now.Sub(w.began)
}
