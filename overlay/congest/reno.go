package congest

import "time"

// Reno is the lecture's controller: slow start, additive increase, half the window at a fast retransmit, one packet after a timeout
// (RFC 5681, with the recovery of RFC 6582 and the in-flight count of RFC 6675 in the place of the window's inflation).
type Reno struct {
	window
	counted float64 // bytes acknowledged towards the next packet of additive increase
}

var _ Controller = (*Reno)(nil)

func newReno(o Options) *Reno { return &Reno{window: newWindow(o)} }

// OnAck grows the window.
func (r *Reno) OnAck(a Ack) {
	if !r.acked(a) {
		return
	}
	bytes := float64(a.Bytes)
	if r.slowStart() {
		bytes = r.slowStartBy(bytes)
	}
	// RFC 3465 §2.1: a packet for each window that was acknowledged, however the receiver spaces its acknowledgements.
	r.counted += bytes
	for r.counted >= r.cwnd && r.cwnd > 0 {
		r.counted -= r.cwnd
		r.cwnd += float64(r.Packet)
	}
	r.clamp()
}

// OnLoss halves the window, once for all that was lost of it.
func (r *Reno) OnLoss(l Loss) {
	if !r.newLoss(l) {
		return
	}
	r.ssthresh = max(r.flight()/2, float64(minimumPackets*r.Packet)) // RFC 5681 §3.2 step 2
	r.cwnd, r.counted = r.ssthresh, 0
}

// OnTimeout begins anew with one packet.
func (r *Reno) OnTimeout(now time.Time) {
	r.timeout(now, 0.5)
	r.counted = 0
}

// OnIdle takes the window back to the first one after a retransmission timeout's worth of silence (RFC 5681 §4.1).
func (r *Reno) OnIdle(_ time.Time, idle time.Duration) { r.restart(idle) }

// State is "slow start", "avoidance" or "recovery".
func (r *Reno) State() string { return r.state() }

// restart: what is known of the path grows stale; idle counts in round trips, since the timer is the sender's.
func (w *window) restart(idle time.Duration) {
	if w.smoothed > 0 && idle > max(4*w.smoothed, time.Second) {
		w.ssthresh = max(w.ssthresh, 0.75*w.cwnd) // RFC 7661 §4.4: as Linux does
		w.cwnd = min(w.cwnd, float64(w.Initial))
	}
}
