package main

// none is the object that isn't there.
const none int32 = -1

// queue is a list of objects, the newest first. An object is in one queue at a time; the links are shared.
type queue struct {
	links          *links
	newest, oldest int32
	bytes          int64
	count          int
}

// links are the neighbours of each object in its queue, and its size.
type links struct {
	newer, older []int32
	sizes        []int64
}

func newLinks(sizes []int64) *links {
	return &links{make([]int32, len(sizes)), make([]int32, len(sizes)), sizes}
}

func (l *links) queue() queue { return queue{links: l, newest: none, oldest: none} }

func (q *queue) push(o int32) {
	l := q.links
	l.newer[o], l.older[o] = none, q.newest
	if q.newest != none {
		l.newer[q.newest] = o
	} else {
		q.oldest = o
	}
	q.newest = o
	q.bytes += l.sizes[o]
	q.count++
}

func (q *queue) remove(o int32) {
	l := q.links
	if newer := l.newer[o]; newer != none {
		l.older[newer] = l.older[o]
	} else {
		q.newest = l.older[o]
	}
	if older := l.older[o]; older != none {
		l.newer[older] = l.newer[o]
	} else {
		q.oldest = l.newer[o]
	}
	q.bytes -= l.sizes[o]
	q.count--
}
