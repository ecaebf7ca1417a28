package mmu

import (
	"fmt"

	"github.com/wherry/wherry/vmm/phys"
)

// Bits of an entry of a page table (Intel SDM volume 3, tables 4-15 to 4-20).
const (
	Present  = 1 << 0
	Write    = 1 << 1
	User     = 1 << 2
	Accessed = 1 << 5
	Dirty    = 1 << 6
	Large    = 1 << 7 // PS: the entry maps a page of 2 MiB or 1 GiB
	NoExec   = 1 << 63

	frameMask = 1<<46 - 1<<phys.PageShift
	// reservedMask is above the physical addresses that the guest's CPUID tells of, 46 bits.
	reservedMask = 1<<52 - 1<<46
)

// The bits of a page fault's error code (Intel SDM volume 3, figure 4-12).
const (
	CodePresent  = 1 << 0 // the entry is there, but doesn't allow it
	CodeWrite    = 1 << 1
	CodeUser     = 1 << 2
	CodeReserved = 1 << 3
	CodeFetch    = 1 << 4
)

// Access is what is to be done: the bits of an error code that describe it.
type Access uint32

// The accesses of user programs, and of the monitor on their behalf.
const (
	Read    Access = CodeUser
	Store   Access = CodeUser | CodeWrite
	Execute Access = CodeUser | CodeFetch
)

// Space is what chooses page tables and how they are read: parts of CR3, CR0 and EFER.
type Space struct {
	Root phys.Addr // of the PML4
	WP   bool      // supervisors can't write read-only pages either
	NXE  bool      // NoExec means something; else it is reserved
}

// Translation is where a virtual address lies.
type Translation struct {
	Addr    phys.Addr
	Size    uint64 // of the page
	Entry   uint64 // the last level's
	Allowed uint64 // of Write, User and NoExec, what all levels together say
}

// Fault is an access that page tables don't allow. It is what a processor tells its exception handler.
type Fault struct {
	Addr uint64
	Code uint32
	// NotCanonical addresses are no page faults, but #GP.
	NotCanonical bool
	// Cause is set where the tables themselves, or what they allow to reach, lie in no memory.
	Cause error
}

func (f *Fault) Error() string {
	switch {
	case f.NotCanonical:
		return fmt.Sprintf("address %#x isn't canonical", f.Addr)
	case f.Cause != nil:
		return fmt.Sprintf("page fault at %#x: %v", f.Addr, f.Cause)
	}
	return fmt.Sprintf("page fault at %#x, code %#x", f.Addr, f.Code)
}

func (f *Fault) Unwrap() error { return f.Cause }

// Canonical reports whether bits 63 to 47 of va are the same.
func Canonical(va uint64) bool { return uint64(int64(va<<16)>>16) == va }

// words are where page tables are read from: a phys.Memory, or a view of one that notes nothing.
type words interface {
	Uint64(phys.Addr) (uint64, error)
}

// path is how far a walk has come: where the entries are, and what they were.
type path struct {
	at      [4]phys.Addr
	entries [4]uint64
	length  int
}

// Walk translates va for access in s, and sets the accessed and dirty bits as a processor does: only if nothing faults.
func Walk(m *phys.Memory, s Space, va uint64, access Access) (Translation, *Fault) {
	var p path
	t, fault := walk(m, s, va, access, &p)
	if fault != nil {
		return Translation{}, fault
	}
	if err := mark(m, p.at[:p.length], p.entries[:p.length], access); err != nil {
		return Translation{}, &Fault{Addr: va, Code: uint32(access), Cause: err}
	}
	t.Entry = p.entries[p.length-1]
	return t, nil
}

// Look translates va for access in s, and changes nothing.
func Look[W words](m W, s Space, va uint64, access Access) (Translation, *Fault) {
	var p path
	return walk(m, s, va, access, &p)
}

// Trace is Look, and tells also which pages the tables on the way lie in.
func Trace(m *phys.Memory, s Space, va uint64, access Access) (t Translation, tables []phys.Addr, fault *Fault) {
	var p path
	t, fault = walk(m, s, va, access, &p)
	for i := range p.length {
		tables = append(tables, p.at[i]&^(phys.PageSize-1))
	}
	return t, tables, fault
}

func walk[W words](m W, s Space, va uint64, access Access, p *path) (Translation, *Fault) {
	if !Canonical(va) {
		return Translation{}, &Fault{Addr: va, NotCanonical: true}
	}
	table := s.Root & frameMask
	allowed := uint64(Write | User)
	for level := range 4 {
		shift := 39 - 9*level
		at := table + phys.Addr(va>>shift&511)*8
		e, err := m.Uint64(at)
		if err != nil {
			return Translation{}, &Fault{Addr: va, Code: uint32(access), Cause: err}
		}
		if e&Present == 0 {
			return Translation{}, &Fault{Addr: va, Code: s.code(access)}
		}
		if e&s.reserved(level, e) != 0 {
			return Translation{}, &Fault{Addr: va, Code: s.code(access) | CodePresent | CodeReserved}
		}
		p.at[level], p.entries[level], p.length = at, e, level+1
		allowed &= e | NoExec
		allowed |= e & NoExec
		table = phys.Addr(e & frameMask)
		if level == 3 || level > 0 && e&Large != 0 {
			if !s.allows(allowed, access) {
				return Translation{}, &Fault{Addr: va, Code: s.code(access) | CodePresent}
			}
			size := uint64(1) << shift
			return Translation{Addr: phys.Addr(e&frameMask&^(size-1) | va&(size-1)), Size: size, Entry: e, Allowed: allowed}, nil
		}
	}
	panic("BUG: a walk beyond the last level")
}

// reserved are the bits that must be 0 in entry e of a level (0 is the PML4).
func (s Space) reserved(level int, e uint64) uint64 {
	mask := uint64(reservedMask)
	if !s.NXE {
		mask |= NoExec
	}
	switch {
	case level == 0:
		mask |= Large
	case level < 3 && e&Large != 0:
		mask |= 1<<(39-9*level) - 1<<13 // between the attributes (bit 12 is PAT) and the frame
	}
	return mask
}

// code is the error code for access: a fetch is only told where NX is (Intel SDM volume 3, 4.7).
func (s Space) code(access Access) uint32 {
	if !s.NXE {
		access &^= CodeFetch
	}
	return uint32(access)
}

func (s Space) allows(allowed uint64, access Access) bool {
	user := access&CodeUser != 0
	switch {
	case user && allowed&User == 0:
		return false
	case access&CodeWrite != 0 && allowed&Write == 0:
		return !user && !s.WP
	case access&CodeFetch != 0 && allowed&NoExec != 0:
		return false
	}
	return true
}

// mark sets accessed bits on the path and the dirty bit at its end, where they aren't yet.
func mark(m *phys.Memory, path []phys.Addr, entries []uint64, access Access) error {
	for i, e := range entries {
		marked := e | Accessed
		if i == len(entries)-1 && access&CodeWrite != 0 {
			marked |= Dirty
		}
		if marked == e {
			continue
		}
		if err := m.SetUint64(path[i], marked); err != nil {
			return err
		}
		entries[i] = marked
	}
	return nil
}

// ReadVirtual fills p from va on, as the guest's own program may read.
func ReadVirtual(m *phys.Memory, s Space, va uint64, p []byte) error {
	return each(m, s, va, p, Read, m.ReadAt)
}

// WriteVirtual writes p from va on, where the guest's own program may write. After a Fault, what lies before its page is written.
func WriteVirtual(m *phys.Memory, s Space, va uint64, p []byte) error {
	return each(m, s, va, p, Store, m.WriteAt)
}

func each(m *phys.Memory, s Space, va uint64, p []byte, access Access, do func([]byte, phys.Addr) error) error {
	for len(p) > 0 {
		t, fault := Walk(m, s, va, access)
		if fault != nil {
			return fault
		}
		n := min(uint64(len(p)), t.Size-va&(t.Size-1))
		if err := do(p[:n], t.Addr); err != nil {
			return &Fault{Addr: va, Code: uint32(access), Cause: err}
		}
		p, va = p[n:], va+n
	}
	return nil
}
