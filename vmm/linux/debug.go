package linux

import (
	"errors"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/signals"
	"github.com/wherry/wherry/vmm/x86"
)

// Debugger is asked what happens to a process. What it holds ends Run with Held; the next Run asks again.
type Debugger interface {
	// Turn is asked before a task runs: for how many instructions (where they aren't counted 1 is a step, and more is any number), 0 for Held, and whether past a breakpoint that it stands at.
	Turn(task int32) (most uint64, past bool)
	// Ran is told what ended that. true is Held, and of breakpoints and watchpoints alone.
	Ran(task int32, exit vmm.Exit) (hold bool)
	// Signal is asked before a signal that isn't ignored is handled or kills. It stays the task's next if it is held.
	Signal(task int32, info abi.Siginfo) Verdict
}

// Verdict is what becomes of a signal.
type Verdict uint8

// The verdicts.
const (
	Deliver Verdict = iota
	Hold
	Discard
)

// Debug has d asked from now on; nobody when nil.
func (p *Process) Debug(d Debugger) { p.debugger = d }

// turnBudget is how long t may run, or false where the debugger holds it.
func (p *Process) turnBudget(t *Task) (vmm.Budget, bool) {
	b := p.budget()
	if p.debugger == nil {
		return b, true
	}
	most, past := p.debugger.Turn(t.ID)
	b.Past = past
	switch {
	case p.counts:
		b.Instructions = min(b.Instructions, most)
	case most == 1:
		b.Instructions = 1
	}
	p.held = most == 0
	return b, !p.held
}

// judge asks the debugger about a signal that t is to handle.
func (p *Process) judge(t *Task, info abi.Siginfo) Verdict {
	if p.debugger == nil {
		return Deliver
	}
	v := p.debugger.Signal(t.ID, info)
	if v == Hold {
		t.pending = append(signals.Queue{info}, t.pending...)
		p.held = true
	}
	return v
}

// Executed is how many instructions the program has executed since Load, or since where Place says.
func (p *Process) Executed() uint64 { return p.executed() }

// Moment is what a Checkpoint leaves out, as calls have no need for it: whose turn it is, and how much was executed.
type Moment struct {
	turn     int
	current  int32
	left     int64
	executed uint64
	cpuSpent int64
}

// Moment is that of the process as it is.
func (p *Process) Moment() Moment {
	m := Moment{turn: p.turn, left: p.left, executed: p.executed(), cpuSpent: p.cpuTime - p.cpuBase}
	if p.current != nil {
		m.current = p.current.ID
	}
	return m
}

// Place gives a process that was resumed from a checkpoint the moment of then: from here on it does what the other did.
func (p *Process) Place(m Moment) {
	p.turn, p.left, p.current = m.turn, m.left, p.task(m.current)
	p.instructionsBase = p.counters.Instructions - m.executed
	p.cpuBase = p.cpuTime - m.cpuSpent
}

// Pass has virtual time pass while all tasks wait.
func (p *Process) Pass(d time.Duration) {
	p.clock.Tick(int64(d))
	p.tellFiles()
}

var waitKinds = [...]string{ready: "ready", waitFiles: "files", waitFutex: "futex", waitSleep: "sleep", waitSignal: "signal"}

// TaskInfo is what a debugger shows of a task.
type TaskInfo struct {
	ID      int32
	Name    string
	Waits   string // for what; "ready" if it can run
	Call    uint64 // the number of the system call that it waits in
	Waiting bool
}

// Tasks are those that are alive.
func (p *Process) Tasks() []TaskInfo {
	var l []TaskInfo
	for _, t := range p.tasks {
		n := 0
		for n < len(t.Name) && t.Name[n] != 0 {
			n++
		}
		l = append(l, TaskInfo{
			ID: t.ID, Name: string(t.Name[:n]), Waits: waitKinds[t.Wait.Kind], Call: uint64(t.Wait.Call), Waiting: t.Wait.Kind != ready,
		})
	}
	return l
}

// TaskRegisters are all of a task's.
type TaskRegisters struct {
	x86.Regs
	FS, GS   uint64 // bases
	Extended x86.Extended
}

var errNoTask = errors.New("there is no such task any more")

// TaskRegisters returns those of a task.
func (p *Process) TaskRegisters(id int32) (TaskRegisters, error) {
	t := p.task(id)
	if t == nil {
		return TaskRegisters{}, errNoTask
	}
	ext, err := p.extendedOf(t)
	return TaskRegisters{*t.registers(), t.FS, t.GS, ext}, err
}

// debugFlags are the flags that a debugger may change: all others are the machine's.
const debugFlags = x86.Arithmetic | x86.DF | x86.AC | x86.ID

// SetTaskRegisters changes a task's registers. Segment bases that no program can have are an error.
func (p *Process) SetTaskRegisters(id int32, r TaskRegisters) error {
	t := p.task(id)
	switch {
	case t == nil:
		return errNoTask
	case !user(r.FS, 0) || !user(r.GS, 0):
		return errors.New("a segment base that isn't in the program's half of the address space")
	}
	regs := t.registers()
	r.RFLAGS = regs.RFLAGS&^debugFlags | r.RFLAGS&debugFlags
	*regs = r.Regs
	t.FS, t.GS = r.FS, r.GS
	t.ran = true
	return p.setExtendedOf(t, &r.Extended)
}

// ReadMemory fills b with what the program reads at va.
func (p *Process) ReadMemory(va uint64, b []byte) error {
	if e := p.space.CopyIn(b, va); e != 0 {
		return e
	}
	return nil
}

// WriteMemory writes where the program may.
func (p *Process) WriteMemory(va uint64, b []byte) error {
	if e := p.space.CopyOut(va, b); e != 0 {
		return e
	}
	return nil
}

// Signal sends the program a signal, to one task.
func (p *Process) Signal(id int32, s abi.Signal) error {
	t := p.task(id)
	if t == nil {
		return errNoTask
	}
	if e := p.send(abi.Siginfo{Signo: s, Code: abi.SI_USER}, t); e != 0 {
		return e
	}
	return nil
}

// Auxv is the auxiliary vector, as in /proc/self/auxv.
func (p *Process) Auxv() []byte { return p.auxiliary() }

// Program is the file that the process was loaded from.
func (s *State) Program() []byte { return s.program() }

// due is how long it takes until the first task's wait is over by time: where time is what is executed, Run looks exactly then, however often it stops
// before.
func (p *Process) due() int64 {
	next := int64(0)
	at := func(deadline int64) {
		if in := deadline - p.clock.Monotonic; in > 0 && (next == 0 || in < next) {
			next = in
		}
	}
	for _, t := range p.tasks {
		if t.Wait.Kind != ready && t.Wait.Timed {
			at(t.Wait.Deadline)
		}
	}
	if ns, ok := p.Files.NextTimer(); ok {
		at(ns)
	}
	return next
}
