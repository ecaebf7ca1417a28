package origin

import (
	"strconv"
	"time"
)

// chooser picks one of a site's origins for each request. It is pure: its owner serialises calls and says what time it is.
//
// Among equals it goes round smoothly: each pick gives every candidate its weight and takes the sum of the weights from the
// one that has most, so that after sum picks each was picked weight times, spread evenly. Taking the less busy of two random
// ones would adapt to slow origins, but the configuration promises a share, and only this keeps it exactly; an origin that
// doesn't answer leaves the round by its health.
type chooser struct {
	members []member
}

type member struct {
	weight  int
	backup  bool
	current int // what it has, in weight
	health  health
}

// pick is what was picked and why.
type pick struct {
	index  int  // of the member; -1 if there is none
	trial  bool // the request finds out whether the origin is back
	reason reason
	// share and sum are the weights of the picked one and of all candidates.
	share, sum int
}

// reason is why a member was picked.
type reason int

const (
	healthy   reason = iota // by its share
	backup                  // no other is healthy, by its share of the backups
	lastHope                // none is healthy, it failed longest ago
	exhausted               // all have been asked
)

func (p pick) String() string {
	text := "weight " + strconv.Itoa(p.share) + " of " + strconv.Itoa(p.sum)
	switch p.reason {
	case backup:
		text = "backup, no other is healthy, " + text
	case lastHope:
		text = "none is healthy, failed longest ago"
	case exhausted:
		return "all have been asked"
	}
	if p.trial {
		text += ", on trial"
	}
	return text
}

// pick returns the member for a request that has not been sent to those that skip names.
func (c *chooser) pick(now time.Time, skip func(i int) bool) pick {
	for _, class := range []reason{healthy, backup} {
		if p := c.round(now, class, skip); p.index >= 0 {
			return p
		}
	}
	return c.oldestFailure(now, skip)
}

// round picks among the available members of a class by their weights.
func (c *chooser) round(now time.Time, class reason, skip func(i int) bool) pick {
	p := pick{index: -1, reason: class}
	for i := range c.members {
		m := &c.members[i]
		if m.backup != (class == backup) || !m.health.available(now) || skip(i) {
			continue
		}
		m.current += m.weight
		p.sum += m.weight
		if p.index < 0 || m.current > c.members[p.index].current {
			p.index = i
		}
	}
	if p.index >= 0 {
		m := &c.members[p.index]
		m.current -= p.sum
		p.share = m.weight
		p.trial = m.health.due(now)
		m.health.trial = m.health.trial || p.trial
	}
	return p
}

// oldestFailure picks the member that failed longest ago.
func (c *chooser) oldestFailure(now time.Time, skip func(i int) bool) pick {
	p := pick{index: -1, reason: exhausted}
	for i := range c.members {
		if skip(i) {
			continue
		}
		if p.index < 0 || c.members[i].health.failedAt.Before(c.members[p.index].health.failedAt) {
			p.index, p.reason = i, lastHope
		}
	}
	if p.index >= 0 {
		h := &c.members[p.index].health
		p.trial = h.due(now)
		h.trial = h.trial || p.trial
	}
	return p
}
