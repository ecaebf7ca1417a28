package congest

import (
	"time"
)

// Default is what links between our nodes use: it keeps a short queue where it is alone, and fights for its share where it isn't.
//
//	startup ──▶ alone ◀──▶ cubic ◀──▶ hold
//
// A loss says little: on long links most of them are chance. What says that the link is full is the queue, and that shows in the round trips.
// See docs/decisions/0036-the-default-controller.md.
//
// When changing it, look again at: flows that begin late (base), links with queues shorter than share, and a competitor that leaves.
type Default struct {
	Options
	mode     mode
	cwnd     float64 // bytes
	round    round
	now      tally // of this round
	last     tally // of the one before
	base     base
	top      peak // round trips with a full queue
	smoothed time.Duration
	rate     rateFilter
	calm     lossFilter
	speed    float64 // of growth, in shares a round
	probe    probe

	begin     startup
	goal      float64 // the window that it has found, for when the queue is empty
	goalUntil int     // round
	ownFrom   uint64  // the first packet after it: what is lost of those before says nothing of the window that it has left
	mean      mean

	suspect   int     // rounds with a queue that is not of our kind, less those without
	held      float64 // the window before that queue grew
	heldUntil int     // round; until then it is what the startup came to
	overran   int     // round in which something was last lost to a full queue
	overruns  int     // of those, in a row

	settled int // round from which on the queue is again what we make it, and not what a step back left

	stayed int     // steps back in a row after which the queue was still there
	sank   float64 // the window at the last of them, in bytes

	crowd crowd
}

// firstPace is in what the first window leaves while no round trip is known: so much is short beside any long one, and no burst for a slow line.
const firstPace = 30 * time.Millisecond

// mode is what Default makes of those who share the link.
type mode string

const (
	modeStartup mode = "startup"
	modeAlone   mode = "alone" // or among our own kind
	modeCubic   mode = "cubic" // beside senders that fill the queue and yield to losses
	modeHold    mode = "hold"  // beside senders that fill the queue and don't
)

// tally is what a round has shown until now.
type tally struct {
	shortest    time.Duration
	acked, lost int
	began       time.Time
	rate        float64 // bytes a second that were delivered
	congested   bool    // something was lost while the queue was full
	early       bool    // what was lost had left before the startup was over, and isn't in lost
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
		d.top.sample(a.Now, a.RTT)
		d.now.shortest = min(d.now.shortest, a.RTT)
	}
	d.rate.sample(d.round.count, a.Sample)
	switch d.mode {
	case modeStartup:
		d.startup(a)
	case modeCubic, modeHold:
		d.crowdAck(a)
	}
	if d.probe.active() && d.probe.onAck(a) {
		d.probed(a)
	}
	if filled := d.filled(a); d.round.acked(a) {
		t := d.now
		d.now = tally{shortest: never, began: a.Now}
		if took := a.Now.Sub(t.began); !t.began.IsZero() && took > 0 {
			t.rate = float64(t.acked) / took.Seconds()
		}
		d.last = t
		d.endRound(a, t, filled)
	}
}

// filled says whether the window was of use. It needn't have held the sender back all the time, which wakes up late on a busy machine: alone,
// nothing grows beyond what was delivered gives reason for.
func (d *Default) filled(a Ack) bool {
	return 2*max(d.round.peak, d.round.older, a.Prior) >= int(d.cwnd)
}

// endRound is the decision of each round trip.
func (d *Default) endRound(a Ack, t tally, filled bool) {
	if !t.early {
		d.calm.sample(d.round.count, t, d.Packet)
	}
	if t.shortest == never || d.probe.active() {
		return
	}
	switch d.mode {
	case modeStartup:
		d.startupRound(a, t)
	case modeAlone:
		if d.base.stale(a.Now) {
			d.beginProbe(baseStep - 1.1*d.waiting(d.smoothed))
			return
		}
		if d.round.count < d.settled {
			return
		}
		if d.crowded(t) {
			d.enterCubic(a.Now)
			return
		}
		d.alone(t, filled)
	case modeCubic, modeHold:
		d.crowdedRound(a, t, filled)
	}
}

// waiting is the part of a round trip that was spent in the queue.
func (d *Default) waiting(rtt time.Duration) float64 {
	if rtt <= d.base.rtt {
		return 0
	}
	return float64(rtt-d.base.rtt) / float64(rtt)
}

// probed draws the conclusions of a step back.
func (d *Default) probed(a Ack) {
	p := d.probe
	d.probe = probe{}
	if p.lowest == never {
		return
	}
	if d.mode == modeAlone {
		d.speed, d.settled = 1, d.round.count+2
		if d.unmoved(p) {
			d.enterCubic(a.Now)
			d.crowd.part = partNew
			return
		}
		d.base.renew(a.Now, p.lowest)
		return
	}
	d.crowdProbed(a, p)
}

// OnLoss tells chance from a full queue.
func (d *Default) OnLoss(l Loss) {
	if d.mode == modeAlone && l.Largest < d.ownFrom {
		d.now.early = true
		return
	}
	d.now.lost += l.Bytes
	if l.Latest < d.fullQueue() {
		return
	}
	d.now.congested = true
	if d.mode == modeAlone && d.overrun() {
		d.enterCubic(l.Now)
	}
	if d.mode == modeCubic || d.mode == modeHold {
		d.congestion(l)
	}
}

// OnTimeout begins anew: nothing is known any more of a path that went silent.
func (d *Default) OnTimeout(time.Time) {
	d.begin = startup{threshold: max(d.cwnd/2, float64(4*d.Packet))}
	d.cwnd, d.speed, d.probe = float64(d.Packet), 1, probe{}
	d.mode, d.suspect, d.mean = modeStartup, 0, mean{}
}

// OnIdle does nothing: pacing keeps what is sent afterwards from being a burst.
func (d *Default) OnIdle(time.Time, time.Duration) {}

func (d *Default) clamp(w float64) float64 {
	return max(4*float64(d.Packet), min(w, float64(d.Max)))
}

// Window is in bytes.
func (d *Default) Window() int {
	w := d.cwnd
	if d.probe.active() {
		w = min(w, d.probe.window)
	}
	return int(w)
}

// Rate spreads the window over a round trip.
func (d *Default) Rate() float64 {
	if d.smoothed <= 0 {
		return float64(d.Initial) / firstPace.Seconds()
	}
	haste := 1.5
	if d.mode == modeStartup && d.begin.measuring.IsZero() {
		haste = 2
	}
	return haste * d.cwnd / d.smoothed.Seconds()
}

// State names what it is doing.
func (d *Default) State() string {
	if d.probe.active() {
		return string(d.mode) + ", step back"
	}
	return string(d.mode)
}
