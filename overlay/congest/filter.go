package congest

import (
	"math"
	"time"
)

const (
	baseAge      = 3 * time.Second  // after which the base is looked for anew
	baseStep     = 0.99             // of the window, less what waits of it: what looking for the base costs
	baseLife     = 30 * time.Second // after which a longer one is believed
	filterRounds = 8
	peakAge      = 10 * time.Second
)

// base is the round trip without a queue.
type base struct {
	rtt  time.Duration
	seen time.Time // when a packet took no longer
	slot time.Time // when it was last looked for
}

func (b *base) sample(now time.Time, rtt time.Duration) {
	if b.rtt == 0 || rtt <= b.rtt {
		b.rtt, b.seen = rtt, now
	} else if rtt < b.rtt+b.rtt/128 {
		b.seen = now
	}
}

// stale says when to look for it. All do so at the same time by the clock: the queue is empty only when all of our kind have drained theirs.
func (b *base) stale(now time.Time) bool {
	slot := now.Truncate(baseAge)
	if b.slot.IsZero() {
		b.slot = slot
	}
	if !slot.After(b.slot) {
		return false
	}
	b.slot = slot
	return now.Sub(b.seen) > baseAge/2
}

// renew takes what was found when the queue was as empty as we could make it, once what was known is old: until then it is more likely that somebody
// else fills the queue than that the way has grown longer.
func (b *base) renew(now time.Time, rtt time.Duration) {
	if rtt <= b.rtt || now.Sub(b.seen) > baseLife {
		b.rtt, b.seen = rtt, now
	}
}

// peak is the longest round trip of the last 10 to 20 s.
type peak struct {
	longest, before time.Duration
	since           time.Time
}

func (p *peak) sample(now time.Time, rtt time.Duration) {
	if now.Sub(p.since) > peakAge {
		p.before, p.longest, p.since = p.longest, 0, now
	}
	p.longest = max(p.longest, rtt)
}

func (p *peak) rtt() time.Duration { return max(p.longest, p.before) }

// rateFilter is the highest rate of delivery of the last 8 to 16 rounds.
type rateFilter struct {
	highest [2]float64
	window  int
}

func (r *rateFilter) sample(round int, s Sample) {
	if w := round / filterRounds; w != r.window {
		r.window = w
		r.highest[w%2] = 0
	}
	rate := s.Rate()
	if s.AppLimited && rate < r.max() {
		return
	}
	r.highest[r.window%2] = max(r.highest[r.window%2], rate)
}

func (r *rateFilter) max() float64 { return max(r.highest[0], r.highest[1]) }

// lossFilter is the lowest part that was lost of a round, of the last 8 to 16 rounds that were long enough to tell: what is lost whatever we do.
type lossFilter struct {
	lowest [2]float64
	known  [2]bool
	window int
}

const (
	calmLeast   = 100 // packets of a round that can tell
	excessTimes = 1.5
	excessPart  = 0.03
	excessLeast = 8   // packets lost
	unknownCalm = 0.1 // until a round has told
)

func (l *lossFilter) sample(round int, t tally, packet int) {
	if w := round / filterRounds; w != l.window {
		l.window = w
		l.known[w%2] = false
	}
	sum := t.acked + t.lost
	if sum < calmLeast*packet {
		return
	}
	// A round of few packets may have been lucky: twice the deviation of what comes by chance belongs to it.
	packets := float64(t.lost) / float64(packet)
	i, lost := l.window%2, (packets+2*math.Sqrt(packets)+2)*float64(packet)/float64(sum)
	if !l.known[i] || lost < l.lowest[i] {
		l.lowest[i], l.known[i] = lost, true
	}
}

func (l *lossFilter) calm() float64 {
	calm, known := 1.0, false
	for i := range l.lowest {
		if l.known[i] {
			calm, known = min(calm, l.lowest[i]), true
		}
	}
	if !known {
		return unknownCalm
	}
	return calm
}

// excess is by how much a round lost more than that, where it is more than chance would do.
func (l *lossFilter) excess(t tally, packet int) float64 {
	calm := l.calm()
	lost := float64(t.lost) / float64(t.acked+t.lost+1)
	if lost < excessTimes*calm+excessPart || t.lost < excessLeast*packet {
		return 0
	}
	return lost - calm
}
