package routesim

import (
	"slices"
	"time"

	"github.com/wherry/wherry/overlay/route"
)

// Missed is how much longer exchanges were expected to take by our choice than by the oracle's, for each reason: means over all exchanges.
type Missed struct {
	Near    time.Duration // ours is less than nearPart longer: nobody goes elsewhere for that
	Unknown time.Duration // the oracle's route isn't among those that the node measures
	Late    time.Duration // it is, and the node stays where it is yet
}

const nearPart = 0.05

// missed adds up for the exchange that starts now. An exchange on a route that is dead counts for a second.
func (s *sim) missed(p *pair, d route.Decision) {
	if s.o.Alone {
		return
	}
	ours, best := s.via(d.Use), s.oracle(p, s.now)
	least := s.w.expected(p.a, best, p.b, s.now)
	excess := min(s.w.expected(p.a, ours, p.b, s.now), least+time.Second) - least
	m := &s.result.Missed
	switch {
	case excess <= 0:
	case float64(excess) < nearPart*float64(least):
		m.Near += excess
	case !slices.ContainsFunc(d.Open, func(r route.Route) bool { return s.via(r) == best }):
		m.Unknown += excess
	default:
		m.Late += excess
	}
}
