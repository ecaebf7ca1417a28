package main

import (
	"container/heap"
	"math"
)

// gdsf drops what has the smallest part of hits a byte, aged by what was dropped before (Greedy-Dual-Size-Frequency). Hits only count;
// an object gets its new place when it comes to the top of the heap.
type gdsf struct {
	limit, bytes int64
	sizes        []int64
	power        float64 // how much the size counts
	in           []bool
	hits         []int32
	counted      []int32 // of hits, in the place in the heap
	age          float64
	order        priorities
}

func newGDSF(power float64) func(sizes []int64, limit int64) policy {
	return func(sizes []int64, limit int64) policy {
		n := len(sizes)
		return &gdsf{limit: limit, sizes: sizes, power: power, in: make([]bool, n), hits: make([]int32, n), counted: make([]int32, n)}
	}
}

func (p *gdsf) weigh(size int64) float64 { return math.Pow(float64(size), -p.power) }

func (p *gdsf) request(o int32) bool {
	if p.in[o] {
		p.hits[o]++
		return true
	}
	if p.sizes[o] > p.limit {
		return false
	}
	for p.bytes+p.sizes[o] > p.limit {
		p.evict()
	}
	p.in[o], p.hits[o], p.counted[o] = true, 1, 1
	p.bytes += p.sizes[o]
	heap.Push(&p.order, priority{p.age + p.weigh(p.sizes[o]), o})
	return false
}

func (p *gdsf) evict() {
	for {
		top := p.order[0]
		if p.hits[top.object] == p.counted[top.object] {
			heap.Pop(&p.order)
			p.age = top.value
			p.in[top.object] = false
			p.bytes -= p.sizes[top.object]
			return
		}
		p.counted[top.object] = p.hits[top.object]
		p.order[0].value = p.age + float64(p.hits[top.object])*p.weigh(p.sizes[top.object])
		heap.Fix(&p.order, 0)
	}
}

type priority struct {
	value  float64
	object int32
}

type priorities []priority

func (h priorities) Len() int           { return len(h) }
func (h priorities) Less(i, j int) bool { return h[i].value < h[j].value }
func (h priorities) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *priorities) Push(x any)        { *h = append(*h, x.(priority)) }
func (h *priorities) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
