package congest

import (
	"math"
	"time"
)

const (
	startupSamples = 8
	startupGrowth  = 1.25                 // of the rate of delivery, a round
	startupFlat    = 3                    // rounds without it
	queueMin       = 2 * time.Millisecond // less is noise
	gain           = 0.5                  // of the difference to the aim that a round makes good
	modesty        = 0.6                  // of what the startup has found, until it shows that nobody else is there
	goalRounds     = 4
	heldRounds     = 16
	suspectRounds  = 5
	meanRounds     = 48
	meanTimes      = 1.8
	overrunApart   = 4 // rounds
	overrunNext    = 12
	overrunTimes   = 3
	stayedTimes    = 2
	unmovedPart    = 35  // percent of the queue
	sankMuch       = 0.7 // of the window, from one step back to the next: once is enough
)

// startup is what it needs to know.
type startup struct {
	queued    int       // acknowledgements in a row that saw a queue
	since     time.Time // of the first of them
	threshold float64   // bytes; where it ends at the latest
	plateau   float64   // bytes a second that were delivered when that last grew
	flat      int       // rounds since

	measuring time.Time // since when the queue was there all the time; zero: it isn't
	delivered uint64    // then
}

// The startup doubles the window each round trip until packets find a queue. Then the line is never idle, and what it delivers in half a round trip tells
// its rate, or what we get of it.
func (d *Default) startup(a Ack) {
	s := &d.begin
	if !s.measuring.IsZero() && a.RTT > 0 && a.RTT < d.base.rtt+max(d.base.rtt/16, queueMin) {
		s.measuring, s.queued = time.Time{}, 0 // it was only our own haste, and the line is idle again
	}
	if !s.measuring.IsZero() {
		if took := a.Now.Sub(s.measuring); took > d.base.rtt/2 {
			rate := float64(a.Sample.Delivered-s.delivered) / took.Seconds()
			d.endStartup(rate*d.base.rtt.Seconds(), a.Next)
		}
		return
	}
	if 2*max(d.round.peak, d.round.older, a.Prior) >= int(d.cwnd) {
		d.cwnd = min(d.cwnd+float64(a.Bytes), float64(d.Max))
	}
	if s.threshold > 0 { // after a timeout: up to there nothing else ends it (RFC 5681 §3.1)
		if d.cwnd >= s.threshold {
			d.cwnd = s.threshold
			d.mode, d.speed, d.begin = modeAlone, 1, startup{}
		}
		return
	}
	if a.RTT <= 0 {
		return
	}
	if a.RTT < d.base.rtt+max(d.base.rtt/8, queueMin) {
		s.queued = 0
		return
	}
	if s.queued == 0 {
		s.since = a.Now
	}
	// One late wake-up of ours delays many acknowledgements, but not for long.
	if s.queued += max(1, a.Bytes/(2*d.Packet)); s.queued >= startupSamples && a.Now.Sub(s.since) > d.base.rtt/8 {
		s.measuring, s.delivered = a.Now, a.Sample.Delivered
	}
}

func (d *Default) endStartup(window float64, next uint64) {
	d.ownFrom = next
	d.mode, d.speed = modeAlone, 1
	d.goal, d.goalUntil = window+d.share(window), d.round.count+goalRounds
	d.held, d.heldUntil = modesty*d.cwnd, d.round.count+heldRounds
	d.cwnd, d.sank = d.clamp(modesty*window), window
	d.begin = startup{}
}

// startupRound ends the startup also where the queue doesn't show, because it was full before we came: when the rate of delivery grows no more.
func (d *Default) startupRound(a Ack, t tally) {
	s, rate := &d.begin, d.rate.max()
	if s.threshold > 0 {
		return
	}
	if rate >= startupGrowth*s.plateau {
		s.plateau, s.flat = rate, 0
		return
	}
	s.flat++
	if s.flat >= startupFlat || d.calm.excess(t, d.Packet) > 0 {
		d.endStartup(rate*d.base.rtt.Seconds(), a.Next)
	}
}

// share is how many bytes of ours may wait in the queue. It grows slower than the window, so that of several flows the smaller gets more for its
// share than the larger, and all come to the same window.
func (d *Default) share(window float64) float64 {
	packet := float64(d.Packet)
	return max(2, math.Sqrt(window/packet)) * packet
}

// alone holds a short queue: what isn't waiting of the window, and a few packets (as FAST TCP: Wei, Jin, Low and Hegde, 2006).
func (d *Default) alone(t tally, filled bool) {
	share := d.share(d.cwnd)
	ours := d.cwnd * d.waiting(t.shortest)
	excess := d.calm.excess(t, d.Packet)
	switch {
	case ours > share/2 || excess > 0:
		d.speed = 1
	case filled:
		d.speed = max(1, min(2*d.speed, d.cwnd/4/share))
	}
	if ours < share/2 && excess == 0 && d.round.count <= d.goalUntil && d.goal > d.cwnd {
		d.cwnd, d.goalUntil = d.clamp(d.goal), 0
		return
	}
	next := d.cwnd + gain*(share*d.speed-ours)
	if excess > 0 {
		// A queue shorter than our share of it shows in losses that come and go with our window.
		next = d.cwnd * (1 - excess)
	}
	if next > d.cwnd {
		if !filled {
			return
		}
		next = min(next, max(d.cwnd, d.limit(t.shortest)))
	}
	d.cwnd = d.clamp(next)
}

// limit is the widest window that what was delivered gives reason for.
func (d *Default) limit(rtt time.Duration) float64 {
	return 1.25*d.rate.max()*rtt.Seconds() + d.share(d.cwnd)
}

// ownKind is how long the queue is that those of our kind make together who all have that window.
func (d *Default) ownKind(window float64) time.Duration {
	return time.Duration(d.share(window) / window * float64(d.base.rtt))
}

// crowded says whether somebody else fills the queue: it is longer than our kind would make it, round after round.
func (d *Default) crowded(t tally) bool {
	if d.suspect == 0 && d.round.count > d.heldUntil {
		d.held = d.cwnd
	}
	queue := float64(t.shortest - d.base.rtt)
	d.mean.queue += (queue - d.mean.queue) / meanRounds
	d.mean.ours += (float64(d.ownKind(d.cwnd)) - d.mean.ours) / meanRounds
	if d.mean.rounds++; d.mean.rounds > meanRounds && d.mean.queue > meanTimes*d.mean.ours+float64(queueMin) {
		return true
	}
	ours := d.ownKind(d.held)
	limit := min(4*ours, max(d.base.rtt*3/10, ours*3/2)) + queueMin
	if t.shortest-d.base.rtt < limit {
		d.suspect = max(0, d.suspect-1)
		return false
	}
	d.suspect++
	return d.suspect >= suspectRounds
}

// mean is the queue, and what our kind would make of it, in the long run.
type mean struct {
	rounds      int
	queue, ours float64 // nanoseconds
}

// overrun counts how often the queue was full within few round trips, again and again. Our kind never fills it once it has started.
func (d *Default) overrun() bool {
	since := d.round.count - d.overran
	if since < overrunApart {
		return false
	}
	d.overran = d.round.count
	if d.overruns++; since > overrunNext {
		d.overruns = 1
	}
	return d.overruns >= overrunTimes
}

// unmoved says whether somebody else has the queue: all of our kind step back at the same time, and it stays, again and again. It tells those who
// came late, with windows so small that a long queue might be that of many of our kind.
func (d *Default) unmoved(p probe) bool {
	before := d.sank
	d.sank = d.cwnd
	if p.least-d.base.rtt < max(queueMin/2, (p.before-d.base.rtt)*unmovedPart/100) {
		d.stayed = 0
		return false
	}
	d.stayed++
	if d.stayed >= stayedTimes || d.cwnd < sankMuch*before {
		d.held = max(d.held, before)
		return true
	}
	return false
}
