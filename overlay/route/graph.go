package route

import (
	"slices"
	"time"

	"github.com/wherry/wherry/config"
)

const (
	hintFor   = time.Minute // that a report counts
	trustMin  = 0.05
	trustGood = 1.05 // by which trust grows when a hint held
	trustBad  = 0.7  // and shrinks when it didn't
)

// Graph is what others say of their links. It gives hints, no more: whoever lies is tried, found out by our own measurements and trusted less.
type Graph struct {
	nodes map[config.NodeID]*said
}

// said is the latest report of a node.
type said struct {
	report Report
	at     time.Time
	trust  float64 // 0 to 1
}

// take keeps a report; shortest is what light needs between two nodes.
func (g *Graph) take(r Report, now time.Time, shortest func(a, b config.NodeID) time.Duration) {
	if g.nodes == nil {
		g.nodes = map[config.NodeID]*said{}
	}
	s := g.nodes[r.Node]
	if s == nil {
		if len(g.nodes) >= peersMax {
			return
		}
		s = &said{trust: 1}
		g.nodes[r.Node] = s
	}
	r.Links = slices.Clone(r.Links)
	for i := range r.Links {
		l := &r.Links[i]
		l.RTT = max(l.RTT, shortest(r.Node, l.To), time.Microsecond)
		l.Loss = min(max(l.Loss, 0), 1)
	}
	s.report, s.at = r, now
}

// keep forgets the nodes that aren't there any more.
func (g *Graph) keep(there func(config.NodeID) bool) {
	for id := range g.nodes {
		if !there(id) {
			delete(g.nodes, id)
		}
	}
}

// links is what a node says of its links, while it counts.
func (g *Graph) links(of config.NodeID, now time.Time) []Link {
	if s := g.nodes[of]; s != nil && now.Sub(s.at) < hintFor {
		return s.report.Links
	}
	return nil
}

func (g *Graph) spare(of config.NodeID, now time.Time) (float64, bool) {
	if s := g.nodes[of]; s != nil && now.Sub(s.at) < hintFor {
		return s.report.Spare, true
	}
	return 0, false
}

func (g *Graph) trust(of config.NodeID) float64 {
	if s := g.nodes[of]; s != nil {
		return s.trust
	}
	return 1
}

// judge says whether what a node's report made us expect was what we measured.
func (g *Graph) judge(of config.NodeID, held bool) {
	if s := g.nodes[of]; s != nil {
		by := trustBad
		if held {
			by = trustGood
		}
		s.trust = min(max(s.trust*by, trustMin), 1)
	}
}

// between is what is said of the link between two nodes, by either. Of two opinions the worse counts: who wants to be chosen says too little,
// and has nothing from saying too much.
func (g *Graph) between(a, b config.NodeID, now time.Time) (link Link, ok bool) {
	for _, pair := range [2][2]config.NodeID{{a, b}, {b, a}} {
		s := g.nodes[pair[0]]
		if s == nil || now.Sub(s.at) >= hintFor {
			continue
		}
		for i := range s.report.Links {
			l := &s.report.Links[i]
			if l.To != pair[1] || l.Age+now.Sub(s.at) >= hintFor && !l.Dead {
				continue
			}
			if !ok {
				link, ok = *l, true
				link.Age += now.Sub(s.at)
				continue
			}
			link.Dead = link.Dead || l.Dead
			link.RTT, link.Variance, link.Loss = max(link.RTT, l.RTT), max(link.Variance, l.Variance), max(link.Loss, l.Loss)
			link.Capacity = worse(link.Capacity, l.Capacity)
			link.Age = min(link.Age, l.Age+now.Sub(s.at))
		}
	}
	return link, ok
}

// worse is the smaller of two amounts of which 0 means unknown.
func worse(a, b float64) float64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}
