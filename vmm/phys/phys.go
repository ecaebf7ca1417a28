package phys

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
)

// Addr is a guest-physical address.
type Addr uint64

const (
	// PageSize is the size of a page in bytes.
	PageSize  = 1 << PageShift
	PageShift = 12
	// slotsMax bounds the slots of a machine.
	slotsMax = 64
	// slotSizeMax bounds a slot in bytes.
	slotSizeMax = 1 << 36
	// addrMax is where guest-physical addresses end, as CPUID tells guests: 46 bits.
	addrMax = Addr(1) << 46
)

var (
	// ErrOutside says that an address lies in no slot.
	ErrOutside = errors.New("no memory at this guest-physical address")
	// ErrReadOnly says that a slot can't be written.
	ErrReadOnly = errors.New("read-only guest memory")
	// ErrBudget says that no page can be replaced: all are written, and there is nowhere to put them.
	ErrBudget = errors.New("the guest's memory budget is used up; raise it, or give it a swap store")
)

// Swap keeps written pages that had to go. A file does.
type Swap interface {
	ReadAt(p []byte, at int64) (int, error)
	WriteAt(p []byte, at int64) (int, error)
}

// Options are how much a Memory keeps, and where the rest goes.
type Options struct {
	// BudgetPages is how many pages may be resident; 0 is no limit.
	BudgetPages int
	// Swap takes written pages when the budget is used up. Without it only clean pages are replaced. Close closes it if it is an io.Closer.
	Swap Swap
}

// Metrics are counts since New.
type Metrics struct {
	Resident, ResidentMax      int
	Loads                      uint64 // pages made resident
	ReplacedClean, SwappedOut  uint64 // pages made to go
	SwappedIn                  uint64
	SecondChances              uint64 // pages that were to go, but had been used
	Restored                   uint64 // pages copied back from the image
	RefusedOutside, OverBudget uint64 // accesses that failed
}

// Memory is the physical memory of one guest.
type Memory struct {
	options   Options
	slots     []*Slot // by base
	last      *Slot   // where the last access was
	hand      hand
	swapped   map[pageRef]int64 // where in the swap store a page is
	swapFree  []int64
	swapEnd   int64
	onEvict   []func(Addr)
	onRestore []func()
	onCode    []func()
	metrics   Metrics
	reshaped  uint64
	past      bool // guests read and write past m
	leaves    bool // Restore may leave pages counted as written
	rounds    int  // Restores since none was
}

// pageRef names a page of a slot.
type pageRef struct {
	slot *Slot
	page int
}

// New makes a memory without slots.
func New(o Options) *Memory { return &Memory{options: o, swapped: map[pageRef]int64{}} }

// Bound gives m other options than New did. Nothing of it was used so far.
func (m *Memory) Bound(o Options) { m.options = o }

// Add makes a slot of spec. It must lie on whole pages and overlap no other.
func (m *Memory) Add(spec Spec) (*Slot, error) {
	end := spec.Base + Addr(spec.Size)
	switch {
	case spec.Size <= 0 || spec.Size > slotSizeMax || spec.Size%PageSize != 0 || spec.Base%PageSize != 0 || end > addrMax || end < spec.Base:
		return nil, fmt.Errorf("a slot of %d bytes at %#x: give it whole pages below %#x", spec.Size, spec.Base, addrMax)
	case len(m.slots) == slotsMax:
		return nil, fmt.Errorf("a machine has at most %d slots; make fewer, larger ones", slotsMax)
	}
	for _, s := range m.slots {
		if spec.Base < s.end() && s.Base < end {
			return nil, fmt.Errorf("slot %#x–%#x overlaps slot %#x–%#x", spec.Base, end, s.Base, s.end())
		}
	}
	s, err := newSlot(m, spec, !m.Budgeted())
	if err != nil {
		return nil, err
	}
	at := sort.Search(len(m.slots), func(i int) bool { return m.slots[i].Base > s.Base })
	m.slots = slices.Insert(m.slots, at, s)
	return s, nil
}

// Slots are m's slots by address.
func (m *Memory) Slots() []*Slot { return m.slots }

// OnEvict has f called for each page that goes: whoever keeps pointers to it forgets them.
func (m *Memory) OnEvict(f func(Addr)) { m.onEvict = append(m.onEvict, f) }

// OnRestore has f called when Restore has given pages of slots that aren't Kept other bytes, where they are, and counts them as not written any more.
func (m *Memory) OnRestore(f func()) { m.onRestore = append(m.onRestore, f) }

// OnCode has f called when code that was decoded from a page isn't what is there any more.
func (m *Memory) OnCode(f func()) { m.onCode = append(m.onCode, f) }

// LeaveWritten has Restore leave pages counted as written for some rounds, which is for guests that write the same ones again and again: that is cheaper to
// copy back for nothing than to note.
func (m *Memory) LeaveWritten() { m.leaves = true }

// Budgeted reports whether pages may have to go.
func (m *Memory) Budgeted() bool { return m.options.BudgetPages > 0 }

// Metrics returns m's counts.
func (m *Memory) Metrics() Metrics { return m.metrics }

// Reshape notes that page tables in m have changed their shape: an entry that maps a large page, or a table, has become another.
func (m *Memory) Reshape() { m.reshaped++ }

// Reshaped counts calls of Reshape, for a back end that has to forget more then.
func (m *Memory) Reshaped() uint64 { return m.reshaped }

// Close unmaps all slots. No pointer into them may be used any more.
func (m *Memory) Close() error {
	var errs []error
	for _, s := range m.slots {
		errs = append(errs, s.unmap())
	}
	m.slots, m.last = nil, nil
	if c, ok := m.options.Swap.(io.Closer); ok {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// Locate returns the slot that a lies in, and its page there.
func (m *Memory) Locate(a Addr) (*Slot, int, error) {
	if s := m.last; s != nil && a-s.Base < Addr(len(s.bytes)) {
		return s, int((a - s.Base) >> PageShift), nil
	}
	for _, s := range m.slots {
		if a-s.Base < Addr(len(s.bytes)) {
			m.last = s
			return s, int((a - s.Base) >> PageShift), nil
		}
	}
	m.metrics.RefusedOutside++
	return nil, 0, fmt.Errorf("%w: %#x", ErrOutside, a)
}

// Page returns the bytes of the page that a lies in, resident and marked as used; for writing also as written, and with a new generation if
// code was decoded from it. The pointer is good until OnEvict names the page.
func (m *Memory) Page(a Addr, write bool) (*[PageSize]byte, error) {
	s, page, err := m.Locate(a)
	if err != nil {
		return nil, err
	}
	if write && s.ReadOnly {
		return nil, fmt.Errorf("%w: %#x", ErrReadOnly, a)
	}
	if err := m.use(s, page); err != nil {
		return nil, err
	}
	if write {
		s.written(page)
	}
	return (*[PageSize]byte)(s.bytes[page<<PageShift:]), nil
}

// ReadAt fills p from a on, across pages. It reads all or fails.
func (m *Memory) ReadAt(p []byte, a Addr) error {
	return m.each(p, a, false, func(ours, guests []byte) { copy(ours, guests) })
}

// WriteAt writes p from a on, across pages. An error leaves what was written before the page that it names.
func (m *Memory) WriteAt(p []byte, a Addr) error {
	return m.each(p, a, true, func(ours, guests []byte) { copy(guests, ours) })
}

func (m *Memory) each(p []byte, a Addr, write bool, do func(ours, guests []byte)) error {
	if uint64(a) > math.MaxUint64-uint64(len(p)) {
		return fmt.Errorf("%w: %d bytes at %#x", ErrOutside, len(p), a)
	}
	for len(p) > 0 {
		page, err := m.Page(a, write)
		if err != nil {
			return err
		}
		at := int(a & (PageSize - 1))
		n := min(len(p), PageSize-at)
		do(p[:n], page[at:at+n])
		p, a = p[n:], a+Addr(n)
	}
	return nil
}

// Uint64 reads the word at a, which must be a multiple of 8.
func (m *Memory) Uint64(a Addr) (uint64, error) {
	page, err := m.Page(a, false)
	if err != nil {
		return 0, err
	}
	at := a & (PageSize - 8)
	return binary.LittleEndian.Uint64(page[at : at+8]), nil
}

// SetUint64 writes the word at a, which must be a multiple of 8.
func (m *Memory) SetUint64(a Addr, value uint64) error {
	page, err := m.Page(a, true)
	if err != nil {
		return err
	}
	at := a & (PageSize - 8)
	binary.LittleEndian.PutUint64(page[at:at+8], value)
	return nil
}
