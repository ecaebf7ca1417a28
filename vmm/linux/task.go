package linux

import (
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/plain"
	"github.com/wherry/wherry/vmm/linux/signals"
	"github.com/wherry/wherry/vmm/x86"
)

// Task is a thread of the program.
type Task struct {
	taskState
	pending  signals.Queue
	extended x86.Extended // while it has no processor
	cpu      *cpu         // which has its registers; nil when none
	ran      bool         // since the last Checkpoint or Restore
	args     args         // of its call, while that is made
}

// taskState is what a checkpoint copies of a task as it is: numbers only.
type taskState struct {
	ID       int32
	HasSaved bool // Saved is the mask to go back to when the call that changed it is over
	Regs     x86.Regs
	FS, GS   uint64
	Mask     uint64 // signals that are blocked: bit n-1 for signal n
	Saved    uint64
	Alt      altStack
	ClearTID uint64 // CLONE_CHILD_CLEARTID
	Robust   uint64
	Trap     trap
	Name     [16]byte
	Wait     wait
	CPU      int64 // nanoseconds that it has run
}

type altStack struct {
	SP, Size uint64
	Flags    uint64
}

// trap is what the last exception was: sigcontext tells it.
type trap struct{ Vector, Code, CR2 uint64 }

// waitKind is what a task waits for.
type waitKind uint8

const (
	ready      waitKind = iota
	waitFiles           // the readiness of files: its call is made again when that changes
	waitFutex           // FUTEX_WAKE of Addr
	waitSleep           // Deadline alone
	waitSignal          // a signal: pause, sigsuspend, sigtimedwait
)

// wait is what a task waits for, and what its call was.
type wait struct {
	Kind     waitKind
	Expired  bool // the deadline has passed: the call is made a last time
	Timed    bool // Deadline is one
	Restart  uint16
	Call     uint32
	Bits     uint32 // of waitFutex: FUTEX_WAIT_BITSET's; of waitSignal unused
	Deadline int64  // on the monotonic clock
	Addr     uint64 // of waitFutex; of waitFiles: how many bytes a write has written, which it returns if a signal ends it
	Order    uint64 // of waitFutex: who came first is woken first
	Set      uint64 // of sigtimedwait: signals that end it
	Args     [6]uint64
}

type args [6]uint64

// registers are t's general registers, wherever they are.
func (t *Task) registers() *x86.Regs {
	if t.cpu != nil {
		return t.cpu.v.Regs()
	}
	return &t.taskState.Regs
}

// blocked is what a call returns that waits: t.Wait says for what.
const blocked abi.Errno = 1023

// block has t wait. A signal makes the call return restart: ERESTARTSYS is made again if the handler has SA_RESTART, all others are EINTR.
func (t *Task) block(kind waitKind, restart abi.Errno) (uint64, abi.Errno) {
	t.Wait.Kind, t.Wait.Restart = kind, uint16(restart)
	return 0, blocked
}

// until has the wait end at a time on the monotonic clock. The first call sets it, those made again have it.
func (t *Task) until(deadline int64) {
	if !t.Wait.Timed {
		t.Wait.Timed, t.Wait.Deadline = true, deadline
	}
}

// wake ends t's wait with a result.
func (p *Process) wake(t *Task, result uint64) {
	p.finishCall(t, abi.Call(t.Wait.Call), &t.Wait.Args, result, 0)
	t.Wait = wait{}
}

const threadFlags = abi.CLONE_VM | abi.CLONE_SIGHAND | abi.CLONE_THREAD

func callClone(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	flags, stack, parentTID, childTID, tls := a[0], a[1], a[2], a[3], a[4]
	if flags&threadFlags != threadFlags {
		p.counters.Miss(abi.SYS_FORK)
		return 0, abi.ENOSYS // a process of its own: there is one in a machine
	}
	if flags&abi.CLONE_SETTLS != 0 && !user(tls, 0) {
		return 0, abi.EPERM
	}
	if len(p.tasks) >= p.options.Limits.Tasks {
		return 0, abi.EAGAIN
	}
	ext, err := p.extendedOf(t)
	if err != nil {
		return 0, p.space.Fail(err)
	}
	n := &Task{extended: ext, ran: true}
	n.ID = p.newID()
	n.Regs = *t.registers()
	n.Regs.RAX = 0
	if stack != 0 {
		n.Regs.RSP = stack
	}
	n.FS, n.GS, n.Mask, n.Name = t.FS, t.GS, t.Mask, t.Name
	if flags&abi.CLONE_SETTLS != 0 {
		n.FS = tls
	}
	if flags&abi.CLONE_CHILD_CLEARTID != 0 {
		n.ClearTID = childTID
	}
	if flags&abi.CLONE_PARENT_SETTID != 0 {
		if e := p.space.PutWord32(parentTID, uint32(n.ID)); e != 0 {
			return 0, e
		}
	}
	if flags&abi.CLONE_CHILD_SETTID != 0 {
		_ = p.space.PutWord32(childTID, uint32(n.ID)) // a failure isn't told, as in schedule_tail
	}
	p.tasks = append(p.tasks, n)
	return uint64(n.ID), 0
}

// newID is the next free task's number: they go up, as Linux's do, and begin again behind the last.
func (p *Process) newID() int32 {
	for {
		p.lastID++
		if p.lastID > idMax {
			p.lastID = firstID + 1
		}
		if p.task(p.lastID) == nil {
			return p.lastID
		}
	}
}

const (
	firstID = plain.ID
	idMax   = 1 << 22
)

func (p *Process) task(id int32) *Task {
	for _, t := range p.tasks {
		if t.ID == id {
			return t
		}
	}
	return nil
}

func callExit(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	p.endTask(t)
	if len(p.tasks) == 0 {
		p.end = &Stop{Kind: Exited, Status: int(a[0] & 0xff)}
	}
	return 0, blocked
}

func callExitGroup(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	p.end = &Stop{Kind: Exited, Status: int(a[0] & 0xff)}
	return 0, blocked
}

// endTask takes t away, and tells who waits for that: pthread_join does, at ClearTID.
func (p *Process) endTask(t *Task) {
	if t.Robust != 0 {
		p.releaseRobust(t)
	}
	if t.ClearTID != 0 && p.space.PutWord32(t.ClearTID, 0) == 0 {
		p.futexWake(t.ClearTID, 1, abi.FUTEX_BITSET_MATCH_ANY)
	}
	if t.cpu != nil {
		t.cpu.owner = nil
		t.cpu = nil
	}
	i := slices.Index(p.tasks, t)
	p.tasks = slices.Delete(p.tasks, i, i+1)
	if p.turn > i {
		p.turn--
	}
}

func callSetTIDAddress(_ *Process, t *Task, a *args) (uint64, abi.Errno) {
	t.ClearTID = a[0]
	return uint64(t.ID), 0
}

const robustHeadSize = 24

func callSetRobustList(_ *Process, t *Task, a *args) (uint64, abi.Errno) {
	if a[1] != robustHeadSize {
		return 0, abi.EINVAL
	}
	t.Robust = a[0]
	return 0, 0
}

// robustMax bounds how many locks of a list are looked at (ROBUST_LIST_LIMIT).
const robustMax = 2048

// releaseRobust marks the locks that t holds as its owner's who died (kernel/futex/core.c, exit_robust_list).
func (p *Process) releaseRobust(t *Task) {
	head := t.Robust
	next, e := p.space.Word(head)
	offset, e2 := p.space.Word(head + 8)
	pending, e3 := p.space.Word(head + 16)
	if e != 0 || e2 != 0 || e3 != 0 {
		return
	}
	for i := 0; i < robustMax && next&^1 != head; i++ {
		following, e := p.space.Word(next &^ 1)
		if next&^1 != pending&^1 {
			p.ownerDied(t, next&^1+offset)
		}
		if e != 0 {
			return
		}
		next = following
	}
	if pending != 0 {
		p.ownerDied(t, pending&^1+offset)
	}
}

func (p *Process) ownerDied(t *Task, at uint64) {
	v, e := p.space.Word32(at)
	if e != 0 || v&abi.FUTEX_TID_MASK != uint32(t.ID) {
		return
	}
	_ = p.space.PutWord32(at, v&abi.FUTEX_WAITERS|abi.FUTEX_OWNER_DIED)
	if v&abi.FUTEX_WAITERS != 0 {
		p.futexWake(at, 1, abi.FUTEX_BITSET_MATCH_ANY)
	}
}

func callGettid(_ *Process, t *Task, _ *args) (uint64, abi.Errno) { return uint64(t.ID), 0 }

func callArchPrctl(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	switch a[0] {
	case abi.ARCH_SET_FS, abi.ARCH_SET_GS:
		if !user(a[1], 0) {
			return 0, abi.EPERM
		}
		if a[0] == abi.ARCH_SET_FS {
			t.FS = a[1]
		} else {
			t.GS = a[1]
		}
		return 0, 0
	case abi.ARCH_GET_FS, abi.ARCH_GET_GS:
		v := t.FS
		if a[0] == abi.ARCH_GET_GS {
			v = t.GS
		}
		var b [8]byte
		le.PutUint64(b[:], v)
		return 0, p.space.CopyOut(a[1], b[:])
	}
	return 0, abi.EINVAL
}
