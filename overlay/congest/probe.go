package congest

import (
	"math"
	"time"
)

// probe is a step back: a smaller window for as long as it takes to see what the round trips make of it.
//
//	set the window ──▶ sink: until no more is in flight ──▶ wait: until that shows ──▶ measure one round
type probe struct {
	window  float64 // bytes; 0: no probe
	factor  float64
	before  time.Duration // round trip
	rate    float64       // bytes a second that were delivered before
	phase   int
	end     uint64 // of the phase
	from    uint64 // the first packet of the smaller window
	lowest  time.Duration
	least   time.Duration // of the round that is measured
	sum     time.Duration
	samples int
	spoilt  bool // by a queue that was full all the same: its length doesn't say how much there was too much
}

func (p *probe) active() bool { return p.window > 0 }

func (d *Default) beginProbe(factor float64) {
	factor = max(0.5, factor)
	d.probe = probe{window: d.clamp(d.cwnd * factor), factor: factor, before: d.smoothed, rate: d.last.rate, lowest: never, least: never}
}

// onAck says whether the probe is complete.
func (p *probe) onAck(a Ack) bool {
	if a.RTT > 0 {
		p.lowest = min(p.lowest, a.RTT)
	}
	switch p.phase {
	case 0:
		if a.InFlight <= int(p.window) {
			p.phase, p.end, p.from = 1, a.Next, a.Next
		}
	case 1:
		if a.Largest >= p.end {
			p.phase, p.end = 2, a.Next
		}
	case 2:
		if a.RTT > 0 {
			p.least = min(p.least, a.RTT)
			p.sum += a.RTT
			p.samples++
		}
		return a.Largest >= p.end && p.samples > 0
	}
	return false
}

// part is how much of what goes through the bottleneck is ours. With a queue, the round trip is what is in flight of all over the rate of the link;
// if the others hold theirs, ours is the part by which it follows our window: 1 if we are alone, half beside an equal.
func (p *probe) part() float64 {
	after := p.sum / time.Duration(p.samples)
	return math.Log(float64(p.before)/float64(after)) / math.Log(1/p.factor)
}
