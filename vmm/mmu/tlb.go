package mmu

import "github.com/wherry/wherry/vmm/phys"

const (
	// TLBSize is how many translations there are: that of a page lies where the page's number says.
	TLBSize = 1 << TLBBits
	TLBBits = 10
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
	filled  bool // since the last Flush
	misses  uint64
}

// Entry is a translation of one virtual page: where the page begins, if the entry is for such accesses, else a page whose entry is another one.
type Entry struct {
	ReadBase, WriteBase uint64
	Page                *[phys.PageSize]byte
	_                   uint64 // makes the size a power of two
}

// EntryBits is log2 of an Entry's size.
const EntryBits = 5

// Reads reports whether e has the page of va, for reading.
func (e *Entry) Reads(va uint64) bool { return va-e.ReadBase < phys.PageSize }

// Writes is Reads for writing.
func (e *Entry) Writes(va uint64) bool { return va-e.WriteBase < phys.PageSize }

// noPage is a page that isn't looked for in entry i.
func noPage(i uint64) uint64 { return (i ^ 1) << phys.PageShift }

// Follow begins with an empty TLB and has what goes from m go from t.
func (t *TLB) Follow(m *phys.Memory) {
	t.filled = true
	t.Flush()
	m.OnEvict(func(phys.Addr) { t.Flush() })
}

func index(va uint64) uint64 { return va >> phys.PageShift % TLBSize }

// Entry is where the translation of va is, if it is there.
func (t *TLB) Entry(va uint64) *Entry { return &t.entries[index(va)] }

// Flush forgets all translations.
func (t *TLB) Flush() {
	if !t.filled {
		return
	}
	for i := range t.entries {
		t.entries[i] = Entry{ReadBase: noPage(uint64(i)), WriteBase: noPage(uint64(i))}
	}
	t.filled = false
}

// Forget has the next access to the page of va come to Load.
func (t *TLB) Forget(va uint64) {
	*t.Entry(va) = Entry{ReadBase: noPage(index(va)), WriteBase: noPage(index(va))}
}

// Misses is how often Load was called.
func (t *TLB) Misses() uint64 { return t.misses }

// ForgetWriting has the next write to a page of m noted, after code was decoded from it.
func (t *TLB) ForgetWriting(page *[phys.PageSize]byte) {
	for i := range t.entries {
		if t.entries[i].Page == page {
			t.entries[i].WriteBase = noPage(uint64(i))
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
	base := va &^ (phys.PageSize - 1)
	e := Entry{ReadBase: base, WriteBase: noPage(index(va)), Page: page}
	written := write || at.Entry&Dirty != 0 && at.Allowed&(Write|User) == Write|User // then a write needs no walk
	if slot, index, err := m.Locate(at.Addr); err == nil && written && slot.Writable(index) {
		e.WriteBase = base
	}
	*t.Entry(va) = e
	t.filled = true
	return page, nil
}
