package rollout

import "time"

// Gauge is what the gate goes by in the present phase.
type Gauge struct {
	Nodes, Adopted int
	With           Count // what the phase's nodes did with the change
	Before         Count // what the same nodes did before, as far as it is remembered
	Others         Count // what nodes without the change did since the phase began
}

// Median is the time to the first byte that half of the requests needed at most, as the end of its bucket; 0: unknown.
func (c Count) Median() time.Duration { return c.quantile(0.5) }

// Gauge counts for people what judge compares: requests of clients and the nodes' own together.
func (s *State) Gauge(in Input) Gauge {
	p := &s.Phases[s.Phase]
	g := Gauge{Nodes: len(p.Nodes)}
	for _, probes := range []bool{false, true} {
		for _, id := range p.Nodes {
			n, m := in.Seen[id], s.Marks[id]
			if !m.Adopted {
				continue
			}
			before := m.Clients
			if probes {
				before = m.Probes
			} else {
				g.Adopted++
			}
			g.Before = g.Before.plus(before)
			if n.Live && n.Boot == m.Boot {
				g.With = g.With.plus(s.done(&n, &m, probes))
			}
		}
		for id, m := range s.Others {
			n := in.Seen[id]
			if !n.Live {
				continue
			}
			then := Count{}
			switch {
			case n.Boot != m.Boot:
			case probes:
				then = m.Probes
			default:
				then = m.Clients
			}
			g.Others = g.Others.plus(countOf(&n.Report, s.Site, probes).since(then))
		}
	}
	return g
}
