package congest

import (
	"math"
	"time"
)

// Default is what links between our nodes use: it keeps a short queue where it is alone, and fights for its share where it isn't.
//
//	startup ──▶ alone ◀──▶ crowded
//
// Loss alone says little: on long links most of it is chance. What says that the link is full is the queue, and that shows in the round trips.
// See docs/decisions/0036-the-default-controller.md.
type Default struct {
	Options
	mode     mode
	cwnd     float64 // bytes
	round    round
	now      tally // of this round
	base     base
	smoothed time.Duration
	rate     rateFilter
	loss     float64 // part of the bytes, over some rounds

	full  int // acknowledgements in a row, in startup, that saw a queue
	speed float64
	drain drain
}

type mode string

const (
	modeStartup mode = "startup"
	modeAlone   mode = "alone"
)

// tally is what a round has shown until now.
type tally struct {
	began       time.Time
	delivered   uint64
	shortest    time.Duration
	acked, lost int
}

var _ Controller = (*Default)(nil)

func newDefault(o Options) *Default {
	return &Default{Options: o, mode: modeStartup, cwnd: float64(o.Initial), now: tally{shortest: never}, speed: 1}
}

// OnSent follows how much is in flight.
func (d *Default) OnSent(_ time.Time, _, inFlight int) { d.round.sent(inFlight) }

// OnAck measures, and once a round trip decides.
func (d *Default) OnAck(a Ack) {
	d.smoothed = a.Smoothed
	d.now.acked += a.Bytes
	if a.RTT > 0 {
		d.base.sample(a.Now, a.RTT)
		d.now.shortest = min(d.now.shortest, a.RTT)
	}
	d.rate.sample(d.round.count, a.Sample)
	if d.mode == modeStartup {
		d.startup(a)
	}
	if d.drain.active {
		d.drained(a)
	}
	if filled := d.filled(a); d.round.acked(a) {
		t := d.now
		d.now = tally{began: a.Now, delivered: a.Sample.Delivered, shortest: never}
		d.endRound(a, t, filled)
	}
}

// filled says whether the window was what held the sender back.
func (d *Default) filled(a Ack) bool {
	return float64(max(d.round.peak, d.round.older, a.Prior)+2*d.Packet) > 0.95*d.cwnd
}

// endRound is the decision of each round trip.
func (d *Default) endRound(a Ack, t tally, filled bool) {
	if sum := t.acked + t.lost; sum > 0 {
		d.loss += (float64(t.lost)/float64(sum) - d.loss) / 8
	}
	if t.shortest == never || d.mode == modeStartup || d.drain.active {
		return
	}
	if d.base.stale(a.Now) {
		d.beginDrain(a)
		return
	}
	d.alone(t, filled)
}

// The startup doubles the window each round trip until packets find a queue. Every packet that does tells the rate of the link: all that was
// in flight when it left has passed the bottleneck in the time until its acknowledgement.
func (d *Default) startup(a Ack) {
	if d.filled(a) {
		d.cwnd = min(d.cwnd+float64(a.Bytes), float64(d.Max))
	}
	if a.RTT <= 0 {
		return
	}
	if a.RTT < d.base.rtt+max(d.base.rtt/8, queueMin) {
		d.full = 0
		return
	}
	if d.full += max(1, a.Bytes/(2*d.Packet)); d.full >= startupSamples {
		d.mode = modeAlone
		d.cwnd = d.clamp(float64(a.Sample.TxInFlight) * float64(d.base.rtt) / float64(a.RTT))
	}
}

const (
	startupSamples = 8
	queueMin       = 2 * time.Millisecond // less is noise
	gain           = 0.5                  // of the difference to the aim that a round makes good
)

// share is how many bytes of ours may wait in the queue. It grows slower than the window, so that of several flows the smaller gets more for its
// share than the larger, and all come to the same window.
func (d *Default) share(window float64) float64 {
	packet := float64(d.Packet)
	return max(2, math.Sqrt(window/packet)) * packet
}

// alone holds a short queue: what isn't waiting of the window, and a few packets (as FAST TCP, Wei, Jin, Low and Hegde 2006).
func (d *Default) alone(t tally, filled bool) {
	queue := t.shortest - d.base.rtt
	share := d.share(d.cwnd)
	ours := d.cwnd * float64(queue) / float64(t.shortest)
	switch {
	case ours > share/2:
		d.speed = 1
	case filled:
		d.speed = min(2*d.speed, d.cwnd/4/share)
	}
	aim := d.cwnd - ours + share*max(1, d.speed)
	next := d.cwnd + gain*(aim-d.cwnd)
	if next > d.cwnd && !filled {
		return
	}
	if limit := d.limit(t.shortest) + share; next > limit {
		next = max(limit, min(d.cwnd, next))
	}
	d.cwnd = d.clamp(next)
}

// limit is the widest window that what was delivered gives reason for.
func (d *Default) limit(rtt time.Duration) float64 {
	return 1.25 * d.rate.max() / (1 - min(d.loss, 0.5)) * rtt.Seconds()
}

// drain empties our part of the queue, so that the length of the way itself can be seen.
type drain struct {
	active  bool
	window  float64
	reached bool
	end     uint64
	lowest  time.Duration
}

func (d *Default) beginDrain(a Ack) {
	ours := d.cwnd * float64(a.RTT-d.base.rtt) / float64(max(a.RTT, 1))
	d.drain = drain{active: true, window: d.clamp(0.95*d.cwnd - 2*max(0, ours)), lowest: never}
}

func (d *Default) drained(a Ack) {
	if a.RTT > 0 {
		d.drain.lowest = min(d.drain.lowest, a.RTT)
	}
	switch {
	case !d.drain.reached:
		if a.InFlight <= int(d.drain.window) {
			d.drain.reached, d.drain.end = true, a.Next
		}
	case a.Largest >= d.drain.end:
		d.base.renew(a.Now, d.drain.lowest)
		d.drain = drain{}
	}
}

// OnLoss counts.
func (d *Default) OnLoss(l Loss) { d.now.lost += l.Bytes }

// OnTimeout begins anew: nothing is known any more of a path that went silent.
func (d *Default) OnTimeout(time.Time) {
	d.cwnd, d.speed, d.drain = float64(d.Packet), 1, drain{}
	d.mode, d.full = modeStartup, 0
}

// OnIdle does nothing: pacing keeps what is sent afterwards from being a burst.
func (d *Default) OnIdle(time.Time, time.Duration) {}

func (d *Default) clamp(w float64) float64 {
	return max(4*float64(d.Packet), min(w, float64(d.Max)))
}

// Window is in bytes.
func (d *Default) Window() int {
	if d.drain.active {
		return int(min(d.drain.window, d.cwnd))
	}
	return int(d.cwnd)
}

// Rate spreads the window over a round trip.
func (d *Default) Rate() float64 {
	if d.smoothed <= 0 {
		return 0
	}
	haste := 1.15
	if d.mode == modeStartup {
		haste = 2
	}
	return haste * d.cwnd / d.smoothed.Seconds()
}

// State names what it is doing.
func (d *Default) State() string {
	if d.drain.active {
		return "drain"
	}
	return string(d.mode)
}
