package linux

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/mmu"
)

// memory is the address space: what the areas say, and the pages that have a frame.
type memory struct {
	areas   areas
	changed uint64 // counts changes of areas, so that Restore copies them only if there were some
	sources []source
	// brk is the end of the heap, whose beginning is heap.
	heap, brk uint64
	// touched are ranges whose entries may not be what the areas of the last checkpoint say.
	touched []span
}

// source is bytes that private mappings of files begin with; beyond them are zeros up to the page's end, and SIGBUS. It doesn't change.
type source struct {
	bytes []byte
	name  string
}

// own marks entries of pages that were mapped since Resume: no checkpoint needs their frames. filled are those that don't begin with zeros.
const (
	own    = 1 << 9
	filled = 1 << 10
)

// aroundMin and aroundMax are how many pages a fault maps around it: more in an area that is large, as a fault costs far more than an entry. Large is
// largeArea bytes.
const (
	aroundMin = 16
	aroundMax = 64
	largeArea = 4 << 20
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

// faultKind says what became of a fault.
type faultKind uint8

const (
	faultDone     faultKind = iota
	faultUnmapped           // SEGV_MAPERR
	faultDenied             // SEGV_ACCERR
	faultBeyond             // SIGBUS: behind a file's end
	faultNoMemory
)

// fault gives the page at va what its area says, if that allows access.
func (p *Process) fault(va uint64, access uint32) (faultKind, error) {
	a := p.memory.areas.find(va)
	switch {
	case a == nil:
		return faultUnmapped, nil
	case !a.allows(access):
		return faultDenied, nil
	}
	va &^= pageMask
	page, err := p.tables.Lookup(va)
	if err != nil {
		return faultNoMemory, err
	}
	if page.Entry == 0 {
		p.counters.faults++
		return p.bring(a, va)
	}
	if page.Entry&protectionBits != entryBits(a.Prot) {
		p.counters.faults++
		if err := p.tables.Protect(va, pageSize, entryBits(a.Prot)); err != nil {
			return faultNoMemory, err
		}
	}
	// A processor may still have the entry as it was.
	return faultDone, p.machine.Flush(page.Frame(), pageSize)
}

// bring maps the page at va and those around it that have none.
func (p *Process) bring(a *area, va uint64) (faultKind, error) {
	if a.Source != 0 && a.Offset+(va-a.Start) >= uint64(len(p.memory.sources[a.Source].bytes)) {
		return faultBeyond, nil
	}
	around := uint64(aroundMin)
	if a.Source == 0 && a.End-a.Start >= largeArea && p.frames.left() > 4*aroundMax {
		around = aroundMax
	}
	if uint64(p.frames.left()) < 2*around {
		around = 1
	}
	start := max(a.Start, va&^(around*pageSize-1))
	end := min(a.End, (va&^(around*pageSize-1))+around*pageSize)
	if a.Source != 0 {
		end = min(end, p.sourceEnd(a))
	}
	for at := start; at < end; {
		run, err := p.absent(at, end)
		if err != nil {
			return faultNoMemory, err
		}
		if run == 0 {
			at += pageSize
			continue
		}
		n, err := p.mapRun(a, at, run)
		if err != nil {
			return faultNoMemory, err
		}
		if n == 0 {
			if page, err := p.tables.Lookup(va); err == nil && page.Entry != 0 {
				break
			}
			if !p.reclaim() {
				return faultNoMemory, nil
			}
			start, end, at = va, va+pageSize, va
			continue
		}
		at += uint64(n) * pageSize
	}
	return faultDone, nil
}

// absent is how many pages from va on, up to end, have no entry.
func (p *Process) absent(va, end uint64) (int, error) {
	n := 0
	for ; va < end; va += pageSize {
		page, err := p.tables.Lookup(va)
		if err != nil || page.Entry != 0 {
			return n, err
		}
		n++
	}
	return n, nil
}

// mapRun maps up to n pages of a at va and returns how many.
func (p *Process) mapRun(a *area, va uint64, n int) (int, error) {
	frame, n := p.frames.take(n)
	if n == 0 {
		return 0, nil
	}
	if a.Source != 0 {
		p.touch(va, va+uint64(n)*pageSize)
	}
	b := entryBits(a.Prot) | p.newBits
	size := uint64(n) * pageSize
	if a.Source != 0 {
		b |= filled
		bytes := p.memory.sources[a.Source].bytes
		off := a.Offset + (va - a.Start)
		if err := p.machine.Phys().WriteAt(bytes[off:min(off+size, uint64(len(bytes)))], frame); err != nil {
			return 0, err
		}
	}
	return n, p.tables.Map(va, frame, size, b)
}

// drop lets go of the pages of [start, end): their contents are gone. A frame that a checkpoint has stays with its address.
func (p *Process) drop(start, end uint64) error {
	return p.eachPage(start, end, func(va uint64, page mmu.Page) error {
		if err := p.zero(page); err != nil {
			return err
		}
		if page.Entry&own == own&p.newBits {
			if err := p.tables.Unmap(va, pageSize); err != nil {
				return err
			}
			p.frames.put(page.Frame())
		} else if err := p.tables.Protect(va, pageSize, 0); err != nil {
			return err
		}
		return p.machine.Flush(page.Frame(), pageSize)
	})
}

// empty makes the pages of [start, end) what they were when nobody had touched them. It's done at once: Go's heap reads zeros in pages that it gave to
// MADV_DONTNEED, and breaks if it finds anything else.
func (p *Process) empty(start, end uint64) error {
	return p.eachPage(start, end, func(va uint64, page mmu.Page) error {
		if err := p.zero(page); err != nil {
			return err
		}
		a := p.memory.areas.find(va)
		if a == nil || a.Source == 0 {
			return nil
		}
		bytes := p.memory.sources[a.Source].bytes
		off := a.Offset + (va - a.Start)
		if off >= uint64(len(bytes)) {
			return nil
		}
		return p.machine.Phys().WriteAt(bytes[off:min(off+pageSize, uint64(len(bytes)))], page.Frame())
	})
}

// zero clears a page that may have been written.
func (p *Process) zero(page mmu.Page) error {
	if page.Entry&(mmu.Dirty|filled) == 0 && page.Entry&own == own&p.newBits {
		return nil
	}
	bytes, err := p.machine.Phys().Page(page.Frame(), true)
	if err != nil {
		return err
	}
	clear(bytes[:])
	return nil
}

// eachPage calls f for each page of [start, end) that has a frame. Where there are no tables it goes fast.
func (p *Process) eachPage(start, end uint64, f func(va uint64, page mmu.Page) error) error {
	for va := start; va < end; {
		page, err := p.tables.Lookup(va)
		if err != nil {
			return err
		}
		if page.At == 0 && page.Entry == 0 {
			if next, err := p.tables.Next(va); err != nil || next > va {
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
		va += pageSize
	}
	return nil
}

// page is the memory at va for the monitor to read or write, in the program's name.
func (p *Process) page(va uint64, access uint32) (*[pageSize]byte, abi.Errno) {
	a := p.memory.areas.find(va)
	if a == nil || !a.allows(access) {
		return nil, abi.EFAULT
	}
	at := va &^ pageMask
	page, err := p.tables.Lookup(at)
	if err != nil {
		return nil, abi.EFAULT
	}
	if page.Entry == 0 || page.Entry&protectionBits != entryBits(a.Prot) {
		if kind, err := p.fault(va, access); err != nil || kind != faultDone {
			return nil, abi.EFAULT
		}
		if page, err = p.tables.Lookup(at); err != nil || page.Entry == 0 {
			return nil, abi.EFAULT
		}
	}
	write := access == abi.PROT_WRITE
	if write && page.Entry&mmu.Dirty == 0 {
		if err := p.machine.Phys().SetUint64(page.At, page.Entry|mmu.Dirty|mmu.Accessed); err != nil {
			return nil, abi.EFAULT
		}
	}
	bytes, err := p.machine.Phys().Page(page.Frame(), write)
	if err != nil {
		return nil, abi.EFAULT
	}
	return bytes, 0
}

// copyIn fills b from va on.
func (p *Process) copyIn(b []byte, va uint64) abi.Errno {
	for len(b) > 0 {
		page, e := p.page(va, abi.PROT_READ)
		if e != 0 {
			return e
		}
		n := copy(b, page[va&pageMask:])
		b, va = b[n:], va+uint64(n)
	}
	return 0
}

// copyOut writes b from va on.
func (p *Process) copyOut(va uint64, b []byte) abi.Errno {
	for len(b) > 0 {
		page, e := p.page(va, abi.PROT_WRITE)
		if e != 0 {
			return e
		}
		n := copy(page[va&pageMask:], b)
		b, va = b[n:], va+uint64(n)
	}
	return 0
}

// reach is how many of n bytes from va on the program may access, by the areas alone.
func (p *Process) reach(va, n uint64, access uint32) uint64 {
	end := va + n
	if end < va || end > userEnd {
		end = userEnd
	}
	l := p.memory.areas
	at := va
	for i := l.after(va); i < len(l) && at < end && l[i].Start <= at && l[i].allows(access); i++ {
		at = l[i].End
	}
	if at <= va {
		return 0
	}
	return min(at, end) - va
}

func (p *Process) word(va uint64) (uint64, abi.Errno) {
	var b [8]byte
	e := p.copyIn(b[:], va)
	return le.Uint64(b[:]), e
}

func (p *Process) word32(va uint64) (uint32, abi.Errno) {
	var b [4]byte
	e := p.copyIn(b[:], va)
	return le.Uint32(b[:]), e
}

func (p *Process) putWord32(va uint64, v uint32) abi.Errno {
	var b [4]byte
	le.PutUint32(b[:], v)
	return p.copyOut(va, b[:])
}

// text reads bytes up to a zero, which must come within most.
func (p *Process) text(va uint64, most int) (string, abi.Errno) {
	var out []byte
	for {
		page, e := p.page(va, abi.PROT_READ)
		if e != 0 {
			return "", e
		}
		for _, c := range page[va&pageMask:] {
			if c == 0 {
				return string(out), 0
			}
			if len(out) == most {
				return "", abi.ENAMETOOLONG
			}
			out = append(out, c)
		}
		va = va&^pageMask + pageSize
	}
}

// reclaim takes back the frames of pages that no area covers: those that the program mapped before a Restore. It reports whether there were some.
func (p *Process) reclaim() bool {
	before := p.frames.left()
	var from uint64
	for _, a := range append(append(areas{}, p.memory.areas...), area{Start: userEnd, End: userEnd}) {
		if err := p.reclaimRange(from, a.Start); err != nil {
			return false
		}
		from = a.End
	}
	return p.frames.left() > before
}

func (p *Process) reclaimRange(start, end uint64) error {
	return p.eachPage(start, end, func(va uint64, page mmu.Page) error {
		if page.Entry&own == 0 {
			return nil
		}
		bytes, err := p.machine.Phys().Page(page.Frame(), true)
		if err != nil {
			return err
		}
		clear(bytes[:])
		if err := p.tables.Unmap(va, pageSize); err != nil {
			return err
		}
		p.frames.put(page.Frame())
		return p.machine.Flush(page.Frame(), pageSize)
	})
}

// span is a range of virtual memory.
type span struct{ Start, End uint64 }

// touchedMax bounds how many ranges Restore looks at; more become one.
const touchedMax = 32

// touch notes that entries of a range aren't those of the checkpoint any more.
func (p *Process) touch(start, end uint64) {
	if p.newBits == 0 {
		return
	}
	m := &p.memory
	if n := len(m.touched); n == touchedMax {
		for _, s := range m.touched {
			start, end = min(start, s.Start), max(end, s.End)
		}
		m.touched = m.touched[:0]
	}
	m.touched = append(m.touched, span{start, end})
}

// settle makes the entries that changed since the checkpoint what the areas say again, after phys.Memory.Restore has made the pages' contents so.
func (p *Process) settle() error {
	for _, s := range p.memory.touched {
		err := p.eachPage(s.Start, s.End, func(va uint64, page mmu.Page) error {
			var want uint64
			a := p.memory.areas.find(va)
			if a != nil {
				want = entryBits(a.Prot)
			}
			switch {
			case page.Entry&own != 0 && page.Entry&filled != 0:
				if err := p.tables.Unmap(va, pageSize); err != nil {
					return err
				}
				p.frames.put(page.Frame())
			case page.Entry&protectionBits == want || page.Entry&own != 0 && a == nil:
				return nil
			default:
				if err := p.tables.Protect(va, pageSize, want); err != nil {
					return err
				}
			}
			return p.machine.Flush(page.Frame(), pageSize)
		})
		if err != nil {
			return err
		}
	}
	p.memory.touched = p.memory.touched[:0]
	return nil
}
