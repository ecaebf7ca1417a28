package space

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/mmu"
)

// SourcesMax and SourceBytesMax bound the files that are mapped, as their bytes are kept.
const (
	SourcesMax     = 256
	SourceBytesMax = 256 << 20
	// firstFile is the first source that mmap has: before it are zeros and the program.
	firstFile = 2
)

const protMask = abi.PROT_READ | abi.PROT_WRITE | abi.PROT_EXEC

// pages rounds a length up to whole pages; 0 is what doesn't fit.
func pages(n uint64) uint64 {
	if n > UserEnd {
		return 0
	}
	return (n + PageMask) &^ PageMask
}

// user reports whether [start, start+size) is where programs may live.
func user(start, size uint64) bool { return size <= UserEnd && start <= UserEnd-size }

// Map is mmap. For a mapping of a file, read gives up to size bytes from its offset on.
func (s *Space) Map(addr, length, prot, flags, offset uint64, read func(size uint64) ([]byte, abi.Errno)) (uint64, abi.Errno) {
	size := pages(length)
	kind := flags & abi.MAP_TYPE
	switch {
	case length == 0:
		return 0, abi.EINVAL
	case size == 0:
		return 0, abi.ENOMEM
	case kind != abi.MAP_PRIVATE && kind != abi.MAP_SHARED && kind != abi.MAP_SHARED_VALIDATE:
		return 0, abi.EINVAL
	case offset&PageMask != 0 && flags&abi.MAP_ANONYMOUS == 0:
		return 0, abi.EINVAL
	case flags&abi.MAP_HUGETLB != 0:
		return 0, abi.ENOMEM // no pool of large pages, as on most hosts
	}
	n := Area{Prot: uint32(prot) & protMask}
	if kind != abi.MAP_PRIVATE {
		n.Kind = Shared
	}
	start, e := s.place(addr, size, flags)
	if e != 0 {
		return 0, e
	}
	if flags&abi.MAP_ANONYMOUS == 0 {
		if n.Source, e = s.file(size, n, read); e != 0 {
			return 0, e
		}
	}
	n.Start, n.End = start, start+size
	if e := s.Put(n); e != 0 {
		return 0, e
	}
	if flags&abi.MAP_POPULATE != 0 {
		s.populate(n.Start, n.End)
	}
	return start, 0
}

// file keeps the bytes that a mapping begins with. Shared mappings that can be written would have to change the file: they are refused as by a file system
// that can't.
func (s *Space) file(size uint64, a Area, read func(size uint64) ([]byte, abi.Errno)) (uint32, abi.Errno) {
	if a.Kind == Shared && a.Prot&abi.PROT_WRITE != 0 {
		return 0, abi.ENODEV
	}
	total := 0
	for _, r := range s.sources {
		total += len(r.Bytes)
	}
	if size > SourceBytesMax || total+int(size) > SourceBytesMax {
		return 0, abi.ENOMEM
	}
	bytes, e := read(size)
	if e != 0 {
		return 0, e
	}
	return s.AddSource(Source{Bytes: bytes})
}

// AddSource keeps bytes that areas begin with, where those of another are that no area has any more, or at the end.
func (s *Space) AddSource(n Source) (uint32, abi.Errno) {
	used := make([]bool, len(s.sources))
	for _, a := range s.areas {
		used[a.Source] = true
	}
	for i := firstFile; i < len(s.sources); i++ {
		if !used[i] {
			s.sources[i] = n
			s.changed++
			return uint32(i), 0
		}
	}
	if len(s.sources) >= SourcesMax {
		return 0, abi.ENOMEM
	}
	s.sources = append(s.sources, n)
	s.changed++
	return uint32(len(s.sources) - 1), 0
}

// place finds where a mapping goes.
func (s *Space) place(addr, size, flags uint64) (uint64, abi.Errno) {
	if flags&(abi.MAP_FIXED|abi.MAP_FIXED_NOREPLACE) != 0 {
		switch {
		case addr&PageMask != 0:
			return 0, abi.EINVAL
		case !user(addr, size):
			return 0, abi.ENOMEM
		case addr < UserMin:
			return 0, abi.EPERM
		case flags&abi.MAP_FIXED_NOREPLACE != 0 && !s.areas.free(addr, addr+size):
			return 0, abi.EEXIST
		}
		return addr, 0
	}
	if hint := (addr + PageMask) &^ PageMask; hint >= UserMin && user(hint, size) && s.areas.free(hint, hint+size) {
		return hint, 0
	}
	limit := uint64(MapTop)
	if flags&abi.MAP_32BIT != 0 {
		limit = 1 << 31
	}
	start, ok := s.areas.gap(size, limit)
	if !ok {
		return 0, abi.ENOMEM
	}
	return start, 0
}

// Put puts n in the place of whatever is there.
func (s *Space) Put(n Area) abi.Errno {
	if len(s.areas)+2 > s.areasMax {
		return abi.ENOMEM
	}
	if !s.areas.free(n.Start, n.End) {
		if e := s.unmap(n.Start, n.End); e != 0 {
			return e
		}
	}
	s.areas = s.areas.insert(n)
	s.changed++
	// Pages that are in the tables already, from before, get what this area says.
	err := s.eachPage(n.Start, n.End, func(va uint64, page mmu.Page) error {
		if n.Source != 0 {
			s.touch(va, va+PageSize)
			if err := s.empty(va, va+PageSize); err != nil {
				return err
			}
		}
		has, want := page.Entry&protectionBits, entryBits(n.Prot)
		if has == want {
			return nil
		}
		s.touch(va, va+PageSize)
		if err := s.tables.Protect(va, PageSize, want); err != nil || widens(has, want) {
			return err
		}
		s.later(page.Frame())
		return nil
	})
	if err != nil {
		return s.Fail(err)
	}
	return 0
}

func (s *Space) unmap(start, end uint64) abi.Errno {
	s.areas = s.areas.remove(start, end)
	s.changed++
	s.touch(start, end)
	if err := s.drop(start, end); err != nil {
		return s.Fail(err)
	}
	return 0
}

// Unmap is munmap.
func (s *Space) Unmap(start, length uint64) (uint64, abi.Errno) {
	size := pages(length)
	if start&PageMask != 0 || size == 0 || !user(start, size) {
		return 0, abi.EINVAL
	}
	if len(s.areas)+1 > s.areasMax {
		return 0, abi.ENOMEM
	}
	return 0, s.unmap(start, start+size)
}

// Protect is mprotect.
func (s *Space) Protect(start, length uint64, prot uint32) (uint64, abi.Errno) {
	size := pages(length)
	switch {
	case start&PageMask != 0 || prot&^(protMask|abi.PROT_GROWSDOWN|abi.PROT_GROWSUP) != 0:
		return 0, abi.EINVAL
	case length == 0:
		return 0, 0
	case size == 0 || !user(start, size) || !s.areas.covers(start, start+size):
		return 0, abi.ENOMEM
	case len(s.areas)+2 > s.areasMax:
		return 0, abi.ENOMEM
	}
	return 0, s.protect(start, start+size, prot&protMask)
}

func (s *Space) protect(start, end uint64, prot uint32) abi.Errno {
	for i := s.areas.after(start); i < len(s.areas) && s.areas[i].Start < end; i++ {
		if s.areas[i].Kind == Shared && s.areas[i].Source != 0 && prot&abi.PROT_WRITE != 0 {
			return abi.EACCES
		}
	}
	s.areas = s.areas.protect(start, end, prot)
	s.changed++
	s.touch(start, end)
	want := entryBits(prot)
	err := s.eachPage(start, end, func(va uint64, page mmu.Page) error {
		has := page.Entry & protectionBits
		if has == want {
			return nil
		}
		if err := s.tables.Protect(va, PageSize, want); err != nil {
			return err
		}
		if widens(has, want) {
			return nil
		}
		s.later(page.Frame())
		return nil
	})
	if err != nil {
		return s.Fail(err)
	}
	return 0
}

// brkMax is how far the heap may grow.
const brkMax = 1 << 40

// SetBreak is brk: it returns where the heap ends now.
func (s *Space) SetBreak(want uint64) (uint64, abi.Errno) {
	if want < s.heap || want > s.heap+brkMax || !user(s.heap, pages(want-s.heap)) {
		return s.brk, 0
	}
	old, end := s.heap+pages(s.brk-s.heap), s.heap+pages(want-s.heap)
	switch {
	case end > old:
		if !s.areas.free(old, end) || len(s.areas)+1 > s.areasMax || end-old > s.size {
			return s.brk, 0
		}
		if e := s.Put(Area{Start: old, End: end, Prot: abi.PROT_READ | abi.PROT_WRITE, Kind: Heap}); e != 0 {
			return s.brk, 0
		}
	case end < old:
		if e := s.unmap(end, old); e != 0 {
			return s.brk, 0
		}
	}
	s.brk = want
	return want, 0
}

// Advise is madvise.
func (s *Space) Advise(start, length, advice uint64) (uint64, abi.Errno) {
	size := pages(length)
	switch {
	case start&PageMask != 0:
		return 0, abi.EINVAL
	case length == 0:
		return 0, 0
	case size == 0 || !user(start, size):
		return 0, abi.ENOMEM
	}
	end := start + size
	switch advice {
	case abi.MADV_DONTNEED, abi.MADV_DONTNEED_LOCKED:
		if !s.areas.covers(start, end) {
			return 0, abi.ENOMEM
		}
		if err := s.empty(start, end); err != nil {
			return 0, s.Fail(err)
		}
	case abi.MADV_POPULATE_READ, abi.MADV_POPULATE_WRITE, abi.MADV_WILLNEED:
		if !s.areas.covers(start, end) {
			return 0, abi.ENOMEM
		}
		if advice != abi.MADV_WILLNEED && !s.populate(start, end) {
			return 0, abi.EFAULT
		}
	case abi.MADV_NORMAL, abi.MADV_RANDOM, abi.MADV_SEQUENTIAL, abi.MADV_FREE, abi.MADV_DONTFORK, abi.MADV_DOFORK, abi.MADV_HUGEPAGE,
		abi.MADV_NOHUGEPAGE, abi.MADV_DONTDUMP, abi.MADV_DODUMP, abi.MADV_COLD, abi.MADV_PAGEOUT, abi.MADV_MERGEABLE, abi.MADV_UNMERGEABLE, abi.MADV_COLLAPSE:
		if !s.areas.covers(start, end) {
			return 0, abi.ENOMEM
		}
	default:
		return 0, abi.EINVAL
	}
	return 0, 0
}

// populate gives all pages of a range their frames, as far as there are some.
func (s *Space) populate(start, end uint64) bool {
	for va := start; va < end; va += PageSize {
		a := s.areas.find(va)
		if a == nil || a.Prot == abi.PROT_NONE {
			return false
		}
		page, err := s.tables.Lookup(va)
		if err != nil {
			return false
		}
		if page.Entry == 0 {
			if kind, err := s.bring(a, va); err != nil || kind != Done {
				return false
			}
		}
	}
	return true
}

// Remap is mremap.
func (s *Space) Remap(old, oldLength, length, flags, to uint64) (uint64, abi.Errno) {
	oldSize, size := pages(oldLength), pages(length)
	l := s.areas
	src := l.find(old)
	switch {
	case old&PageMask != 0 || size == 0 || oldSize == 0 || flags&^(abi.MREMAP_MAYMOVE|abi.MREMAP_FIXED) != 0:
		return 0, abi.EINVAL // and old size 0, which duplicates shared memory
	case flags&abi.MREMAP_FIXED != 0 && (flags&abi.MREMAP_MAYMOVE == 0 || to&PageMask != 0 || !user(to, size) || to < old+oldSize && old < to+size):
		return 0, abi.EINVAL
	case !user(old, oldSize) || src == nil || src.End < old+oldSize:
		return 0, abi.EFAULT
	case len(l)+4 > s.areasMax || !user(0, size) || size > oldSize && size-oldSize > s.size:
		return 0, abi.ENOMEM
	}
	n := *src
	n.Offset += old - src.Start
	if flags&abi.MREMAP_FIXED == 0 {
		switch {
		case size == oldSize:
			return old, 0
		case size < oldSize:
			return old, s.unmap(old+size, old+oldSize)
		case src.End == old+oldSize && user(old, size) && l.free(old+oldSize, old+size):
			n.Offset += oldSize
			n.Start, n.End = old+oldSize, old+size
			return old, s.Put(n)
		case flags&abi.MREMAP_MAYMOVE == 0:
			return 0, abi.ENOMEM
		}
		var ok bool
		if to, ok = l.gap(size, MapTop); !ok {
			return 0, abi.ENOMEM
		}
	}
	n.Start, n.End = to, to+size
	if e := s.Put(n); e != 0 {
		return 0, e
	}
	if e := s.move(old, to, min(size, oldSize)); e != 0 {
		return 0, e
	}
	return to, s.unmap(old, old+oldSize)
}

// move copies the pages of size bytes at old to to, where an area is.
func (s *Space) move(old, to, size uint64) abi.Errno {
	err := s.eachPage(old, old+size, func(va uint64, page mmu.Page) error {
		at := va - old + to
		a := s.areas.find(at)
		if there, err := s.tables.Lookup(at); err != nil || there.Entry == 0 {
			if err != nil {
				return err
			}
			if kind, err := s.bring(a, at); err != nil || kind != Done {
				return ErrNoMemory
			}
		}
		there, err := s.tables.Lookup(at)
		if err != nil {
			return err
		}
		from, err := s.machine.Phys().Page(page.Frame(), false)
		if err != nil {
			return err
		}
		bytes := *from
		if err := s.machine.Phys().WriteAt(bytes[:], there.Frame()); err != nil {
			return err
		}
		return s.machine.Phys().SetUint64(there.At, there.Entry|mmu.Dirty)
	})
	if err != nil {
		return s.Fail(err)
	}
	return 0
}

// incoreMax bounds the pages of one mincore, as it looks at each.
const incoreMax = 1 << 20

// Incore is mincore: it writes a byte for each page at out.
func (s *Space) Incore(start, length, out uint64) (uint64, abi.Errno) {
	size := pages(length)
	if start&PageMask != 0 {
		return 0, abi.EINVAL
	}
	if !user(start, size) || !s.areas.covers(start, start+size) || size/PageSize > incoreMax {
		return 0, abi.ENOMEM
	}
	var b [PageSize]byte
	for done := uint64(0); done < size/PageSize; {
		n := min(size/PageSize-done, PageSize)
		for i := range n {
			page, err := s.tables.Lookup(start + (done+i)*PageSize)
			if err != nil {
				return 0, abi.EFAULT
			}
			b[i] = byte(page.Entry & mmu.Present)
		}
		if e := s.CopyOut(out+done, b[:n]); e != 0 {
			return 0, e
		}
		done += n
	}
	return 0, 0
}
