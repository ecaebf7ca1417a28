package mmu

import "github.com/wherry/wherry/vmm/phys"

const (
	tlbSize = 1024
	// noPage is the number of no page: virtual page numbers have 52 bits.
	noPage = ^uint64(0)
)

// TLB keeps translations of the emulator's data accesses as host pointers. Who reads an entry compares a tag and is done:
//
//	if e := tlb.Entry(va); e.ReadTag == va>>phys.PageShift { … e.Page[va&(phys.PageSize-1)] … }
//
// An entry is for writing only while a write needs no note: the tables' dirty bit is set, and so is the memory's, and no code was decoded from the
// page. Else Load makes the note.
type TLB struct {
	entries [tlbSize]Entry
	filled  bool // since the last Flush
	misses  uint64
}

// Entry is a translation of one virtual page.
type Entry struct {
	ReadTag, WriteTag uint64 // the virtual page's number, or of no page
	Page              *[phys.PageSize]byte
}

// NewTLB makes a TLB that follows m: what goes from m, goes from it.
func NewTLB(m *phys.Memory) *TLB {
	t := &TLB{filled: true}
	t.Flush()
	m.OnEvict(func(phys.Addr) { t.Flush() })
	return t
}

// Entry is where the translation of va is, if it is there.
func (t *TLB) Entry(va uint64) *Entry { return &t.entries[va>>phys.PageShift%tlbSize] }

// Flush forgets all translations.
func (t *TLB) Flush() {
	if !t.filled {
		return
	}
	for i := range t.entries {
		t.entries[i] = Entry{ReadTag: noPage, WriteTag: noPage}
	}
	t.filled = false
}

// Misses is how often Load was called.
func (t *TLB) Misses() uint64 { return t.misses }

// ForgetWriting has the next write to a page of m noted, after code was decoded from it.
func (t *TLB) ForgetWriting(page *[phys.PageSize]byte) {
	for i := range t.entries {
		if t.entries[i].Page == page {
			t.entries[i].WriteTag = noPage
		}
	}
}

// Load translates va for access and returns the page, for this access alone: it may be one of those that are noted each time.
func (t *TLB) Load(m *phys.Memory, s Space, va uint64, access Access) (*[phys.PageSize]byte, *Fault) {
	t.misses++
	at, fault := Walk(m, s, va, access)
	if fault != nil {
		return nil, fault
	}
	write := access&CodeWrite != 0
	page, err := m.Page(at.Addr, write)
	if err != nil {
		return nil, &Fault{Addr: va, Code: uint32(access), Cause: err}
	}
	if access&CodeFetch != 0 {
		return page, nil // blocks of code are kept elsewhere
	}
	tag := va >> phys.PageShift
	e := Entry{ReadTag: tag, WriteTag: noPage, Page: page}
	if slot, index, err := m.Locate(at.Addr); err == nil && write && slot.Writable(index) {
		e.WriteTag = tag
	}
	*t.Entry(va) = e
	t.filled = true
	return page, nil
}
