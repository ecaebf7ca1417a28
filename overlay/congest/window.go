package congest

import (
	"math"
	"time"
)

// window is what Reno and Cubic have in common: a window, the threshold of slow start, and when one loss is over and the next one counts.
type window struct {
	Options
	cwnd     float64 // bytes
	ssthresh float64 // bytes; infinite until the first loss
	round    round

	recovering bool
	recovered  uint64    // the first packet number sent after the loss was found: the acknowledgement of the one before ends the recovery
	timedOut   time.Time // when the timer ran out; what left before isn't a new loss
	backedOff  bool      // and nothing was acknowledged since

	inFlight int
	smoothed time.Duration
}

func newWindow(o Options) window {
	return window{Options: o, cwnd: float64(o.Initial), ssthresh: math.Inf(1)}
}

// round follows the round trips by packet numbers, and how much was in flight in this one and the one before.
type round struct {
	end         uint64 // the round is over when this is acknowledged
	count       int
	peak, older int // bytes in flight
}

// acked says whether the acknowledgement begins a new round.
func (r *round) acked(a Ack) bool {
	if a.Largest < r.end {
		return false
	}
	r.end = a.Next
	r.count++
	r.older, r.peak = r.peak, a.InFlight
	return true
}

func (r *round) sent(inFlight int) { r.peak = max(r.peak, inFlight) }

func (w *window) OnSent(_ time.Time, _, inFlight int) {
	w.inFlight = inFlight
	w.round.sent(inFlight)
}

const batchPackets = 2

// newLoss says whether the packets were lost in a window that hasn't paid for a loss yet, and begins a recovery if so.
func (w *window) newLoss(l Loss) bool {
	w.inFlight = l.InFlight
	if l.Largest < w.recovered || !l.Sent.After(w.timedOut) && !w.timedOut.IsZero() {
		return false
	}
	w.recovering, w.recovered = true, l.Next
	return true
}

// acked takes note of what every acknowledgement says, and says whether the window may grow by it.
func (w *window) acked(a Ack) (grow bool) {
	w.inFlight, w.smoothed, w.backedOff = a.InFlight, a.Smoothed, false
	w.round.acked(a)
	if w.recovering {
		// RFC 6582 §3.2 step 3, RFC 6675 §5: until all arrives that had left when the loss was found, the window stays.
		if a.Largest+1 < w.recovered {
			return false
		}
		w.recovering = false
	}
	return w.filled(a)
}

// flight is the window, or what was in flight of it where the application didn't fill it (RFC 5681 §3.1, RFC 7661 §4.4.1): of the whole round, since the
// acknowledgements by which the loss is found have taken from it already.
func (w *window) flight() float64 {
	flight := float64(max(w.round.peak, w.round.older))
	if flight+float64(batchPackets*w.Packet) > w.cwnd {
		return w.cwnd // as much as there is when packets leave two at a time: it was full
	}
	return flight
}

// filled says whether the window was what held the sender back; else it says nothing of the path that more weren't lost (RFC 7661 §4.1).
func (w *window) filled(a Ack) bool {
	peak := float64(max(w.round.peak, w.round.older, a.Prior))
	if w.slowStart() {
		return 2*peak >= w.cwnd
	}
	return peak+float64(w.Packet) > w.cwnd
}

func (w *window) slowStart() bool { return w.cwnd < w.ssthresh }

// timeout is RFC 5681 §3.1: one packet, and slow start up to a part of what was in flight. A second timeout without news leaves the threshold.
func (w *window) timeout(now time.Time, beta float64) {
	if !w.backedOff {
		w.ssthresh = max(float64(w.inFlight)*beta, float64(minimumPackets*w.Packet))
	}
	w.backedOff, w.timedOut, w.recovering = true, now, false
	w.cwnd = float64(w.Packet)
	w.inFlight = 0
}

// slowStartBy grows by what was acknowledged (RFC 5681 §3.1, RFC 3465 §2.2), up to the threshold, and returns what is left over.
func (w *window) slowStartBy(bytes float64) (left float64) {
	grow := min(bytes, max(0, w.ssthresh-w.cwnd))
	w.cwnd += grow
	return bytes - grow
}

func (w *window) clamp() { w.cwnd = max(float64(w.Packet), min(w.cwnd, float64(w.Max))) }

// Window returns whole bytes; what has grown by less than a packet isn't enough for one.
func (w *window) Window() int { return int(w.cwnd) }

// Rate spreads the window over the round trip with some haste, as Linux does, so that no burst of it fills the queue alone (RFC 9002 §7.7).
func (w *window) Rate() float64 {
	if w.smoothed <= 0 {
		return 0
	}
	haste := 1.2
	if 2*w.cwnd < w.ssthresh {
		haste = 2
	}
	return haste * w.cwnd / w.smoothed.Seconds()
}

func (w *window) state() string {
	switch {
	case w.recovering:
		return "recovery"
	case w.slowStart():
		return "slow start"
	default:
		return "avoidance"
	}
}
