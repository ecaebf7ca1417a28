package space

import "github.com/wherry/wherry/vmm/phys"

// frames hands out the program's pages of guest-physical memory, all zeros. It isn't taken back by Restore: what the page tables have stays theirs.
type frames struct {
	next, end phys.Addr
	free      []phys.Addr
	used      uint64
}

// take returns as many pages in a row as there are, up to n, or none.
func (f *frames) take(n int) (phys.Addr, int) {
	if n <= 0 {
		return 0, 0
	}
	if room := int((f.end - f.next) / PageSize); room > 0 {
		n = min(n, room)
		a := f.next
		f.next += phys.Addr(n) * PageSize
		f.used += uint64(n)
		return a, n
	}
	if k := len(f.free); k > 0 {
		a := f.free[k-1]
		f.free = f.free[:k-1]
		f.used++
		return a, 1
	}
	return 0, 0
}

// put takes a page back, which is zero again.
func (f *frames) put(a phys.Addr) {
	f.free = append(f.free, a)
	f.used--
}

// left is how many pages take has.
func (f *frames) left() int { return int((f.end-f.next)/PageSize) + len(f.free) }
