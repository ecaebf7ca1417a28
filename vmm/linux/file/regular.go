package file

import (
	"math"

	"github.com/wherry/wherry/vmm/linux/abi"
)

func (n *node) read(t *Table, f *openFile, v [][]byte) (int, abi.Errno) {
	if n.kind == nodeDevice {
		return t.readDevice(n, v)
	}
	k, e := n.readAt(f, v, f.now.off)
	if k > 0 {
		t.keep(&f.kept, f)
		f.now.off += int64(k)
	}
	return k, e
}

func (n *node) readAt(f *openFile, v [][]byte, off int64) (done int, e abi.Errno) {
	if n.kind == nodeDir {
		return 0, abi.EISDIR
	}
	size := n.size()
	if n.kind == nodeProc {
		size = int64(len(f.content))
	}
	most := total(v)
	for _, p := range v {
		p = p[:min(len(p), most-done)]
		k := int(min(int64(len(p)), max(size-off, 0)))
		switch {
		case n.kind == nodeProc:
			copy(p[:k], f.content[min(off, size):])
		case n.image:
			copy(p[:k], n.data[min(off, size):])
		default:
			n.copyOut(p[:k], off)
		}
		done, off = done+k, off+int64(k)
		if k < len(p) {
			break
		}
	}
	return done, 0
}

// copyOut reads bytes of a memory file that are inside its size; those without a page are 0.
func (n *node) copyOut(p []byte, off int64) {
	for len(p) > 0 {
		in := int(off % pageSize)
		k := min(len(p), pageSize-in)
		if g := n.now.pages[off/pageSize]; g != nil {
			copy(p[:k], g.b[in:])
		} else {
			clear(p[:k])
		}
		p, off = p[k:], off+int64(k)
	}
}

func (n *node) write(t *Table, f *openFile, v [][]byte) (int, abi.Errno) {
	if n.kind == nodeDevice {
		return t.writeDevice(n, v)
	}
	off := f.now.off
	if f.now.flags&abi.O_APPEND != 0 {
		off = n.size()
	}
	k, e := n.writeAt(t, v, off)
	if k > 0 {
		t.keep(&f.kept, f)
		f.now.off = off + int64(k)
	}
	return k, e
}

func (n *node) writeAt(t *Table, v [][]byte, off int64) (done int, e abi.Errno) {
	if n.kind != nodeFile || n.image {
		return 0, abi.EINVAL
	}
	most := total(v)
	switch {
	case most == 0:
		return 0, 0
	case off == math.MaxInt64:
		return 0, abi.EFBIG
	case n.now.seals&abi.F_SEAL_WRITE != 0, n.now.seals&abi.F_SEAL_GROW != 0 && addTime(off, int64(most)) > n.now.bytes:
		return 0, abi.EPERM
	}
	most = int(min(int64(most), math.MaxInt64-off))
	t.touch(n)
	for _, p := range v {
		p = p[:min(len(p), most-done)]
		k := t.copyIn(n, p, off)
		done, off = done+k, off+int64(k)
		if k < len(p) {
			break
		}
	}
	n.now.bytes = max(n.now.bytes, off)
	if done == 0 {
		return 0, abi.ENOSPC
	}
	return done, 0
}

// copyIn writes bytes to a memory file, and returns for how many there was memory.
func (t *Table) copyIn(n *node, p []byte, off int64) (done int) {
	for done < len(p) {
		g := t.page(n, off/pageSize)
		if g == nil {
			return done
		}
		k := copy(g.b[off%pageSize:], p[done:])
		done, off = done+k, off+int64(k)
	}
	return done
}

// page is a page of a memory file that may be written: nil when there's no memory for it.
func (t *Table) page(n *node, i int64) *page {
	g := n.now.pages[i]
	if g != nil && g.owner == t && g.generation == t.generation {
		return g
	}
	if g == nil && t.now.memory > t.limits.Memory-pageSize {
		return nil
	}
	own := &page{owner: t, generation: t.generation}
	if g != nil {
		own.b = g.b
	} else {
		t.now.memory += pageSize
	}
	if n.now.pages == nil {
		n.now.pages = map[int64]*page{}
	}
	n.now.pages[i] = own
	return own
}

// resize cuts a memory file or makes it longer with zeros.
func (t *Table) resize(n *node, size int64) abi.Errno {
	if size < n.now.bytes && n.now.seals&abi.F_SEAL_SHRINK != 0 || size > n.now.bytes && n.now.seals&abi.F_SEAL_GROW != 0 {
		return abi.EPERM
	}
	t.touch(n)
	if size <= n.now.bytes {
		t.punch(n, size, math.MaxInt64) // pages behind the end too (mm/shmem.c shmem_setattr)
	}
	n.now.bytes = size
	return 0
}

// punch makes the bytes from one offset to another zeros, and frees whole pages.
func (t *Table) punch(n *node, from, to int64) {
	for i := range n.now.pages {
		begin, end := i*pageSize, addTime(i*pageSize, pageSize)
		switch {
		case end <= from || begin >= to:
		case begin >= from && end <= to:
			delete(n.now.pages, i)
			t.now.memory -= pageSize
		default:
			g := t.page(n, i)
			clear(g.b[max(from-begin, 0):min(to-begin, pageSize)])
		}
	}
}

func (n *node) ready(*Table, *openFile) uint32 {
	return abi.POLLIN | abi.POLLOUT | abi.POLLRDNORM | abi.POLLWRNORM
}

func (n *node) edges(*Table, *openFile) (in, out uint64) { return 0, 0 }

func (n *node) closed(*Table, *openFile) {}

// memory is the memory file behind a descriptor that's open for writing.
func (t *Table) memory(fd int) (*node, abi.Errno) {
	f, e := t.getOpen(fd)
	switch {
	case e != 0:
		return nil, e
	case f.node == nil || f.node.kind != nodeFile || !f.writable():
		return nil, abi.EINVAL
	}
	return f.node, 0
}

// Ftruncate is ftruncate.
func (t *Table) Ftruncate(fd int, size int64) abi.Errno {
	if size < 0 {
		return abi.EINVAL
	}
	n, e := t.memory(fd)
	if e != 0 {
		return e
	}
	return t.resize(n, size)
}

// Truncate is truncate.
func (t *Table) Truncate(path string, size int64) abi.Errno {
	if size < 0 {
		return abi.EINVAL
	}
	w, e := t.exist(abi.AT_FDCWD, path, true)
	switch {
	case e != 0:
		return e
	case w.node == nil:
		return abi.EINVAL
	case w.node.kind == nodeDir:
		return abi.EISDIR
	case w.node.kind != nodeFile:
		return abi.EINVAL
	case w.node.image:
		return abi.EROFS
	}
	return t.resize(w.node, size)
}

// Fallocate is fallocate, with the modes that tmpfs has (mm/shmem.c shmem_fallocate).
func (t *Table) Fallocate(fd, mode int, off, size int64) abi.Errno {
	f, e := t.getOpen(fd)
	switch {
	case e != 0:
		return e
	case off < 0 || size <= 0:
		return abi.EINVAL
	case mode&^(abi.FALLOC_FL_KEEP_SIZE|abi.FALLOC_FL_PUNCH_HOLE) != 0 || mode == abi.FALLOC_FL_PUNCH_HOLE:
		return abi.EOPNOTSUPP
	case !f.writable():
		return abi.EBADF
	case f.node == nil:
		if _, ok := f.object.(*pipe); ok {
			return abi.ESPIPE
		}
		return abi.ENODEV
	case f.node.kind != nodeFile:
		return abi.ENODEV
	case off > math.MaxInt64-size:
		return abi.EFBIG
	}
	n, end := f.node, off+size
	if mode&abi.FALLOC_FL_PUNCH_HOLE != 0 {
		if n.now.seals&abi.F_SEAL_WRITE != 0 {
			return abi.EPERM
		}
		t.touch(n)
		t.punch(n, off, end)
		return 0
	}
	if end > n.now.bytes && n.now.seals&abi.F_SEAL_GROW != 0 && mode == 0 {
		return abi.EPERM
	}
	return t.allocate(n, off, end, mode)
}

// allocate gives a range its pages: all of them or none.
func (t *Table) allocate(n *node, off, end int64, mode int) abi.Errno {
	first, last := off/pageSize, (end-1)/pageSize
	if last-first >= t.limits.Memory/pageSize {
		return abi.ENOSPC
	}
	missing := int64(0)
	for i := first; i <= last; i++ {
		if n.now.pages[i] == nil {
			missing++
		}
	}
	if missing*pageSize > t.limits.Memory-t.now.memory {
		return abi.ENOSPC
	}
	t.keep(&n.kept, n)
	for i := first; i <= last; i++ {
		t.page(n, i)
	}
	if mode&abi.FALLOC_FL_KEEP_SIZE == 0 {
		n.now.bytes = max(n.now.bytes, end)
	}
	n.now.ctime = t.real
	return 0
}
