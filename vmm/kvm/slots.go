//go:build linux && amd64

package kvm

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
)

// Numbers of slots: the monitor's two, then those of the guest's memory.
const (
	slotMonitor = iota
	slotSpare
	slotFirst
)

// flushRangeMax is from where on all translations go: to look for those of a range costs by its length.
const flushRangeMax = 1 << 20

// kvmSlot is a slot of the guest's memory as the kernel knows it.
type kvmSlot struct {
	*phys.Slot
	number uint32
	log    []uint64 // the last dirty log, one bit a page
}

func (m *Machine) setRegion(number, flags uint32, at phys.Addr, bytes []byte) error {
	r := memoryRegion{slot: number, flags: flags, guest: uint64(at), size: uint64(len(bytes)), our: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(bytes))))}
	if _, err := ioctl(m.fd, setUserMemoryRegion, unsafe.Pointer(&r)); err != nil {
		return fmt.Errorf("giving the machine %d bytes at %#x: %w", len(bytes), at, err)
	}
	return nil
}

// addSlots has the kernel know of slots that are new.
func (m *Machine) addSlots() error {
	for _, s := range m.memory.Slots() {
		if m.slotAt(s.Base) != nil {
			continue
		}
		if s.Base+phys.Addr(s.Size) > m.base-phys.PageSize {
			return fmt.Errorf("guest memory of %d bytes at %#x: this host's machines end at %#x", s.Size, s.Base, m.base-phys.PageSize)
		}
		flags := uint32(memLogDirty)
		if s.ReadOnly {
			flags = memReadOnly
		}
		k := &kvmSlot{Slot: s, number: slotFirst + uint32(len(m.slots)), log: make([]uint64, (s.Pages()+63)/64)}
		if err := m.setRegion(k.number, flags, s.Base, s.Bytes()); err != nil {
			return err
		}
		m.slots = append(m.slots, k)
	}
	return nil
}

// slotAt is the slot that a lies in, or nil.
func (m *Machine) slotAt(a phys.Addr) *kvmSlot {
	for _, s := range m.slots {
		if a-s.Base < phys.Addr(s.Size) {
			return s
		}
	}
	return nil
}

// view reads the guest's memory while processors run, and notes nothing. It belongs to nobody: slots change only while none runs.
type view struct{ machine *Machine }

// Uint64 is phys.Memory's.
func (v view) Uint64(a phys.Addr) (uint64, error) {
	s := v.machine.slotAt(a)
	if s == nil {
		return 0, phys.ErrOutside
	}
	return *(*uint64)(unsafe.Pointer(&s.Bytes()[(a-s.Base)&^7])), nil
}

// read copies what is at va for the guest's program, up to the first byte that it can't read.
func (v view) read(space mmu.Space, va uint64, p []byte) int {
	n := 0
	for n < len(p) {
		t, fault := mmu.Look(v, space, va+uint64(n), mmu.Read)
		if fault != nil {
			break
		}
		s := v.machine.slotAt(t.Addr)
		if s == nil {
			break
		}
		rest := phys.PageSize - t.Addr&(phys.PageSize-1)
		n += copy(p[n:min(len(p), n+int(rest))], s.Bytes()[t.Addr-s.Base:])
	}
	return n
}

// CollectDirty implements vmm.Machine. Pages that were written before and since restored count again: they stay writable, and nobody knows. Here the memory's
// budget is held: phys.ErrBudget says that more pages are written, or hot, than it allows.
func (m *Machine) CollectDirty() error {
	for _, s := range m.slots {
		if s.ReadOnly {
			continue
		}
		log := dirtyLog{slot: s.number, bitmap: unsafe.Pointer(unsafe.SliceData(s.log))}
		if _, err := ioctl(m.fd, getDirtyLog, unsafe.Pointer(&log)); err != nil {
			return fmt.Errorf("reading the log of written pages: %w", err)
		}
		m.memory.Touched(s.Slot, nil, s.log)
	}
	return m.hold()
}

// hold has the memory give pages back above its budget, and the log forget them: their next write is a fault.
func (m *Machine) hold() error {
	m.gone = m.gone[:0]
	m.holding = true
	err := m.memory.Hold()
	m.holding = false
	for _, a := range m.gone {
		s := m.slotAt(a)
		if s == nil || s.ReadOnly {
			continue
		}
		page := int((a - s.Base) >> phys.PageShift)
		if err := m.clearLog(s, page>>6, []uint64{1 << (page & 63)}); err != nil {
			return err
		}
	}
	return err
}

// evicted is told by the memory of pages that go.
func (m *Machine) evicted(a phys.Addr) {
	if m.holding {
		m.gone = append(m.gone, a)
	}
}

// clearLog has the pages of words, from word at of the log on, be written no more.
func (m *Machine) clearLog(s *kvmSlot, at int, words []uint64) error {
	c := clearLog{slot: s.number, first: uint64(at) << 6, pages: uint32(min(len(words)<<6, s.Pages()-at<<6)), bitmap: unsafe.Pointer(unsafe.SliceData(words))}
	if _, err := ioctl(m.fd, clearDirtyLog, unsafe.Pointer(&c)); err != nil {
		return fmt.Errorf("clearing the log of written pages: %w", err)
	}
	return nil
}

// Cool has pages count as written only when they are written again, after it has collected those that were. Each costs a fault then, so it is for now
// and then: when more is restored than guests write.
func (m *Machine) Cool() error {
	if err := m.CollectDirty(); err != nil {
		return err
	}
	for _, s := range m.slots {
		if s.ReadOnly {
			continue
		}
		if err := m.clearLog(s, 0, s.log); err != nil {
			return err
		}
	}
	return nil
}

// Flush implements vmm.Machine: size bytes at a are what changed entries of page tables mapped before. No size is everything.
//
// The kernel forgets what it made of a page's mappings when the host's mapping of the page changes; taking write permission away and giving it back is such
// a change, and keeps the bytes. Where page tables have changed their shape (phys.Memory.Reshaped) that isn't enough for shadow paging, and all goes.
func (m *Machine) Flush(a phys.Addr, size uint64) error {
	if err := m.addSlots(); err != nil {
		return err
	}
	if shape := m.memory.Reshaped(); size == 0 || size > flushRangeMax || shape != m.shape || m.host.FlushAll {
		m.shape = shape
		return m.flushAll()
	}
	for size > 0 {
		s := m.slotAt(a)
		if s == nil {
			a, size = a+phys.PageSize, size-min(size, phys.PageSize)
			continue
		}
		part := s.Bytes()[a&^(phys.PageSize-1)-s.Base:]
		n := min(uint64(len(part)), (size+phys.PageSize-1)&^(phys.PageSize-1))
		part = part[:n]
		if err := errors.Join(unix.Mprotect(part, unix.PROT_READ), unix.Mprotect(part, unix.PROT_READ|unix.PROT_WRITE)); err != nil {
			return fmt.Errorf("flushing %d bytes at %#x: %w", n, a, err)
		}
		a, size = a+phys.Addr(n), size-min(size, n)
	}
	return nil
}

// flushAll adds a slot and takes it away, for which the kernel forgets all translations.
func (m *Machine) flushAll() error {
	at := m.base - phys.PageSize
	return errors.Join(m.setRegion(slotSpare, 0, at, m.spare), m.setRegion(slotSpare, 0, at, nil))
}
