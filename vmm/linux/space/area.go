package space

import (
	"slices"
	"sort"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/phys"
)

const (
	PageSize = phys.PageSize
	PageMask = PageSize - 1
	// UserMin is the lowest address that mmap gives (vm.mmap_min_addr), UserEnd is behind the highest (TASK_SIZE).
	UserMin = 0x10000
	UserEnd = 1<<47 - PageSize
	// StackTop is where the stack begins, downwards, of StackSize bytes; MapTop is where mmap begins, downwards: a gap keeps what it maps from the
	// stack's end. Nothing is at random: the same program sees the same addresses.
	StackTop  = 0x7fff_ffff_f000
	StackSize = 8 << 20
	MapTop    = StackTop - StackSize - 1<<20
)

// Area is a range of virtual memory whose pages have the same protection and source: Linux's vm_area_struct. It has no pointers, so that a list of
// them is copied at once.
type Area struct {
	Start, End uint64
	Offset     uint64 // of Start in the source
	Prot       uint32 // PROT_READ and so on
	Source     uint32 // what its pages begin with: an index in memory.sources; 0 is zeros
	Kind       uint32
	_          uint32
}

// Kinds of areas: what /proc/self/maps calls them.
const (
	Plain uint32 = iota
	Heap
	Stack
	Shared // anonymous and shared: the same as private, as there is one process
)

// areas is a process's memory map, by address, without overlaps.
type areas []Area

// find returns the area that va lies in, or nil.
func (l areas) find(va uint64) *Area {
	if i := l.after(va); i < len(l) && l[i].Start <= va {
		return &l[i]
	}
	return nil
}

// after is the index of the first area that ends above va.
func (l areas) after(va uint64) int {
	return sort.Search(len(l), func(i int) bool { return l[i].End > va })
}

// covers reports whether every page of [start, end) is in an area.
func (l areas) covers(start, end uint64) bool {
	for i := l.after(start); start < end; i++ {
		if i == len(l) || l[i].Start > start {
			return false
		}
		start = l[i].End
	}
	return true
}

// free reports whether no area touches [start, end).
func (l areas) free(start, end uint64) bool {
	i := l.after(start)
	return i == len(l) || l[i].Start >= end
}

// gap is the highest start of size free bytes below limit, as Linux's mmap goes from the top down.
func (l areas) gap(size, limit uint64) (uint64, bool) {
	end := limit
	for i := l.after(limit - 1); ; i-- {
		if i < len(l) && l[i].Start < end {
			end = l[i].Start
		}
		low := uint64(UserMin)
		if i > 0 {
			low = max(low, l[i-1].End)
		}
		if end > low && end-low >= size {
			return end - size, true
		}
		if i == 0 {
			return 0, false
		}
	}
}

// split makes va the beginning of an area if it is inside of one.
func (l areas) split(va uint64) areas {
	i := l.after(va)
	if i == len(l) || l[i].Start >= va {
		return l
	}
	l = slices.Insert(l, i, l[i])
	l[i].End = va
	l[i+1].Start = va
	l[i+1].Offset += va - l[i].Start
	return l
}

// remove takes [start, end) out.
func (l areas) remove(start, end uint64) areas {
	l = l.split(start).split(end)
	from := l.after(start)
	to := from
	for to < len(l) && l[to].End <= end {
		to++
	}
	return slices.Delete(l, from, to)
}

// insert puts a in, where nothing is, and joins it with its neighbours if they are alike.
func (l areas) insert(a Area) areas {
	i := l.after(a.Start)
	if i > 0 && l[i-1].joins(a) {
		l[i-1].End = a.End
		i--
	} else {
		l = slices.Insert(l, i, a)
	}
	if i+1 < len(l) && l[i].joins(l[i+1]) {
		l[i].End = l[i+1].End
		l = slices.Delete(l, i+1, i+2)
	}
	return l
}

func (a Area) joins(b Area) bool {
	return a.End == b.Start && a.Prot == b.Prot && a.Kind == b.Kind && a.Source == b.Source && (a.Source == 0 || a.Offset+b.Start-a.Start == b.Offset)
}

// protect gives [start, end), which is covered, another protection, and joins what is alike then.
func (l areas) protect(start, end uint64, prot uint32) areas {
	l = l.split(start).split(end)
	from := l.after(start)
	to := from
	for ; to < len(l) && l[to].End <= end; to++ {
		l[to].Prot = prot
	}
	from = max(from-1, 0)
	to = min(to+1, len(l))
	kept := l[:from]
	for _, a := range l[from:to] {
		if n := len(kept); n > 0 && kept[n-1].joins(a) {
			kept[n-1].End = a.End
		} else {
			kept = append(kept, a)
		}
	}
	return append(kept, l[to:]...)
}

// allows reports whether prot lets the program do access, one of PROT_READ, PROT_WRITE and PROT_EXEC: what can be written or executed can be
// read, on this processor.
func (a *Area) allows(access uint32) bool {
	if access == abi.PROT_READ {
		return a.Prot != abi.PROT_NONE
	}
	return a.Prot&access != 0
}
