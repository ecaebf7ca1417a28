package main

import (
	"math"
	"math/bits"
)

// s3fifo has a small queue, from which what was asked for again goes to the main one, and a ghost queue that only knows what left the
// small one: what comes back from there goes to the main queue at once.
//
// Both queues are split by size, a list for each factor of four. Of the oldest objects of all lists that one is first to leave whose
// age times size to some power is the largest. With power 0 that is the oldest, as if the queue weren't split.
type s3fifo struct {
	limit       int64
	sizes       []int64
	small, main row
	power       float64
	clock       int64
	stamps      []int64 // by object: when it was put where it is
	places      []place
	hits        []uint8 // since it came into the small queue, or since the main queue's end came by
	ghost       ghost
}

type place uint8

const (
	nowhere place = iota
	inSmall
	inMain
)

const (
	hitsMax   = 3
	smallPart = 10
)

// row is one queue, split by size.
type row struct {
	lists [20]queue
	bytes int64
	count int
}

func newS3FIFO(power float64) func(sizes []int64, limit int64) policy {
	return func(sizes []int64, limit int64) policy {
		n := len(sizes)
		p := &s3fifo{
			limit: limit, sizes: sizes, power: power, stamps: make([]int64, n), places: make([]place, n), hits: make([]uint8, n),
			ghost: ghost{at: map[int32]int{}},
		}
		l := newLinks(sizes)
		for i := range p.small.lists {
			p.small.lists[i], p.main.lists[i] = l.queue(), l.queue()
		}
		return p
	}
}

func (p *s3fifo) class(o int32) int { return bits.Len64(uint64(p.sizes[o])) / 2 }

func (p *s3fifo) push(to *row, o int32) {
	p.clock++
	p.stamps[o] = p.clock
	to.lists[p.class(o)].push(o)
	to.bytes += p.sizes[o]
	to.count++
}

func (p *s3fifo) remove(from *row, o int32) {
	from.lists[p.class(o)].remove(o)
	from.bytes -= p.sizes[o]
	from.count--
}

func (p *s3fifo) request(o int32) bool {
	if p.places[o] != nowhere {
		p.hits[o] = min(p.hits[o]+1, hitsMax)
		return true
	}
	if p.sizes[o] > p.limit {
		return false
	}
	for p.small.bytes+p.main.bytes+p.sizes[o] > p.limit {
		p.evict()
	}
	p.hits[o] = 0
	if p.ghost.take(o) {
		p.places[o] = inMain
		p.push(&p.main, o)
	} else {
		p.places[o] = inSmall
		p.push(&p.small, o)
	}
	return false
}

// first returns the object that is first to leave from, which isn't empty.
func (p *s3fifo) first(from *row) int32 {
	first, most := none, 0.0
	for class := range from.lists {
		if o := from.lists[class].oldest; o != none {
			if age := float64(p.clock-p.stamps[o]+1) * math.Exp2(2*p.power*float64(class)); age > most {
				first, most = o, age
			}
		}
	}
	return first
}

func (p *s3fifo) evict() {
	if p.small.bytes > p.limit/smallPart || p.main.count == 0 {
		o := p.first(&p.small)
		p.remove(&p.small, o)
		if p.hits[o] > 0 {
			p.hits[o] = 0
			p.places[o] = inMain
			p.push(&p.main, o)
		} else {
			p.places[o] = nowhere
			p.ghost.add(o, p.main.count)
		}
		return
	}
	o := p.first(&p.main)
	p.remove(&p.main, o)
	if p.hits[o] > 0 {
		p.hits[o]--
		p.push(&p.main, o)
	} else {
		p.places[o] = nowhere
	}
}

// ghost knows the last objects that were added.
type ghost struct {
	at    map[int32]int // when it was added
	queue []int32
	left  int // how many have left the queue
}

func (g *ghost) add(o int32, limit int) {
	g.at[o] = g.left + len(g.queue)
	g.queue = append(g.queue, o)
	for len(g.queue) > max(limit, 1) {
		if first := g.queue[0]; g.at[first] == g.left {
			delete(g.at, first)
		}
		g.queue = g.queue[1:]
		g.left++
	}
}

func (g *ghost) take(o int32) bool {
	_, ok := g.at[o]
	delete(g.at, o)
	return ok
}
