package congest

import (
	"math"
	"time"
)

// bbrModel is what BBR knows of the path (draft-ietf-ccwg-bbr-02 §5.5): bytes and bytes a second.
type bbrModel struct {
	rates     [2]float64 // highest of the cycle before and of this one
	rateLow   float64    // short-term bound, by losses
	high      float64    // inflight_hi: what is known to be safe in the long run
	cycles    int
	roundEnd  uint64 // delivered
	rounds    int
	delivered uint64

	inflightLow     float64 // short-term bound, by losses
	rateLatest      float64
	deliveredLatest float64
	lossRoundEnd    uint64
	lossRoundStart  bool
	roundStart      bool
	lossInRound     bool
	lossEvents      int

	epoch       time.Time // of aggregation
	epochAcked  float64
	extras      [2]float64
	extraRounds int
	extraNow    int
}

func newBBRModel() bbrModel {
	return bbrModel{rateLow: math.Inf(1), high: math.Inf(1), inflightLow: math.Inf(1)}
}

// tooHigh is IsInflightTooHigh (§5.5.10.2).
func tooHigh(s Sample) bool {
	return float64(s.Lost) > bbrLossThreshold*float64(s.TxInFlight)
}

// latest is BBRUpdateLatestDeliverySignals.
func (m *bbrModel) latest(s Sample) {
	m.delivered = s.Delivered
	m.lossRoundStart = false
	m.rateLatest = max(m.rateLatest, s.Rate())
	m.deliveredLatest = max(m.deliveredLatest, float64(s.Delivered-s.Prior))
	if s.Prior >= m.lossRoundEnd {
		m.lossRoundEnd, m.lossRoundStart = s.Delivered, true
	}
}

func (m *bbrModel) advanceLatest(s Sample) {
	if m.lossRoundStart {
		m.rateLatest, m.deliveredLatest = s.Rate(), float64(s.Delivered-s.Prior)
	}
}

// startOfRound counts round trips by what was delivered (§5.5.1).
func (m *bbrModel) startOfRound(s Sample) {
	m.roundStart = s.Prior >= m.roundEnd
	if m.roundStart {
		m.beginRound()
		m.rounds++
	}
}

func (m *bbrModel) beginRound() { m.roundEnd = m.delivered }

func (m *bbrModel) updateMaxRate(s Sample) {
	if rate := s.Rate(); rate > 0 && (!s.AppLimited || rate >= m.maxRate()) {
		m.rates[m.cycles%2] = max(m.rates[m.cycles%2], rate)
	}
}

// nextCycle is BBRAdvanceMaxBwFilter.
func (m *bbrModel) nextCycle() {
	m.cycles++
	m.rates[m.cycles%2] = 0
}

func (m *bbrModel) maxRate() float64 { return max(m.rates[0], m.rates[1]) }

func (m *bbrModel) rate() float64 { return min(m.maxRate(), m.rateLow) }

func (m *bbrModel) noteLoss() {
	if !m.lossInRound {
		m.lossRoundEnd = m.delivered
	}
	m.lossInRound = true
	m.lossEvents++
}

// lowerBounds yields to a round with losses (§5.5.10.3).
func (m *bbrModel) lowerBounds(cwnd float64) {
	if math.IsInf(m.rateLow, 1) {
		m.rateLow = m.maxRate()
	}
	if math.IsInf(m.inflightLow, 1) {
		m.inflightLow = cwnd
	}
	m.rateLow = max(m.rateLatest, bbrBeta*m.rateLow)
	m.inflightLow = max(m.deliveredLatest, bbrBeta*m.inflightLow)
}

func (m *bbrModel) resetLowerBounds() { m.rateLow, m.inflightLow = math.Inf(1), math.Inf(1) }

func (m *bbrModel) resetCongestion() {
	m.lossInRound, m.lossEvents, m.rateLatest, m.deliveredLatest = false, 0, 0, 0
}

// aggregation measures by how much acknowledgements come ahead of the rate (§5.5.9).
func (m *bbrModel) aggregation(a Ack, cwnd float64) {
	if m.roundStart {
		if m.extraRounds++; m.extraRounds >= bbrExtraRounds/2 {
			m.extraRounds, m.extraNow = 0, 1-m.extraNow
			m.extras[m.extraNow] = 0
		}
	}
	expected := m.rate() * a.Now.Sub(m.epoch).Seconds()
	if m.epoch.IsZero() || m.epochAcked <= expected {
		m.epoch, m.epochAcked, expected = a.Now, 0, 0
	}
	m.epochAcked += float64(a.Bytes)
	m.extras[m.extraNow] = max(m.extras[m.extraNow], min(m.epochAcked-expected, cwnd))
}

func (m *bbrModel) extra() float64 { return max(m.extras[0], m.extras[1]) }
