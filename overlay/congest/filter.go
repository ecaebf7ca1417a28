package congest

import "time"

const (
	baseAge     = 5 * time.Second // after which the base is looked for anew
	rateWindows = 2
	rateRounds  = 8 // of each
)

// base is the round trip without a queue.
type base struct {
	rtt  time.Duration
	seen time.Time // when a packet took no longer
}

func (b *base) sample(now time.Time, rtt time.Duration) {
	if b.rtt == 0 || rtt <= b.rtt {
		b.rtt, b.seen = rtt, now
	} else if rtt < b.rtt+b.rtt/128 {
		b.seen = now
	}
}

func (b *base) stale(now time.Time) bool { return now.Sub(b.seen) > baseAge }

// renew takes what was found when the queue was as empty as we could make it.
func (b *base) renew(now time.Time, rtt time.Duration) {
	if rtt != never {
		b.rtt = rtt
	}
	b.seen = now
}

// rateFilter is the highest rate of delivery of the last 8 to 16 rounds.
type rateFilter struct {
	highest [rateWindows]float64
	window  int
}

func (r *rateFilter) sample(round int, s Sample) {
	if w := round / rateRounds; w != r.window {
		r.window = w
		r.highest[w%rateWindows] = 0
	}
	rate := s.Rate()
	i := r.window % rateWindows
	if s.AppLimited && rate < r.max() {
		return
	}
	r.highest[i] = max(r.highest[i], rate)
}

func (r *rateFilter) max() float64 { return max(r.highest[0], r.highest[1]) }
