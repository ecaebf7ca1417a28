package congest

import "time"

// The constants of RFC 9406 §4.3.
const (
	hystartMin     = 4 * time.Millisecond
	hystartMax     = 16 * time.Millisecond
	hystartPart    = 8 // of the last round's shortest round trip
	hystartSamples = 8
	hystartSlower  = 4 // divides growth in conservative slow start
	hystartRounds  = 5 // of conservative slow start
)

const never = time.Duration(1<<63 - 1)

// hystart finds by the round trips that slow start has filled the pipe, before the queue is full (RFC 9406).
type hystart struct {
	done          bool
	end           uint64
	last, current time.Duration // the shortest round trip of the last round and of this one
	samples       int
	baseline      time.Duration // the shortest round trip when conservative slow start began; 0: it hasn't
	rounds        int
}

func newHystart() hystart { return hystart{last: never, current: never} }

func (h *hystart) divisor() float64 {
	if h.baseline > 0 {
		return hystartSlower
	}
	return 1
}

// onAck says whether slow start is over.
func (h *hystart) onAck(a Ack) (over bool) {
	if h.done || a.RTT <= 0 {
		return false
	}
	if a.Largest >= h.end {
		h.end = a.Next
		h.last, h.current, h.samples = h.current, never, 0
		if h.baseline > 0 {
			if h.rounds++; h.rounds >= hystartRounds {
				h.done = true
				return true
			}
		}
	}
	h.current = min(h.current, a.RTT)
	h.samples++
	if h.samples < hystartSamples || h.last == never {
		return false
	}
	if h.baseline > 0 {
		if h.current < h.baseline { // the growth was a mistake
			h.baseline = 0
		}
		return false
	}
	if h.current >= h.last+min(max(h.last/hystartPart, hystartMin), hystartMax) {
		h.baseline, h.rounds = h.current, 0
	}
	return false
}
