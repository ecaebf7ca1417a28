package linux

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/plain"
)

var socketCalls = map[abi.Call]call{
	abi.SYS_ACCEPT: {func(p *Process, t *Task, a *args) (uint64, abi.Errno) {
		return p.accept(t, a, 0)
	}, "dxx"},
	abi.SYS_ACCEPT4: {func(p *Process, t *Task, a *args) (uint64, abi.Errno) {
		return p.accept(t, a, fd(a[3]))
	}, "dxxx"},
	abi.SYS_CONNECT:  {callConnect, "dxd"},
	abi.SYS_SENDTO:   {callSendto, "dbdxxd"},
	abi.SYS_RECVFROM: {callRecvfrom, "dxdxxx"},
	abi.SYS_SENDMSG:  {callSendmsg, "dxx"},
	abi.SYS_RECVMSG:  {callRecvmsg, "dxx"},

	abi.SYS_WHERRY_ASK: {callAsk, "blxldl"},
}

func callConnect(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	b, e := plain.Bytes(p.space, a[1], uint64(uint32(a[2])), plain.AddressMax)
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
		if e := plain.PutSized(p.space, a[1], a[2], peer); e != 0 {
			_ = p.Files.Close(n)
			return 0, e
		}
	}
	return uint64(n), 0
}

func callSendto(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	d, n := fd(a[0]), min(a[2], transferMax)
	return p.whole(t, d, n, func(done uint64) (uint64, abi.Errno) {
		return p.transfer(t, d, a[1]+done, n-done, abi.PROT_READ, func(b []byte, _ uint64) (int, abi.Errno) {
			return p.socketWait(a[3])(p.Files.Send(d, [][]byte{b}, fd(a[3])))
		})
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

func callSendmsg(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	m, e := plain.Msghdr(p.space, a[1])
	if e != 0 {
		return 0, e
	}
	return p.writeVectors(t, &args{a[0], m.Iov, m.Iovlen}, func(b []byte) (int, abi.Errno) {
		return p.socketWait(a[2])(p.Files.Send(fd(a[0]), [][]byte{b}, fd(a[2])))
	})
}

func callRecvmsg(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	m, e := plain.Msghdr(p.space, a[1])
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
