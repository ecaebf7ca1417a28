package main

import (
	"math"
	"math/rand/v2"
	"slices"
)

// trace is a sequence of requests. Objects are numbered from 0.
type trace struct {
	name     string
	sizes    []int64 // of the objects
	requests []int32 // for objects
}

// footprint is the bytes of all objects that are asked for.
func (t *trace) footprint() (n int64) {
	seen := make([]bool, len(t.sizes))
	for _, o := range t.requests {
		if !seen[o] {
			seen[o] = true
			n += t.sizes[o]
		}
	}
	return n
}

const (
	sizeEqual = 16 << 10
	sizeMin   = 2 << 10  // what a store charges for the smallest object
	sizeMax   = 16 << 20 // what is larger isn't kept in memory
)

// traces makes the traces with n requests each.
func traces(n int) []trace {
	return []trace{
		zipf("Zipf 0.7, equal sizes", n, 0.7),
		zipf("Zipf 0.9, equal sizes", n, 0.9),
		zipf("Zipf 1.1, equal sizes", n, 1.1),
		scans("Zipf 0.9 and scans", n),
		sized("web sizes", n, false),
		sized("web sizes, popular ones smaller", n, true),
		shifting("popularity moves", n),
		onceOnly("75 % asked for once", n),
	}
}

// ranks draws from 0…n-1 by Zipf's law with exponent alpha.
type ranks struct {
	cumulated []float64
	random    *rand.Rand
}

func newRanks(n int, alpha float64, random *rand.Rand) *ranks {
	r := &ranks{make([]float64, n), random}
	sum := 0.0
	for i := range r.cumulated {
		sum += math.Pow(float64(i+1), -alpha)
		r.cumulated[i] = sum
	}
	return r
}

func (r *ranks) next() int32 {
	x := r.random.Float64() * r.cumulated[len(r.cumulated)-1]
	i, _ := slices.BinarySearch(r.cumulated, x)
	return int32(min(i, len(r.cumulated)-1))
}

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(20, seed)) }

func equalSizes(n int) []int64 { return slices.Repeat([]int64{sizeEqual}, n) }

// webSizes draws sizes with a lognormal body around 12 KiB and a Pareto tail for one in 20.
func webSizes(n int, random *rand.Rand) []int64 {
	sizes := make([]int64, n)
	for i := range sizes {
		size := (12 << 10) * math.Exp(1.4*random.NormFloat64())
		if random.IntN(20) == 0 {
			size = (128 << 10) * math.Pow(1-random.Float64(), -1/1.1)
		}
		sizes[i] = int64(min(max(size, sizeMin), sizeMax))
	}
	return sizes
}

func zipf(name string, n int, alpha float64) trace {
	random := source(uint64(alpha * 100))
	objects := n / 5
	popular := newRanks(objects, alpha, random)
	t := trace{name: name, sizes: equalSizes(objects)}
	for range n {
		t.requests = append(t.requests, popular.next())
	}
	return t
}

// scans has a crawler come by every now and then that asks for each of many objects once, in one go.
func scans(name string, n int) trace {
	random := source(2)
	objects, every := n/10, n/20
	popular := newRanks(objects, 0.9, random)
	t := trace{name: name}
	next := int32(objects)
	for len(t.requests) < n {
		for range every {
			t.requests = append(t.requests, popular.next())
		}
		for range every / 2 {
			t.requests = append(t.requests, next)
			next++
		}
	}
	t.sizes = equalSizes(int(next))
	return t
}

// sized has objects of very different sizes; correlated means that the popular ones are the smaller ones, by and large.
func sized(name string, n int, correlated bool) trace {
	random := source(3)
	objects := n / 10
	popular := newRanks(objects, 0.85, random)
	t := trace{name: name, sizes: webSizes(objects, random)}
	if correlated {
		slices.Sort(t.sizes)
		for i := range t.sizes { // and now not quite
			j := min(objects-1, i+random.IntN(objects/4))
			t.sizes[i], t.sizes[j] = t.sizes[j], t.sizes[i]
		}
	}
	for range n {
		t.requests = append(t.requests, popular.next())
	}
	return t
}

// shifting puts a new object in the place of another one every few requests, at any rank: what is new may be the hottest.
func shifting(name string, n int) trace {
	const every = 20
	random := source(4)
	objects := n / 20
	popular := newRanks(objects, 0.9, random)
	t := trace{name: name}
	at := make([]int32, objects) // which object has the rank
	for i := range at {
		at[i] = int32(i)
	}
	next := int32(objects)
	for i := range n {
		if i%every == 0 {
			at[popular.next()] = next
			next++
		}
		t.requests = append(t.requests, at[popular.next()])
	}
	t.sizes = webSizes(int(next), random)
	return t
}

// onceOnly has three objects that are asked for once for each that is asked for again.
func onceOnly(name string, n int) trace {
	random := source(5)
	objects := n / 10
	once := 3 * objects
	popular := newRanks(objects, 0.8, random)
	t := trace{name: name}
	next := int32(objects)
	for range n {
		if random.IntN(n) < once {
			t.requests = append(t.requests, next)
			next++
		} else {
			t.requests = append(t.requests, popular.next())
		}
	}
	t.sizes = webSizes(int(next), random)
	return t
}
