package plain

import "github.com/wherry/wherry/vmm/linux/abi"

var descriptors = map[abi.Call]Call{
	abi.SYS_EPOLL_CREATE:  {callEpollCreate, "d"},
	abi.SYS_EPOLL_CREATE1: {callEpollCreate1, "x"},
	abi.SYS_EPOLL_CTL:     {callEpollCtl, "dddx"},
	abi.SYS_LSEEK:         {callLseek, "dld"},
	abi.SYS_CLOSE:         {callClose, "d"},
	abi.SYS_CLOSE_RANGE:   {callCloseRange, "ddx"},
	abi.SYS_DUP:           {callDup, "d"},
	abi.SYS_DUP2:          {callDup2, "dd"},
	abi.SYS_DUP3:          {callDup3, "ddx"},
	abi.SYS_FCNTL:         {callFcntl, "ddx"},
	abi.SYS_IOCTL:         {callIoctl, "dxx"},
	abi.SYS_FLOCK: {func(p Process, a *Args) (uint64, abi.Errno) {
		return 0, p.Files.Flock(fd(a[0]), int(int32(a[1])))
	}, "dd"},
	abi.SYS_FTRUNCATE: {func(p Process, a *Args) (uint64, abi.Errno) {
		return 0, p.Files.Ftruncate(fd(a[0]), int64(a[1]))
	}, "dl"},
	abi.SYS_FALLOCATE: {func(p Process, a *Args) (uint64, abi.Errno) {
		return 0, p.Files.Fallocate(fd(a[0]), int(int32(a[1])), int64(a[2]), int64(a[3]))
	}, "dxll"},
	abi.SYS_FSYNC:        {callFsync, "d"},
	abi.SYS_FDATASYNC:    {callFsync, "d"},
	abi.SYS_PIPE:         {callPipe, "x"},
	abi.SYS_PIPE2:        {callPipe2, "xx"},
	abi.SYS_EVENTFD:      {callEventfd, "d"},
	abi.SYS_EVENTFD2:     {callEventfd2, "dx"},
	abi.SYS_MEMFD_CREATE: {callMemfd, "sx"},
	abi.SYS_TIMERFD_CREATE: {func(p Process, a *Args) (uint64, abi.Errno) {
		return number(p.Files.Timerfd(int(int32(a[0])), int(int32(a[1]))))
	}, "dx"},
	abi.SYS_TIMERFD_SETTIME: {callTimerfdSettime, "dxxx"},
	abi.SYS_TIMERFD_GETTIME: {callTimerfdGettime, "dx"},
}

func callLseek(p Process, a *Args) (uint64, abi.Errno) {
	n, e := p.Files.Seek(fd(a[0]), int64(a[1]), int(int32(a[2])))
	return uint64(n), e
}

func callClose(p Process, a *Args) (uint64, abi.Errno) { return 0, p.Files.Close(fd(a[0])) }

func callCloseRange(p Process, a *Args) (uint64, abi.Errno) {
	return 0, p.Files.CloseRange(uint32(a[0]), uint32(a[1]), int(int32(a[2])))
}

func callDup(p Process, a *Args) (uint64, abi.Errno) { return number(p.Files.Dup(fd(a[0]))) }

func callDup2(p Process, a *Args) (uint64, abi.Errno) {
	return number(p.Files.Dup2(fd(a[0]), fd(a[1])))
}

func callDup3(p Process, a *Args) (uint64, abi.Errno) {
	return number(p.Files.Dup3(fd(a[0]), fd(a[1]), int(int32(a[2]))))
}

func callFcntl(p Process, a *Args) (uint64, abi.Errno) {
	n, e := p.Files.Fcntl(fd(a[0]), int(int32(a[1])), a[2])
	if e == 0 && int32(a[1]) == abi.F_GETLK {
		var b [2]byte // l_type comes first in struct flock
		le.PutUint16(b[:], abi.F_UNLCK)
		return 0, p.Space.CopyOut(a[2], b[:])
	}
	return n, e
}

func callIoctl(p Process, a *Args) (uint64, abi.Errno) {
	request, value := uint32(a[1]), uint32(0)
	if request == abi.FIONBIO || request == abi.FIOASYNC {
		var e abi.Errno
		if value, e = p.Space.Word32(a[2]); e != 0 {
			return 0, e
		}
	}
	n, e := p.Files.Ioctl(fd(a[0]), request, value)
	if e == 0 && request == abi.FIONREAD {
		return 0, p.Space.PutWord32(a[2], n)
	}
	return 0, e
}

func callFsync(p Process, a *Args) (uint64, abi.Errno) { return 0, p.Files.Fsync(fd(a[0])) }

func callPipe(p Process, a *Args) (uint64, abi.Errno) { return callPipe2(p, &Args{a[0]}) }

func callPipe2(p Process, a *Args) (uint64, abi.Errno) {
	r, w, e := p.Files.Pipe(int(int32(a[1])))
	if e != 0 {
		return 0, e
	}
	return 0, p.putPair(a[0], r, w)
}

// putPair writes two new descriptors, and closes them if it can't.
func (p Process) putPair(at uint64, x, y int) abi.Errno {
	var b [8]byte
	le.PutUint32(b[:], uint32(x))
	le.PutUint32(b[4:], uint32(y))
	e := p.Space.CopyOut(at, b[:])
	if e != 0 {
		_, _ = p.Files.Close(x), p.Files.Close(y)
	}
	return e
}

func callEventfd(p Process, a *Args) (uint64, abi.Errno) {
	return number(p.Files.Eventfd(uint32(a[0]), 0))
}

func callEventfd2(p Process, a *Args) (uint64, abi.Errno) {
	return number(p.Files.Eventfd(uint32(a[0]), int(int32(a[1]))))
}

func callMemfd(p Process, a *Args) (uint64, abi.Errno) {
	name, e := p.Space.Text(a[0], PathMax)
	if e != 0 {
		return 0, e
	}
	return number(p.Files.Memfd(name, int(int32(a[1]))))
}

func callTimerfdSettime(p Process, a *Args) (uint64, abi.Errno) {
	var b [abi.ItimerspecSize]byte
	if e := p.Space.CopyIn(b[:], a[2]); e != 0 {
		return 0, e
	}
	var n abi.Itimerspec
	if e := n.Get(b[:]); e != 0 {
		return 0, e
	}
	old, e := p.Files.TimerfdSettime(fd(a[0]), int(int32(a[1])), n)
	if e != 0 || a[3] == 0 {
		return 0, e
	}
	old.Put(b[:])
	return 0, p.Space.CopyOut(a[3], b[:])
}

func callTimerfdGettime(p Process, a *Args) (uint64, abi.Errno) {
	var b [abi.ItimerspecSize]byte
	now, e := p.Files.TimerfdGettime(fd(a[0]))
	if e != 0 {
		return 0, e
	}
	now.Put(b[:])
	return 0, p.Space.CopyOut(a[1], b[:])
}

func callEpollCreate(p Process, a *Args) (uint64, abi.Errno) {
	if int32(a[0]) <= 0 {
		return 0, abi.EINVAL
	}
	return number(p.Files.EpollCreate(0))
}

func callEpollCreate1(p Process, a *Args) (uint64, abi.Errno) {
	return number(p.Files.EpollCreate(int(int32(a[0]))))
}

func callEpollCtl(p Process, a *Args) (uint64, abi.Errno) {
	var event abi.EpollEvent
	if int32(a[1]) != abi.EPOLL_CTL_DEL {
		var b [abi.EpollEventSize]byte
		if e := p.Space.CopyIn(b[:], a[3]); e != 0 {
			return 0, e
		}
		event.Get(b[:])
	}
	return 0, p.Files.EpollCtl(fd(a[0]), int(int32(a[1])), fd(a[2]), event)
}
