package linkem

import (
	"math/bits"
	"slices"
	"time"
)

// LinkStats is what one direction has done.
type LinkStats struct {
	Hops     []HopStats
	Lateness Histogram // how long after its time each packet was delivered: the emulator's own error
}

// HopStats counts packets of one hop in one direction.
type HopStats struct {
	Offered, Delivered               int64
	DeliveredBytes                   int64
	QueueDrops, AQMDrops             int64
	Lost, Overflows                  int64 // by the loss model; by the bound on what may be on the wire
	Reordered, Duplicated, Corrupted int64
	QueueBytesPeak                   int
	Sojourn                          Histogram // time in the queue, of those that weren't dropped
}

// Histogram counts durations in buckets an eighth of their value wide, from 1 µs to over an hour.
type Histogram struct {
	Count   int64
	Sum     time.Duration
	Max     time.Duration
	buckets [30 * 8]int64
}

// Add counts one duration; one below zero counts as zero.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.Count++
	h.Sum += d
	h.Max = max(h.Max, d)
	h.buckets[bucket(d)]++
}

// Mean is 0 of none.
func (h *Histogram) Mean() time.Duration {
	if h.Count == 0 {
		return 0
	}
	return h.Sum / time.Duration(h.Count)
}

// Quantile is the upper edge of the bucket in which the q-th part of all durations has been seen, and never above Max.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank, seen := int64(q*float64(h.Count)), int64(0)
	for i, n := range h.buckets {
		if seen += n; seen > rank {
			return min(upperEdge(i), h.Max)
		}
	}
	return h.Max
}

func bucket(d time.Duration) int {
	us := uint64(d / time.Microsecond)
	if us < 8 {
		return int(us)
	}
	octave := bits.Len64(us) - 4 // us>>octave is 8 to 15
	return min(8*(octave+1)+int(us>>octave)-8, 30*8-1)
}

func upperEdge(i int) time.Duration {
	if i < 8 {
		return time.Duration(i+1) * time.Microsecond
	}
	octave := i/8 - 1
	return time.Duration((i%8)+9) << octave * time.Microsecond
}

// Since is what has happened after an earlier look at the same link. Peaks and maxima stay those of the whole time.
func (s LinkStats) Since(before LinkStats) LinkStats {
	after := LinkStats{Hops: slices.Clone(s.Hops), Lateness: s.Lateness.since(&before.Lateness)}
	for i := range after.Hops {
		h, b := &after.Hops[i], &before.Hops[i]
		h.Offered -= b.Offered
		h.Delivered -= b.Delivered
		h.DeliveredBytes -= b.DeliveredBytes
		h.QueueDrops -= b.QueueDrops
		h.AQMDrops -= b.AQMDrops
		h.Lost -= b.Lost
		h.Overflows -= b.Overflows
		h.Reordered -= b.Reordered
		h.Duplicated -= b.Duplicated
		h.Corrupted -= b.Corrupted
		h.Sojourn = h.Sojourn.since(&b.Sojourn)
	}
	return after
}

func (h Histogram) since(before *Histogram) Histogram {
	h.Count -= before.Count
	h.Sum -= before.Sum
	for i := range h.buckets {
		h.buckets[i] -= before.buckets[i]
	}
	return h
}
