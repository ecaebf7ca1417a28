package file

import (
	"math"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/iovec"
	"github.com/wherry/wherry/vmm/linux/tree"
)

// Read is read. It moves what there is; EAGAIN when there's nothing yet.
func (t *Table) Read(fd int, p []byte) (int, abi.Errno) {
	f, e := t.get(fd)
	switch {
	case e != 0:
		return 0, e
	case !f.readable():
		return 0, abi.EBADF
	}
	t.one[0] = p
	return f.object.read(t, f, t.one[:])
}

// Readv is readv.
func (t *Table) Readv(fd int, v [][]byte) (int, abi.Errno) {
	f, e := t.get(fd)
	switch {
	case e != 0:
		return 0, e
	case !f.readable():
		return 0, abi.EBADF
	case iovec.Total(v) == 0 && !unreadable(f.object):
		return 0, 0 // before the thing is asked, which read does (fs/read_write.c vfs_readv)
	}
	return f.object.read(t, f, v)
}

// Write is write. A short count from a pipe or socket that blocks means that the program waits till the rest is written too: call again with the rest.
// EPIPE comes with SIGPIPE, but for MSG_NOSIGNAL.
func (t *Table) Write(fd int, p []byte) (int, abi.Errno) {
	f, e := t.get(fd)
	switch {
	case e != 0:
		return 0, e
	case !f.writable():
		return 0, abi.EBADF
	}
	t.one[0] = p
	return f.object.write(t, f, t.one[:])
}

// Writev is writev.
func (t *Table) Writev(fd int, v [][]byte) (int, abi.Errno) {
	f, e := t.get(fd)
	switch {
	case e != 0:
		return 0, e
	case !f.writable():
		return 0, abi.EBADF
	case iovec.Total(v) == 0 && !unwritable(f.object):
		return 0, 0
	}
	return f.object.write(t, f, v)
}

// unreadable and unwritable are the things that have no such call.
func unreadable(o object) bool { _, ok := o.(*epoll); return ok }

func unwritable(o object) bool {
	_, ok := o.(*timerfd)
	return ok || unreadable(o)
}

// Pread is pread64.
func (t *Table) Pread(fd int, p []byte, off int64) (int, abi.Errno) {
	t.one[0] = p
	return t.Preadv(fd, t.one[:], off)
}

// Preadv is preadv.
func (t *Table) Preadv(fd int, v [][]byte, off int64) (int, abi.Errno) {
	if off < 0 {
		return 0, abi.EINVAL
	}
	f, e := t.get(fd)
	if e != 0 {
		return 0, e
	}
	n, ok := f.object.(treeFile)
	switch {
	case f.now.flags&abi.O_PATH != 0:
		return 0, abi.EBADF
	case !ok:
		return 0, abi.ESPIPE
	case !f.readable():
		return 0, abi.EBADF
	}
	return n.readAt(t, f, v, off)
}

// Pwrite is pwrite64.
func (t *Table) Pwrite(fd int, p []byte, off int64) (int, abi.Errno) {
	t.one[0] = p
	return t.Pwritev(fd, t.one[:], off)
}

// Pwritev is pwritev. With O_APPEND it appends, whatever off is (BUGS in pwrite(2)).
func (t *Table) Pwritev(fd int, v [][]byte, off int64) (int, abi.Errno) {
	if off < 0 {
		return 0, abi.EINVAL
	}
	f, e := t.get(fd)
	if e != 0 {
		return 0, e
	}
	n, ok := f.object.(treeFile)
	switch {
	case f.now.flags&abi.O_PATH != 0:
		return 0, abi.EBADF
	case !ok:
		return 0, abi.ESPIPE
	case !f.writable():
		return 0, abi.EBADF
	}
	if f.now.flags&abi.O_APPEND != 0 {
		off = n.Size()
	}
	return t.tree.WriteAt(n.Node, v, off)
}

// Seek is lseek.
func (t *Table) Seek(fd int, off int64, whence int) (int64, abi.Errno) {
	f, e := t.getOpen(fd)
	if e != 0 {
		return 0, e
	}
	n, ok := f.object.(treeFile)
	switch {
	case whence < abi.SEEK_SET || whence > abi.SEEK_HOLE:
		return 0, abi.EINVAL
	case !ok && !seekable(f.object):
		return 0, abi.ESPIPE
	case !ok || n.Kind == tree.KindDevice:
		return 0, 0 // noop_llseek, null_lseek
	}
	size := n.Size()
	switch whence {
	case abi.SEEK_CUR:
		off, e = add(f.now.off, off)
	case abi.SEEK_END:
		if n.Kind != tree.KindFile {
			return 0, abi.EINVAL
		}
		off, e = add(size, off)
	case abi.SEEK_DATA, abi.SEEK_HOLE:
		if n.Kind != tree.KindFile {
			return 0, abi.EINVAL
		}
		off, e = n.SeekData(off, whence == abi.SEEK_DATA)
	}
	if e != 0 {
		return 0, e
	}
	if off < 0 {
		return 0, abi.EINVAL
	}
	t.ledger.Keep(&f.kept, f)
	f.now.off = off
	return off, 0
}

// seekable says whether lseek on a thing without bytes does nothing, instead of failing (noop_llseek).
func seekable(o object) bool {
	switch o.(type) {
	case *eventfd, *timerfd, *epoll:
		return true
	}
	return false
}

func add(a, b int64) (int64, abi.Errno) {
	if b > 0 && a > math.MaxInt64-b {
		return 0, abi.EOVERFLOW
	}
	return a + b, 0
}

// Fsync is fsync and fdatasync.
func (t *Table) Fsync(fd int) abi.Errno {
	f, e := t.getOpen(fd)
	if e != 0 {
		return e
	}
	if n, ok := f.object.(treeFile); !ok || n.Kind == tree.KindDevice {
		return abi.EINVAL
	}
	return 0
}

// Snapshot returns bytes of a regular file, for a private mapping: those of the image, which nobody changes, or a copy. It's shorter than n at the file's end. ENODEV for what can't be mapped, EACCES for
// what isn't open for reading.
func (t *Table) Snapshot(fd int, off int64, n int) ([]byte, abi.Errno) {
	f, e := t.getOpen(fd)
	switch {
	case e != 0:
		return nil, e
	case off < 0 || n < 0:
		return nil, abi.EINVAL
	case !f.readable():
		return nil, abi.EACCES
	case !f.regular():
		return nil, abi.ENODEV
	}
	size := min(int64(n), max(f.node.Size()-off, 0))
	if size > snapshotMax {
		return nil, abi.ENOMEM
	}
	if b, ok := f.node.Shared(off, int(size)); ok {
		return b, 0
	}
	b := make([]byte, size)
	_, e = t.tree.ReadAt(f.node, [][]byte{b}, off)
	return b, e
}
