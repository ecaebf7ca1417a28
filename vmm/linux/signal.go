package linux

import (
	"math/bits"
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/clock"
	"github.com/wherry/wherry/vmm/linux/signals"
	"github.com/wherry/wherry/vmm/linux/trace"
)

// ignores reports whether signal s does nothing.
func (p *Process) ignores(s abi.Signal) bool {
	h := p.actions[s].Handler
	return h == abi.SIG_IGN || h == abi.SIG_DFL && signals.Ignored&signals.Bit(s) != 0
}

// send gives a signal to t, or to the process when t is nil.
func (p *Process) send(info abi.Siginfo, t *Task) abi.Errno {
	s := info.Signo
	target := t
	if target == nil {
		target = p.taker(s)
	}
	if p.ignores(s) && (target.Mask|target.Wait.Set)&signals.Bit(s) == 0 {
		return 0
	}
	var ok bool
	if t != nil {
		t.pending, ok = t.pending.Put(info)
	} else {
		p.pending, ok = p.pending.Put(info)
	}
	if !ok {
		return abi.EAGAIN
	}
	p.interrupt(target, s)
	return 0
}

// taker is the task that gets a signal of the process: the first that doesn't block it, or the first.
func (p *Process) taker(s abi.Signal) *Task {
	for _, t := range p.tasks {
		if t.Mask&signals.Bit(s) == 0 || t.Wait.Set&signals.Bit(s) != 0 {
			return t
		}
	}
	return p.tasks[0]
}

// interrupt ends t's wait for a signal that it will handle.
func (p *Process) interrupt(t *Task, s abi.Signal) {
	switch {
	case t.Wait.Kind == ready:
	case t.Wait.Set&signals.Bit(s) != 0: // sigtimedwait takes it
		p.retry(t)
	case t.Mask&signals.Bit(s) == 0 && !p.ignores(s):
		p.interruptCall(t, s)
	}
}

func (p *Process) interruptCall(t *Task, s abi.Signal) {
	e := abi.Errno(t.Wait.Restart)
	if t.Wait.Kind == waitSleep {
		p.remaining(t)
	}
	if t.Wait.Kind == waitFiles && t.Wait.Addr > 0 {
		p.wake(t, t.Wait.Addr)
		return
	}
	handler := p.actions[s].Handler != abi.SIG_DFL
	if e == abi.ERESTARTSYS && handler && p.actions[s].Flags&abi.SA_RESTART != 0 {
		// The call is made again when the handler returns: SYSCALL has two bytes.
		r := t.registers()
		r.RIP -= 2
		r.RAX = uint64(t.Wait.Call)
		t.Wait = wait{}
		return
	}
	p.finishCall(t, abi.Call(t.Wait.Call), &t.Wait.Args, 0, abi.EINTR)
	t.Wait = wait{}
}

// next takes the signal that t handles next; 0 when there is none.
func (p *Process) nextSignal(t *Task) abi.Siginfo {
	for _, of := range []uint64{signals.Synchronous, ^uint64(0)} {
		if set := t.pending.Set() &^ t.Mask & of; set != 0 {
			var info abi.Siginfo
			info, t.pending = t.pending.Take(abi.Signal(bits.TrailingZeros64(set) + 1))
			return info
		}
	}
	if set := p.pending.Set() &^ t.Mask; set != 0 {
		var info abi.Siginfo
		info, p.pending = p.pending.Take(abi.Signal(bits.TrailingZeros64(set) + 1))
		return info
	}
	return abi.Siginfo{}
}

// deliver has t handle the signals that wait for it, before it goes on.
func (p *Process) deliver(t *Task) {
	for p.end == nil && (len(t.pending) > 0 || len(p.pending) > 0) {
		info := p.nextSignal(t)
		if info.Signo == 0 {
			break
		}
		s := info.Signo
		act := p.actions[s]
		if p.ignores(s) {
			continue
		}
		switch p.judge(t, info) {
		case Hold:
			return
		case Discard:
			continue
		}
		if act.Handler == abi.SIG_DFL {
			p.kill(t, info, "")
			return
		}
		if act.Flags&abi.SA_RESETHAND != 0 {
			p.actions[s] = abi.Sigaction{}
		}
		p.counters.Signals++
		p.trace(trace.Event{Kind: trace.Signal, Task: int(t.ID), Name: s.String(), Addr: info.Addr})
		if err := p.pushFrame(t, act, info); err != nil {
			p.force(t, abi.Siginfo{Signo: abi.SIGSEGV, Code: abi.SI_KERNEL}, s == abi.SIGSEGV, "no room for the signal's frame")
			continue
		}
	}
	if t.HasSaved {
		t.Mask, t.HasSaved = t.Saved, false
	}
}

// force gives t a signal of a fault, which can't be ignored or blocked: then it ends the program (force_sig_info in kernel/signal.c).
func (p *Process) force(t *Task, info abi.Siginfo, fatal bool, reason string) {
	s := info.Signo
	if p.debugger != nil && !fatal && t.Mask&signals.Bit(s) == 0 && p.actions[s].Handler == abi.SIG_DFL {
		t.pending = append(signals.Queue{info}, t.pending...) // the debugger is asked, and it kills then
		return
	}
	if fatal || t.Mask&signals.Bit(s) != 0 || p.actions[s].Handler == abi.SIG_IGN || p.actions[s].Handler == abi.SIG_DFL {
		p.kill(t, info, reason)
		return
	}
	t.pending = append(signals.Queue{info}, t.pending...)
}

func (p *Process) kill(t *Task, info abi.Siginfo, reason string) {
	p.end = &Stop{Kind: Killed, Signal: info.Signo, Addr: info.Addr, RIP: t.registers().RIP, Reason: reason}
}

func callRtSigaction(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	s := a[0]
	if s < 1 || s > uint64(abi.SIGRTMAX) || a[3] != 8 || a[1] != 0 && signals.Never&signals.Bit(abi.Signal(s)) != 0 {
		return 0, abi.EINVAL
	}
	var b [abi.SigactionSize]byte
	old := p.actions[s]
	if a[1] != 0 {
		if e := p.space.CopyIn(b[:], a[1]); e != 0 {
			return 0, e
		}
		var n abi.Sigaction
		n.Get(b[:])
		n.Mask &^= signals.Never
		p.actions[s] = n
		p.actionsChanged++
		if p.ignores(abi.Signal(s)) {
			p.forget(abi.Signal(s))
		}
	}
	if a[2] != 0 {
		old.Put(b[:])
		return 0, p.space.CopyOut(a[2], b[:])
	}
	return 0, 0
}

// forget drops a signal that is ignored now.
func (p *Process) forget(s abi.Signal) {
	drop := func(q signals.Queue) signals.Queue {
		if q.Set()&signals.Bit(s) == 0 {
			return q
		}
		return slices.DeleteFunc(slices.Clone(q), func(i abi.Siginfo) bool { return i.Signo == s })
	}
	p.pending = drop(p.pending)
	for _, t := range p.tasks {
		t.pending = drop(t.pending)
	}
}

func callRtSigprocmask(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	if a[3] != 8 {
		return 0, abi.EINVAL
	}
	old := t.Mask
	if a[1] != 0 {
		set, e := p.space.Word(a[1])
		if e != 0 {
			return 0, e
		}
		switch a[0] {
		case abi.SIG_BLOCK:
			t.Mask |= set &^ signals.Never
		case abi.SIG_UNBLOCK:
			t.Mask &^= set
		case abi.SIG_SETMASK:
			t.Mask = set &^ signals.Never
		default:
			return 0, abi.EINVAL
		}
	}
	return 0, p.putSet(a[2], old)
}

func (p *Process) putSet(va, set uint64) abi.Errno {
	if va == 0 {
		return 0
	}
	var b [8]byte
	le.PutUint64(b[:], set)
	return p.space.CopyOut(va, b[:])
}

func callRtSigpending(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	if a[1] > 8 {
		return 0, abi.EINVAL
	}
	return 0, p.putSet(a[0], (t.pending.Set()|p.pending.Set())&t.Mask)
}

func callRtSigsuspend(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	if a[1] != 8 {
		return 0, abi.EINVAL
	}
	set, e := p.space.Word(a[0])
	if e != 0 {
		return 0, e
	}
	t.swapMask(set)
	return p.pause(t)
}

func callPause(p *Process, t *Task, _ *args) (uint64, abi.Errno) { return p.pause(t) }

// pause waits for a signal that is handled, which may wait already.
func (p *Process) pause(t *Task) (uint64, abi.Errno) {
	if p.signalled(t) {
		return 0, abi.EINTR
	}
	return t.block(waitSignal, abi.ERESTARTNOHAND)
}

// signalled reports whether a signal waits that t handles.
func (p *Process) signalled(t *Task) bool { return (t.pending.Set()|p.pending.Set())&^t.Mask != 0 }

// swapMask sets the mask that a call like ppoll has while it waits. deliver takes it back.
func (t *Task) swapMask(set uint64) {
	if !t.HasSaved {
		t.Saved, t.HasSaved = t.Mask, true
		t.Mask = set &^ signals.Never
	}
}

func callRtSigtimedwait(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	if a[3] != 8 {
		return 0, abi.EINVAL
	}
	set, e := p.space.Word(a[0])
	if e != 0 {
		return 0, e
	}
	set &^= signals.Never
	var info abi.Siginfo
	if have := t.pending.Set() & set; have != 0 {
		info, t.pending = t.pending.Take(abi.Signal(bits.TrailingZeros64(have) + 1))
	} else if have := p.pending.Set() & set; have != 0 {
		info, p.pending = p.pending.Take(abi.Signal(bits.TrailingZeros64(have) + 1))
	}
	if info.Signo != 0 {
		if a[1] != 0 {
			var b [abi.SiginfoSize]byte
			info.Put(b[:])
			if e := p.space.CopyOut(a[1], b[:]); e != 0 {
				return 0, e
			}
		}
		return uint64(info.Signo), 0
	}
	if t.Wait.Expired {
		return 0, abi.EAGAIN
	}
	if a[2] != 0 {
		ns, e := p.timespec(a[2])
		if e != 0 {
			return 0, e
		}
		t.until(clock.Add(p.clock.Monotonic, ns))
	}
	t.Wait.Set = set
	return t.block(waitSignal, abi.EINTR)
}

func callSigaltstack(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	old := abi.Stack{SP: t.Alt.SP, Size: t.Alt.Size, Flags: uint32(t.Alt.Flags)}
	switch {
	case t.Alt.Size == 0:
		old.Flags = abi.SS_DISABLE
	case t.onAlt(t.registers().RSP):
		old.Flags |= abi.SS_ONSTACK
	}
	var b [abi.StackSize]byte
	if a[0] != 0 {
		if e := p.space.CopyIn(b[:], a[0]); e != 0 {
			return 0, e
		}
		var n abi.Stack
		n.Get(b[:])
		mode := n.Flags &^ abi.SS_AUTODISARM
		switch {
		case old.Flags&abi.SS_ONSTACK != 0:
			return 0, abi.EPERM
		case mode != 0 && mode != abi.SS_ONSTACK && mode != abi.SS_DISABLE:
			return 0, abi.EINVAL
		case mode == abi.SS_DISABLE:
			t.Alt = altStack{}
		case n.Size < abi.MINSIGSTKSZ:
			return 0, abi.ENOMEM
		default:
			t.Alt = altStack{n.SP, n.Size, uint64(n.Flags & abi.SS_AUTODISARM)}
		}
	}
	if a[1] != 0 {
		old.Put(b[:])
		clear(b[12:16])
		return 0, p.space.CopyOut(a[1], b[:])
	}
	return 0, 0
}

// onAlt reports whether t runs on its alternate stack (on_sig_stack in include/linux/sched/signal.h).
func (t *Task) onAlt(sp uint64) bool {
	return t.Alt.Flags&abi.SS_AUTODISARM == 0 && sp > t.Alt.SP && sp-t.Alt.SP <= t.Alt.Size
}

func callKill(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	s := a[1]
	pid := int32(a[0])
	if s > uint64(abi.SIGRTMAX) {
		return 0, abi.EINVAL
	}
	if pid != firstID && pid != 0 && pid != -firstID {
		return 0, abi.ESRCH
	}
	return p.sendFrom(t, s, nil, abi.SI_USER)
}

func (p *Process) sendFrom(_ *Task, s uint64, to *Task, code int32) (uint64, abi.Errno) {
	if s == 0 {
		return 0, 0
	}
	return 0, p.send(abi.Siginfo{Signo: abi.Signal(s), Code: code, PID: firstID}, to)
}

func callTkill(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	return p.tkill(t, int32(a[0]), a[1])
}

func callTgkill(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	if int32(a[0]) <= 0 {
		return 0, abi.EINVAL
	}
	if int32(a[0]) != firstID {
		return 0, abi.ESRCH
	}
	return p.tkill(t, int32(a[1]), a[2])
}

func (p *Process) tkill(t *Task, id int32, s uint64) (uint64, abi.Errno) {
	if id <= 0 || s > uint64(abi.SIGRTMAX) {
		return 0, abi.EINVAL
	}
	to := p.task(id)
	if to == nil {
		return 0, abi.ESRCH
	}
	return p.sendFrom(t, s, to, abi.SI_TKILL)
}

func callRtSigqueueinfo(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	if int32(a[0]) != firstID {
		return 0, abi.ESRCH
	}
	return p.queueInfo(nil, a[1], a[2])
}

func callRtTgsigqueueinfo(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	to := p.task(int32(a[1]))
	if int32(a[0]) != firstID || to == nil {
		return 0, abi.ESRCH
	}
	return p.queueInfo(to, a[2], a[3])
}

func (p *Process) queueInfo(to *Task, s, at uint64) (uint64, abi.Errno) {
	if s > uint64(abi.SIGRTMAX) {
		return 0, abi.EINVAL
	}
	var b [abi.SiginfoSize]byte
	if e := p.space.CopyIn(b[:], at); e != 0 {
		return 0, e
	}
	var info abi.Siginfo
	info.Get(b[:])
	if s == 0 {
		return 0, 0
	}
	info.Signo = abi.Signal(s)
	return 0, p.send(info, to)
}
