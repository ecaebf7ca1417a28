package space

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/mmu"
)

// own marks entries of pages that were mapped since Resume: no checkpoint needs their frames. filled are those that don't begin with zeros.
const (
	own    = 1 << 9
	filled = 1 << 10
)

// aroundMin, aroundLarge and aroundMax are how many pages a fault maps around it: more where an area has largeArea bytes or a file's, as a fault costs far more
// than an entry or the copy of a page, and twice as many each time that a program goes on behind what the last fault mapped.
const (
	aroundMin   = 16
	aroundLarge = 64
	aroundMax   = 512
	largeArea   = 1 << 20
	// aheadShare is what part of the pages that are left a fault takes at most beyond aroundMin.
	aheadShare = 8
)

// entryBits are those of a page's entry for a protection. Without User nothing can be done with the page, but its frame is kept.
func entryBits(prot uint32) uint64 {
	b := uint64(0)
	if prot != abi.PROT_NONE {
		b |= mmu.User
	}
	if prot&abi.PROT_WRITE != 0 {
		b |= mmu.Write
	}
	if prot&abi.PROT_EXEC == 0 {
		b |= mmu.NoExec
	}
	return b
}

const protectionBits = mmu.User | mmu.Write | mmu.NoExec

// Outcome says what became of a fault.
type Outcome uint8

const (
	Done     Outcome = iota
	Unmapped         // SEGV_MAPERR
	Denied           // SEGV_ACCERR
	Beyond           // SIGBUS: behind a file's end
	NoMemory
)

// Fault gives the page at va what its area says, if that allows access.
func (s *Space) Fault(va uint64, access uint32) (Outcome, error) {
	a := s.areas.find(va)
	switch {
	case a == nil:
		return Unmapped, nil
	case !a.allows(access):
		return Denied, nil
	}
	va &^= PageMask
	page, err := s.tables.Lookup(va)
	if err != nil {
		return NoMemory, err
	}
	if page.Entry == 0 {
		s.faults++
		return s.bring(a, va)
	}
	want := entryBits(a.Prot)
	if has := page.Entry & protectionBits; has != want {
		s.faults++
		if err := s.tables.Protect(va, PageSize, want); err != nil || widens(has, want) {
			return Done, err
		}
	}
	// A processor may still have the entry as it was.
	return Done, s.machine.Flush(page.Frame(), PageSize)
}

// widens reports whether an entry that becomes want from has allows all that it did: then no processor has to forget it, as a fault that comes of what one
// remembers is looked at again.
func widens(has, want uint64) bool {
	const allow = mmu.User | mmu.Write
	return has&allow&^want == 0 && want&mmu.NoExec&^has == 0
}

// bring maps the page at va and those around it that have none.
func (s *Space) bring(a *Area, va uint64) (Outcome, error) {
	if a.Source != 0 && a.Offset+(va-a.Start) >= uint64(len(s.sources[a.Source].Bytes)) {
		return Beyond, nil
	}
	around := s.around(a, va)
	start := max(a.Start, va&^(around*PageSize-1))
	end := min(a.End, (va&^(around*PageSize-1))+around*PageSize)
	if a.Source != 0 {
		end = min(end, s.sourceEnd(a))
	}
	s.ahead = ahead{end, around}
	for at := start; at < end; {
		run, err := s.absent(at, end)
		if err != nil {
			return NoMemory, err
		}
		if run == 0 {
			at += PageSize
			continue
		}
		n, err := s.mapRun(a, at, run)
		if err != nil {
			return NoMemory, err
		}
		if n == 0 {
			if page, err := s.tables.Lookup(va); err == nil && page.Entry != 0 {
				break
			}
			if !s.reclaim() {
				return NoMemory, nil
			}
			start, end, at = va, va+PageSize, va
			continue
		}
		at += uint64(n) * PageSize
	}
	return Done, nil
}

// ahead is what the last fault mapped: where that ends, and how many pages it was to be.
type ahead struct{ end, pages uint64 }

// around is how many pages a fault at va in a maps, a power of two: fewer when there aren't many left.
func (s *Space) around(a *Area, va uint64) uint64 {
	n := uint64(aroundMin)
	if a.Source != 0 || a.End-a.Start >= largeArea {
		n = aroundLarge
	}
	if a.Source == 0 && va-s.ahead.end < s.ahead.pages*PageSize {
		n = min(max(n, 2*s.ahead.pages), aroundMax)
	}
	for left := uint64(s.frames.left()); n > aroundMin && left <= aheadShare*n; {
		n /= 2
	}
	if uint64(s.frames.left()) < 2*n {
		return 1
	}
	return n
}

// absent is how many pages from va on, up to end, have no entry.
func (s *Space) absent(va, end uint64) (int, error) {
	n := 0
	for ; va < end; va += PageSize {
		page, err := s.tables.Lookup(va)
		if err != nil || page.Entry != 0 {
			return n, err
		}
		n++
	}
	return n, nil
}

// mapRun maps up to n pages of a at va and returns how many.
func (s *Space) mapRun(a *Area, va uint64, n int) (int, error) {
	frame, n := s.frames.take(n)
	if n == 0 {
		return 0, nil
	}
	if a.Source != 0 {
		s.touch(va, va+uint64(n)*PageSize)
	}
	b := entryBits(a.Prot) | s.newBits
	size := uint64(n) * PageSize
	if a.Source != 0 {
		b |= filled
		bytes := s.sources[a.Source].Bytes
		off := a.Offset + (va - a.Start)
		if err := s.machine.Phys().WriteAt(bytes[off:min(off+size, uint64(len(bytes)))], frame); err != nil {
			return 0, err
		}
	}
	return n, s.tables.Map(va, frame, size, b)
}

// drop lets go of the pages of [start, end): their contents are gone. A frame that a checkpoint has stays with its address.
func (s *Space) drop(start, end uint64) error {
	return s.eachPage(start, end, func(va uint64, page mmu.Page) error {
		if err := s.zero(page); err != nil {
			return err
		}
		if page.Entry&own == own&s.newBits {
			if err := s.tables.Unmap(va, PageSize); err != nil {
				return err
			}
			s.frames.put(page.Frame())
		} else if err := s.tables.Protect(va, PageSize, 0); err != nil {
			return err
		}
		s.later(page.Frame())
		return nil
	})
}

// empty makes the pages of [start, end) what they were when nobody had touched them. It's done at once: Go's heap reads zeros in pages that it gave to
// MADV_DONTNEED, and breaks if it finds anything else.
func (s *Space) empty(start, end uint64) error {
	return s.eachPage(start, end, func(va uint64, page mmu.Page) error {
		if err := s.zero(page); err != nil {
			return err
		}
		a := s.areas.find(va)
		if a == nil || a.Source == 0 {
			return nil
		}
		bytes := s.sources[a.Source].Bytes
		off := a.Offset + (va - a.Start)
		if off >= uint64(len(bytes)) {
			return nil
		}
		return s.machine.Phys().WriteAt(bytes[off:min(off+PageSize, uint64(len(bytes)))], page.Frame())
	})
}

// zero clears a page that may have been written.
func (s *Space) zero(page mmu.Page) error {
	if page.Entry&(mmu.Dirty|filled) == 0 && page.Entry&own == own&s.newBits {
		return nil
	}
	bytes, err := s.machine.Phys().Page(page.Frame(), true)
	if err != nil {
		return err
	}
	clear(bytes[:])
	return nil
}

// eachPage calls f for each page of [start, end) that has a frame. Where there are no tables it goes fast.
func (s *Space) eachPage(start, end uint64, f func(va uint64, page mmu.Page) error) error {
	for va := start; va < end; {
		page, err := s.tables.Lookup(va)
		if err != nil {
			return err
		}
		if page.At == 0 && page.Entry == 0 {
			if next, err := s.tables.Next(va); err != nil || next > va {
				if err != nil {
					return err
				}
				va = next
				continue
			}
		}
		if page.Entry != 0 {
			if err := f(va, page); err != nil {
				return err
			}
		}
		va += PageSize
	}
	return s.flush()
}

// page is the memory at va for the monitor to read or write, in the program's name.
func (s *Space) page(va uint64, access uint32) (*[PageSize]byte, abi.Errno) {
	a := s.areas.find(va)
	if a == nil || !a.allows(access) {
		return nil, abi.EFAULT
	}
	at := va &^ PageMask
	page, err := s.tables.Lookup(at)
	if err != nil {
		return nil, abi.EFAULT
	}
	if page.Entry == 0 || page.Entry&protectionBits != entryBits(a.Prot) {
		if kind, err := s.Fault(va, access); err != nil || kind != Done {
			return nil, abi.EFAULT
		}
		if page, err = s.tables.Lookup(at); err != nil || page.Entry == 0 {
			return nil, abi.EFAULT
		}
	}
	write := access == abi.PROT_WRITE
	if write && page.Entry&mmu.Dirty == 0 {
		if err := s.machine.Phys().SetUint64(page.At, page.Entry|mmu.Dirty|mmu.Accessed); err != nil {
			return nil, abi.EFAULT
		}
	}
	bytes, err := s.machine.Phys().Page(page.Frame(), write)
	if err != nil {
		return nil, abi.EFAULT
	}
	return bytes, 0
}

// CopyIn fills b from va on.
func (s *Space) CopyIn(b []byte, va uint64) abi.Errno {
	for len(b) > 0 {
		page, e := s.page(va, abi.PROT_READ)
		if e != 0 {
			return e
		}
		n := copy(b, page[va&PageMask:])
		b, va = b[n:], va+uint64(n)
	}
	return 0
}

// CopyOut writes b from va on.
func (s *Space) CopyOut(va uint64, b []byte) abi.Errno {
	for len(b) > 0 {
		page, e := s.page(va, abi.PROT_WRITE)
		if e != 0 {
			return e
		}
		n := copy(page[va&PageMask:], b)
		b, va = b[n:], va+uint64(n)
	}
	return 0
}

// Show has put write the page at va, which the program itself may only read, where an area of a source with that name is. If the program has put something
// else there, nothing happens.
func (s *Space) Show(name string, va uint64, put func(page []byte)) {
	a := s.areas.find(va)
	if a == nil || a.Source == 0 || s.sources[a.Source].Name != name {
		return
	}
	if _, e := s.page(va, abi.PROT_READ); e != 0 {
		return
	}
	page, err := s.tables.Lookup(va)
	if err != nil {
		return
	}
	if bytes, err := s.machine.Phys().Page(page.Frame(), true); err == nil {
		put(bytes[:])
	}
}

// Reach is how many of n bytes from va on the program may access, by the areas alone.
func (s *Space) Reach(va, n uint64, access uint32) uint64 {
	end := va + n
	if end < va || end > UserEnd {
		end = UserEnd
	}
	l := s.areas
	at := va
	for i := l.after(va); i < len(l) && at < end && l[i].Start <= at && l[i].allows(access); i++ {
		at = l[i].End
	}
	if at <= va {
		return 0
	}
	return min(at, end) - va
}

func (s *Space) Word(va uint64) (uint64, abi.Errno) {
	var b [8]byte
	e := s.CopyIn(b[:], va)
	return le.Uint64(b[:]), e
}

func (s *Space) Word32(va uint64) (uint32, abi.Errno) {
	var b [4]byte
	e := s.CopyIn(b[:], va)
	return le.Uint32(b[:]), e
}

func (s *Space) PutWord32(va uint64, v uint32) abi.Errno {
	var b [4]byte
	le.PutUint32(b[:], v)
	return s.CopyOut(va, b[:])
}

// Text reads bytes up to a zero, which must come within most.
func (s *Space) Text(va uint64, most int) (string, abi.Errno) {
	var out []byte
	for {
		page, e := s.page(va, abi.PROT_READ)
		if e != 0 {
			return "", e
		}
		for _, c := range page[va&PageMask:] {
			if c == 0 {
				return string(out), 0
			}
			if len(out) == most {
				return "", abi.ENAMETOOLONG
			}
			out = append(out, c)
		}
		va = va&^PageMask + PageSize
	}
}

// reclaim takes back the frames of pages that no area covers: those that the program mapped before a Restore. It reports whether there were some.
func (s *Space) reclaim() bool {
	before := s.frames.left()
	var from uint64
	for _, a := range append(append(areas{}, s.areas...), Area{Start: UserEnd, End: UserEnd}) {
		if err := s.reclaimRange(from, a.Start); err != nil {
			return false
		}
		from = a.End
	}
	return s.frames.left() > before
}

func (s *Space) reclaimRange(start, end uint64) error {
	return s.eachPage(start, end, func(va uint64, page mmu.Page) error {
		if page.Entry&own == 0 {
			return nil
		}
		bytes, err := s.machine.Phys().Page(page.Frame(), true)
		if err != nil {
			return err
		}
		clear(bytes[:])
		if err := s.tables.Unmap(va, PageSize); err != nil {
			return err
		}
		s.frames.put(page.Frame())
		s.later(page.Frame())
		return nil
	})
}

// span is a range of virtual memory.
type span struct{ Start, End uint64 }

// touchedMax bounds how many ranges Restore looks at; more become one.
const touchedMax = 32

// touch notes that entries of a range aren't those of the checkpoint any more.
func (s *Space) touch(start, end uint64) {
	if s.newBits == 0 {
		return
	}
	if n := len(s.touched); n == touchedMax {
		for _, r := range s.touched {
			start, end = min(start, r.Start), max(end, r.End)
		}
		s.touched = s.touched[:0]
	}
	s.touched = append(s.touched, span{start, end})
}

// settle makes the entries that changed since the checkpoint what the areas say again, after phys.Memory.Restore has made the pages' contents so.
func (s *Space) settle() error {
	for _, r := range s.touched {
		err := s.eachPage(r.Start, r.End, func(va uint64, page mmu.Page) error {
			var want uint64
			a := s.areas.find(va)
			if a != nil {
				want = entryBits(a.Prot)
			}
			switch {
			case page.Entry&own != 0 && page.Entry&filled != 0:
				if err := s.tables.Unmap(va, PageSize); err != nil {
					return err
				}
				s.frames.put(page.Frame())
			case page.Entry&protectionBits == want || page.Entry&own != 0 && a == nil:
				return nil
			default:
				if err := s.tables.Protect(va, PageSize, want); err != nil {
					return err
				}
			}
			s.later(page.Frame())
			return nil
		})
		if err != nil {
			return err
		}
	}
	s.touched = s.touched[:0]
	return nil
}
