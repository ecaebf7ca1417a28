package space

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
)

var le = binary.LittleEndian

// ErrNoMemory says that a program has used up its memory.
var ErrNoMemory = errors.New("the program's memory is used up")

// Where slots are in guest-physical memory: page tables, which phys.Memory.Restore leaves, and the program's pages.
const (
	tablesBase = phys.Addr(0x1_0000_0000)
	pagesBase  = phys.Addr(0x10_0000_0000)
	// MemoryMin and MemoryMax bound a program's memory.
	MemoryMin = 1 << 20
	MemoryMax = 1 << 36
)

// tablesSize is how much memory page tables may take: a program that spreads few pages far needs a table for each.
func tablesSize(memory int64) int64 { return max(memory/64, 4<<20) &^ PageMask }

// Slots are the slots of a machine for a program with so many bytes of memory.
func Slots(memory int64) []phys.Spec {
	return []phys.Spec{
		{Base: tablesBase, Size: int(tablesSize(memory)), Kept: true},
		{Base: pagesBase, Size: int(memory)},
	}
}

// Source is bytes that private mappings of files begin with; beyond them are zeros up to the page's end, and SIGBUS. It doesn't change.
type Source struct {
	Bytes []byte
	Name  string
}

// Space is the address space of a program.
type Space struct {
	machine     vmm.Machine
	tables      *mmu.Builder
	tableFrames *mmu.Frames
	frames      *frames
	newBits     uint64 // of entries: own after Open
	size        uint64 // bytes of memory
	areasMax    int
	faults      uint64
	broken      error // what the machine or its memory said that ends the run
	ahead       ahead
	stale       []span // physical: of changed entries, until flush

	areas   areas
	changed uint64 // counts changes of areas and sources, so that Restore copies them only if there were some
	sources []Source
	heap    uint64 // where it begins
	brk     uint64 // where it ends
	// touched are ranges whose entries may not be what the areas of the last checkpoint say.
	touched []span
	state   *State // that Restore took it back to last
	at      uint64 // changed then
}

// New makes an empty space in machine, to whose memory it adds Slots(memory).
func New(machine vmm.Machine, memory int64, areasMax int) (*Space, error) {
	if memory < MemoryMin || memory > MemoryMax || memory%PageSize != 0 {
		return nil, fmt.Errorf("memory of %d bytes; give it %d to %d", memory, MemoryMin, int64(MemoryMax))
	}
	for _, spec := range Slots(memory) {
		if _, err := machine.Phys().Add(spec); err != nil {
			return nil, fmt.Errorf("giving the program memory: %w", err)
		}
	}
	tableFrames := &mmu.Frames{Next: tablesBase, End: tablesBase + phys.Addr(tablesSize(memory))}
	tables, err := mmu.NewBuilder(machine.Phys(), tableFrames)
	if err != nil {
		return nil, err
	}
	s := &Space{
		machine: machine, tables: tables, tableFrames: tableFrames, frames: &frames{next: pagesBase, end: pagesBase + phys.Addr(memory)},
		size: uint64(memory), areasMax: areasMax, sources: []Source{{}},
	}
	return s, machine.Flush(tablesBase, 0)
}

// Root is where page tables begin: CR3.
func (s *Space) Root() uint64 { return uint64(s.tables.Space().Root) }

// Areas are the areas by address. The caller doesn't change them.
func (s *Space) Areas() []Area { return s.areas }

// Name is what an area's source is called.
func (s *Space) Name(a Area) string { return s.sources[a.Source].Name }

// Faults is how many faults got pages.
func (s *Space) Faults() uint64 { return s.faults }

// Pages is how many pages are in use, Left how many more there are.
func (s *Space) Pages() uint64 { return s.frames.used }

// Left is how many pages there are that nothing uses.
func (s *Space) Left() int { return s.frames.left() }

// SetHeap says where the heap begins, which is empty.
func (s *Space) SetHeap(at uint64) { s.heap, s.brk = at, at }

// Fail notes an error of the machine or its memory, which ends the program. It is ENOMEM for the call that found it.
func (s *Space) Fail(err error) abi.Errno {
	if s.broken == nil {
		s.broken = err
	}
	return abi.ENOMEM
}

// Broken is what Fail noted since it was called last. Memory that is used up is ErrNoMemory.
func (s *Space) Broken() error {
	err := s.broken
	s.broken = nil
	if errors.Is(err, phys.ErrBudget) || errors.Is(err, mmu.ErrNoFrames) {
		return fmt.Errorf("%w: %w", ErrNoMemory, err)
	}
	return err
}

// State is a space at a checkpoint, but for what is in its pages. It doesn't change.
type State struct {
	Numbers Numbers
	Areas   []Area
	Sources []Source
	Free    []phys.Addr // pages that were given back
}

// Numbers are what of a State has a fixed size.
type Numbers struct {
	Memory                 int64
	TablesNext, TablesRoot phys.Addr
	PagesNext              phys.Addr
	PagesUsed              uint64
	Heap, Break            uint64
}

// Checkpoint keeps the space. Before that it brings all that areas have from files: a page that came from there later would be lost by Restore.
func (s *Space) Checkpoint() (*State, error) {
	for _, a := range slices.Clone(s.areas) {
		if a.Source != 0 && a.Prot != abi.PROT_NONE && !s.populate(a.Start, min(a.End, s.sourceEnd(&a))) {
			return nil, ErrNoMemory
		}
	}
	return &State{
		Numbers: Numbers{
			Memory: int64(s.size), TablesNext: s.tableFrames.Next, TablesRoot: s.tables.Space().Root, PagesNext: s.frames.next, PagesUsed: s.frames.used,
			Heap: s.heap, Break: s.brk,
		},
		Areas: slices.Clone(s.areas), Sources: slices.Clone(s.sources), Free: slices.Clone(s.frames.free),
	}, nil
}

// sourceEnd is where a's source ends, in whole pages.
func (s *Space) sourceEnd(a *Area) uint64 {
	size := uint64(len(s.sources[a.Source].Bytes))
	if a.Offset >= size {
		return a.Start
	}
	return a.Start + pages(size-a.Offset)
}

// Open makes a space of a state in a machine whose memory has the images that belong to it, in slots where Slots says.
func Open(machine vmm.Machine, from *State, areasMax int) (*Space, error) {
	if err := from.Check(); err != nil {
		return nil, err
	}
	n := &from.Numbers
	if len(from.Areas) > areasMax {
		return nil, fmt.Errorf("a state of %d areas; raise the limit, %d", len(from.Areas), areasMax)
	}
	for _, spec := range Slots(n.Memory) {
		slot, _, err := machine.Phys().Locate(spec.Base)
		if err != nil || slot.Base != spec.Base || slot.Size != spec.Size || slot.Kept != spec.Kept {
			return nil, fmt.Errorf("the machine's memory has no slot of %d bytes at %#x; make it of the checkpoint's images", spec.Size, spec.Base)
		}
	}
	s := &Space{
		machine: machine, size: uint64(n.Memory), areasMax: areasMax, newBits: own,
		tableFrames: &mmu.Frames{Next: n.TablesNext, End: tablesBase + phys.Addr(tablesSize(n.Memory))},
		frames:      &frames{next: n.PagesNext, end: pagesBase + phys.Addr(n.Memory), free: slices.Clone(from.Free), used: n.PagesUsed},
	}
	s.tables = mmu.OpenBuilder(machine.Phys(), s.tableFrames, n.TablesRoot)
	return s, machine.Flush(tablesBase, 0)
}

var errNotOpened = errors.New("a process goes back to the state that it was resumed from; Resume one from the checkpoint and its images")

// Restore takes a space that Open made back to the state that it was made from, after phys.Memory.Restore. Frames and page tables aren't taken back.
func (s *Space) Restore(to *State) error {
	n := &to.Numbers
	if s.newBits == 0 || n.TablesRoot != s.tables.Space().Root || n.Memory != int64(s.size) {
		return errNotOpened
	}
	if s.changed != s.at || s.state != to {
		s.areas = append(s.areas[:0], to.Areas...)
		s.sources = append(s.sources[:0], to.Sources...)
		s.at, s.state = s.changed, to
	}
	s.heap, s.brk, s.broken = n.Heap, n.Break, nil
	if err := s.settle(); err != nil {
		return err
	}
	return s.flush()
}

// Check reports what of a state no space has: it may be anybody's.
func (st *State) Check() error {
	n := &st.Numbers
	end := pagesBase + phys.Addr(n.Memory)
	switch {
	case n.Memory < MemoryMin || n.Memory > MemoryMax || n.Memory%PageSize != 0:
		return fmt.Errorf("memory of %d bytes", n.Memory)
	case !within(n.TablesNext-1, tablesBase, tablesBase+phys.Addr(tablesSize(n.Memory))) || !within(n.TablesRoot, tablesBase, n.TablesNext) ||
		n.TablesNext%PageSize != 0 || n.TablesRoot%PageSize != 0 || n.PagesNext < pagesBase || n.PagesNext > end || n.PagesNext%PageSize != 0:
		return errors.New("page tables are elsewhere")
	case n.Heap > UserEnd || n.Break < n.Heap || n.Break > UserEnd || len(st.Sources) == 0:
		return errors.New("a heap that is nowhere, or no sources")
	}
	for _, f := range st.Free {
		if !within(f, pagesBase, n.PagesNext) || f%PageSize != 0 {
			return fmt.Errorf("a free page at %#x", f)
		}
	}
	at := uint64(UserMin)
	for _, a := range st.Areas {
		if a.Start < at || a.End <= a.Start || a.End > UserEnd || (a.Start|a.End|a.Offset)&PageMask != 0 || a.Prot&^protMask != 0 ||
			a.Kind > Shared || int(a.Source) >= len(st.Sources) || a.Offset > UserEnd {
			return fmt.Errorf("an area at %#x", a.Start)
		}
		at = a.End
	}
	return nil
}

func within(a, from, to phys.Addr) bool { return a >= from && a < to }

// later notes that the entry of a page was changed: flush has processors see it.
func (s *Space) later(frame phys.Addr) {
	at := uint64(frame)
	if n := len(s.stale); n > 0 && s.stale[n-1].End == at {
		s.stale[n-1].End = at + PageSize
		return
	}
	s.stale = append(s.stale, span{at, at + PageSize})
}

// flushMax is how many ranges are flushed one by one; beyond, all is.
const flushMax = 8

// flush has processors see what changed in the tables.
func (s *Space) flush() error {
	stale := s.stale
	s.stale = s.stale[:0]
	if len(stale) > flushMax {
		return s.machine.Flush(0, 0)
	}
	for _, r := range stale {
		if err := s.machine.Flush(phys.Addr(r.Start), r.End-r.Start); err != nil {
			return err
		}
	}
	return nil
}
