package linkem

import (
	"errors"
	"fmt"
	"time"
)

// AQM is how a hop's queue decides what to drop.
type AQM string

// The kinds of queue.
const (
	DropTail AQM = "droptail" // drops what doesn't fit
	CoDel    AQM = "codel"    // RFC 8289, and drops what doesn't fit
)

// Loss is a Gilbert-Elliott chain: a state good and a state bad, each with its probability of losing a packet. The zero value loses
// nothing.
type Loss struct {
	GoodToBad, BadToGood float64 // probability, for each packet, that the state changes before it is judged
	InGood, InBad        float64 // probability that a packet is lost in that state
}

// RandomLoss loses each packet with the same probability, whatever happened to others.
func RandomLoss(fraction float64) Loss { return Loss{InGood: fraction} }

// BurstLoss loses the fraction of all packets in runs of burstPackets on average.
func BurstLoss(fraction, burstPackets float64) Loss {
	back := 1 / burstPackets
	return Loss{GoodToBad: back * fraction / (1 - fraction), BadToGood: back, InBad: 1}
}

// Fraction is the part of all packets that is lost in the long run.
func (l Loss) Fraction() float64 {
	if l.GoodToBad == 0 {
		return l.InGood
	}
	bad := l.GoodToBad / (l.GoodToBad + l.BadToGood)
	return (1-bad)*l.InGood + bad*l.InBad
}

// BurstPackets is how long the state bad lasts on average, 0 if it never comes.
func (l Loss) BurstPackets() float64 {
	if l.GoodToBad == 0 || l.BadToGood == 0 {
		return 0
	}
	return 1 / l.BadToGood
}

// Shape is what one hop does to packets in one direction. The zero value is a perfect wire.
type Shape struct {
	RateBits     int64         // bits a second, counted on IP packets; 0: no limit, and so no queue
	Delay        time.Duration // propagation, one way
	Jitter       time.Duration // up to this much more for each packet, uniformly; packets stay in order
	Loss         Loss
	Reorder      float64       // fraction of packets that come later by ReorderDelay, while others overtake them
	ReorderDelay time.Duration // 0 with Reorder above 0: a quarter of Delay, at least 1 ms
	Duplicate    float64       // fraction of packets that arrive twice
	Corrupt      float64       // fraction of packets that arrive with one bit turned
	QueueBytes   int           // room before the line, besides the packet that it is sending; required with a rate
	AQM          AQM           // "": DropTail
}

// Check reports all that can't be meant.
func (s Shape) Check() error {
	var problems []error
	for _, p := range []struct {
		what  string
		value float64
	}{
		{"reorder", s.Reorder},
		{"duplicate", s.Duplicate},
		{"corrupt", s.Corrupt},
		{"loss", s.Loss.InGood},
		{"loss", s.Loss.InBad},
		{"burst", s.Loss.GoodToBad},
		{"burst", s.Loss.BadToGood},
	} {
		if !(p.value >= 0 && p.value <= 1) {
			problems = append(problems, fmt.Errorf("%s: %v isn't a probability: give one from 0%% to 100%%", p.what, p.value))
		}
	}
	if s.RateBits < 0 || s.Delay < 0 || s.Jitter < 0 || s.ReorderDelay < 0 {
		problems = append(problems, errors.New("rate, delay, jitter and reordering can't be negative"))
	}
	if s.RateBits > 0 && s.QueueBytes < packetBytesMax {
		problems = append(problems, fmt.Errorf("a queue of %d bytes holds no packet: give at least %d", s.QueueBytes, packetBytesMax))
	}
	if s.AQM != "" && s.AQM != DropTail && s.AQM != CoDel {
		problems = append(problems, fmt.Errorf("no queue is called %q: take %s or %s", s.AQM, DropTail, CoDel))
	}
	return errors.Join(problems...)
}

// BDPBytes is what fills the line for one round trip over links of this shape both ways.
func (s Shape) BDPBytes() int {
	return int(float64(s.RateBits) / 8 * (2 * s.Delay).Seconds())
}

// reorderDelay is how much later a packet comes that others overtake.
func (s Shape) reorderDelay() time.Duration {
	if s.ReorderDelay > 0 {
		return s.ReorderDelay
	}
	return max(s.Delay/4, time.Millisecond)
}

// serialisation is how long the line is busy with a packet.
func (s Shape) serialisation(bytes int) time.Duration {
	if s.RateBits == 0 {
		return 0
	}
	return time.Duration(int64(bytes) * 8 * int64(time.Second) / s.RateBits)
}
