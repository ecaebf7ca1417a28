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
	suspectRounds  = 5
	overrunApart   = 4 // rounds
	overrunNext    = 12
	overrunTimes   = 3
)

// The startup doubles the window each round trip until packets find a queue. Every packet that does tells the rate of the link: all that was
// in flight when it left has passed the bottleneck in the time until its acknowledgement.
func (d *Default) startup(a Ack) {
	if d.filled(a) {
		d.cwnd = min(d.cwnd+float64(a.Bytes), float64(d.Max))
	}
	if d.cwnd >= d.threshold { // after a timeout
		d.mode, d.speed, d.cwnd = modeAlone, 1, d.threshold
		return
	}
	if a.RTT <= 0 {
		return
	}
	if a.RTT < d.base.rtt+max(d.base.rtt/8, queueMin) {
		d.full = 0
		return
	}
	if d.full += max(1, a.Bytes/(2*d.Packet)); d.full >= startupSamples {
		d.mode, d.speed = modeAlone, 1
		d.cwnd = d.clamp(float64(a.Sample.TxInFlight) * float64(d.base.rtt) / float64(a.RTT))
	}
}

// startupRound ends the startup also where the queue doesn't show, because it was full before we came: when the rate of delivery grows no more.
func (d *Default) startupRound(t tally) {
	rate := d.rate.max()
	if rate >= startupGrowth*d.plateau {
		d.plateau, d.flat = rate, 0
		return
	}
	d.flat++
	if d.flat >= startupFlat || d.calm.excess(t, d.Packet) > 0 {
		d.mode, d.speed = modeAlone, 1
		d.cwnd = d.clamp(rate * d.base.rtt.Seconds())
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
	if d.suspect == 0 {
		d.held = d.cwnd
	}
	ours := d.ownKind(d.held)
	limit := min(4*ours, max(d.base.rtt*3/10, ours*3/2)) + queueMin
	if t.shortest-d.base.rtt < limit {
		d.suspect = 0
		return false
	}
	d.suspect++
	return d.suspect >= suspectRounds
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
