package vdso

import (
	"encoding/binary"
	"math/bits"
)

var le = binary.LittleEndian

// PageSize is how large the data page and the object are, each.
const PageSize = 4096

// PageBytes is how much of the data page is used.
const PageBytes = 48

// Where the fields of the data page are, 8 bytes each, little-endian.
const (
	fieldSequence = iota * 8
	fieldOn
	fieldCounter
	fieldRate
	fieldMonotonic
	fieldRealOffset
)

// Page is what the data page says: CLOCK_MONOTONIC is Monotonic + (RDTSC − Counter) × Rate ÷ 2³².
type Page struct {
	On         bool   // else the functions make system calls
	Counter    uint64 // the time-stamp counter at Monotonic
	Rate       uint64 // nanoseconds a tick, × 2³²
	Monotonic  int64
	RealOffset int64 // what to add for CLOCK_REALTIME
}

// RateOne is the rate of a counter of nanoseconds.
const RateOne = 1 << rateBits

const rateBits = 32

// At is what CLOCK_MONOTONIC is when the counter says so, as the object's code has it.
func (p *Page) At(counter uint64) int64 {
	ticks := counter - p.Counter
	if counter < p.Counter {
		ticks = 0
	}
	high, low := bits.Mul64(ticks, p.Rate)
	return p.Monotonic + int64(high<<(64-rateBits)|low>>rateBits)
}

// Get is what b, the first PageBytes of a data page, says.
func Get(b []byte) Page {
	return Page{
		On: le.Uint64(b[fieldOn:]) != 0, Counter: le.Uint64(b[fieldCounter:]), Rate: le.Uint64(b[fieldRate:]), Monotonic: int64(le.Uint64(b[fieldMonotonic:])),
		RealOffset: int64(le.Uint64(b[fieldRealOffset:])),
	}
}

// Put writes p over what b, the first PageBytes of a data page, had, with the next sequence.
func (p *Page) Put(b []byte) {
	on := uint64(0)
	if p.On {
		on = 1
	}
	le.PutUint64(b[fieldSequence:], le.Uint64(b[fieldSequence:])+1)
	le.PutUint64(b[fieldOn:], on)
	le.PutUint64(b[fieldCounter:], p.Counter)
	le.PutUint64(b[fieldRate:], p.Rate)
	le.PutUint64(b[fieldMonotonic:], uint64(p.Monotonic))
	le.PutUint64(b[fieldRealOffset:], uint64(p.RealOffset))
}
