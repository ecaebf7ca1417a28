package stops

import (
	"slices"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/phys"
)

// Set is the stops of a machine. The zero value has none.
type Set struct {
	breakpoints map[uint64]bool
	watches     []vmm.Watch
	Lifted      bool // breakpoints, for one instruction
}

// New makes a Set of what a debugger has set.
func New(s vmm.Stops) Set {
	set := Set{watches: slices.Clone(s.Watches)}
	if len(s.Breakpoints) > 0 {
		set.breakpoints = map[uint64]bool{}
	}
	for _, va := range s.Breakpoints {
		set.breakpoints[va] = true
	}
	return set
}

// At reports whether the instruction at va has a breakpoint.
func (s *Set) At(va uint64) bool { return !s.Lifted && s.breakpoints[va] }

// Any reports whether there are any.
func (s *Set) Any() bool { return len(s.breakpoints)+len(s.watches) > 0 }

// Watching reports whether anything is watched.
func (s *Set) Watching() bool { return len(s.watches) > 0 }

// Accessed reports whether something in the page of va is watched, and the range that an access of n bytes there is for, nil if none.
func (s *Set) Accessed(va uint64, n int, write bool) (near bool, hit *vmm.Watch) {
	for i := range s.watches {
		w := &s.watches[i]
		if page := va >> phys.PageShift; page < w.Addr>>phys.PageShift || page > (w.Addr+w.Size-1)>>phys.PageShift {
			continue
		}
		near = true
		if (write && w.Write || !write && w.Read) && va < w.Addr+w.Size && w.Addr < va+uint64(n) {
			hit = w
		}
	}
	return near, hit
}
