package tunnel

import (
	"slices"
	"time"
)

// Bounds of a Table.
const (
	agentsMaxDefault = 1024
	siteAgentsMax    = 32 // agents of one site and protocol
)

// penalty is how long an agent is asked last after it couldn't reach its service.
const penalty = 5 * time.Second

// member is one agent's offer of one site.
type member struct {
	agent    *agentSession
	offered  offered
	running  int       // requests and connections
	total    uint64    // of them, since it came
	failures uint64    // of them, that it refused
	badUntil time.Time // it is asked last
	why      string    // what it last refused with
}

// members are who offers what. It is pure; its owner's mutex protects it.
type members struct {
	of     map[offered][]*member
	agents int
}

// add takes an agent's offers. It returns a site that has too many agents, or "".
func (m *members) add(agent *agentSession, offers []offered) (full string) {
	for _, o := range offers {
		if len(m.of[o]) >= siteAgentsMax {
			return o.site
		}
	}
	if m.of == nil {
		m.of = map[offered][]*member{}
	}
	for _, o := range offers {
		m.of[o] = append(m.of[o], &member{agent: agent, offered: o})
	}
	return ""
}

// remove takes an agent away. What is under way with it goes on.
func (m *members) remove(agent *agentSession) {
	for o, list := range m.of {
		list = slices.DeleteFunc(list, func(x *member) bool { return x.agent == agent })
		if len(list) == 0 {
			delete(m.of, o)
		} else {
			m.of[o] = list
		}
	}
}

// pick chooses who is asked next: of those that weren't tried, one that could reach its service, with the fewest under way, and among
// those who has had the fewest.
func (m *members) pick(o offered, tried []*member, now time.Time) *member {
	var best *member
	for _, x := range m.of[o] {
		if !slices.Contains(tried, x) && (best == nil || x.before(best, now)) {
			best = x
		}
	}
	return best
}

func (x *member) before(y *member, now time.Time) bool {
	xBad, yBad := now.Before(x.badUntil), now.Before(y.badUntil)
	switch {
	case xBad != yBad:
		return yBad
	case x.running != y.running:
		return x.running < y.running
	}
	return x.total < y.total
}

// begin counts a request to x.
func (x *member) begin() {
	x.running++
	x.total++
}

// end takes note of how it went; why is "" unless x couldn't serve it.
func (x *member) end(why string, now time.Time) {
	x.running--
	if why != "" {
		x.failures++
		x.badUntil, x.why = now.Add(penalty), why
	} else {
		x.badUntil = time.Time{}
	}
}
