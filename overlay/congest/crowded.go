package congest

import (
	"math"
	"slices"
	"time"
)

const (
	probeSlot  = 3 * time.Second // of the clock
	probeSlots = 8               // between probes, at most
	stepBack   = 0.7
	mostlyOurs = 0.8
	aloneTimes = 2 // in a row that a probe has to say so

	partNew    = 0.15 // until the first probe, where we have just begun
	partOld    = 0.3  // and where not
	partFair   = 0.45 // of two
	partLeast  = 0.05
	partMost   = 1.6 // more can't be
	newRounds  = 32
	hasteMax   = 32
	strikesMax = 2

	verdictRounds = 4
	verdictLoss   = 0.015
	trialLeast    = 256 // rounds
	trialMost     = 1024
	holdGrowth    = 0.07 // a round in which nothing is lost
	holdLoss      = 0.02 // of a round: beyond, the window gives way
	holdYield     = 0.25 // of that part
	emptyQueue    = 1.05 // of the base
	emptyGrowth   = 1.5  // a round
)

// crowd is what is known of those who fill the queue.
type crowd struct {
	curve     cubicCurve
	recovered uint64 // the first packet after the last congestion
	verdict   verdict
	slot      time.Time  // of the last probe
	slots     int        // between probes
	alone     int        // probes in a row that found nobody else
	left      time.Time  // when we last believed them
	links     [3]float64 // the rate of the link, bytes a second, as the last probes have it
	probes    int        // of those
	part      float64    // of the link that is ours
}

// fullQueue is the round trip from which on a loss is the queue's.
func (d *Default) fullQueue() time.Duration {
	return d.base.rtt + max((d.top.rtt()-d.base.rtt)*6/10, queueMin+d.ownKind(d.cwnd))
}

// enterCubic takes up the fight with the window that we had before the queue grew.
func (d *Default) enterCubic(now time.Time) {
	slots := 1
	if !d.crowd.left.IsZero() && now.Sub(d.crowd.left) < probeSlots*probeSlot {
		slots = min(2*d.crowd.slots, probeSlots) // we weren't alone for long
	}
	part := partOld
	if d.round.count < d.heldUntil+newRounds {
		part = partNew
	}
	d.mode, d.suspect, d.stayed = modeCubic, 0, 0
	d.cwnd = d.clamp(max(d.cwnd, d.held))
	d.crowd = crowd{slots: slots, part: part, slot: now.Truncate(probeSlot), left: d.crowd.left, verdict: verdict{trial: trialLeast}}
}

// crowdAck grows as Cubic does, but faster where we have less than our share.
func (d *Default) crowdAck(a Ack) {
	if a.Largest < d.crowd.recovered || d.probe.active() || d.mode == modeHold {
		return
	}
	if !d.filled(a) {
		d.crowd.curve.pause()
		return
	}
	d.cwnd = d.clamp(d.cwnd + d.crowd.curve.grow(a.Now, a.Smoothed, d.cwnd, float64(a.Bytes), float64(d.Packet), d.crowd.haste()))
}

func (c *crowd) haste() float64 {
	return max(1, min(hasteMax, math.Pow(partFair/c.part, 3)))
}

// congestion backs off as Cubic does, once for all that was lost of a window; by less where we have less than our share.
func (d *Default) congestion(l Loss) {
	c := &d.crowd
	d.probe.spoilt = d.probe.spoilt || d.probe.phase > 0 && l.Largest >= d.probe.from
	if l.Largest < c.recovered {
		return
	}
	c.recovered = l.Next
	c.curve.lost(d.cwnd, float64(d.Packet))
	if d.mode == modeHold {
		return
	}
	d.cwnd = d.clamp((1 - (1-cubicBeta)*min(1, c.part/partFair)) * d.cwnd)
}

// measure says how much of the link is ours, by the middle one of the last probes.
func (c *crowd) measure(rate float64) {
	if c.probes == 0 {
		return
	}
	links := slices.Clone(c.links[:min(c.probes, len(c.links))])
	slices.Sort(links)
	c.part = min(1, max(partLeast, rate/links[(len(links)-1)/2]))
}

// crowdedRound grows where we hold against others, and looks from time to time whether they are still there. All of our kind do so at the same time by
// the clock: together they see whether there is anybody else.
func (d *Default) crowdedRound(a Ack, t tally, filled bool) {
	c := &d.crowd
	if t.rate > 0 {
		c.measure(t.rate)
	}
	if !c.verdict.round(t, d.mode == modeHold) {
		d.mode = modeCubic
	} else {
		d.mode = modeHold
		c.curve = cubicCurve{}
		d.hold(t)
	}
	if filled && t.lost == 0 && float64(t.shortest) < emptyQueue*float64(d.base.rtt) {
		d.cwnd = d.clamp(d.cwnd * emptyGrowth)
		c.curve = cubicCurve{}
	}
	d.cwnd = min(d.cwnd, max(d.limit(t.shortest), d.clamp(0)))
	if slot := a.Now.Truncate(probeSlot); slot.After(c.slot) {
		c.slot = slot
		if slots := d.probeSlots(); c.alone > 0 || slot.Unix()/int64(probeSlot.Seconds())%int64(slots) == 0 {
			d.beginProbe(stepBack)
		}
	}
}

func (d *Default) probeSlots() int {
	if d.mode == modeHold {
		return probeSlots // what we give for it, the others take
	}
	return d.crowd.slots
}

// verdict is whether the others yield to losses. Where all do, the queue overflows by a few packets, once in as many round trips as the windows take
// to grow back. Where many packets are lost all the time, somebody doesn't mind.
type verdict struct {
	rounds      int // of this window
	acked, lost int // bytes in it
	strikes     int // windows with many losses, less those without
	holding     int // rounds since we hold
	trial       int // rounds after which we yield again, to see
}

// round judges; it says whether to hold.
func (v *verdict) round(t tally, hold bool) bool {
	v.acked += t.acked
	if t.congested {
		v.lost += t.lost
	}
	if v.rounds++; v.rounds >= verdictRounds {
		if float64(v.lost) > verdictLoss*float64(v.acked+v.lost) {
			v.strikes = min(v.strikes+1, 2*strikesMax)
		} else {
			v.strikes = max(v.strikes-1, 0)
		}
		v.rounds, v.acked, v.lost = 0, 0, 0
	}
	if !hold {
		v.holding = 0
		return v.strikes >= strikesMax
	}
	if v.holding++; v.holding > v.trial {
		v.strikes, v.trial = 0, min(2*v.trial, trialMost)
		return false
	}
	return v.strikes > 0
}

// hold grows as long as little is lost.
func (d *Default) hold(t tally) {
	lost := float64(t.lost) / float64(t.acked+t.lost+1)
	if lost > holdLoss {
		d.cwnd = d.clamp(d.cwnd * (1 - holdYield*lost))
	} else if t.lost == 0 {
		d.cwnd = d.clamp(d.cwnd * (1 + holdGrowth))
	}
}

// crowdProbed goes back to a short queue if the queue is ours.
func (d *Default) crowdProbed(a Ack, p probe) {
	c := &d.crowd
	if p.spoilt {
		return
	}
	part := p.part()
	if part > partMost {
		return // the others have stepped back too, by chance
	}
	part = max(part, partLeast)
	c.links[c.probes%len(c.links)] = p.rate / part
	c.probes++
	if part < mostlyOurs && float64(p.lowest) > 1.05*float64(d.base.rtt) {
		c.alone = 0
		return
	}
	if c.alone++; c.alone < aloneTimes {
		return
	}
	d.mode, d.speed, d.mean = modeAlone, 1, mean{}
	c.left = a.Now
	d.cwnd = d.clamp(p.window * float64(d.base.rtt) / float64(p.lowest))
}
