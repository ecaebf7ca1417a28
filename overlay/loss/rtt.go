package loss

import "time"

// How long a round trip is taken to be before one was measured (RFC 9002 §6.2.2 says 333 ms).
const initialRTT = 250 * time.Millisecond

const (
	granularity = time.Millisecond
	rtoMin      = 200 * time.Millisecond // as the kernel has it; RFC 6298 §2.4 says a second
	rtoMax      = 20 * time.Second
	minWindow   = 10 * time.Second // for which the shortest round trip counts
)

// RTT estimates the round trip of one path (RFC 6298 §2, RFC 9002 §5). The zero value has measured nothing.
type RTT struct {
	Latest   time.Duration
	Smoothed time.Duration
	Variance time.Duration

	// The shortest, of the window that runs and of the one before it.
	min, minBefore time.Duration
	minSince       time.Time
}

// Measured says whether there was a sample.
func (r *RTT) Measured() bool { return r.Smoothed > 0 }

// Min is the shortest round trip of the last ten to twenty seconds.
func (r *RTT) Min() time.Duration {
	if r.minBefore > 0 && (r.min == 0 || r.minBefore < r.min) {
		return r.minBefore
	}
	return r.min
}

// Add takes a sample; delay is how long the peer says that it waited before it acknowledged.
func (r *RTT) Add(now time.Time, sample, delay time.Duration) {
	sample = max(sample, time.Microsecond)
	if now.Sub(r.minSince) > minWindow {
		r.minBefore, r.min, r.minSince = r.min, 0, now
	}
	if r.min == 0 || sample < r.min {
		r.min = sample
	}
	// RFC 9002 §5.3: the peer's delay counts unless that would make the round trip shorter than the shortest.
	if sample-delay >= r.Min() {
		sample -= delay
	}
	r.Latest = sample
	if r.Smoothed == 0 {
		r.Smoothed, r.Variance = sample, sample/2 // RFC 6298 §2.2
		return
	}
	r.Variance = (3*r.Variance + (r.Smoothed - sample).Abs()) / 4 // RFC 6298 §2.3
	r.Smoothed = (7*r.Smoothed + sample) / 8
}

// Probe is how long to wait before asking whether the last packets arrived (RFC 9002 §6.2.1); delayMax is the peer's longest delay.
func (r *RTT) Probe(delayMax time.Duration) time.Duration {
	if !r.Measured() {
		return 2 * initialRTT
	}
	return r.Smoothed + max(4*r.Variance, granularity) + delayMax
}

// Timeout is the retransmission timer after n of them in a row (RFC 6298 §2.3, §5.5).
func (r *RTT) Timeout(n int) time.Duration {
	rto := 4 * initialRTT
	if r.Measured() {
		rto = max(r.Smoothed+max(4*r.Variance, granularity), rtoMin)
	}
	return min(rto<<min(n, 10), rtoMax)
}
