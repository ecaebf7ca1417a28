package linux

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/mmu"
)

// sourcesMax and sourceBytesMax bound the files that are mapped, as their bytes are kept.
const (
	sourcesMax     = 256
	sourceBytesMax = 256 << 20
)

const protMask = abi.PROT_READ | abi.PROT_WRITE | abi.PROT_EXEC

// pages rounds a length up to whole pages; 0 is what doesn't fit.
func pages(n uint64) uint64 {
	if n > userEnd {
		return 0
	}
	return (n + pageMask) &^ pageMask
}

// user reports whether [start, start+size) is where programs may live.
func user(start, size uint64) bool { return size <= userEnd && start <= userEnd-size }

func callMmap(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	addr, size, prot, flags := a[0], pages(a[1]), uint32(a[2]), a[3]
	kind := flags & abi.MAP_TYPE
	switch {
	case a[1] == 0:
		return 0, abi.EINVAL
	case size == 0:
		return 0, abi.ENOMEM
	case kind != abi.MAP_PRIVATE && kind != abi.MAP_SHARED && kind != abi.MAP_SHARED_VALIDATE:
		return 0, abi.EINVAL
	case a[5]&pageMask != 0 && flags&abi.MAP_ANONYMOUS == 0:
		return 0, abi.EINVAL
	case flags&abi.MAP_HUGETLB != 0:
		return 0, abi.ENOMEM // no pool of large pages, as on most hosts
	}
	n := area{Prot: prot & protMask}
	if kind != abi.MAP_PRIVATE {
		n.Kind = areaShared
	}
	if flags&abi.MAP_ANONYMOUS == 0 {
		source, e := p.mapFile(int(int32(a[4])), a[5], size, n)
		if e != 0 {
			return 0, e
		}
		n.Source = source
	}
	start, e := p.place(addr, size, flags)
	if e != 0 {
		return 0, e
	}
	n.Start, n.End = start, start+size
	if e := p.replaceArea(n); e != 0 {
		return 0, e
	}
	if flags&abi.MAP_POPULATE != 0 {
		p.populate(n.Start, n.End)
	}
	return start, 0
}

// mapFile keeps the bytes that a mapping of descriptor fd begins with. Shared mappings that can be written would have to change the file: they are
// refused as by a file system that can't.
func (p *Process) mapFile(fd int, off, size uint64, a area) (uint32, abi.Errno) {
	if a.Kind == areaShared && a.Prot&abi.PROT_WRITE != 0 {
		return 0, abi.ENODEV
	}
	total := 0
	for _, s := range p.memory.sources {
		total += len(s.bytes)
	}
	if len(p.memory.sources) >= sourcesMax || off > 1<<62 || size > sourceBytesMax || total+int(size) > sourceBytesMax {
		return 0, abi.ENOMEM
	}
	bytes, e := p.Files.Snapshot(fd, int64(off), int(size))
	if e != 0 {
		return 0, e
	}
	p.memory.sources = append(p.memory.sources, source{bytes: bytes})
	return uint32(len(p.memory.sources) - 1), 0
}

// place finds where a mapping goes.
func (p *Process) place(addr, size, flags uint64) (uint64, abi.Errno) {
	if flags&(abi.MAP_FIXED|abi.MAP_FIXED_NOREPLACE) != 0 {
		switch {
		case addr&pageMask != 0:
			return 0, abi.EINVAL
		case !user(addr, size):
			return 0, abi.ENOMEM
		case addr < userMin:
			return 0, abi.EPERM
		case flags&abi.MAP_FIXED_NOREPLACE != 0 && !p.memory.areas.free(addr, addr+size):
			return 0, abi.EEXIST
		}
		return addr, 0
	}
	if hint := (addr + pageMask) &^ pageMask; hint >= userMin && user(hint, size) && p.memory.areas.free(hint, hint+size) {
		return hint, 0
	}
	limit := uint64(mmapTop)
	if flags&abi.MAP_32BIT != 0 {
		limit = 1 << 31
	}
	start, ok := p.memory.areas.gap(size, limit)
	if !ok {
		return 0, abi.ENOMEM
	}
	return start, 0
}

// replaceArea puts n in the place of whatever is there.
func (p *Process) replaceArea(n area) abi.Errno {
	m := &p.memory
	if len(m.areas)+2 > p.options.Limits.Areas {
		return abi.ENOMEM
	}
	if !m.areas.free(n.Start, n.End) {
		if e := p.unmap(n.Start, n.End); e != 0 {
			return e
		}
	}
	m.areas = m.areas.insert(n)
	m.changed++
	// Pages that are in the tables already, from before, get what this area says.
	err := p.eachPage(n.Start, n.End, func(va uint64, page mmu.Page) error {
		if n.Source != 0 {
			p.touch(va, va+pageSize)
			if err := p.empty(va, va+pageSize); err != nil {
				return err
			}
		}
		if page.Entry&protectionBits == entryBits(n.Prot) {
			return nil
		}
		p.touch(va, va+pageSize)
		if err := p.tables.Protect(va, pageSize, entryBits(n.Prot)); err != nil {
			return err
		}
		return p.machine.Flush(page.Frame(), pageSize)
	})
	if err != nil {
		return p.fail(err)
	}
	return 0
}

func (p *Process) unmap(start, end uint64) abi.Errno {
	m := &p.memory
	m.areas = m.areas.remove(start, end)
	m.changed++
	p.touch(start, end)
	if err := p.drop(start, end); err != nil {
		return p.fail(err)
	}
	return 0
}

func callMunmap(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	start, size := a[0], pages(a[1])
	if start&pageMask != 0 || size == 0 || !user(start, size) {
		return 0, abi.EINVAL
	}
	if len(p.memory.areas)+1 > p.options.Limits.Areas {
		return 0, abi.ENOMEM
	}
	return 0, p.unmap(start, start+size)
}

func callMprotect(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	start, size, prot := a[0], pages(a[1]), uint32(a[2])
	switch {
	case start&pageMask != 0 || prot&^(protMask|abi.PROT_GROWSDOWN|abi.PROT_GROWSUP) != 0:
		return 0, abi.EINVAL
	case a[1] == 0:
		return 0, 0
	case size == 0 || !user(start, size) || !p.memory.areas.covers(start, start+size):
		return 0, abi.ENOMEM
	case len(p.memory.areas)+2 > p.options.Limits.Areas:
		return 0, abi.ENOMEM
	}
	return 0, p.protect(start, start+size, prot&protMask)
}

func (p *Process) protect(start, end uint64, prot uint32) abi.Errno {
	m := &p.memory
	for i := m.areas.after(start); i < len(m.areas) && m.areas[i].Start < end; i++ {
		if m.areas[i].Kind == areaShared && m.areas[i].Source != 0 && prot&abi.PROT_WRITE != 0 {
			return abi.EACCES
		}
	}
	m.areas = m.areas.protect(start, end, prot)
	m.changed++
	p.touch(start, end)
	want := entryBits(prot)
	err := p.eachPage(start, end, func(va uint64, page mmu.Page) error {
		has := page.Entry & protectionBits
		if has == want {
			return nil
		}
		if err := p.tables.Protect(va, pageSize, want); err != nil {
			return err
		}
		if want&has&(mmu.User|mmu.Write) == has&(mmu.User|mmu.Write) && has&mmu.NoExec|want&^mmu.NoExec == has&mmu.NoExec|want {
			return nil // it only allows more: a fault that comes of an old translation is looked at again
		}
		return p.machine.Flush(page.Frame(), pageSize)
	})
	if err != nil {
		return p.fail(err)
	}
	return 0
}

// brkMax is how far the heap may grow.
const brkMax = 1 << 40

func callBrk(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	m := &p.memory
	want := a[0]
	if want < m.heap || want > m.heap+brkMax || !user(m.heap, pages(want-m.heap)) {
		return m.brk, 0
	}
	old, end := m.heap+pages(m.brk-m.heap), m.heap+pages(want-m.heap)
	switch {
	case end > old:
		if !m.areas.free(old, end) || len(m.areas)+1 > p.options.Limits.Areas || end-old > uint64(p.options.Memory) {
			return m.brk, 0
		}
		if e := p.replaceArea(area{Start: old, End: end, Prot: abi.PROT_READ | abi.PROT_WRITE, Kind: areaHeap}); e != 0 {
			return m.brk, 0
		}
	case end < old:
		if e := p.unmap(end, old); e != 0 {
			return m.brk, 0
		}
	}
	m.brk = want
	return want, 0
}

func callMadvise(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	start, size, advice := a[0], pages(a[1]), a[2]
	switch {
	case start&pageMask != 0:
		return 0, abi.EINVAL
	case a[1] == 0:
		return 0, 0
	case size == 0 || !user(start, size):
		return 0, abi.ENOMEM
	}
	end := start + size
	switch advice {
	case abi.MADV_DONTNEED, abi.MADV_DONTNEED_LOCKED:
		if !p.memory.areas.covers(start, end) {
			return 0, abi.ENOMEM
		}
		if err := p.empty(start, end); err != nil {
			return 0, p.fail(err)
		}
	case abi.MADV_POPULATE_READ, abi.MADV_POPULATE_WRITE, abi.MADV_WILLNEED:
		if !p.memory.areas.covers(start, end) {
			return 0, abi.ENOMEM
		}
		if advice != abi.MADV_WILLNEED && !p.populate(start, end) {
			return 0, abi.EFAULT
		}
	case abi.MADV_NORMAL, abi.MADV_RANDOM, abi.MADV_SEQUENTIAL, abi.MADV_FREE, abi.MADV_DONTFORK, abi.MADV_DOFORK, abi.MADV_HUGEPAGE,
		abi.MADV_NOHUGEPAGE, abi.MADV_DONTDUMP, abi.MADV_DODUMP, abi.MADV_COLD, abi.MADV_PAGEOUT, abi.MADV_MERGEABLE, abi.MADV_UNMERGEABLE, abi.MADV_COLLAPSE:
		if !p.memory.areas.covers(start, end) {
			return 0, abi.ENOMEM
		}
	default:
		return 0, abi.EINVAL
	}
	return 0, 0
}

// populate gives all pages of a range their frames, as far as there are some.
func (p *Process) populate(start, end uint64) bool {
	for va := start; va < end; va += pageSize {
		a := p.memory.areas.find(va)
		if a == nil || a.Prot == abi.PROT_NONE {
			return false
		}
		page, err := p.tables.Lookup(va)
		if err != nil {
			return false
		}
		if page.Entry == 0 {
			if kind, err := p.bring(a, va); err != nil || kind != faultDone {
				return false
			}
		}
	}
	return true
}

func callMremap(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	old, oldSize, size, flags, to := a[0], pages(a[1]), pages(a[2]), a[3], a[4]
	l := p.memory.areas
	src := l.find(old)
	switch {
	case old&pageMask != 0 || size == 0 || oldSize == 0 || flags&^(abi.MREMAP_MAYMOVE|abi.MREMAP_FIXED) != 0:
		return 0, abi.EINVAL // and old size 0, which duplicates shared memory
	case flags&abi.MREMAP_FIXED != 0 && (flags&abi.MREMAP_MAYMOVE == 0 || to&pageMask != 0 || !user(to, size) || to < old+oldSize && old < to+size):
		return 0, abi.EINVAL
	case !user(old, oldSize) || src == nil || src.End < old+oldSize:
		return 0, abi.EFAULT
	case len(l)+4 > p.options.Limits.Areas || !user(0, size) || size > oldSize && size-oldSize > uint64(p.options.Memory):
		return 0, abi.ENOMEM
	}
	n := *src
	n.Offset += old - src.Start
	if flags&abi.MREMAP_FIXED == 0 {
		switch {
		case size == oldSize:
			return old, 0
		case size < oldSize:
			return old, p.unmap(old+size, old+oldSize)
		case src.End == old+oldSize && user(old, size) && l.free(old+oldSize, old+size):
			n.Offset += oldSize
			n.Start, n.End = old+oldSize, old+size
			return old, p.replaceArea(n)
		case flags&abi.MREMAP_MAYMOVE == 0:
			return 0, abi.ENOMEM
		}
		var ok bool
		if to, ok = l.gap(size, mmapTop); !ok {
			return 0, abi.ENOMEM
		}
	}
	n.Start, n.End = to, to+size
	if e := p.replaceArea(n); e != 0 {
		return 0, e
	}
	if e := p.move(old, to, min(size, oldSize)); e != 0 {
		return 0, e
	}
	return to, p.unmap(old, old+oldSize)
}

// move copies the pages of size bytes at old to to, where an area is.
func (p *Process) move(old, to, size uint64) abi.Errno {
	err := p.eachPage(old, old+size, func(va uint64, page mmu.Page) error {
		at := va - old + to
		a := p.memory.areas.find(at)
		if there, err := p.tables.Lookup(at); err != nil || there.Entry == 0 {
			if err != nil {
				return err
			}
			if kind, err := p.bring(a, at); err != nil || kind != faultDone {
				return errNoMemory
			}
		}
		there, err := p.tables.Lookup(at)
		if err != nil {
			return err
		}
		from, err := p.machine.Phys().Page(page.Frame(), false)
		if err != nil {
			return err
		}
		bytes := *from
		if err := p.machine.Phys().WriteAt(bytes[:], there.Frame()); err != nil {
			return err
		}
		return p.machine.Phys().SetUint64(there.At, there.Entry|mmu.Dirty)
	})
	if err != nil {
		return p.fail(err)
	}
	return 0
}

func callMincore(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	start, size := a[0], pages(a[1])
	if start&pageMask != 0 {
		return 0, abi.EINVAL
	}
	if !user(start, size) || !p.memory.areas.covers(start, start+size) || size/pageSize > uint64(p.options.Memory) {
		return 0, abi.ENOMEM
	}
	var out [pageSize]byte
	for done := uint64(0); done < size/pageSize; {
		n := min(size/pageSize-done, pageSize)
		for i := range n {
			page, err := p.tables.Lookup(start + (done+i)*pageSize)
			if err != nil {
				return 0, abi.EFAULT
			}
			out[i] = byte(page.Entry & mmu.Present)
		}
		if e := p.copyOut(a[2]+done, out[:n]); e != 0 {
			return 0, e
		}
		done += n
	}
	return 0, 0
}
