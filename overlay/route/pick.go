package route

import (
	"fmt"
	"slices"
	"time"
)

// What it takes to go elsewhere without need.
const (
	samplesMin = 5
	steadyMin  = 5 * time.Second

	gainMin   = 0.005  // of the expected time, to go from one detour to another
	gainAway  = 0.01   // from the direct way
	gainHome  = -0.005 // to the direct way: it costs nobody anything
	gainBulk  = 0.05   // for bulk, away from what is in use: what a path carries isn't known better
	gainLeast = 500 * time.Microsecond
	gainMost  = 0.25                   // that counts
	gainDoubt = 500 * time.Millisecond // that would have been gained if one had gone there already, each second a second's exchange
	holdFirst = 5 * time.Second        // after a switch without need; twice as long after each of the last flipTime
	holdLast  = 5 * time.Minute
	flipTime  = 10 * time.Minute
	flipsMax  = 8

	heavyGain = 0.3 // with which a route that has begun to lose much is left at once
	heavyHold = 10 * time.Second
)

// pick is what is used for one class of traffic to a node.
type pick struct {
	asked     bool
	route     Route
	since     time.Time
	why       string
	trial     bool          // it was taken in need and hasn't answered since
	better    time.Time     // another one has been better since; zero: none is
	missed    time.Duration // that would have been gained since then
	lookedAt  time.Time
	heavyFrom time.Time // not before is heavy loss a reason to go
	flips     []time.Time
	switches  uint64
}

// step goes to another route if there is a reason.
//
//	in use                        another one                              goes
//	gone, silent, not allowed     answers                                  at once
//	has begun to lose much        expected in 0.7 of the time              at once, each 10 s
//	works                         expected sooner by 0.5 ms and 1 %        when half a second of each second's exchange was missed, and a hold that doubles
//	a detour that works           direct, and as good                      the same
func (p *pick) step(options []option, class Class, now time.Time) {
	used := find(options, p.route)
	if used != nil && p.trial && used.Silent == 0 && used.Age < now.Sub(p.since) {
		p.trial = false
	}
	if why := p.failing(used, now); why != "" {
		other := best(options, p.route, used, (*option).answering)
		if other == nil && (used == nil || !used.working()) {
			other = best(options, p.route, used, (*option).working)
		}
		if other != nil && used != nil && used.working() {
			// Only the budget says so. The direct way may be taken at once; to go from one detour to the next each time would be a dance.
			if !other.Direct() && now.Sub(p.since) < p.hold(now) {
				return
			}
			p.flip(now)
		}
		if other != nil {
			p.change(other.Route, now, fmt.Sprintf("%s; %s answered %s ago", why, other.Route, brief(other.Age)))
			p.trial = true
		}
		p.better, p.missed = time.Time{}, 0
		return
	}
	other := best(options, p.route, nil, (*option).ready)
	if other == nil {
		p.better, p.missed = time.Time{}, 0
		return
	}
	if home := &options[0]; home.Direct() && home != used && home.ready() && float64(home.cost) <= float64(other.cost)*(1-gainHome) {
		other = home
	}
	gain := 1 - float64(other.cost)/float64(used.cost)
	if used.Heavy && gain >= heavyGain && !now.Before(p.heavyFrom) {
		p.heavyFrom = now.Add(heavyHold)
		p.change(other.Route, now, fmt.Sprintf("%s lost %s of late; %s is quicker by %s", p.route, percent(used.LossFast), other.Route, percent(gain)))
		return
	}
	p.consider(used, other, gain, class, now)
}

// failing says why the route in use can't stay.
func (p *pick) failing(used *option, now time.Time) string {
	switch {
	case used == nil:
		return p.route.String() + " is gone"
	case used.barred != "":
		return p.route.String() + ": " + used.barred
	case used.tight && used.State == Alive:
		return p.route.String() + ": the budget for detours is used up"
	case used.State >= Suspect:
		return fmt.Sprintf("%s has been silent for %s", p.route, brief(used.Age))
	case used.State == Unknown:
		return p.route.String() + " hasn't answered yet"
	case p.trial && used.Silent > 0:
		return fmt.Sprintf("%s was tried and is silent", p.route)
	}
	return ""
}

// best is the cheapest of the other options that fit. Those that were heard after the one that fails come first: what befell it may have
// befallen them.
func best(options []option, but Route, failed *option, fits func(*option) bool) *option {
	var found *option
	later := func(o *option) bool { return failed != nil && o.Age < failed.Age }
	for i := range options {
		o := &options[i]
		if o.Route == but || !fits(o) {
			continue
		}
		if found == nil || later(o) && !later(found) || later(o) == later(found) && o.cost < found.cost {
			found = o
		}
	}
	return found
}

// consider goes to a better route when what was missed by not being there adds up (a CUSUM test): 2 s of half the time, 50 s of a hundredth. Estimates that
// waver around each other add up to nothing.
func (p *pick) consider(used, other *option, gain float64, class Class, now time.Time) {
	passed := min(now.Sub(p.lookedAt), againIdle)
	p.lookedAt = now
	least := gainMin
	switch {
	case other.Direct():
		least = gainHome
	case class == Bulk:
		least = gainBulk
	case used.cost-other.cost < gainLeast:
		gain = 0
	case used.Direct():
		least = gainAway
	}
	if p.better.IsZero() {
		p.better, passed = now, 0
	}
	if p.missed += time.Duration((min(gain, gainMost) - least) * float64(passed)); p.missed < 0 {
		p.better, p.missed = time.Time{}, 0
		return
	}
	if gain <= least || p.missed < gainDoubt || now.Sub(p.since) < p.hold(now) {
		return
	}
	p.flip(now)
	why := fmt.Sprintf("%s is quicker than %s by %s, and has been for %s", other.Route, p.route, percent(gain), brief(now.Sub(p.better)))
	if gain <= 0 {
		why = fmt.Sprintf("%s is as good as %s", other.Route, p.route)
	}
	p.change(other.Route, now, why)
}

// hold is how long a route is kept at least, unless it fails.
func (p *pick) hold(now time.Time) time.Duration {
	p.flips = slices.DeleteFunc(p.flips, func(t time.Time) bool { return now.Sub(t) > flipTime })
	return min(holdFirst<<len(p.flips), holdLast)
}

// flip notes a switch that wasn't needed, or was our own fault: the next one has to wait longer.
func (p *pick) flip(now time.Time) {
	if len(p.flips) == flipsMax {
		p.flips = slices.Delete(p.flips, 0, 1)
	}
	p.flips = append(p.flips, now)
}

func (p *pick) change(to Route, now time.Time, why string) {
	p.route, p.since, p.why, p.trial, p.better, p.missed = to, now, why, false, time.Time{}, 0
	p.switches++
}
