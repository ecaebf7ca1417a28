package linkem

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Link is the model of one direction of a path: hops in a row. It belongs to one goroutine. Times count from any moment of the caller's
// choice and never go back.
type Link struct {
	hops     []*hop
	pool     *pool
	seed     uint64
	lateness Histogram
}

// NewLink makes a link of one hop for each shape, the first one nearest to the sender. The same seed and the same packets at the same
// times give the same link.
func NewLink(seed uint64, shapes ...Shape) (*Link, error) {
	if len(shapes) == 0 {
		return nil, errors.New("a link needs at least one hop")
	}
	l := &Link{pool: &pool{}, seed: seed}
	for i, s := range shapes {
		l.hops = append(l.hops, &hop{shape: s, pool: l.pool, chance: rand.New(rand.NewPCG(seed, uint64(i)))})
	}
	if err := checkShapes(shapes); err != nil {
		return nil, err
	}
	return l, nil
}

func checkShapes(shapes []Shape) error {
	for i, s := range shapes {
		if err := s.Check(); err != nil {
			return fmt.Errorf("hop %d: %w", i+1, err)
		}
	}
	return nil
}

// Push copies a packet that enters at now.
func (l *Link) Push(now time.Duration, data []byte) {
	l.advance(now)
	l.hops[0].push(now, l.pool.copyOf(data))
}

// Pop copies the next packet that has arrived until now to buf and returns its length; ok is false when there is none.
func (l *Link) Pop(now time.Duration, buf []byte) (n int, ok bool) {
	l.advance(now)
	p, at := l.hops[len(l.hops)-1].pop(now)
	if p == nil {
		return 0, false
	}
	l.lateness.Add(now - at)
	n = copy(buf, p.data)
	l.pool.put(p)
	return n, true
}

// advance hands what has crossed a hop until now to the next one, at the time at which it did.
func (l *Link) advance(now time.Duration) {
	for i, h := range l.hops[:len(l.hops)-1] {
		for p, at := h.pop(now); p != nil; p, at = h.pop(now) {
			l.hops[i+1].push(at, p)
		}
	}
}

// Next is the time before which Pop has nothing to give; ok is false while the link is empty.
func (l *Link) Next() (at time.Duration, ok bool) {
	at = math.MaxInt64
	for _, h := range l.hops {
		at = min(at, h.next())
	}
	return at, at != math.MaxInt64
}

// Reshape changes the hops for what they send from now on. What waits in their queues stays, and what is on the wire arrives as it would have.
// The number of hops can't change.
func (l *Link) Reshape(now time.Duration, shapes ...Shape) error {
	if len(shapes) != len(l.hops) {
		return fmt.Errorf("the link has %d hops: give as many shapes, not %d", len(l.hops), len(shapes))
	}
	if err := checkShapes(shapes); err != nil {
		return err
	}
	l.advance(now)
	for i, h := range l.hops {
		h.advance(now)
		h.shape = shapes[i]
	}
	return nil
}

// QueuedBytes is what waits in the queues of all hops, as of the last call of Push or Pop.
func (l *Link) QueuedBytes() int {
	sum := 0
	for _, h := range l.hops {
		sum += h.queue.bytes
	}
	return sum
}

// Stats is what has happened so far.
func (l *Link) Stats() LinkStats {
	s := LinkStats{Lateness: l.lateness}
	for _, h := range l.hops {
		s.Hops = append(s.Hops, h.stats)
	}
	return s
}
