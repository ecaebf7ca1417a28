package congest

import (
	"math"
	"time"
)

// The constants of draft-ietf-ccwg-bbr-02 §2.4 and following.
const (
	bbrStartupGain   = 2.77
	bbrDrainGain     = 0.5
	bbrWindowGain    = 2.0
	bbrWindowGainUp  = 2.25
	bbrDownGain      = 0.9
	bbrUpGain        = 1.25
	bbrPacingPart    = 0.99 // §5.6.2: of what is measured, so that no queue builds up
	bbrLossThreshold = 0.02
	bbrBeta          = 0.7
	bbrHeadroom      = 0.15
	bbrMinPackets    = 4
	bbrFullGrowth    = 1.25
	bbrFullRounds    = 3
	bbrFullLosses    = 6 // times in a round
	bbrMinRTTAge     = 10 * time.Second
	bbrProbeRTTAge   = 5 * time.Second
	bbrProbeRTTTime  = 200 * time.Millisecond
	bbrProbeRTTGain  = 0.5
	bbrExtraRounds   = 10
)

type bbrState string

const (
	bbrStartup  bbrState = "startup"
	bbrDrain    bbrState = "drain"
	bbrDown     bbrState = "probe down"
	bbrCruise   bbrState = "cruise"
	bbrRefill   bbrState = "refill"
	bbrUp       bbrState = "probe up"
	bbrProbeRTT bbrState = "probe RTT"
)

// BBR sends at the rate of delivery that it measures, and keeps little more in flight than that rate times the shortest round trip
// (draft-ietf-ccwg-bbr-02, BBR version 3).
type BBR struct {
	Options
	state      bbrState
	pacingGain float64
	windowGain float64
	pacing     float64 // bytes a second
	cwnd       float64
	prior      float64 // window before the probe of the round trip, or a timeout
	inFlight   int
	peak       round // whether the window holds us back

	model bbrModel
	cycle bbrCycle
	full  bbrFull

	minRTT      time.Duration
	minRTTAt    time.Time
	probeRTT    time.Duration // the shortest since probeRTTAt
	probeRTTAt  time.Time
	probeEnds   time.Time
	probedRound bool
	idle        bool
}

var _ Controller = (*BBR)(nil)

func newBBR(o Options) *BBR {
	return &BBR{
		Options: o, state: bbrStartup, pacingGain: bbrStartupGain, windowGain: bbrWindowGain, cwnd: float64(o.Initial), model: newBBRModel(),
	}
}

// OnSent follows how much is in flight.
func (b *BBR) OnSent(_ time.Time, _, inFlight int) {
	b.inFlight = inFlight
	b.peak.sent(inFlight)
}

// OnAck is BBRUpdateOnACK (§5.2.3).
func (b *BBR) OnAck(a Ack) {
	b.inFlight = a.InFlight
	m := &b.model
	m.latest(a.Sample)
	m.startOfRound(a.Sample)
	m.updateMaxRate(a.Sample)
	if m.lossRoundStart {
		if !b.probing() && m.lossInRound {
			m.lowerBounds(b.cwnd)
		}
	}
	m.aggregation(a, b.cwnd)
	b.checkFull(a)
	b.checkStartup(a)
	b.updateCycle(a)
	b.updateMinRTT(a)
	b.checkProbeRTT(a)
	if m.lossRoundStart {
		m.lossInRound, m.lossEvents = false, 0
	}
	m.advanceLatest(a.Sample)
	b.setPacing(a)
	b.setWindow(a)
	b.peak.acked(a)
	b.idle = false
}

// OnLoss notes that something was lost in this round; how much, the sample of the acknowledgement tells.
func (b *BBR) OnLoss(l Loss) {
	b.inFlight = l.InFlight
	b.model.noteLoss()
}

// OnTimeout keeps what is known of the path; the window grows back with what is acknowledged.
func (b *BBR) OnTimeout(time.Time) {
	b.save()
	b.inFlight = 0
	b.cwnd = float64(b.Packet)
	b.model.noteLoss()
}

// OnIdle paces at the measured rate after a pause (§5.4.1).
func (b *BBR) OnIdle(time.Time, time.Duration) {
	b.idle = true
	if b.inCycle() && b.model.rate() > 0 {
		b.pacing = bbrPacingPart * b.model.rate()
	}
}

// Window is in bytes.
func (b *BBR) Window() int { return int(b.cwnd) }

// Rate is in bytes a second.
func (b *BBR) Rate() float64 { return b.pacing }

// State names the draft's state.
func (b *BBR) State() string { return string(b.state) }

func (b *BBR) minWindow() float64 { return float64(bbrMinPackets * b.Packet) }

// product is BBRBDPMultiple (§5.6.4.2), of the rate given.
func (b *BBR) product(rate, gain float64) float64 {
	if b.minRTT == 0 || rate == 0 {
		return gain * float64(b.Initial)
	}
	return gain * rate * b.minRTT.Seconds()
}

// inflight is BBRInflight: room for what is sent and acknowledged in batches.
func (b *BBR) inflight(rate, gain float64) float64 {
	w := max(b.product(rate, gain), b.quantum()*3, b.minWindow())
	if b.state == bbrUp {
		w += 2 * float64(b.Packet)
	}
	return w
}

// quantum is what leaves at once, at most (§5.6.3).
func (b *BBR) quantum() float64 {
	return max(2*float64(b.Packet), min(b.pacing/1000, 64<<10))
}

// bbrFull finds that the rate of delivery has stopped growing (§5.3.1.2).
type bbrFull struct {
	rate    float64
	rounds  int
	now     bool
	reached bool // once
}

func (f *bbrFull) reset() { f.rate, f.rounds, f.now = 0, 0, false }

func (b *BBR) checkFull(a Ack) {
	f := &b.full
	if f.now || !b.model.roundStart || a.Sample.AppLimited {
		return
	}
	if rate := a.Sample.Rate(); rate >= bbrFullGrowth*f.rate {
		f.reset()
		f.rate = rate
		return
	}
	f.rounds++
	f.now = f.rounds >= bbrFullRounds
	f.reached = f.reached || f.now
}

// checkStartup ends Startup and Drain (§5.3.1, §5.3.2).
func (b *BBR) checkStartup(a Ack) {
	if b.state == bbrStartup {
		if m := &b.model; m.lossRoundStart && m.lossEvents >= bbrFullLosses && tooHigh(a.Sample) { // §5.3.1.3
			b.full.reached = true
			m.high = max(b.product(m.maxRate(), 1), m.deliveredLatest)
		}
		if b.full.reached {
			b.state, b.pacingGain, b.windowGain = bbrDrain, bbrDrainGain, bbrWindowGain
		}
	}
	if b.state == bbrDrain && float64(a.InFlight) <= b.inflight(b.model.maxRate(), 1) {
		b.cycle.seed(a.Now)
		b.startDown(a)
	}
}

func (b *BBR) setPacing(a Ack) {
	if b.pacing == 0 && a.Smoothed > 0 {
		b.pacing = bbrStartupGain * b.cwnd / a.Smoothed.Seconds() // §5.6.2
	}
	if rate := bbrPacingPart * b.pacingGain * b.model.rate(); rate > 0 && (b.full.reached || rate > b.pacing) {
		b.pacing = rate
	}
}

// setWindow is BBRSetCwnd (§5.6.4.6).
func (b *BBR) setWindow(a Ack) {
	most := b.inflight(b.model.rate(), b.windowGain) + b.model.extra()
	acked := float64(a.Bytes)
	b.cwnd = max(b.cwnd-float64(a.Lost), float64(b.Packet))
	switch {
	case b.full.reached:
		b.cwnd = min(b.cwnd+acked, most)
	case b.cwnd < most || a.Sample.Delivered < uint64(b.Initial):
		b.cwnd += acked
	}
	b.cwnd = max(b.cwnd, b.minWindow())
	if b.state == bbrProbeRTT {
		b.cwnd = min(b.cwnd, b.probeRTTWindow())
	}
	limit := math.Inf(1)
	switch b.state { // §5.6.4.8
	case bbrDown, bbrRefill, bbrUp:
		limit = b.model.high
	case bbrCruise, bbrProbeRTT:
		limit = b.withHeadroom()
	}
	limit = max(min(limit, b.model.inflightLow), b.minWindow())
	b.cwnd = min(b.cwnd, limit, float64(b.Max))
}

func (b *BBR) probeRTTWindow() float64 {
	return max(b.product(b.model.rate(), bbrProbeRTTGain), b.minWindow())
}

// withHeadroom leaves room for others to come (§5.6.4.4).
func (b *BBR) withHeadroom() float64 {
	if math.IsInf(b.model.high, 1) {
		return b.model.high
	}
	return max(b.model.high-max(float64(b.Packet), bbrHeadroom*b.model.high), b.minWindow())
}

func (b *BBR) save() {
	if b.state == bbrProbeRTT {
		b.prior = max(b.prior, b.cwnd)
	} else {
		b.prior = b.cwnd
	}
}
