package store

import "math/bits"

// memoryQueues decide what is dropped: S3-FIFO with queues by size. What comes in stands in a small queue, and what was looked up
// by the time it leaves that one goes on to the main queue. Most is asked for once and leaves early. A ghost queue remembers
// what left the small one; what comes back from there goes to the main queue at once. At the main queue's end, what was looked up goes
// back to its beginning, once for each look-up, up to hitsMax.
//
// Each of the two is a row of lists by size. Of the oldest entries of all lists that one is first to leave whose age times the root of
// its size is the largest. So an object of four times the size has to be asked for within half the time to stay; many small ones
// have room in its place. docs/decisions/0014 has the measurements.
type memoryQueues struct {
	small, main memoryQueue
	smallMax    int64  // bytes
	clock       uint64 // counts entries that are put at a beginning
	ghost       memoryGhost
}

const (
	hitsMax = 3
	// smallPart is which part of the store is the small queue's.
	smallPart = 10
	// memoryClasses is how many lists a queue has: the sizes in one are within a factor of four of each other.
	memoryClasses = 20
)

type memoryQueue struct {
	lists [memoryClasses]memoryList
	bytes int64
	count int
}

type memoryList struct{ newest, oldest *memoryEntry }

// add takes in an entry that is new.
func (q *memoryQueues) add(e *memoryEntry) {
	if q.ghost.take(e.hash) {
		q.push(&q.main, e)
	} else {
		q.push(&q.small, e)
	}
}

// push puts e at the beginning of one of the queues. It is in none.
func (q *memoryQueues) push(to *memoryQueue, e *memoryEntry) {
	q.clock++
	e.stamp, e.queue, e.class = q.clock, to, min(bits.Len64(uint64(e.bytes))/2, memoryClasses-1)
	l := &to.lists[e.class]
	if e.older = l.newest; e.older != nil {
		e.older.newer = e
	} else {
		l.oldest = e
	}
	l.newest = e
	to.bytes += e.bytes
	to.count++
}

// remove takes e out of its queue.
func (q *memoryQueues) remove(e *memoryEntry) {
	l := &e.queue.lists[e.class]
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		l.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		l.oldest = e.newer
	}
	e.queue.bytes -= e.bytes
	e.queue.count--
	e.newer, e.older, e.queue = nil, nil, nil
}

// resize gives e another size. It keeps its place.
func (q *memoryQueues) resize(e *memoryEntry, bytes int64) {
	e.queue.bytes += bytes - e.bytes
	e.bytes = bytes
}

// move gives e another size and puts it at the beginning of the list for that.
func (q *memoryQueues) move(e *memoryEntry, bytes int64) {
	queue := e.queue
	q.remove(e)
	e.bytes = bytes
	q.push(queue, e)
}

// evict takes out the next entry to drop, or returns nil if there is none.
func (q *memoryQueues) evict() *memoryEntry {
	for q.small.count+q.main.count > 0 {
		small := q.small.bytes > q.smallMax || q.main.count == 0
		from := &q.main
		if small {
			from = &q.small
		}
		e := q.next(from)
		hits := e.hits.Load()
		q.remove(e)
		switch {
		case hits == 0:
			if small {
				q.ghost.add(e.hash, q.main.count)
			}
			return e
		case small:
			e.hits.Store(0)
		default:
			e.hits.Store(hits - 1) // one counted meanwhile may be lost
		}
		q.push(&q.main, e)
	}
	return nil
}

// next returns the entry that is first to leave from, which isn't empty.
func (q *memoryQueues) next(from *memoryQueue) (first *memoryEntry) {
	var most uint64
	for class := range from.lists {
		if e := from.lists[class].oldest; e != nil {
			if age := (q.clock - e.stamp + 1) << class; first == nil || age > most {
				first, most = e, age
			}
		}
	}
	return first
}

// memoryGhost remembers hashes of keys, the last ones that were added.
type memoryGhost struct {
	at    map[uint64]uint64 // when the hash was added, counted from the first one ever
	queue []uint64
	left  uint64 // how many have left the queue
}

// add remembers hash, and up to limit in all.
func (g *memoryGhost) add(hash uint64, limit int) {
	if g.at == nil {
		g.at = map[uint64]uint64{}
	}
	g.at[hash] = g.left + uint64(len(g.queue))
	g.queue = append(g.queue, hash)
	for len(g.queue) > max(limit, 1) {
		if first := g.queue[0]; g.at[first] == g.left {
			delete(g.at, first)
		}
		g.queue = g.queue[1:]
		g.left++
	}
}

// take forgets hash and says whether it was remembered.
func (g *memoryGhost) take(hash uint64) bool {
	_, ok := g.at[hash]
	delete(g.at, hash)
	return ok
}
