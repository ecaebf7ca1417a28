package linux

import (
	"time"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/clock"
)

var readyCalls = map[abi.Call]call{
	abi.SYS_POLL:         {callPoll, "xdd"},
	abi.SYS_PPOLL:        {callPpoll, "xdxxd"},
	abi.SYS_SELECT:       {callSelect, "dxxxx"},
	abi.SYS_PSELECT6:     {callPselect6, "dxxxxx"},
	abi.SYS_EPOLL_WAIT:   {callEpollWait, "dxdd"},
	abi.SYS_EPOLL_PWAIT:  {callEpollPwait, "dxddxd"},
	abi.SYS_EPOLL_PWAIT2: {callEpollPwait2, "dxdxxd"},
}

// forever is a timeout that never comes.
const forever = -1

// within has a call wait for up to a time: result is what it returns when nothing came.
func (p *Process) within(t *Task, timeout int64) (uint64, abi.Errno) {
	if timeout == 0 || t.Wait.Expired {
		return 0, 0
	}
	if p.signalled(t) { // with the mask that ppoll and its like brought
		return 0, abi.EINTR
	}
	if timeout > 0 {
		t.until(clock.Add(p.clock.Monotonic, timeout))
	}
	return t.block(waitFiles, abi.ERESTARTNOHAND)
}

func milliseconds(v uint64) int64 {
	if n := int64(int32(v)); n >= 0 {
		return n * int64(time.Millisecond)
	}
	return forever
}

// timeout reads the struct timespec at va, or forever when va is 0.
func (p *Process) timeout(va uint64) (int64, abi.Errno) {
	if va == 0 {
		return forever, 0
	}
	return p.timespec(va)
}

// withMask sets the signal mask at va for the call.
func (p *Process) withMask(t *Task, va, size uint64) abi.Errno {
	if va == 0 {
		return 0
	}
	if size != 8 {
		return abi.EINVAL
	}
	set, e := p.space.Word(va)
	if e == 0 {
		t.swapMask(set)
	}
	return e
}

func callPoll(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	return p.poll(t, a[0], a[1], milliseconds(a[2]))
}

func callPpoll(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	timeout, e := p.timeout(a[2])
	if e != 0 {
		return 0, e
	}
	if e := p.withMask(t, a[3], a[4]); e != 0 {
		return 0, e
	}
	return p.poll(t, a[0], a[1], timeout)
}

func (p *Process) poll(t *Task, at, n uint64, timeout int64) (uint64, abi.Errno) {
	if n > p.descriptors() {
		return 0, abi.EINVAL
	}
	b := make([]byte, n*abi.PollFDSize)
	if e := p.space.CopyIn(b, at); e != 0 {
		return 0, e
	}
	fds := make([]abi.PollFD, n)
	for i := range fds {
		fds[i].Get(b[i*abi.PollFDSize:])
	}
	got := p.Files.Poll(fds)
	if got == 0 {
		if r, e := p.within(t, timeout); e != 0 {
			return r, e
		}
	}
	for i := range fds {
		fds[i].Put(b[i*abi.PollFDSize:])
	}
	return uint64(got), p.space.CopyOut(at, b)
}

func (p *Process) descriptors() uint64 {
	l, _ := p.rlimit(abi.RLIMIT_NOFILE)
	return l.Cur
}

func callSelect(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	timeout := int64(forever)
	if a[4] != 0 {
		var b [abi.TimevalSize]byte
		if e := p.space.CopyIn(b[:], a[4]); e != 0 {
			return 0, e
		}
		var e abi.Errno
		if timeout, e = abi.GetTimeval(b[:]); e != 0 {
			return 0, e
		}
	}
	return p.selectSets(t, a, timeout)
}

func callPselect6(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	timeout, e := p.timeout(a[4])
	if e != 0 {
		return 0, e
	}
	if a[5] != 0 { // a pointer to the mask, and its size
		mask, e := p.space.Word(a[5])
		size, e2 := p.space.Word(a[5] + 8)
		if e != 0 || e2 != 0 {
			return 0, abi.EFAULT
		}
		if e := p.withMask(t, mask, size); e != 0 {
			return 0, e
		}
	}
	return p.selectSets(t, a, timeout)
}

func (p *Process) selectSets(t *Task, a *args, timeout int64) (uint64, abi.Errno) {
	n := int(int32(a[0]))
	if n < 0 {
		return 0, abi.EINVAL
	}
	n = int(min(uint64(n), p.descriptors()))
	var sets [3][]uint64
	for i := range sets {
		if a[1+i] == 0 {
			continue
		}
		b := make([]byte, (n+63)/64*8)
		if e := p.space.CopyIn(b, a[1+i]); e != 0 {
			return 0, e
		}
		for ; len(b) > 0; b = b[8:] {
			sets[i] = append(sets[i], le.Uint64(b))
		}
	}
	got, e := p.Files.Select(n, sets[0], sets[1], sets[2])
	if e != 0 {
		return 0, e
	}
	if got == 0 {
		if r, e := p.within(t, timeout); e != 0 {
			return r, e
		}
	}
	for i := range sets {
		var b []byte
		for _, w := range sets[i] {
			b = le.AppendUint64(b, w)
		}
		if e := p.space.CopyOut(a[1+i], b); e != 0 {
			return 0, e
		}
	}
	return uint64(got), 0
}

func callEpollWait(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	return p.epollWait(t, a, milliseconds(a[3]))
}

func callEpollPwait(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	if e := p.withMask(t, a[4], a[5]); e != 0 {
		return 0, e
	}
	return p.epollWait(t, a, milliseconds(a[3]))
}

func callEpollPwait2(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	timeout, e := p.timeout(a[3])
	if e != 0 {
		return 0, e
	}
	if e := p.withMask(t, a[4], a[5]); e != 0 {
		return 0, e
	}
	return p.epollWait(t, a, timeout)
}

// eventsMax bounds what one epoll_wait gives.
const eventsMax = 1024

func (p *Process) epollWait(t *Task, a *args, timeout int64) (uint64, abi.Errno) {
	n := int64(int32(a[2]))
	if n <= 0 {
		return 0, abi.EINVAL
	}
	size := uint64(min(n, eventsMax)) * abi.EpollEventSize
	size = p.space.Reach(a[1], size, abi.PROT_WRITE)
	if size < abi.EpollEventSize {
		return 0, abi.EFAULT
	}
	events := make([]abi.EpollEvent, size/abi.EpollEventSize)
	got, e := p.Files.EpollWait(fd(a[0]), events)
	if e != 0 {
		return 0, e
	}
	if got == 0 {
		return p.within(t, timeout)
	}
	b := p.buffer(uint64(got) * abi.EpollEventSize)
	for i := range got {
		events[i].Put(b[i*abi.EpollEventSize:])
	}
	return uint64(got), p.space.CopyOut(a[1], b)
}
