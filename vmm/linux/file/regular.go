package file

import (
	"math"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/tree"
)

// treeFile is what an open file of the tree is of.
type treeFile struct{ *tree.Node }

func (n treeFile) read(t *Table, f *openFile, v [][]byte) (int, abi.Errno) {
	k, e := n.readAt(t, f, v, f.now.off)
	if k > 0 && n.Kind != tree.KindDevice {
		t.ledger.Keep(&f.kept, f)
		f.now.off += int64(k)
	}
	return k, e
}

// readAt reads what was made when the file was opened, of those of /proc, and the tree's bytes of others.
func (n treeFile) readAt(t *Table, f *openFile, v [][]byte, off int64) (done int, e abi.Errno) {
	if n.Kind != tree.KindProc {
		return t.tree.ReadAt(n.Node, v, off)
	}
	rest := f.content[min(off, int64(len(f.content))):]
	for _, p := range v {
		done += copy(p, rest[done:])
	}
	return done, 0
}

func (n treeFile) write(t *Table, f *openFile, v [][]byte) (int, abi.Errno) {
	off := f.now.off
	if f.now.flags&abi.O_APPEND != 0 {
		off = n.Size()
	}
	k, e := t.tree.WriteAt(n.Node, v, off)
	if k > 0 && n.Kind != tree.KindDevice {
		t.ledger.Keep(&f.kept, f)
		f.now.off = off + int64(k)
	}
	return k, e
}

func (n treeFile) stat(_ *Table, _ *openFile, s *abi.Stat) { n.Stat(s) }

func (n treeFile) ready(*Table, *openFile) uint32 {
	return abi.POLLIN | abi.POLLOUT | abi.POLLRDNORM | abi.POLLWRNORM
}

func (n treeFile) edges(*Table, *openFile) (in, out uint64) { return 0, 0 }

func (n treeFile) closed(*Table, *openFile) {}

// memory is the memory file behind a descriptor that's open for writing.
func (t *Table) memory(fd int) (*tree.Node, abi.Errno) {
	f, e := t.getOpen(fd)
	switch {
	case e != 0:
		return nil, e
	case f.node == nil || f.node.Kind != tree.KindFile || !f.writable():
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
	return t.tree.Resize(n, size)
}

// Truncate is truncate.
func (t *Table) Truncate(path string, size int64) abi.Errno {
	if size < 0 {
		return abi.EINVAL
	}
	w, e := t.tree.Exist(abi.AT_FDCWD, path, true)
	switch {
	case e != 0:
		return e
	case w.Node == nil:
		return abi.EINVAL
	case w.Node.Kind == tree.KindDir:
		return abi.EISDIR
	case w.Node.Kind != tree.KindFile:
		return abi.EINVAL
	case w.Node.Image:
		return abi.EROFS
	}
	return t.tree.Resize(w.Node, size)
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
	case f.node.Kind != tree.KindFile:
		return abi.ENODEV
	case off > math.MaxInt64-size:
		return abi.EFBIG
	}
	if mode&abi.FALLOC_FL_PUNCH_HOLE != 0 {
		return t.tree.Punch(f.node, off, off+size)
	}
	return t.tree.Allocate(f.node, off, off+size, mode)
}
