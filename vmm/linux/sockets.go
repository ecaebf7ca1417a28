package linux

import "github.com/wherry/wherry/vmm/linux/abi"

var socketCalls = map[abi.Call]call{
	abi.SYS_SOCKET: {func(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
		return number(p.Files.Socket(fd(a[0]), fd(a[1]), fd(a[2])))
	}, "dxd"},
	abi.SYS_SOCKETPAIR: {callSocketpair, "dxdx"},
	abi.SYS_BIND:       {callBind, "dxd"},
	abi.SYS_LISTEN:     {func(p *Process, _ *Task, a *args) (uint64, abi.Errno) { return 0, p.Files.Listen(fd(a[0]), fd(a[1])) }, "dd"},
	abi.SYS_ACCEPT: {func(p *Process, t *Task, a *args) (uint64, abi.Errno) {
		return p.accept(t, a, 0)
	}, "dxx"},
	abi.SYS_ACCEPT4: {func(p *Process, t *Task, a *args) (uint64, abi.Errno) {
		return p.accept(t, a, fd(a[3]))
	}, "dxxx"},
	abi.SYS_CONNECT:     {callConnect, "dxd"},
	abi.SYS_GETSOCKNAME: {callGetsockname, "dxx"},
	abi.SYS_GETPEERNAME: {callGetpeername, "dxx"},
	abi.SYS_SETSOCKOPT:  {callSetsockopt, "dddxd"},
	abi.SYS_GETSOCKOPT:  {callGetsockopt, "dddxx"},
	abi.SYS_SHUTDOWN:    {func(p *Process, _ *Task, a *args) (uint64, abi.Errno) { return 0, p.Files.Shutdown(fd(a[0]), fd(a[1])) }, "dd"},
	abi.SYS_SENDTO:      {callSendto, "dbdxxd"},
	abi.SYS_RECVFROM:    {callRecvfrom, "dxdxxx"},
	abi.SYS_SENDMSG:     {callSendmsg, "dxx"},
	abi.SYS_RECVMSG:     {callRecvmsg, "dxx"},
}

// addressMax bounds a socket's address (sizeof struct sockaddr_storage), and optionMax an option's value.
const (
	addressMax = 128
	optionMax  = 1024
)

func (p *Process) bytes(va, n, most uint64) ([]byte, abi.Errno) {
	if n > most {
		return nil, abi.EINVAL
	}
	b := make([]byte, n)
	return b, p.space.CopyIn(b, va)
}

// putSized writes b to at, and its length to size, which says how much room there is.
func (p *Process) putSized(at, size uint64, b []byte) abi.Errno {
	room, e := p.space.Word32(size)
	if e != 0 {
		return e
	}
	if int32(room) < 0 {
		return abi.EINVAL
	}
	if e := p.space.CopyOut(at, b[:min(len(b), int(room))]); e != 0 {
		return e
	}
	return p.space.PutWord32(size, uint32(len(b)))
}

func callSocketpair(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	x, y, e := p.Files.Socketpair(fd(a[0]), fd(a[1]), fd(a[2]))
	if e != 0 {
		return 0, e
	}
	return 0, p.putPair(a[3], x, y)
}

func callBind(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	b, e := p.bytes(a[1], uint64(uint32(a[2])), addressMax)
	if e != 0 {
		return 0, e
	}
	return 0, p.Files.Bind(fd(a[0]), b)
}

func callConnect(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	b, e := p.bytes(a[1], uint64(uint32(a[2])), addressMax)
	if e != 0 {
		return 0, e
	}
	if e := p.Files.Connect(fd(a[0]), b); e != 0 {
		return p.waitFor(t, fd(a[0]), e)
	}
	return 0, 0
}

func (p *Process) accept(t *Task, a *args, flags int) (uint64, abi.Errno) {
	n, peer, e := p.Files.Accept(fd(a[0]), flags)
	if e != 0 {
		return p.waitFor(t, fd(a[0]), e)
	}
	if a[1] != 0 {
		if e := p.putSized(a[1], a[2], peer); e != 0 {
			_ = p.Files.Close(n)
			return 0, e
		}
	}
	return uint64(n), 0
}

func callGetsockname(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	b, e := p.Files.Getsockname(fd(a[0]))
	if e != 0 {
		return 0, e
	}
	return 0, p.putSized(a[1], a[2], b)
}

func callGetpeername(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	b, e := p.Files.Getpeername(fd(a[0]))
	if e != 0 {
		return 0, e
	}
	return 0, p.putSized(a[1], a[2], b)
}

func callSetsockopt(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	b, e := p.bytes(a[3], uint64(uint32(a[4])), optionMax)
	if e != 0 {
		return 0, e
	}
	return 0, p.Files.Setsockopt(fd(a[0]), fd(a[1]), fd(a[2]), b)
}

func callGetsockopt(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	b, e := p.Files.Getsockopt(fd(a[0]), fd(a[1]), fd(a[2]))
	if e != 0 {
		return 0, e
	}
	return 0, p.putSized(a[3], a[4], b)
}

func callSendto(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	return p.transfer(t, fd(a[0]), a[1], a[2], abi.PROT_READ, func(b []byte, _ uint64) (int, abi.Errno) {
		return p.socketWait(a[3])(p.Files.Send(fd(a[0]), [][]byte{b}, fd(a[3])))
	})
}

func callRecvfrom(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	if a[4] != 0 && a[5] != 0 { // a stream has no address for each part
		if e := p.space.PutWord32(a[5], 0); e != 0 {
			return 0, e
		}
	}
	return p.transfer(t, fd(a[0]), a[1], a[2], abi.PROT_WRITE, func(b []byte, _ uint64) (int, abi.Errno) {
		return p.socketWait(a[3])(p.Files.Recv(fd(a[0]), [][]byte{b}, fd(a[3])))
	})
}

// dontWait is EAGAIN for a call with MSG_DONTWAIT: it isn't what a task waits for.
const dontWait abi.Errno = 1021

func (p *Process) socketWait(flags uint64) func(int, abi.Errno) (int, abi.Errno) {
	return func(n int, e abi.Errno) (int, abi.Errno) {
		if e == abi.EAGAIN && flags&abi.MSG_DONTWAIT != 0 {
			e = dontWait
		}
		return n, e
	}
}

func (p *Process) msghdr(va uint64) (abi.Msghdr, abi.Errno) {
	var b [abi.MsghdrSize]byte
	var m abi.Msghdr
	if e := p.space.CopyIn(b[:], va); e != 0 {
		return m, e
	}
	m.Get(b[:])
	return m, 0
}

func callSendmsg(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	m, e := p.msghdr(a[1])
	if e != 0 {
		return 0, e
	}
	return p.writeVectors(t, &args{a[0], m.Iov, m.Iovlen}, func(b []byte) (int, abi.Errno) {
		return p.socketWait(a[2])(p.Files.Send(fd(a[0]), [][]byte{b}, fd(a[2])))
	})
}

func callRecvmsg(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	m, e := p.msghdr(a[1])
	if e != 0 {
		return 0, e
	}
	n, e := p.readVectors(t, &args{a[0], m.Iov, m.Iovlen}, func(b []byte) (int, abi.Errno) {
		return p.socketWait(a[2])(p.Files.Recv(fd(a[0]), [][]byte{b}, fd(a[2])))
	})
	if e != 0 {
		return n, e
	}
	m.Namelen, m.Controllen, m.Flags = 0, 0, 0
	var b [abi.MsghdrSize]byte
	m.Put(b[:])
	return n, p.space.CopyOut(a[1], b[:])
}
