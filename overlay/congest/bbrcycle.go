package congest

import (
	"math"
	"time"
)

const (
	bbrWaitLeast   = 2 * time.Second
	bbrWaitRandom  = time.Second
	bbrRenoRounds  = 63
	bbrSlopeRounds = 30
)

type bbrAcks int

// What the acknowledgements of now say of: see ack_phase in draft-ietf-ccwg-bbr-02 §5.3.3.6.
const (
	acksRefilling bbrAcks = iota
	acksStarting
	acksFeedback
	acksStopping
)

// bbrCycle is the probing for more rate (§5.3.3).
type bbrCycle struct {
	since    time.Time
	wait     time.Duration // until the next probe
	rounds   int           // since the last one
	acks     bbrAcks
	samples  bool    // what is acknowledged was sent while probing
	upRounds int     // of growth
	upCount  float64 // bytes acknowledged for each packet of growth
	upAcked  float64
	random   uint64
}

// seed makes flows that begin at other times probe at other times.
func (c *bbrCycle) seed(now time.Time) { c.random |= uint64(now.UnixNano()) | 1 }

// next is xorshift64: good enough to spread probes, and the same for the same events.
func (c *bbrCycle) next() uint64 {
	c.random ^= c.random << 13
	c.random ^= c.random >> 7
	c.random ^= c.random << 17
	return c.random
}

func (b *BBR) inCycle() bool {
	return b.state == bbrDown || b.state == bbrCruise || b.state == bbrRefill || b.state == bbrUp
}

// probing is IsProbingBW: losses then are of our own doing and don't lower the short-term bounds.
func (b *BBR) probing() bool {
	return b.state == bbrStartup || b.state == bbrRefill || b.state == bbrUp
}

func (b *BBR) startDown(a Ack) {
	c := &b.cycle
	b.model.resetCongestion()
	c.upCount = math.Inf(1)
	c.rounds = int(c.next() >> 32 & 1) // §5.3.3.5: picked at random, so that flows don't march in step
	c.wait = bbrWaitLeast + time.Duration(c.next()>>32%uint64(bbrWaitRandom))
	c.since, c.acks = a.Now, acksStopping
	b.model.beginRound()
	b.state, b.pacingGain, b.windowGain = bbrDown, bbrDownGain, bbrWindowGain
}

func (b *BBR) startCruise() {
	b.state, b.pacingGain, b.windowGain = bbrCruise, 1, bbrWindowGain
}

func (b *BBR) startRefill() {
	b.model.resetLowerBounds()
	b.cycle.upRounds, b.cycle.upAcked, b.cycle.acks = 0, 0, acksRefilling
	b.model.beginRound()
	b.state, b.pacingGain, b.windowGain = bbrRefill, 1, bbrWindowGain
}

func (b *BBR) startUp(a Ack) {
	b.cycle.acks, b.cycle.since, b.cycle.samples = acksStarting, a.Now, true
	b.model.beginRound()
	b.full.reset()
	b.full.rate = a.Sample.Rate()
	b.state, b.pacingGain, b.windowGain = bbrUp, bbrUpGain, bbrWindowGainUp
	b.raiseSlope()
}

// updateCycle is BBRUpdateProbeBWCyclePhase (§5.3.3.6).
func (b *BBR) updateCycle(a Ack) {
	if !b.full.reached {
		return
	}
	b.adapt(a)
	if !b.inCycle() {
		return
	}
	if b.model.roundStart {
		b.cycle.rounds++
	}
	switch b.state {
	case bbrDown:
		if b.timeToProbe(a) {
			b.startRefill()
		} else if f := float64(a.InFlight); f <= b.withHeadroom() && f <= b.inflight(b.model.maxRate(), 1) {
			b.startCruise()
		}
	case bbrCruise:
		if b.timeToProbe(a) {
			b.startRefill()
		}
	case bbrRefill:
		if b.model.roundStart {
			b.startUp(a)
		}
	case bbrUp:
		if b.timeToGoDown(a) {
			b.startDown(a)
		}
	}
}

// timeToProbe: after two to three seconds, or when a Reno would have grown by as much (§5.3.3.5.2).
func (b *BBR) timeToProbe(a Ack) bool {
	reno := min(b.product(b.model.rate(), 1), b.cwnd) / float64(b.Packet)
	return a.Now.Sub(b.cycle.since) > b.cycle.wait || b.cycle.rounds >= int(min(reno, bbrRenoRounds))
}

func (b *BBR) timeToGoDown(a Ack) bool {
	if b.windowLimited(a) && b.cwnd >= b.model.high { // it is our own bound that keeps the rate from growing
		b.full.reset()
		b.full.rate = a.Sample.Rate()
		return false
	}
	return b.full.now
}

func (b *BBR) windowLimited(a Ack) bool {
	return float64(max(b.peak.peak, b.peak.older, a.Prior)+b.Packet) > b.cwnd
}

// adapt is BBRAdaptLongTermModel (§5.5.10.1).
func (b *BBR) adapt(a Ack) {
	c, m := &b.cycle, &b.model
	if c.acks == acksStarting && m.roundStart {
		c.acks = acksFeedback
	}
	if c.acks == acksStopping && m.roundStart {
		c.acks = acksRefilling // once a cycle
		c.samples = false
		if b.inCycle() && !a.Sample.AppLimited {
			m.nextCycle()
		}
	}
	if tooHigh(a.Sample) {
		if c.samples {
			b.inflightTooHigh(a)
		}
		return
	}
	if math.IsInf(m.high, 1) {
		return
	}
	m.high = max(m.high, float64(a.Sample.TxInFlight))
	if b.state == bbrUp {
		b.probeUpward(a)
	}
}

// inflightTooHigh is BBRHandleInflightTooHigh.
func (b *BBR) inflightTooHigh(a Ack) {
	b.cycle.samples = false
	if !a.Sample.AppLimited {
		target := min(b.product(b.model.rate(), 1), b.cwnd)
		b.model.high = max(float64(a.Sample.TxInFlight), bbrBeta*target)
	}
	if b.state == bbrUp {
		b.startDown(a)
	}
}

// probeUpward is BBRProbeInflightLongtermUpward: slowly at first, then twice as fast each round.
func (b *BBR) probeUpward(a Ack) {
	c := &b.cycle
	if !b.windowLimited(a) || b.cwnd < b.model.high {
		return
	}
	c.upAcked += float64(a.Bytes)
	if c.upAcked >= c.upCount {
		packets := math.Floor(c.upAcked / c.upCount)
		c.upAcked -= packets * c.upCount
		b.model.high += packets * float64(b.Packet)
	}
	if b.model.roundStart {
		b.raiseSlope()
	}
}

func (b *BBR) raiseSlope() {
	c := &b.cycle
	growth := math.Exp2(float64(c.upRounds))
	c.upRounds = min(c.upRounds+1, bbrSlopeRounds)
	c.upCount = max(b.cwnd/growth, float64(b.Packet))
}

// updateMinRTT is BBRUpdateMinRTT (§5.5.7).
func (b *BBR) updateMinRTT(a Ack) {
	if a.RTT > 0 && (b.probeRTT == 0 || a.RTT < b.probeRTT || b.probeRTTExpired(a)) {
		if b.state != bbrProbeRTT && b.probeRTTExpired(a) {
			b.enterProbeRTT()
		}
		b.probeRTT, b.probeRTTAt = a.RTT, a.Now
	}
	if b.probeRTT > 0 && (b.minRTT == 0 || b.probeRTT < b.minRTT || a.Now.Sub(b.minRTTAt) > bbrMinRTTAge) {
		b.minRTT, b.minRTTAt = b.probeRTT, b.probeRTTAt
	}
}

func (b *BBR) probeRTTExpired(a Ack) bool {
	return !b.probeRTTAt.IsZero() && a.Now.Sub(b.probeRTTAt) > bbrProbeRTTAge
}

// enterProbeRTT drains the queue, so that the round trip without it can be seen (§5.3.4).
func (b *BBR) enterProbeRTT() {
	if b.idle { // the pause has drained it
		return
	}
	b.save()
	b.state, b.pacingGain, b.windowGain = bbrProbeRTT, 1, bbrProbeRTTGain
	b.probeEnds = time.Time{}
	b.cycle.acks = acksStopping
	b.model.beginRound()
}

func (b *BBR) checkProbeRTT(a Ack) {
	if b.state != bbrProbeRTT {
		return
	}
	if b.probeEnds.IsZero() {
		if float64(a.InFlight) <= b.probeRTTWindow() {
			b.probeEnds, b.probedRound = a.Now.Add(bbrProbeRTTTime), false
			b.model.beginRound()
		}
		return
	}
	b.probedRound = b.probedRound || b.model.roundStart
	if !b.probedRound || !a.Now.After(b.probeEnds) {
		return
	}
	b.probeRTTAt = a.Now
	b.cwnd = max(b.cwnd, b.prior)
	b.model.resetLowerBounds()
	if b.full.reached {
		b.startDown(a)
		b.startCruise()
	} else {
		b.state, b.pacingGain, b.windowGain = bbrStartup, bbrStartupGain, bbrWindowGain
	}
}
