package congest_test

import (
	"math/rand/v2"
	"time"

	"github.com/wherry/wherry/overlay/congest"
)

// bbr1 is a model of Linux's tcp_bbr.c (BBR version 1), to compete with: the same gains, filters, cycle, packet conservation in recovery,
// allowance for aggregated acknowledgements and probes of the round trip. It has no detector of policers.
type bbr1 struct {
	packet int
	mode   string
	cwnd   float64
	prior  float64 // before recovery or the probe of the round trip
	random *rand.Rand

	rates     [10]float64 // highest of each of the last rounds
	round     int
	nextRound uint64
	minRTT    time.Duration
	minAt     time.Time
	pacing    float64
	gain      float64

	fullRate  float64
	fullCount int
	full      bool

	phase   int
	phaseAt time.Time
	losses  int // since the last acknowledgement

	probeDone  time.Time
	probeRound bool

	recovering   bool
	recovered    uint64
	conserve     bool
	epochAt      time.Time
	epochAcked   float64
	extra        [2]float64
	extraRounds  int
	extraCurrent int
	delivered    uint64
}

const bbr1High = 2885.0 / 1000

func newBBR1(packet int, seed uint64) *bbr1 {
	return &bbr1{packet: packet, mode: "startup", cwnd: float64(10 * packet), random: rand.New(rand.NewPCG(seed, 7)), gain: bbr1High}
}

func (b *bbr1) OnSent(time.Time, int, int)      {}
func (b *bbr1) OnIdle(time.Time, time.Duration) {}
func (b *bbr1) Window() int                     { return int(b.cwnd) }
func (b *bbr1) State() string                   { return b.mode }
func (b *bbr1) Rate() float64                   { return b.pacing }
func (b *bbr1) rate() (r float64) {
	for _, v := range b.rates {
		r = max(r, v)
	}
	return r
}

func (b *bbr1) bdp(gain float64) float64 {
	if b.minRTT == 0 {
		return float64(10 * b.packet)
	}
	return gain * b.rate() * b.minRTT.Seconds()
}

// inflight is bbr_inflight: with the budget for segments that are sent and received in batches.
func (b *bbr1) inflight(gain float64) float64 {
	p := float64(b.packet)
	segs := min(max(b.pacing/1024, 2*p), 64<<10)
	w := b.bdp(gain) + 3*segs
	if b.mode == "probe" && b.phase == 0 {
		w += 2 * p
	}
	return w
}

func (b *bbr1) OnLoss(l congest.Loss) {
	b.losses += l.Bytes
	if b.recovering && l.Largest < b.recovered {
		return
	}
	if !b.recovering {
		b.save()
	}
	b.recovering, b.recovered, b.conserve = true, l.Next, true
	b.cwnd = float64(l.InFlight + b.packet)
	b.nextRound = b.delivered
}

func (b *bbr1) OnTimeout(time.Time) {
	b.save()
	b.fullRate, b.fullCount = 0, 0
	b.cwnd = float64(b.packet)
	b.recovering, b.conserve = false, false
}

func (b *bbr1) save() {
	if !b.recovering && b.mode != "probe rtt" {
		b.prior = b.cwnd
	} else {
		b.prior = max(b.prior, b.cwnd)
	}
}

func (b *bbr1) OnAck(a congest.Ack) {
	b.delivered = a.Sample.Delivered
	start := false
	if a.Sample.Interval > 0 && a.Sample.Prior >= b.nextRound {
		b.nextRound, start = a.Sample.Delivered, true
		b.round++
		b.rates[b.round%len(b.rates)] = 0
		b.conserve = false
	}
	if r := a.Sample.Rate(); r > 0 && (!a.Sample.AppLimited || r >= b.rate()) {
		b.rates[b.round%len(b.rates)] = max(b.rates[b.round%len(b.rates)], r)
	}
	b.aggregation(a, start)
	b.cycle(a)
	b.checkFull(a, start)
	b.checkDrain(a)
	b.updateMinRTT(a, start)
	b.setPacing(a)
	b.setWindow(a)
	b.losses = 0
}

func (b *bbr1) aggregation(a congest.Ack, start bool) {
	if start {
		if b.extraRounds++; b.extraRounds >= 5 {
			b.extraRounds = 0
			b.extraCurrent = 1 - b.extraCurrent
			b.extra[b.extraCurrent] = 0
		}
	}
	expected := b.rate() * a.Now.Sub(b.epochAt).Seconds()
	if b.epochAcked <= expected || b.epochAt.IsZero() {
		b.epochAcked, b.epochAt, expected = 0, a.Now, 0
	}
	b.epochAcked += float64(a.Bytes)
	b.extra[b.extraCurrent] = max(b.extra[b.extraCurrent], min(b.epochAcked-expected, b.cwnd))
}

var bbr1Gains = [8]float64{1.25, 0.75, 1, 1, 1, 1, 1, 1}

func (b *bbr1) cycle(a congest.Ack) {
	if b.mode != "probe" {
		return
	}
	long := a.Now.Sub(b.phaseAt) > b.minRTT
	next := long
	switch {
	case b.gain > 1:
		next = long && (b.losses > 0 || float64(a.Prior) >= b.inflight(b.gain))
	case b.gain < 1:
		next = long || float64(a.Prior) <= b.inflight(1)
	}
	if next {
		b.phase = (b.phase + 1) % 8
		b.phaseAt = a.Now
	}
	b.gain = bbr1Gains[b.phase]
}

func (b *bbr1) enterProbe(now time.Time) {
	b.mode = "probe"
	b.phase = 7 - b.random.IntN(7) // bbr_reset_probe_bw_mode, and one further
	b.phase = (b.phase + 1) % 8
	b.phaseAt = now
	b.gain = bbr1Gains[b.phase]
}

func (b *bbr1) checkFull(a congest.Ack, start bool) {
	if b.full || !start || a.Sample.AppLimited {
		return
	}
	if b.rate() >= 1.25*b.fullRate {
		b.fullRate, b.fullCount = b.rate(), 0
		return
	}
	b.fullCount++
	b.full = b.fullCount >= 3
}

func (b *bbr1) checkDrain(a congest.Ack) {
	if b.mode == "startup" && b.full {
		b.mode, b.gain = "drain", 1/bbr1High
	}
	if b.mode == "drain" && float64(a.InFlight) <= b.inflight(1) {
		b.enterProbe(a.Now)
	}
}

func (b *bbr1) updateMinRTT(a congest.Ack, start bool) {
	expired := !b.minAt.IsZero() && a.Now.After(b.minAt.Add(10*time.Second))
	if a.RTT > 0 && (b.minRTT == 0 || a.RTT <= b.minRTT || expired) {
		b.minRTT, b.minAt = a.RTT, a.Now
	}
	if expired && b.mode != "probe rtt" {
		b.save()
		b.mode, b.gain, b.probeDone = "probe rtt", 1, time.Time{}
	}
	if b.mode != "probe rtt" {
		return
	}
	if b.probeDone.IsZero() {
		if a.InFlight <= 4*b.packet {
			b.probeDone, b.probeRound, b.nextRound = a.Now.Add(200*time.Millisecond), false, a.Sample.Delivered
		}
		return
	}
	b.probeRound = b.probeRound || start
	if b.probeRound && a.Now.After(b.probeDone) {
		b.minAt = a.Now
		b.cwnd = max(b.cwnd, b.prior)
		if b.full {
			b.enterProbe(a.Now)
		} else {
			b.mode, b.gain = "startup", bbr1High
		}
	}
}

func (b *bbr1) setPacing(a congest.Ack) {
	if b.pacing == 0 && a.Smoothed > 0 {
		b.pacing = bbr1High * b.cwnd / a.Smoothed.Seconds()
	}
	if rate := 0.99 * b.gain * b.rate(); b.full || rate > b.pacing {
		b.pacing = rate
	}
}

func (b *bbr1) setWindow(a congest.Ack) {
	p := float64(b.packet)
	acked := float64(a.Bytes)
	b.cwnd = max(b.cwnd-float64(a.Lost), p)
	done := false
	if b.recovering && a.Largest >= b.recovered {
		b.recovering, b.conserve = false, false
		b.cwnd = max(b.cwnd, b.prior)
	}
	if b.conserve {
		b.cwnd, done = max(b.cwnd, float64(a.InFlight)+acked), true
	}
	gain := 2.0
	if b.mode == "startup" || b.mode == "drain" {
		gain = bbr1High
	} else if b.mode == "probe rtt" {
		gain = 1
	}
	target := b.inflight(gain)
	if b.full {
		target += min(max(b.extra[0], b.extra[1]), 0.1*b.rate())
	}
	if !done {
		if b.full {
			b.cwnd = min(b.cwnd+acked, target)
		} else if b.cwnd < target || a.Sample.Delivered < uint64(10*b.packet) {
			b.cwnd += acked
		}
		b.cwnd = max(b.cwnd, 4*p)
	}
	if b.mode == "probe rtt" {
		b.cwnd = min(b.cwnd, 4*p)
	}
}

func (b *bbr1) SetPacket(bytes int) { b.packet = bytes }
