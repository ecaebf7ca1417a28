package linkem

import (
	"math"
	"time"
)

// packet is one IP packet on its way over a Link.
type packet struct {
	data []byte
	at   time.Duration // in a queue: when it came; in transit: when it arrives
	turn uint64        // in transit: order among those that arrive at the same time
}

// fifo holds the packets that wait for a line; the room for them is checked by the hop.
type fifo struct {
	ring        []*packet // a power of two long
	head, count int
	bytes       int
}

func (q *fifo) push(p *packet) {
	if q.count == len(q.ring) {
		grown := make([]*packet, max(64, 2*len(q.ring)))
		for i := range q.count {
			grown[i] = q.ring[(q.head+i)&(len(q.ring)-1)]
		}
		q.ring, q.head = grown, 0
	}
	q.ring[(q.head+q.count)&(len(q.ring)-1)] = p
	q.count++
	q.bytes += len(p.data)
}

// pop returns nil from an empty queue.
func (q *fifo) pop() *packet {
	if q.count == 0 {
		return nil
	}
	p := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.count--
	q.bytes -= len(p.data)
	return p
}

// peek is of use only while count is above 0.
func (q *fifo) peek() *packet { return q.ring[q.head] }

// The constants of RFC 8289, section 4.
const (
	codelTarget   = 5 * time.Millisecond
	codelInterval = 100 * time.Millisecond
)

// codel is the state of RFC 8289, section 5.2 and 5.5, with its names.
type codel struct {
	above          bool // the sojourn time has been above the target since firstAboveTime-interval
	firstAboveTime time.Duration
	dropNext       time.Duration
	count          int // packets dropped since dropping began
	lastCount      int
	dropping       bool
}

// dequeue takes the next packet to send from q; what is dropped on the way goes to drop. It returns nil if none is left.
func (c *codel) dequeue(now time.Duration, q *fifo, drop func(*packet)) *packet {
	p, late := c.take(now, q)
	switch {
	case c.dropping:
		if !late {
			c.dropping = false
		}
		for c.dropping && now >= c.dropNext {
			drop(p)
			c.count++
			if p, late = c.take(now, q); !late {
				c.dropping = false
			} else {
				c.dropNext = controlLaw(c.dropNext, c.count)
			}
		}
	case late:
		drop(p)
		p, _ = c.take(now, q)
		c.dropping = true
		// RFC 8289, section 5.5: what controlled the queue last time is a good start if that was not long ago.
		delta := c.count - c.lastCount
		c.count = 1
		if delta > 1 && now-c.dropNext < 16*codelInterval {
			c.count = delta
		}
		c.dropNext = controlLaw(now, c.count)
		c.lastCount = c.count
	}
	return p
}

// take is dodequeue of RFC 8289, section 5.6: late says that the packet may be dropped.
func (c *codel) take(now time.Duration, q *fifo) (p *packet, late bool) {
	p = q.pop()
	if p == nil || now-p.at < codelTarget || q.bytes <= packetBytesMax {
		c.above = false
		return p, false
	}
	if !c.above {
		c.above = true
		c.firstAboveTime = now + codelInterval
		return p, false
	}
	return p, now >= c.firstAboveTime
}

// controlLaw is RFC 8289, section 5.3: drops come closer with the square root of their number.
func controlLaw(t time.Duration, count int) time.Duration {
	return t + time.Duration(float64(codelInterval)/math.Sqrt(float64(count)))
}
