package route

import (
	"cmp"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
)

// Decision is which paths to a node to have and to use.
type Decision struct {
	Use      Route
	Open     []Route // to have open; Use first, then those that would take over, the best first
	Race     []Route // nothing young is known: what is urgent should leave on all of these, and what arrives first counts
	Shares   []Share // of bulk, over several paths
	Switched bool    // Use is another one than at the last call
	Again    time.Time
}

// Share is a path's part of bulk traffic.
type Share struct {
	Route
	Weight  float64 // all together: 1
	RateMax float64 // bytes a second; 0: what the path carries
}

// dest is a node to which there is traffic, or was lately.
type dest struct {
	to        config.NodeID
	asked     time.Time
	open      []open                   // detours
	measured  []*way                   // because of it
	known     map[config.NodeID]memory // detours that were measured
	groomedAt time.Time
	picks     [classes]pick
	raceAt    time.Time // not before
	races     int       // in a row
}

// open is a detour that is kept ready.
type open struct {
	Route
	since    time.Time
	explorer bool          // taken by chance
	expected time.Duration // round trip by what others reported; 0: nothing
}

// option is a route that could be used now.
type option struct {
	Route
	Estimate
	cost   time.Duration
	rate   float64 // bytes a second that may be sent there; 0: any
	barred string  // why it can't be used
	tight  bool    // the budget for detours is used up: it is for when nothing else answers
}

const (
	freshFor  = 3*standbyEvery + time.Second // after which an estimate isn't good enough to go there
	againIdle = time.Second
	racersMax = 3
	raceFirst = 500 * time.Millisecond
	raceLast  = 5 * time.Second

	courtLoss  = 2 * usualLoss
	courtAfter = 5 * time.Second
	courtFor   = 2 * time.Second

	bulkPart   = 0.5 // of a detour's budget is for bulk at most
	bulkLow    = 0.1 // parts of it that must be left for new traffic
	latencyLow = 0.02

	shareLow  = 0.25
	shareSlow = 150 * time.Millisecond
)

// answering says that it works, as far as one can know.
func (o *option) answering() bool { return !o.tight && o.working() }

// working is the same, but for the budget.
func (o *option) working() bool {
	return o.barred == "" && o.State == Alive && o.Silent < suspectMin && o.Age <= freshFor
}

// ready says that one may go there without need.
func (o *option) ready() bool {
	return o.answering() && o.Silent == 0 && o.Samples >= samplesMin && o.Steady >= steadyMin && !o.Heavy
}

// Choose decides for traffic to a node. It is to be asked before a connection is opened, at Decision.Again, and at once after a timeout.
func (r *Router) Choose(to config.NodeID, class Class, now time.Time) Decision {
	d := r.dest(to, now)
	p := &d.picks[class]
	if now.Sub(d.asked) >= idleTime || !p.asked {
		d.asked, p.asked = now, true
		r.groom(d, now)
	}
	d.asked = now
	if now.Sub(d.groomedAt) >= groomEvery {
		r.groom(d, now)
	}
	options := r.options(d, class, now)
	before := p.route
	p.step(options, class, now)
	decision := Decision{Use: p.route, Switched: p.route != before, Again: now.Add(againIdle)}
	if decision.Switched {
		r.measure(d, now)
	}
	if class == Latency {
		r.court(options, p.route, now)
	}
	r.race(d, p, options, &decision, now)
	decision.Open = inOrder(options, p.route)
	if class == Bulk {
		decision.Shares = shares(options, p.route)
	}
	return decision
}

// dest returns what is known of traffic to a node, in the place of the one that was asked for longest ago if there are too many.
func (r *Router) dest(to config.NodeID, now time.Time) *dest {
	if d := r.byTo[to]; d != nil {
		return d
	}
	if len(r.dests) >= destsMax {
		oldest := slices.MinFunc(r.dests, func(a, b *dest) int { return a.asked.Compare(b.asked) })
		r.unmeasure(oldest)
		r.forget(func(w *way) bool { return w.route.To == oldest.to && w.roles == 0 })
		delete(r.byTo, oldest.to)
		r.dests = slices.DeleteFunc(r.dests, func(d *dest) bool { return d == oldest })
	}
	d := &dest{to: to}
	for class := range d.picks {
		d.picks[class].route, d.picks[class].since, d.picks[class].why = Route{To: to}, now, "nothing else is known to be better"
	}
	r.byTo[to] = d
	r.dests = append(r.dests, d)
	return d
}

// options are the routes to a node that are open, the direct one first.
func (r *Router) options(d *dest, class Class, now time.Time) []option {
	list := make([]option, 1, 1+len(d.open))
	list[0].Route = Route{To: d.to}
	for _, o := range d.open {
		list = append(list, option{Route: o.Route})
	}
	for i := range list {
		o := &list[i]
		w := r.byRoute[o.Route]
		if w != nil {
			o.Estimate = w.est.Estimate(now)
		}
		if o.Smoothed == 0 {
			o.Smoothed = r.expect(d.to, o.Via, now).Smoothed
		}
		if class == Bulk && o.Capacity == 0 {
			// What was never full carries no more than the direct way until it was seen to: nobody goes there for a guess.
			o.Capacity = max(worse(r.expect(d.to, o.Via, now).Capacity, list[0].Capacity), o.Floor)
		}
		if !o.Direct() {
			if p := r.byID[o.Via]; p == nil || !r.helps(p, now) {
				o.barred = "it doesn't agree to forward"
			}
			low := latencyLow
			if o.rate = r.o.DetourRate; class == Bulk {
				low, o.rate = bulkLow, o.rate*bulkPart
			}
			o.tight = r.detours.Tight(o.Via, low, now)
		}
		o.cost = Cost(&o.Estimate, class, o.rate)
	}
	return list
}

// court has those probed often that lost packets, but none of late, and would be better than what is in use if that is over: by the usual probes it takes a
// minute to know. One of them at a time.
func (r *Router) court(options []option, used Route, now time.Time) {
	u := find(options, used)
	if u == nil || !u.answering() {
		return
	}
	for i := range options {
		o := &options[i]
		w := r.byRoute[o.Route]
		if o == u || w == nil || !o.working() || o.loss() < courtLoss || now.Sub(w.est.lostAt) < courtAfter {
			continue
		}
		well := o.Estimate
		well.LossNext = usualLoss
		if smallCost(&well) >= u.cost {
			continue
		}
		if !w.court.After(now) {
			w.due = now
			r.probes.next = time.Time{}
		}
		w.court = now.Add(courtFor)
		return
	}
}

// race says which routes to try at once where nothing young is known, and has them probed.
func (r *Router) race(d *dest, p *pick, options []option, decision *Decision, now time.Time) {
	used := find(options, p.route)
	trouble := used == nil || used.State != Alive || used.Silent > 0
	if !trouble && used.Age <= freshFor {
		d.races = 0
		return
	}
	decision.Again = now.Add(50 * time.Millisecond)
	racers := slices.Clone(options)
	slices.SortStableFunc(racers, func(a, b option) int {
		return cmp.Or(cmp.Compare(rank(&a, p.route), rank(&b, p.route)), cmp.Compare(a.cost, b.cost))
	})
	for i := range racers[:min(len(racers), racersMax)] {
		decision.Race = append(decision.Race, racers[i].Route)
	}
	if now.Before(d.raceAt) {
		return
	}
	d.raceAt = now.Add(min(raceFirst<<min(d.races, 8), raceLast))
	d.races++
	for i := range options {
		if w := r.byRoute[options[i].Route]; w != nil {
			r.hurry(w, 1, now)
		}
	}
	// Who was ready doesn't answer either: others are tried, some of them by chance (SOSR: a few random ones find a way if there is one).
	if used != nil && used.State >= Suspect && !slices.ContainsFunc(options, func(o option) bool { return o.answering() }) {
		r.groom(d, now)
	}
}

// rank orders racers: the one in use, those that answer, those of which nothing bad is known, the rest.
func rank(o *option, used Route) int {
	switch {
	case o.barred != "":
		return 5
	case o.Route == used:
		return 0
	case o.answering():
		return 1
	case o.working():
		return 2
	case o.State < Suspect:
		return 3
	default:
		return 4
	}
}

// inOrder lists the routes, the one in use first, then as they would take over.
func inOrder(options []option, used Route) []Route {
	sorted := slices.Clone(options)
	slices.SortStableFunc(sorted, func(a, b option) int {
		return cmp.Or(cmp.Compare(rank(&a, used), rank(&b, used)), cmp.Compare(a.cost, b.cost))
	})
	list := make([]Route, len(sorted))
	for i := range sorted {
		list[i] = sorted[i].Route
	}
	return list
}

// shares spreads bulk over the route in use and those that would add to it: by what each is expected to deliver, without those that are slow to
// answer, because what comes late holds back what came in time.
func shares(options []option, used Route) []Share {
	main := find(options, used)
	if main == nil {
		return nil
	}
	list := []Share{{Route: used, Weight: goodput(&main.Estimate, main.rate), RateMax: main.rate}}
	total := list[0].Weight
	for i := range options {
		o := &options[i]
		rate := goodput(&o.Estimate, o.rate)
		if o.Route == used || !o.ready() || rate < shareLow*list[0].Weight || o.Smoothed > main.Smoothed+shareSlow {
			continue
		}
		list = append(list, Share{Route: o.Route, Weight: rate, RateMax: o.rate})
		total += rate
	}
	for i := range list {
		list[i].Weight /= total
	}
	return list
}

func find(options []option, route Route) *option {
	for i := range options {
		if options[i].Route == route {
			return &options[i]
		}
	}
	return nil
}
