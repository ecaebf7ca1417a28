package space

import (
	"math/rand/v2"
	"testing"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// TestAreasAgainstPages does the same with a list of areas and with an array of pages, which needs no thinking.
func TestAreasAgainstPages(t *testing.T) {
	const count, base = 64, UserMin
	type page struct {
		mapped bool
		prot   uint32
		source uint32
		offset uint64
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var l areas
		var pages [count]page
		for range 60 {
			from, size := rng.IntN(count), 0
			size = 1 + rng.IntN(count-from)
			start, end := uint64(base+from*PageSize), uint64(base+(from+size)*PageSize)
			prot := []uint32{abi.PROT_NONE, abi.PROT_READ, abi.PROT_READ | abi.PROT_WRITE}[rng.IntN(3)]
			switch rng.IntN(4) {
			case 0:
				l = l.remove(start, end)
				clear(pages[from : from+size])
			case 1:
				if !l.covers(start, end) {
					continue
				}
				l = l.protect(start, end, prot)
				for i := range size {
					pages[from+i].prot = prot
				}
			default:
				a := Area{Start: start, End: end, Prot: prot, Source: uint32(rng.IntN(2))}
				l = l.remove(start, end).insert(a)
				for i := range size {
					pages[from+i] = page{true, prot, a.Source, uint64(i * PageSize)}
				}
			}
			for i, want := range pages {
				va := uint64(base + i*PageSize)
				a := l.find(va)
				if (a != nil) != want.mapped || l.free(va, va+PageSize) == want.mapped {
					t.Fatalf("page %d: %+v, wanted %+v of %+v", i, a, want, l)
				}
				if a != nil && (a.Prot != want.prot || a.Source != want.source || want.source != 0 && a.Offset+va-a.Start != want.offset) {
					t.Fatalf("page %d: %+v, wanted %+v of %+v", i, a, want, l)
				}
			}
			for i := range l {
				if i > 0 && (l[i].Start < l[i-1].End || l[i-1].joins(l[i])) {
					t.Fatalf("areas %d and %d of %+v", i-1, i, l)
				}
			}
		}
		if at, ok := l.gap(3*PageSize, base+count*PageSize); ok && !l.free(at, at+3*PageSize) {
			t.Fatalf("%#x isn't free in %+v", at, l)
		}
	}
}
