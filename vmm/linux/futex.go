package linux

import (
	"math"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/clock"
)

// A task that waits for a futex has it in Wait; there are no other queues. As all tasks are of one process, a futex is its address, private or not.

func callFutex(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	addr, op, value := a[0], a[1]&abi.FUTEX_CMD_MASK, uint32(a[2])
	if addr&3 != 0 {
		return 0, abi.EINVAL
	}
	if !user(addr, 4) {
		return 0, abi.EFAULT
	}
	switch op {
	case abi.FUTEX_WAIT, abi.FUTEX_WAIT_BITSET:
		return p.futexWait(t, a)
	case abi.FUTEX_WAKE:
		return p.futexWake(addr, int32(value), abi.FUTEX_BITSET_MATCH_ANY), 0
	case abi.FUTEX_WAKE_BITSET:
		if uint32(a[5]) == 0 {
			return 0, abi.EINVAL
		}
		return p.futexWake(addr, int32(value), uint32(a[5])), 0
	case abi.FUTEX_REQUEUE, abi.FUTEX_CMP_REQUEUE:
		return p.futexRequeue(a, op == abi.FUTEX_CMP_REQUEUE)
	case abi.FUTEX_WAKE_OP:
		return p.futexWakeOp(a)
	}
	return 0, abi.ENOSYS // priority inheritance
}

func (p *Process) futexWait(t *Task, a *args) (uint64, abi.Errno) {
	addr, op, value := a[0], a[1]&abi.FUTEX_CMD_MASK, uint32(a[2])
	if t.Wait.Expired {
		return 0, abi.ETIMEDOUT
	}
	set := uint32(abi.FUTEX_BITSET_MATCH_ANY)
	if op == abi.FUTEX_WAIT_BITSET {
		if set = uint32(a[5]); set == 0 {
			return 0, abi.EINVAL
		}
	}
	deadline := int64(math.MaxInt64)
	if a[3] != 0 {
		ns, e := p.timespec(a[3])
		if e != 0 {
			return 0, e
		}
		switch {
		case op == abi.FUTEX_WAIT: // relative
			deadline = clock.Add(p.clock.Monotonic, ns)
		case a[1]&abi.FUTEX_CLOCK_REALTIME != 0:
			deadline = clock.Add(ns, -p.clock.RealOffset)
		default:
			deadline = ns
		}
	}
	now, e := p.space.Word32(addr)
	if e != 0 {
		return 0, e
	}
	if now != value {
		return 0, abi.EAGAIN
	}
	p.order++
	p.counters.FutexWaits++
	t.Wait.Addr, t.Wait.Bits, t.Wait.Order = addr, set, p.order
	restart := abi.ERESTARTSYS
	if deadline != math.MaxInt64 {
		t.until(deadline)
		if op == abi.FUTEX_WAIT {
			restart = abi.ERESTART_RESTARTBLOCK
		}
	}
	return t.block(waitFutex, restart)
}

// waiter is the task that has waited longest for addr, with a bit of set.
func (p *Process) waiter(addr uint64, set uint32) *Task {
	var first *Task
	for _, t := range p.tasks {
		w := &t.Wait
		if w.Kind == waitFutex && w.Addr == addr && w.Bits&set != 0 && (first == nil || w.Order < first.Wait.Order) {
			first = t
		}
	}
	return first
}

// futexWake ends the waits of up to n tasks, but of one at least, as Linux does when it's told none.
func (p *Process) futexWake(addr uint64, n int32, set uint32) (woken uint64) {
	for woken < uint64(max(n, 1)) {
		t := p.waiter(addr, set)
		if t == nil {
			break
		}
		p.counters.FutexWakes++
		p.wake(t, 0)
		woken++
	}
	return woken
}

func (p *Process) futexRequeue(a *args, compare bool) (uint64, abi.Errno) {
	from, wakes, moves, to := a[0], int32(a[2]), int32(a[3]), a[4]
	if wakes < 0 || moves < 0 || to&3 != 0 {
		return 0, abi.EINVAL
	}
	if !user(to, 4) {
		return 0, abi.EFAULT
	}
	if compare {
		now, e := p.space.Word32(from)
		if e != 0 {
			return 0, e
		}
		if now != uint32(a[5]) {
			return 0, abi.EAGAIN
		}
	}
	done := uint64(0)
	if wakes > 0 {
		done = p.futexWake(from, wakes, abi.FUTEX_BITSET_MATCH_ANY)
	}
	for ; moves > 0 && from != to; moves-- {
		t := p.waiter(from, abi.FUTEX_BITSET_MATCH_ANY)
		if t == nil {
			break
		}
		p.order++
		t.Wait.Addr, t.Wait.Order = to, p.order
		done++
	}
	return done, 0
}

func (p *Process) futexWakeOp(a *args) (uint64, abi.Errno) {
	first, wakes, wakes2, second, code := a[0], int32(a[2]), int32(a[3]), a[4], uint32(a[5])
	if second&3 != 0 {
		return 0, abi.EINVAL
	}
	// include/uapi/linux/futex.h: op in 4 bits, comparison in 4, both operands in 12, with sign
	op, compare := code>>28, code>>24&15
	operand, other := int32(code<<8)>>20, int32(code<<20)>>20
	if op&abi.FUTEX_OP_OPARG_SHIFT != 0 {
		operand = 1 << (uint32(operand) & 31)
	}
	old, e := p.space.Word32(second)
	if e != 0 {
		return 0, e
	}
	v := int32(old)
	n := v
	switch op & 7 {
	case abi.FUTEX_OP_SET:
		n = operand
	case abi.FUTEX_OP_ADD:
		n = v + operand
	case abi.FUTEX_OP_OR:
		n = v | operand
	case abi.FUTEX_OP_ANDN:
		n = v &^ operand
	case abi.FUTEX_OP_XOR:
		n = v ^ operand
	default:
		return 0, abi.ENOSYS
	}
	var yes bool
	switch compare {
	case abi.FUTEX_OP_CMP_EQ:
		yes = v == other
	case abi.FUTEX_OP_CMP_NE:
		yes = v != other
	case abi.FUTEX_OP_CMP_LT:
		yes = v < other
	case abi.FUTEX_OP_CMP_LE:
		yes = v <= other
	case abi.FUTEX_OP_CMP_GT:
		yes = v > other
	case abi.FUTEX_OP_CMP_GE:
		yes = v >= other
	default:
		return 0, abi.ENOSYS
	}
	if e := p.space.PutWord32(second, uint32(n)); e != 0 {
		return 0, e
	}
	done := p.futexWake(first, wakes, abi.FUTEX_BITSET_MATCH_ANY)
	if yes {
		done += p.futexWake(second, wakes2, abi.FUTEX_BITSET_MATCH_ANY)
	}
	return done, 0
}
