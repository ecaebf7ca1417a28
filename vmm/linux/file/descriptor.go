package file

import (
	"math/bits"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/tree"
)

// Close is close.
func (t *Table) Close(fd int) abi.Errno {
	f, e := t.get(fd)
	if e != 0 {
		return e
	}
	t.ledger.Keep(&t.slots.kept, &t.slots)
	t.slots.fds[fd] = slot{}
	t.release(f)
	return 0
}

// CloseRange is close_range.
func (t *Table) CloseRange(first, last uint32, flags int) abi.Errno {
	if flags&^(abi.CLOSE_RANGE_UNSHARE|abi.CLOSE_RANGE_CLOEXEC) != 0 || first > last {
		return abi.EINVAL
	}
	for fd := int64(first); fd <= int64(last) && fd < int64(len(t.slots.fds)); fd++ {
		switch {
		case t.slots.fds[fd].file == nil:
		case flags&abi.CLOSE_RANGE_CLOEXEC != 0:
			t.ledger.Keep(&t.slots.kept, &t.slots)
			t.slots.fds[fd].cloexec = true
		default:
			t.Close(int(fd))
		}
	}
	return 0
}

// Dup is dup.
func (t *Table) Dup(fd int) (int, abi.Errno) { return t.dup(fd, 0, false) }

func (t *Table) dup(fd, low int, cloexec bool) (int, abi.Errno) {
	f, e := t.get(fd)
	if e != 0 {
		return 0, e
	}
	to, e := t.free(low)
	if e != 0 {
		return 0, e
	}
	t.ledger.Keep(&f.kept, f)
	f.now.refs++
	t.set(to, f, cloexec)
	return to, 0
}

// Dup2 is dup2.
func (t *Table) Dup2(fd, to int) (int, abi.Errno) {
	if fd == to {
		_, e := t.get(fd)
		return to, e
	}
	return t.Dup3(fd, to, 0)
}

// Dup3 is dup3.
func (t *Table) Dup3(fd, to, flags int) (int, abi.Errno) {
	if flags&^abi.O_CLOEXEC != 0 || fd == to {
		return 0, abi.EINVAL
	}
	if to < 0 || to >= t.ledger.Limits.Descriptors {
		return 0, abi.EBADF
	}
	f, e := t.get(fd)
	if e != 0 {
		return 0, e
	}
	t.ledger.Keep(&f.kept, f)
	f.now.refs++
	if old, e := t.get(to); e == 0 {
		t.release(old)
	}
	t.set(to, f, flags&abi.O_CLOEXEC != 0)
	return to, 0
}

// settable are the flags that F_SETFL changes (SETFL_MASK in fs/fcntl.c).
const settable = abi.O_APPEND | abi.O_NONBLOCK | abi.O_DIRECT | abi.O_NOATIME

// Fcntl does all but F_GETLK, for which it's 0 and the caller writes F_UNLCK: there's nobody else who could hold a lock.
func (t *Table) Fcntl(fd, cmd int, arg uint64) (uint64, abi.Errno) {
	f, e := t.get(fd)
	if e != 0 {
		return 0, e
	}
	if f.now.flags&abi.O_PATH != 0 && cmd != abi.F_DUPFD && cmd != abi.F_DUPFD_CLOEXEC && cmd != abi.F_GETFD && cmd != abi.F_SETFD && cmd != abi.F_GETFL {
		return 0, abi.EBADF
	}
	switch cmd {
	case abi.F_DUPFD, abi.F_DUPFD_CLOEXEC:
		if arg >= uint64(t.ledger.Limits.Descriptors) {
			return 0, abi.EINVAL
		}
		to, e := t.dup(fd, int(arg), cmd == abi.F_DUPFD_CLOEXEC)
		return uint64(to), e
	case abi.F_GETFD:
		if t.slots.fds[fd].cloexec {
			return abi.FD_CLOEXEC, 0
		}
		return 0, 0
	case abi.F_SETFD:
		t.ledger.Keep(&t.slots.kept, &t.slots)
		t.slots.fds[fd].cloexec = arg&abi.FD_CLOEXEC != 0
		return 0, 0
	case abi.F_GETFL:
		return uint64(f.now.flags), 0
	case abi.F_SETFL:
		t.ledger.Keep(&f.kept, f)
		f.now.flags = f.now.flags&^settable | int(arg&settable)
		return 0, 0
	case abi.F_GETLK, abi.F_SETLK, abi.F_SETLKW, abi.F_SETOWN, abi.F_GETOWN, abi.F_SETSIG, abi.F_GETSIG:
		return 0, 0
	case abi.F_GETPIPE_SZ, abi.F_SETPIPE_SZ:
		return t.pipeSize(f, cmd, arg)
	case abi.F_GET_SEALS, abi.F_ADD_SEALS:
		return t.seal(f, cmd, arg)
	}
	return 0, abi.EINVAL
}

// pipeSize gives or sets how many bytes a pipe holds (fs/pipe.c pipe_fcntl).
func (t *Table) pipeSize(f *openFile, cmd int, arg uint64) (uint64, abi.Errno) {
	p, ok := f.object.(*pipe)
	if !ok {
		return 0, abi.EBADF
	}
	if cmd == abi.F_GETPIPE_SZ {
		return uint64(p.now.slots) * pageSize, 0
	}
	arg = uint64(uint32(arg))
	switch {
	case arg > 1<<31:
		return 0, abi.EINVAL
	case arg > pipeSizeMax:
		return 0, abi.EPERM
	}
	size := uint64(pageSize)
	if arg > pageSize {
		size = 1 << bits.Len64(arg-1)
	}
	if int(size/pageSize) < len(p.now.pages) {
		return 0, abi.EBUSY
	}
	t.ledger.Keep(&p.kept, p)
	p.now.slots = int(size / pageSize)
	t.ledger.Version++
	return size, 0
}

// seal gives or adds the seals of a memfd (mm/memfd.c).
func (t *Table) seal(f *openFile, cmd int, arg uint64) (uint64, abi.Errno) {
	if !f.regular() || f.node.Image {
		return 0, abi.EINVAL
	}
	n := f.node
	if cmd == abi.F_GET_SEALS {
		return uint64(n.Seals()), 0
	}
	switch {
	case !f.writable() || n.Seals()&abi.F_SEAL_SEAL != 0:
		return 0, abi.EPERM
	case arg&^uint64(abi.F_SEAL_SEAL|abi.F_SEAL_SHRINK|abi.F_SEAL_GROW|abi.F_SEAL_WRITE) != 0:
		return 0, abi.EINVAL
	}
	t.tree.Seal(n, uint8(arg))
	return 0, 0
}

// Ioctl gives back what the caller writes where arg points to, for FIONREAD; for FIONBIO value is what it read there.
func (t *Table) Ioctl(fd int, request, value uint32) (uint32, abi.Errno) {
	f, e := t.getOpen(fd)
	if e != 0 {
		return 0, e
	}
	switch request {
	case abi.FIOCLEX, abi.FIONCLEX:
		t.ledger.Keep(&t.slots.kept, &t.slots)
		t.slots.fds[fd].cloexec = request == abi.FIOCLEX
		return 0, 0
	case abi.FIONBIO:
		t.ledger.Keep(&f.kept, f)
		f.now.flags &^= abi.O_NONBLOCK
		if value != 0 {
			f.now.flags |= abi.O_NONBLOCK
		}
		return 0, 0
	case abi.FIOASYNC:
		switch f.object.(type) {
		case *pipe, socketFile, *stream:
			return 0, 0 // as F_SETOWN: nobody sends SIGIO
		}
	case abi.FIONREAD:
		switch o := f.object.(type) {
		case *epoll:
			return 0, abi.EINVAL
		case *pipe:
			return uint32(o.now.buffer.Len()), 0
		case socketFile:
			if o.Listens() {
				return 0, abi.EINVAL
			}
			return uint32(o.Len()), 0
		case *stream:
			if o.number == 0 {
				return uint32(o.now.buffer.Len()), 0
			}
		case treeFile:
			if o.Kind == tree.KindFile {
				return uint32(max(o.Size()-f.now.off, 0)), 0
			}
		}
	}
	return 0, abi.ENOTTY
}

// Flock is flock: nobody else could hold the lock.
func (t *Table) Flock(fd, op int) abi.Errno {
	if op&^4 != 1 && op&^4 != 2 && op&^4 != 8 {
		return abi.EINVAL
	}
	_, e := t.getOpen(fd)
	return e
}

// Blocking says whether the program wants to wait where fd says EAGAIN: O_NONBLOCK isn't set.
func (t *Table) Blocking(fd int) bool {
	f, e := t.get(fd)
	return e == 0 && f.now.flags&abi.O_NONBLOCK == 0
}
