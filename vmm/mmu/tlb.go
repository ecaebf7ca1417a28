package mmu

import (
	"math/bits"
	"unsafe"

	"github.com/wherry/wherry/vmm/phys"
)

const (
	// TLBSize is how many translations there are: that of a page lies where the page's number says. They are for 32 MiB.
	TLBSize = 1 << TLBBits
	TLBBits = 13
	// chunkSize is how many are forgotten at once: as many as lie in a page of the host. What a guest doesn't use is never touched.
	chunkSize = phys.PageSize >> EntryBits
)

// TLB keeps translations of the emulator's data accesses as host pointers. Who reads an entry compares and is done:
//
//	if e := tlb.Entry(va); e.Reads(va) { … e.Page[va&(phys.PageSize-1)] … }
//
// Translated code does the same without Go, so the layout of Entry is a promise, and a TLB begins with its entries.
//
// An entry is for writing only while a write needs no note: the tables' dirty bit is set, and so is the memory's, and no code was decoded from the
// page. Else Load makes the note.
type TLB struct {
	entries [TLBSize]Entry
	filled  uint64   // the chunks that have translations since the last Flush, a bit each
	writes  []uint16 // entries that were made for writing since then, or since the last ForgetWrites; as many as there are entries stand for all
	misses  uint64
	flushes uint64
}

var _ [64]struct{} = [TLBSize / chunkSize]struct{}{}

// Entry is a translation of one virtual page: where the page begins, if the entry is for such accesses, else a page whose entry is another one.
// That is page 0 in all entries but the first, so that an entry of zeros is none.
type Entry struct {
	ReadBase, WriteBase uint64
	Host                uintptr // where the page is: not on Go's heap, or kept there by the memory
	frame               uint64  // its physical address, and mayWrite
}

// mayWrite is in an entry's frame where the tables let programs write to the page, and have its dirty bit set.
const mayWrite = 1

// EntryBits is log2 of an Entry's size.
const EntryBits = 5

// Reads reports whether e has the page of va, for reading.
func (e *Entry) Reads(va uint64) bool { return va-e.ReadBase < phys.PageSize }

// Writes is Reads for writing.
func (e *Entry) Writes(va uint64) bool { return va-e.WriteBase < phys.PageSize }

// Page is what the entry reads or writes.
func (e *Entry) Page() *[phys.PageSize]byte { return *(**[phys.PageSize]byte)(unsafe.Pointer(&e.Host)) }

// noPage is a page that isn't looked for in entry i.
func noPage(i uint64) uint64 {
	if i == 0 {
		return 1 << phys.PageShift
	}
	return 0
}

// Follow begins with an empty TLB and has what goes from m go from t. What m.Restore changes is its owner's to tell: by ForgetWrites where page tables lie in
// slots that are Kept, else by Flush.
func (t *TLB) Follow(m *phys.Memory) {
	t.filled = 1
	t.Flush()
	m.OnEvict(func(phys.Addr) { t.Flush() })
}

func index(va uint64) uint64 { return va >> phys.PageShift % TLBSize }

// Entry is where the translation of va is, if it is there.
func (t *TLB) Entry(va uint64) *Entry { return &t.entries[index(va)] }

// Flush forgets all translations.
func (t *TLB) Flush() {
	t.flushes++
	for ; t.filled != 0; t.filled &= t.filled - 1 {
		clear(t.chunk(bits.TrailingZeros64(t.filled)))
	}
	t.Forget(0)
	t.writes = t.writes[:0]
}

// ForgetWrites has the next write to each page noted again: none counts as written any more.
func (t *TLB) ForgetWrites() {
	if len(t.writes) == TLBSize {
		for i := range t.entries {
			t.entries[i].WriteBase = noPage(uint64(i))
		}
	}
	for _, i := range t.writes {
		t.entries[i].WriteBase = noPage(uint64(i))
	}
	t.writes = t.writes[:0]
}

// allow makes entry i one for writing.
func (t *TLB) allow(i, base uint64) {
	t.entries[i].WriteBase = base
	if len(t.writes) < TLBSize {
		t.writes = append(t.writes, uint16(i))
	}
}

func (t *TLB) chunk(n int) []Entry { return t.entries[n*chunkSize : (n+1)*chunkSize] }

// Forget has the next access to the page of va come to Load.
func (t *TLB) Forget(va uint64) {
	*t.Entry(va) = Entry{ReadBase: noPage(index(va)), WriteBase: noPage(index(va))}
}

// Flushes is how often all translations were forgotten.
func (t *TLB) Flushes() uint64 { return t.flushes }

// Misses is how often Load was called.
func (t *TLB) Misses() uint64 { return t.misses }

// ForgetWriting has the next write to a page of m noted, after code was decoded from it.
func (t *TLB) ForgetWriting(page *[phys.PageSize]byte) {
	host := uintptr(unsafe.Pointer(page))
	for filled := t.filled; filled != 0; filled &= filled - 1 {
		at := bits.TrailingZeros64(filled)
		for i, e := range t.chunk(at) {
			if e.Host == host {
				t.entries[at*chunkSize+i].WriteBase = noPage(uint64(at*chunkSize + i))
			}
		}
	}
}

// Load translates va for access and returns the page, for this access alone: it may be one of those that are noted each time.
func (t *TLB) Load(m *phys.Memory, s Space, va uint64, access Access) (*[phys.PageSize]byte, *Fault) {
	t.misses++
	if e := t.Entry(va); access == Store && e.frame&mayWrite != 0 && e.Reads(va) { // only memory is to note it
		frame := phys.Addr(e.frame &^ mayWrite)
		page, err := m.Page(frame, true)
		if err != nil {
			return nil, &Fault{Addr: va, Code: uint32(access), Cause: err}
		}
		if slot, at, err := m.Locate(frame); err == nil && slot.Writable(at) && e.Reads(va) { // the page that came may have had this one's entry go
			t.allow(index(va), e.ReadBase)
		}
		return page, nil
	}
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
	i, base := index(va), va&^(phys.PageSize-1)
	e := Entry{ReadBase: base, WriteBase: noPage(i), Host: uintptr(unsafe.Pointer(page)), frame: uint64(at.Addr &^ (phys.PageSize - 1))}
	written := write || at.Entry&Dirty != 0 && at.Allowed&(Write|User) == Write|User // then a write needs no walk
	if written {
		e.frame |= mayWrite
	}
	t.entries[i] = e
	if slot, index, err := m.Locate(at.Addr); err == nil && written && slot.Writable(index) {
		t.allow(i, base)
	}
	t.filled |= 1 << (i / chunkSize)
	return page, nil
}
