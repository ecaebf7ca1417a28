package route

import (
	"cmp"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
)

const (
	groomEvery   = 10 * time.Second
	exploreFor   = 20 * time.Second // that one taken by chance stays
	stickiness   = 0.85             // by which the cost of an open route is taken: another one has to be clearly better
	blindPenalty = 1.25             // by which a cost that rests on a guess is taken
	randomTries  = 8
	knownMax     = 32          // detours of a node that are remembered
	silentTime   = time.Minute // after which a detour that was closed because it was silent is as good as another one
	lastPenalty  = float64(time.Hour)
	hintHeld     = 1.3 // up to which a measured round trip is what was expected
)

// candidate is a node through which one could go.
type candidate struct {
	via      config.NodeID
	cost     float64
	expected time.Duration // by reports
}

// groom decides which detours to a node are kept ready: those in use, the best few by what is known, not two through one cluster, and one by
// chance.
func (r *Router) groom(d *dest, now time.Time) {
	d.groomedAt = now
	r.remember(d, now)
	if r.byID[d.to] == nil {
		return
	}
	r.judge(d, now)
	before := d.open
	d.open = nil
	keep := func(route Route, explorer bool, expected time.Duration) {
		o := open{Route: route, since: now, explorer: explorer, expected: expected}
		if i := slices.IndexFunc(before, func(b open) bool { return b.Route == route }); i >= 0 {
			o.since, o.explorer = before[i].since, before[i].explorer && explorer
			o.expected = before[i].expected
		}
		d.open = append(d.open, o)
	}
	for class := range d.picks {
		if p := &d.picks[class]; p.asked && !p.route.Direct() && r.byID[p.route.Via] != nil && !d.has(p.route.Via) {
			keep(p.route, false, 0)
		}
	}
	standby := 0
	for _, c := range r.candidates(d, before, now) {
		if standby == r.o.Standby {
			break
		}
		if !d.has(c.via) && !r.crowded(d, c.via) {
			keep(Route{d.to, c.via}, false, c.expected)
			standby++
		}
	}
	if via := r.explorer(d, before, now); via != "" {
		keep(Route{d.to, via}, true, 0)
	}
	r.measure(d, now)
}

func (d *dest) has(via config.NodeID) bool {
	return slices.ContainsFunc(d.open, func(o open) bool { return o.Via == via })
}

// crowded says whether a detour through a cluster is open already.
func (r *Router) crowded(d *dest, via config.NodeID) bool {
	cluster := r.byID[via].Cluster
	return cluster != "" && slices.ContainsFunc(d.open, func(o open) bool { return r.byID[o.Via].Cluster == cluster })
}

// candidates are the nodes through which one could go to a node, the best first: our neighbours, its neighbours, the parent, what is open.
func (r *Router) candidates(d *dest, before []open, now time.Time) []candidate {
	seen := map[config.NodeID]bool{d.to: true, r.o.Self: true}
	var list []candidate
	add := func(id config.NodeID) {
		p := r.byID[id]
		if seen[id] || p == nil || !r.helps(p, now) {
			return
		}
		seen[id] = true
		c := r.candidate(d.to, id, now)
		if slices.ContainsFunc(before, func(o open) bool { return o.Via == id && !o.explorer }) {
			c.cost *= stickiness
		}
		list = append(list, c)
	}
	for _, o := range before {
		add(o.Via)
	}
	for _, id := range r.near {
		add(id)
	}
	for _, id := range r.far {
		add(id)
	}
	for _, l := range r.graph.links(d.to, now) {
		add(l.To)
	}
	for _, p := range r.peers {
		if p.Parent {
			add(p.ID)
		}
	}
	for id := range d.known {
		add(id)
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.via, b.via)) })
	return list
}

// candidate reckons what a detour would cost: as it was measured from end to end, or as its two parts are said to be. Those that were silent, or are
// said to be, come last.
func (r *Router) candidate(to, via config.NodeID, now time.Time) candidate {
	var last float64
	if w := r.byRoute[Route{to, via}]; w != nil {
		e := w.est.Estimate(now)
		if (e.State >= Suspect || e.State == Unknown && e.Silent > 0) && now.Sub(w.idleAt) < silentTime {
			last = lastPenalty
		}
		if e.Samples >= samplesMin && e.Age < hintFor {
			return candidate{via: via, cost: float64(smallCost(&e)) + last}
		}
	}
	e := r.expect(to, via, now)
	if e.State >= Suspect {
		last = lastPenalty
	}
	if m, ok := r.byTo[to].known[via]; ok && e.State == Unknown { // no reports: what was measured is better than a guess
		e.Smoothed, e.Variance = m.trip, m.trip/50
		return candidate{via: via, cost: float64(smallCost(&e)) + last}
	}
	c := candidate{via: via, cost: float64(smallCost(&e))/r.graph.trust(via) + last}
	if e.State == Unknown {
		c.cost *= blindPenalty
		return c
	}
	c.expected = e.Smoothed
	return c
}

// expect is what is expected of a route that wasn't measured. Its state is Unknown if it rests on a guess.
func (r *Router) expect(to, via config.NodeID, now time.Time) Estimate {
	if via == "" {
		return r.leg(r.o.Self, to, now)
	}
	a, b := r.leg(r.o.Self, via, now), r.leg(via, to, now)
	return join(&a, &b)
}

// leg is what is known of a direct link: by this node, by reports, or by distance.
func (r *Router) leg(a, b config.NodeID, now time.Time) Estimate {
	if a == r.o.Self {
		if w := r.byRoute[Route{To: b}]; w != nil && w.est.measured() && (now.Sub(w.est.heard) < hintFor || w.est.silent > 0) {
			return w.est.Estimate(now)
		}
	}
	if l, ok := r.graph.between(a, b, now); ok {
		e := Estimate{State: Alive, Smoothed: l.RTT, Variance: l.Variance, Loss: l.Loss, LossFast: l.Loss, Capacity: l.Capacity, Age: l.Age}
		if l.Dead {
			e.State = Suspect
		}
		return e
	}
	trip := guess(r.place(a), r.place(b))
	return Estimate{Smoothed: trip, Variance: trip / 10, Loss: usualLoss, LossFast: usualLoss}
}

// explorer is the node through which one goes by chance: whoever it is for a while, and then another one, of a few the most promising.
func (r *Router) explorer(d *dest, before []open, now time.Time) config.NodeID {
	for _, o := range before {
		w := r.byRoute[o.Route]
		silent := w != nil && w.est.silent >= suspectMin
		if o.explorer && !d.has(o.Via) && now.Sub(o.since) < exploreFor && !silent && r.helps(r.byID[o.Via], now) {
			return o.Via
		}
	}
	var found *peer
	var least time.Duration
	for range randomTries {
		if len(r.peers) == 0 {
			break
		}
		p := r.peers[r.rng.IntN(len(r.peers))]
		if p.ID == d.to || d.has(p.ID) || !r.helps(p, now) || slices.ContainsFunc(before, func(o open) bool { return o.Via == p.ID }) {
			continue
		}
		// The shorter way of those that were never tried, or else the one that was tried longest ago.
		way := light(r.self.Place, p.Place) + light(p.Place, r.place(d.to))
		if m, ok := d.known[p.ID]; ok {
			way += time.Duration(float64(time.Hour) / (1 + now.Sub(m.at).Seconds()))
		}
		if found == nil || way < least {
			found, least = p, way
		}
	}
	if found == nil {
		return ""
	}
	return found.ID
}

// memory is what a detour was like that isn't measured any more.
type memory struct {
	trip time.Duration // shortest
	at   time.Time
}

// remember notes what the open detours are like: which is short is so for weeks.
func (r *Router) remember(d *dest, now time.Time) {
	for _, o := range d.open {
		w := r.byRoute[o.Route]
		if w == nil {
			continue
		}
		e := w.est.Estimate(now)
		if e.Samples < samplesMin {
			continue
		}
		if d.known == nil {
			d.known = map[config.NodeID]memory{}
		}
		if _, ok := d.known[o.Via]; !ok && len(d.known) >= knownMax {
			var worst config.NodeID
			for id, m := range d.known {
				if w := d.known[worst]; worst == "" || m.trip > w.trip || m.trip == w.trip && id > worst {
					worst = id
				}
			}
			delete(d.known, worst)
		}
		d.known[o.Via] = memory{e.Min, now}
	}
}

// judge compares what was measured on open detours with what reports had made us expect, once.
func (r *Router) judge(d *dest, now time.Time) {
	for i := range d.open {
		o := &d.open[i]
		w := r.byRoute[o.Route]
		if o.expected == 0 || w == nil || w.est.samples < samplesMin && now.Sub(o.since) < groomEvery {
			continue
		}
		held := w.est.measured() && float64(w.est.smoothed) <= hintHeld*float64(o.expected)+float64(10*time.Millisecond)
		r.graph.judge(o.Via, held)
		o.expected = 0
	}
}
