package tree

import (
	"math"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/iovec"
)

// ReadAt reads bytes of a file or device. A file of /proc has none here.
func (t *Tree) ReadAt(n *Node, v [][]byte, off int64) (done int, e abi.Errno) {
	switch n.Kind {
	case KindDir:
		return 0, abi.EISDIR
	case KindDevice:
		return t.readDevice(n, v)
	}
	size, most := n.Size(), iovec.Total(v)
	for _, p := range v {
		p = p[:min(len(p), most-done)]
		k := int(min(int64(len(p)), max(size-off, 0)))
		if n.Image {
			copy(p[:k], n.data[min(off, size):])
		} else {
			n.copyOut(p[:k], off)
		}
		done, off = done+k, off+int64(k)
		if k < len(p) {
			break
		}
	}
	return done, 0
}

// Shared are bytes of a file of the image, not copied and never to be changed; ok is false for another node.
func (n *Node) Shared(off int64, size int) (p []byte, ok bool) {
	if !n.Image || n.Kind != KindFile {
		return nil, false
	}
	from := min(off, int64(len(n.data)))
	to := min(from+int64(size), int64(len(n.data)))
	return n.data[from:to:to], true
}

// copyOut reads bytes of a memory file that are inside its size; those without a page are 0.
func (n *Node) copyOut(p []byte, off int64) {
	for len(p) > 0 {
		in := int(off % PageSize)
		k := min(len(p), PageSize-in)
		if g := n.now.pages[off/PageSize]; g != nil {
			copy(p[:k], g.b[in:])
		} else {
			clear(p[:k])
		}
		p, off = p[k:], off+int64(k)
	}
}

// WriteAt writes bytes to a file or device: ENOSPC when there's memory for none.
func (t *Tree) WriteAt(n *Node, v [][]byte, off int64) (done int, e abi.Errno) {
	if n.Kind == KindDevice {
		return t.writeDevice(n, v)
	}
	if n.Kind != KindFile || n.Image {
		return 0, abi.EINVAL
	}
	most := iovec.Total(v)
	switch {
	case most == 0:
		return 0, 0
	case off == math.MaxInt64:
		return 0, abi.EFBIG
	case n.now.seals&abi.F_SEAL_WRITE != 0, n.now.seals&abi.F_SEAL_GROW != 0 && int64(most) > n.now.bytes-off:
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
func (t *Tree) copyIn(n *Node, p []byte, off int64) (done int) {
	for done < len(p) {
		g := t.page(n, off/PageSize)
		if g == nil {
			return done
		}
		k := copy(g.b[off%PageSize:], p[done:])
		done, off = done+k, off+int64(k)
	}
	return done
}

// page is a page of a memory file that may be written: nil when there's no memory for it.
func (t *Tree) page(n *Node, i int64) *Page {
	g := n.now.pages[i]
	if g != nil && g.owner == t && t.ledger.Fresh(g.kept) {
		return g
	}
	if g == nil && t.ledger.Now.Memory > t.ledger.Limits.Memory-PageSize {
		return nil
	}
	own := &Page{owner: t, kept: t.ledger.Made()}
	if g != nil {
		own.b = g.b
	} else {
		t.ledger.Now.Memory += PageSize
	}
	if n.now.pages == nil {
		n.now.pages = map[int64]*Page{}
	}
	n.now.pages[i] = own
	return own
}

// Resize cuts a memory file or makes it longer with zeros.
func (t *Tree) Resize(n *Node, size int64) abi.Errno {
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
func (t *Tree) punch(n *Node, from, to int64) {
	for i := range n.now.pages {
		begin := i * PageSize
		switch {
		case from-begin >= PageSize || begin >= to:
		case begin >= from && (to == math.MaxInt64 || to-begin >= PageSize):
			delete(n.now.pages, i)
			t.ledger.Now.Memory -= PageSize
		default:
			g := t.page(n, i)
			clear(g.b[max(from-begin, 0):min(to-begin, PageSize)])
		}
	}
}

// Allocate gives a range its pages: all of them or none.
func (t *Tree) Allocate(n *Node, off, end int64, mode int) abi.Errno {
	if end > n.now.bytes && n.now.seals&abi.F_SEAL_GROW != 0 && mode == 0 {
		return abi.EPERM
	}
	first, last := off/PageSize, (end-1)/PageSize
	if last-first >= t.ledger.Limits.Memory/PageSize {
		return abi.ENOSPC
	}
	missing := int64(0)
	for i := first; i <= last; i++ {
		if n.now.pages[i] == nil {
			missing++
		}
	}
	if missing*PageSize > t.ledger.Limits.Memory-t.ledger.Now.Memory {
		return abi.ENOSPC
	}
	t.ledger.Keep(&n.kept, n)
	for i := first; i <= last; i++ {
		t.page(n, i)
	}
	if mode&abi.FALLOC_FL_KEEP_SIZE == 0 {
		n.now.bytes = max(n.now.bytes, end)
	}
	n.now.ctime = t.real
	return 0
}

// Punch makes bytes zeros, and frees whole pages: fallocate with FALLOC_FL_PUNCH_HOLE.
func (t *Tree) Punch(n *Node, from, to int64) abi.Errno {
	if n.now.seals&abi.F_SEAL_WRITE != 0 {
		return abi.EPERM
	}
	t.touch(n)
	t.punch(n, from, to)
	return 0
}

// Seals are a memfd's.
func (n *Node) Seals() uint8 { return n.now.seals }

// Seal adds seals (mm/memfd.c).
func (t *Tree) Seal(n *Node, seals uint8) {
	t.ledger.Keep(&n.kept, n)
	n.now.seals |= seals
}

// SeekData is the next offset from off on that has bytes, or has none (mm/shmem.c shmem_file_llseek).
func (n *Node) SeekData(off int64, data bool) (int64, abi.Errno) {
	size := n.Size()
	if off < 0 || off >= size {
		return 0, abi.ENXIO
	}
	if n.Image {
		if data {
			return off, 0
		}
		return size, 0
	}
	if (n.now.pages[off/PageSize] != nil) == data {
		return off, 0
	}
	if data { // the lowest page behind off
		next := int64(-1)
		for i := range n.now.pages {
			if i > off/PageSize && (next < 0 || i < next) {
				next = i
			}
		}
		if next < 0 || next*PageSize >= size {
			return 0, abi.ENXIO
		}
		return next * PageSize, 0
	}
	i := off / PageSize
	for n.now.pages[i] != nil {
		i++
	}
	return min(i*PageSize, size), 0
}
