package linkem

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"time"
)

// Bounds of what a Link holds.
const (
	packetBytesMax  = 1500    // the MTU of every cable
	transitMax      = 1 << 17 // packets that a hop may have on the wire: 1.5 Gbit/s over 1 s of delay
	freePacketsMax  = 1 << 12 // packets that are kept for use again
	packetBytesRoom = 2048
)

// hop is one queue and one wire, in one direction.
type hop struct {
	shape   Shape
	chance  *rand.Rand
	queue   fifo
	codel   codel
	free    time.Duration // when the line will have sent what it was given
	bad     bool          // the state of Loss
	transit transit
	turns   uint64
	ordered time.Duration // when the last packet arrives that isn't held back
	stats   HopStats
	pool    *pool
}

// push takes a packet that comes at now, not before any other.
func (h *hop) push(now time.Duration, p *packet) {
	h.advance(now)
	h.stats.Offered++
	if h.shape.RateBits == 0 && h.queue.count == 0 {
		h.stats.Sojourn.Add(0)
		h.wire(now, p)
		return
	}
	if h.shape.RateBits > 0 && h.queue.count > 0 && h.queue.bytes+len(p.data) > h.shape.QueueBytes {
		h.stats.QueueDrops++
		h.pool.put(p)
		return
	}
	p.at = now
	h.queue.push(p)
	h.stats.QueueBytesPeak = max(h.stats.QueueBytesPeak, h.queue.bytes)
	h.advance(now)
}

// advance does what the line has done until now.
func (h *hop) advance(now time.Duration) {
	for h.queue.count > 0 {
		start := max(h.free, h.queue.peek().at)
		if start > now {
			return
		}
		p := h.dequeue(start)
		if p == nil {
			return
		}
		h.stats.Sojourn.Add(start - p.at)
		h.free = start + h.shape.serialisation(len(p.data))
		h.wire(h.free, p)
	}
}

func (h *hop) dequeue(now time.Duration) *packet {
	if h.shape.AQM != CoDel {
		return h.queue.pop()
	}
	return h.codel.dequeue(now, &h.queue, func(p *packet) {
		h.stats.AQMDrops++
		h.pool.put(p)
	})
}

// wire takes a packet that left the line at sent, and decides whether, how and when it arrives.
func (h *hop) wire(sent time.Duration, p *packet) {
	if h.lost() {
		h.stats.Lost++
		h.pool.put(p)
		return
	}
	if h.happens(h.shape.Corrupt) && len(p.data) > 0 {
		h.stats.Corrupted++
		bit := h.chance.IntN(8 * len(p.data))
		p.data[bit/8] ^= 1 << (bit % 8)
	}
	arrives := sent + h.shape.Delay
	if h.shape.Jitter > 0 {
		arrives += time.Duration(h.chance.Int64N(int64(h.shape.Jitter) + 1))
	}
	if h.happens(h.shape.Reorder) {
		h.stats.Reordered++
		arrives += h.shape.reorderDelay()
	} else {
		arrives = max(arrives, h.ordered)
		h.ordered = arrives
	}
	if h.happens(h.shape.Duplicate) {
		h.stats.Duplicated++
		h.launch(arrives, h.pool.copyOf(p.data))
	}
	h.launch(arrives, p)
}

func (h *hop) launch(arrives time.Duration, p *packet) {
	if len(h.transit) >= transitMax {
		h.stats.Overflows++
		h.pool.put(p)
		return
	}
	h.turns++
	p.at, p.turn = arrives, h.turns
	heap.Push(&h.transit, p)
}

// lost steps the Gilbert-Elliott chain for one packet.
func (h *hop) lost() bool {
	l := h.shape.Loss
	if h.bad {
		h.bad = !h.happens(l.BadToGood)
	} else {
		h.bad = h.happens(l.GoodToBad)
	}
	if h.bad {
		return h.happens(l.InBad)
	}
	return h.happens(l.InGood)
}

func (h *hop) happens(probability float64) bool {
	return probability > 0 && h.chance.Float64() < probability
}

// pop returns the next packet that has arrived until now, and when it did; nil if there is none.
func (h *hop) pop(now time.Duration) (*packet, time.Duration) {
	h.advance(now)
	if len(h.transit) == 0 || h.transit[0].at > now {
		return nil, 0
	}
	p := heap.Pop(&h.transit).(*packet)
	h.stats.Delivered++
	h.stats.DeliveredBytes += int64(len(p.data))
	return p, p.at
}

// next is before which time no packet arrives.
func (h *hop) next() time.Duration {
	next := time.Duration(math.MaxInt64)
	if len(h.transit) > 0 {
		next = h.transit[0].at
	}
	if h.queue.count > 0 {
		next = min(next, max(h.free, h.queue.peek().at)+h.shape.Delay)
	}
	return next
}

// transit orders packets by their arrival.
type transit []*packet

func (t transit) Len() int { return len(t) }

func (t transit) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].turn < t[j].turn
}
func (t transit) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *transit) Push(p any)   { *t = append(*t, p.(*packet)) }
func (t *transit) Pop() any {
	last := len(*t) - 1
	p := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	return p
}

// pool keeps packets for use again, so that a busy link makes no garbage.
type pool struct{ free []*packet }

func (p *pool) copyOf(data []byte) *packet {
	if n := len(p.free); n > 0 {
		k := p.free[n-1]
		p.free = p.free[:n-1]
		k.data = append(k.data[:0], data...)
		return k
	}
	return &packet{data: append(make([]byte, 0, packetBytesRoom), data...)}
}

func (p *pool) put(k *packet) {
	if len(p.free) < freePacketsMax {
		p.free = append(p.free, k)
	}
}
