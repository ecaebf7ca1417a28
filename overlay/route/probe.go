package route

import (
	"slices"
	"time"

	"github.com/wherry/wherry/config"
)

// How often routes are probed that don't carry anything. Whatever was heard on them puts it off.
const (
	nearEvery    = 5 * time.Second
	farEvery     = 10 * time.Second
	standbyEvery = 2 * time.Second
	usedEvery    = time.Second
	deadEvery    = 5 * time.Second        // what was once alive and isn't now
	courtEvery   = 250 * time.Millisecond // what would be used if it had ceased to lose
	burstEvery   = 15 * time.Millisecond
	burstCount   = 3   // probes that follow a timeout
	jitter       = 0.2 // part of an interval by which it varies
	lateFor      = 10 * time.Second
	outMax       = 16 // probes of a route that wait for an answer
	outAllMax    = 8192
	probeBurst   = 30.0
	probeStep    = 5 * time.Millisecond // of Next at least
	wayIdle      = 2 * time.Minute      // that a route is remembered that nobody measures
)

// role is why a route is measured.
type role uint8

const (
	roleNear role = 1 << iota
	roleFar
	roleStandby
	roleUsed
)

// way is a route and what is known of it.
type way struct {
	route  Route
	est    Estimator
	roles  role
	due    time.Time
	burst  int       // probes that are left of one
	court  time.Time // until then it may become the one in use
	out    []sent
	idleAt time.Time // it has had no role since
}

// sent is a probe that waits for its answer.
type sent struct {
	id    uint64
	at    time.Time
	until time.Time
	over  bool // it was taken for lost
}

// Probe is to be sent now. One for a route that isn't open opens it.
type Probe struct {
	ID    uint64
	Route Route
}

// prober bounds and numbers probes.
type prober struct {
	rate    float64
	credit  float64
	at      time.Time
	count   uint64
	waiting map[uint64]*way
	sent    uint64
	next    time.Time // when something is due
}

func (p *prober) init(rate float64) { p.rate, p.waiting = rate, map[uint64]*way{} }

func (p *prober) fill(now time.Time) {
	if p.at.IsZero() {
		p.credit = probeBurst
	} else if passed := now.Sub(p.at); passed > 0 {
		p.credit = min(p.credit+p.rate*passed.Seconds(), probeBurst)
	}
	p.at = now
}

// every is how long a route that isn't heard waits for its next probe.
func (w *way) every() time.Duration {
	interval := farEvery
	switch {
	case !w.due.After(w.court):
		return courtEvery
	case w.roles&roleUsed != 0:
		interval = usedEvery
	case w.roles&roleStandby != 0:
		interval = standbyEvery
	case w.roles&roleNear != 0:
		interval = nearEvery
	}
	if w.est.silent > suspectMax && w.roles&roleUsed == 0 {
		return max(interval, deadEvery)
	}
	return interval
}

// way returns what is known of a route, and makes room for it.
func (r *Router) way(route Route, now time.Time) *way {
	w := r.byRoute[route]
	if w == nil {
		w = &way{route: route, due: now, idleAt: now}
		r.byRoute[route] = w
		r.ways = append(r.ways, w)
		r.probes.next = time.Time{}
	}
	return w
}

// measureNeighbours says anew which direct routes are always measured, and forgets the routes that weren't for a while.
func (r *Router) measureNeighbours(now time.Time) {
	for _, w := range r.ways {
		w.roles &^= roleNear | roleFar
	}
	for _, id := range r.near {
		r.way(Route{To: id}, now).roles |= roleNear
	}
	for _, id := range r.far {
		r.way(Route{To: id}, now).roles |= roleFar
	}
	for _, d := range r.dests {
		if now.Sub(d.asked) >= idleTime {
			r.unmeasure(d)
		}
	}
	r.forget(func(w *way) bool {
		if w.roles != 0 {
			w.idleAt = now
		}
		return now.Sub(w.idleAt) > wayIdle || r.byID[w.route.To] == nil
	})
	r.probes.next = time.Time{}
}

// measure says which routes to a node are measured because of its traffic. No others but these and the direct one belong to it.
func (r *Router) measure(d *dest, now time.Time) {
	r.unmeasure(d)
	give := func(route Route, why role) {
		w := r.way(route, now)
		w.roles |= why
		w.idleAt = now
		d.measured = append(d.measured, w)
	}
	give(Route{To: d.to}, roleStandby)
	for _, o := range d.open {
		give(o.Route, roleStandby)
	}
	for class := range d.picks {
		if d.picks[class].asked {
			give(d.picks[class].route, roleUsed)
		}
	}
	r.probes.next = time.Time{}
}

func (r *Router) unmeasure(d *dest) {
	for _, w := range d.measured {
		w.roles &^= roleStandby | roleUsed
	}
	d.measured = d.measured[:0]
}

// forget drops what is known of routes.
func (r *Router) forget(which func(*way) bool) {
	r.ways = slices.DeleteFunc(r.ways, func(w *way) bool {
		gone := which(w)
		if gone {
			delete(r.byRoute, w.route)
			for _, s := range w.out {
				delete(r.probes.waiting, s.id)
			}
		}
		return gone
	})
}

// Next is when Probes should be asked again.
func (r *Router) Next() time.Time { return r.probes.next }

// Probes notes what wasn't answered in time, and returns the probes that are to be sent now. Routes in trouble come first; what the rate
// doesn't allow has to wait.
func (r *Router) Probes(now time.Time) []Probe {
	if now.Sub(r.chosenAt) >= rechoose {
		r.expire(now)
		r.chooseNeighbours(now)
	}
	if now.Before(r.probes.next) {
		return nil
	}
	r.probes.fill(now)
	var list []Probe
	for _, urgent := range [2]bool{true, false} {
		for _, w := range r.ways {
			if urgent {
				r.overdue(w, now)
			}
			if (w.burst > 0) != urgent || w.burst == 0 && w.roles == 0 || !r.isDue(w, now) || r.probes.credit < 1 {
				continue
			}
			if p, ok := r.probe(w, now); ok {
				list = append(list, p)
			}
		}
	}
	next := now.Add(rechoose)
	for _, w := range r.ways {
		if (w.roles != 0 || w.burst > 0) && w.due.Before(next) {
			next = w.due
		}
		for i := range w.out {
			if !w.out[i].over && w.out[i].until.Before(next) {
				next = w.out[i].until
			}
		}
	}
	if r.probes.credit < 1 {
		next = maxTime(next, now.Add(time.Duration((1-r.probes.credit)/r.probes.rate*float64(time.Second))))
	}
	r.probes.next = maxTime(next, now.Add(probeStep))
	return list
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// isDue says whether a route wants a probe now; what was heard lately doesn't.
func (r *Router) isDue(w *way, now time.Time) bool {
	if now.Before(w.due) {
		return false
	}
	if heard := w.est.heard.Add(w.every()); w.burst == 0 && w.est.silent == 0 && heard.After(now) {
		w.due = heard
		return false
	}
	return true
}

func (r *Router) probe(w *way, now time.Time) (Probe, bool) {
	if len(w.out) >= outMax {
		w.out = w.dropOldest(r.probes.waiting)
	}
	if len(r.probes.waiting) >= outAllMax {
		return Probe{}, false
	}
	p := &r.probes
	p.credit--
	p.count++
	p.sent++
	w.out = append(w.out, sent{id: p.count, at: now, until: now.Add(w.est.RTO())})
	p.waiting[p.count] = w
	if w.burst > 0 {
		if w.burst--; w.burst > 0 {
			w.due = now.Add(burstEvery)
			return Probe{p.count, w.route}, true
		}
	}
	w.due = now.Add(time.Duration(float64(w.every()) * (1 - jitter + 2*jitter*r.rng.Float64())))
	return Probe{p.count, w.route}, true
}

func (w *way) dropOldest(waiting map[uint64]*way) []sent {
	delete(waiting, w.out[0].id)
	return slices.Delete(w.out, 0, 1)
}

// overdue counts what wasn't answered in time.
func (r *Router) overdue(w *way, now time.Time) {
	for i := range w.out {
		if s := &w.out[i]; !s.over && !now.Before(s.until) {
			s.over = true
			r.unanswered(w, s.at, now)
		}
	}
	for len(w.out) > 0 && now.Sub(w.out[0].at) > lateFor {
		w.out = w.dropOldest(r.probes.waiting)
	}
}

// unanswered counts a loss if something that was sent later was answered, and otherwise a timeout. The first of a row is followed by a burst of probes,
// so that it is soon clear what it means.
func (r *Router) unanswered(w *way, sent, now time.Time) {
	if !sent.After(w.est.heard) {
		w.est.Lost(now, 1)
		return
	}
	w.est.Timeout(now)
	if w.est.silent == 1 && w.roles != 0 {
		r.hurry(w, burstCount, now)
	}
}

// hurry has a route probed at once.
func (r *Router) hurry(w *way, count int, now time.Time) {
	if w.burst < count {
		w.burst, w.due = count, now
		r.probes.next = time.Time{}
	}
}

// Answered says that the answer to a probe came.
func (r *Router) Answered(id uint64, now time.Time) {
	w := r.probes.waiting[id]
	if w == nil {
		return
	}
	delete(r.probes.waiting, id)
	for i := range w.out {
		if s := w.out[i]; s.id == id {
			w.out = slices.Delete(w.out, i, i+1)
			if s.over {
				w.est.Late(now, now.Sub(s.at))
			} else {
				w.est.Arrived(now, now.Sub(s.at), 1)
			}
			return
		}
	}
}

// Arrived says that n packets that were sent over a route were acknowledged; rtt is the latest round trip, 0 if none was measured.
func (r *Router) Arrived(route Route, rtt time.Duration, n int, now time.Time) {
	if w := r.byRoute[route]; w != nil {
		w.est.Arrived(now, rtt, n)
	}
}

// Lost says that n packets were lost while others arrived.
func (r *Router) Lost(route Route, n int, now time.Time) {
	if w := r.byRoute[route]; w != nil {
		w.est.Lost(now, n)
	}
}

// Timeout says that what was sent over a route at a time wasn't answered within its RTO. Choose should be asked after it.
func (r *Router) Timeout(route Route, sent, now time.Time) {
	if w := r.byRoute[route]; w != nil {
		r.unanswered(w, sent, now)
	}
}

// Observe takes a transport's counters of a path. Whatever came answers the probes that were sent before: what was lost is in the counters.
// It comes before Probes, which takes for lost what nobody has said was answered; Choose should be asked after it if the path isn't alive.
func (r *Router) Observe(route Route, c Counters, now time.Time) {
	w := r.byRoute[route]
	if w == nil {
		return
	}
	before := w.est.silent
	if w.est.Observe(now, c); before == 0 && w.est.silent == 1 && w.roles != 0 {
		r.hurry(w, burstCount, now)
	}
	w.out = slices.DeleteFunc(w.out, func(s sent) bool {
		answered := !s.at.After(c.Heard)
		if answered {
			delete(r.probes.waiting, s.id)
		}
		return answered
	})
}

// Estimate is what is known of a route from end to end.
func (r *Router) Estimate(route Route, now time.Time) Estimate {
	if w := r.byRoute[route]; w != nil {
		return w.est.Estimate(now)
	}
	return Estimate{}
}

// ProbesSent is how many probes were to be sent.
func (r *Router) ProbesSent() uint64 { return r.probes.sent }

// expire forgets destinations that nobody asked for.
func (r *Router) expire(now time.Time) {
	r.dests = slices.DeleteFunc(r.dests, func(d *dest) bool {
		gone := now.Sub(d.asked) > forgetTime
		if gone {
			r.unmeasure(d)
			delete(r.byTo, d.to)
		}
		return gone
	})
}

// Neighbours are the nodes that are measured always.
func (r *Router) Neighbours() []config.NodeID { return append(slices.Clone(r.near), r.far...) }
