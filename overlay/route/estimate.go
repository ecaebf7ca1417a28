package route

import (
	"math"
	"time"
)

// State is what a route seems to be.
type State int

// The states.
const (
	Unknown State = iota // nothing was ever heard
	Alive
	Suspect // what was sent isn't answered, more often than loss explains
	Dead    // for seconds
)

func (s State) String() string { return [...]string{"unknown", "alive", "suspect", "dead"}[s] }

const (
	rtoMin, rtoFirst, rtoMax = 30 * time.Millisecond, time.Second, 3 * time.Second
	deadAfter                = 3 * time.Second // of silence
	suspectMin, suspectMax   = 2, 5            // unanswered in a row
	suspectDoubt             = 1e-4            // how likely the silence may be by loss alone
	minimumFor               = 5 * time.Minute // for which the shortest round trip counts

	slotTime   = 10 * time.Second
	slotCount  = 12
	fastLow    = 100 * time.Millisecond // a round trip, but not less or more, is the time in which what was counted counts half,
	fastHigh   = time.Second
	fastCount  = 32.0 // or the time in which so many packets come, if that is longer
	fastPrior  = 4.0  // packets that the sliding window's loss counts for in the fast one's
	slowPrior  = 4.0  // packets that usual loss counts for in the sliding window's
	usualLoss  = 0.003
	heavyLoss  = 0.08 // of which one can be sure
	heavyCount = 24.0 // packets of late, to be sure

	sparse = 500 * time.Millisecond // between round trips, from which on each says more
)

// Estimate is what is known of a route at a moment.
type Estimate struct {
	State    State
	Smoothed time.Duration // round trip (RFC 6298 §2)
	Variance time.Duration
	Min      time.Duration // of some minutes
	Loss     float64       // part of the packets, over two minutes
	LossFast float64       // of late, at least that
	LossNext float64       // of what is sent now, as far as one can tell
	Heavy    bool          // it has begun to lose much, beyond doubt
	Capacity float64       // bytes a second that it carried when it was full; 0: it wasn't
	Floor    float64       // bytes a second that it carried at least
	Samples  uint64
	Age      time.Duration // since it was last heard
	Silent   int           // sent and unanswered in a row
	Steady   time.Duration // since it last came to life
}

// loss is the one to reckon with.
func (e *Estimate) loss() float64 {
	if e.LossNext > 0 {
		return e.LossNext
	}
	return max(e.Loss, e.LossFast)
}

// tally counts packets.
type tally struct{ arrived, lost float64 }

func (t tally) count() float64 { return t.arrived + t.lost }

// slot is a part of the sliding window.
type slot struct {
	tally
	number         int64   // of the time it is of
	capacity, pace float64 // most, bytes a second
}

// Estimator makes estimates of one route. The zero value knows nothing.
type Estimator struct {
	smoothed, variance  time.Duration
	minimum, minBefore  time.Duration
	minSince            time.Time
	slots               [slotCount]slot
	fast                tally
	fastAt              time.Time
	heard, aliveSince   time.Time
	silent              int
	silentAt            time.Time // when a transport's silence was counted
	samples             uint64
	lostAt              time.Time // the latest loss
	lossiness           lossiness
	before              lossiness // as it was before the silence
	last                Counters  // as seen the last time
	lastAt              time.Time
	slowLoss, slowCount float64 // as of slowOf
	slowOf              int64   // the slot in which they were summed
}

func (e *Estimator) measured() bool { return e.smoothed > 0 }

// Arrived says that n packets were answered; rtt is the latest round trip, 0 if none was measured.
func (e *Estimator) Arrived(now time.Time, rtt time.Duration, n int) {
	e.count(now, float64(n), 0)
	if rtt > 0 {
		e.trip(now, rtt)
	}
	e.alive(now)
	e.samples += uint64(n)
}

// Lost says that n packets were lost while others arrived.
func (e *Estimator) Lost(now time.Time, n int) { e.count(now, 0, float64(n)) }

// Timeout says that nothing came in answer to what was sent, for as long as RTO says.
func (e *Estimator) Timeout(now time.Time) {
	// Once it is an outage it says nothing about loss.
	if !e.silence() && e.silent < e.suspectAfter() && e.measured() {
		e.count(now, 0, 1)
	}
}

// silence counts what wasn't answered, and says whether it has just become an outage: what was taken for loss on the way there wasn't.
func (e *Estimator) silence() (outage bool) {
	if e.silent == 0 {
		e.before = e.lossiness
	}
	e.silent++
	if outage = e.silent == e.suspectAfter(); outage {
		e.lossiness = e.before
	}
	return outage
}

// Late says that what was taken for lost was only late.
func (e *Estimator) Late(now time.Time, rtt time.Duration) {
	s := e.slot(now)
	if s.lost >= 1 {
		s.lost--
		e.slowOf = 0
	}
	e.fast.lost = max(e.fast.lost-1, 0)
	e.Arrived(now, rtt, 1)
}

// Delivered says how fast data arrived; full, that the route carried no more, and not that there was no more to send.
func (e *Estimator) Delivered(now time.Time, bytesPerSecond float64, full bool) {
	s := e.slot(now)
	if full {
		s.capacity = max(s.capacity, bytesPerSecond)
	}
	s.pace = max(s.pace, bytesPerSecond)
}

// Counters are what a transport knows of a path: totals since it was opened, and its own estimates.
type Counters struct {
	Smoothed, Variance time.Duration
	Arrived, Lost      uint64 // packets
	Delivered          uint64 // bytes
	Full               bool   // the window is what holds it back
	Alive              bool
	Heard              time.Time
}

// Observe takes what has changed since it was last called. A path that was opened anew begins with small totals and is taken as such.
func (e *Estimator) Observe(now time.Time, c Counters) {
	last, since := e.last, now.Sub(e.lastAt)
	if c.Arrived < last.Arrived || c.Lost < last.Lost || c.Delivered < last.Delivered {
		last, since = Counters{}, 0
	}
	e.last, e.lastAt = c, now
	arrived, lost := c.Arrived-last.Arrived, c.Lost-last.Lost
	if !c.Alive && arrived == 0 {
		lost = 0 // it gave up what was on its way
	}
	e.count(now, float64(arrived), float64(lost))
	e.samples += arrived
	if c.Heard.After(e.heard) {
		e.alive(c.Heard)
		if c.Smoothed > 0 {
			e.smoothed, e.variance = c.Smoothed, c.Variance
			e.shortest(now, c.Smoothed)
		}
	}
	if !c.Alive && now.Sub(e.silentAt) >= e.RTO() {
		// A transport leaves a path at the first timeout, which a lost tail is enough for; so it counts as one for each RTO that it lasts.
		e.silence()
		e.silentAt = now
	}
	if sent := c.Delivered - last.Delivered; since >= 50*time.Millisecond && sent > 0 {
		e.Delivered(now, float64(sent)/since.Seconds(), c.Full)
	}
}

func (e *Estimator) trip(now time.Time, rtt time.Duration) {
	e.shortest(now, rtt)
	if e.smoothed == 0 {
		e.smoothed, e.variance = rtt, rtt/8 // RFC 6298 §2.2 says half, which would keep a new detour unused for long
		return
	}
	if now.Sub(e.heard) > sparse {
		e.variance = (e.variance + (e.smoothed - rtt).Abs()) / 2
		e.smoothed = (2*e.smoothed + rtt) / 3
		return
	}
	e.variance = (3*e.variance + (e.smoothed - rtt).Abs()) / 4 // RFC 6298 §2.3
	e.smoothed = (7*e.smoothed + rtt) / 8
}

func (e *Estimator) shortest(now time.Time, rtt time.Duration) {
	if now.Sub(e.minSince) > minimumFor {
		e.minBefore, e.minimum, e.minSince = e.minimum, 0, now
	}
	if e.minimum == 0 || rtt < e.minimum {
		e.minimum = rtt
	}
}

func (e *Estimator) alive(now time.Time) {
	if e.heard.IsZero() || e.silent >= e.suspectAfter() {
		e.aliveSince = now
	}
	e.heard, e.silent = now, 0
}

func (e *Estimator) slot(now time.Time) *slot {
	number := now.UnixNano() / int64(slotTime)
	s := &e.slots[number%slotCount]
	if s.number != number {
		*s = slot{number: number}
	}
	return s
}

func (e *Estimator) count(now time.Time, arrived, lost float64) {
	e.decay(now, arrived+lost)
	e.fast.arrived += arrived
	e.fast.lost += lost
	if lost > 0 {
		e.lostAt = now
	}
	if arrived+lost > 0 {
		e.lossiness.saw(now, arrived, lost)
	}
	s := e.slot(now)
	s.arrived += arrived
	s.lost += lost
	e.slowOf = 0
}

// decay makes room in the fast window for packets that come now.
func (e *Estimator) decay(now time.Time, packets float64) {
	passed := max(now.Sub(e.fastAt), 0)
	half := min(max(e.smoothed, fastLow), fastHigh)
	keep := math.Exp2(-min(float64(passed)/float64(half), packets/fastCount))
	e.fast.arrived *= keep
	e.fast.lost *= keep
	e.fastAt = now
}

// slow is the loss over the sliding window. It is summed anew when the window moves or something was counted.
func (e *Estimator) slow(now time.Time) float64 {
	number := now.UnixNano() / int64(slotTime)
	if e.slowOf == number {
		return e.slowLoss
	}
	var sum tally
	for i := range e.slots {
		if s := &e.slots[i]; s.number > number-slotCount {
			sum.arrived += s.arrived
			sum.lost += s.lost
		}
	}
	e.slowOf, e.slowCount = number, sum.count()
	e.slowLoss = (sum.lost + slowPrior*usualLoss) / (sum.count() + slowPrior)
	return e.slowLoss
}

// suspectAfter is how many in a row must be unanswered until loss alone doesn't explain it.
func (e *Estimator) suspectAfter() int {
	loss := e.slowLoss
	if loss <= 0.01 {
		return suspectMin
	}
	return min(max(int(math.Ceil(math.Log(suspectDoubt)/math.Log(min(loss, 0.9)))), suspectMin), suspectMax)
}

// RTO is how long to wait for an answer.
func (e *Estimator) RTO() time.Duration {
	if !e.measured() {
		return rtoFirst
	}
	return min(max(e.smoothed+max(4*e.variance, 10*time.Millisecond), rtoMin), rtoMax)
}

// Estimate is what is known now.
func (e *Estimator) Estimate(now time.Time) Estimate {
	slow := e.slow(now)
	n := e.fast.count()
	fast := (e.fast.lost + fastPrior*slow) / (n + fastPrior)
	x := Estimate{
		Smoothed: e.smoothed, Variance: e.variance, Min: e.minimum, Loss: slow, LossFast: max(fast-math.Sqrt(fast*(1-fast)/(n+fastPrior)), 0),
		LossNext: e.lossiness.expected(now), Samples: e.samples, Silent: e.silent,
	}
	if e.minBefore > 0 {
		x.Min = min(x.Min, e.minBefore)
	}
	if !e.heard.IsZero() {
		x.Age, x.Steady = now.Sub(e.heard), now.Sub(e.aliveSince)
	}
	if n >= heavyCount {
		part := e.fast.lost / n
		x.Heavy = part-1.64*math.Sqrt(part*(1-part)/n) > heavyLoss // the lower bound of 95 %
	}
	number := now.UnixNano() / int64(slotTime)
	for i := range e.slots {
		if s := &e.slots[i]; s.number > number-slotCount {
			x.Capacity, x.Floor = max(x.Capacity, s.capacity), max(x.Floor, s.pace)
		}
	}
	x.State = e.state(x.Age)
	return x
}

func (e *Estimator) state(age time.Duration) State {
	switch after := e.suspectAfter(); {
	case e.heard.IsZero() && e.silent < suspectMin:
		return Unknown
	case e.heard.IsZero() || e.silent >= after && age >= deadAfter:
		return Dead
	case e.silent >= after:
		return Suspect
	default:
		return Alive
	}
}
