package linux

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/internal/after"
	"github.com/wherry/wherry/internal/cputime"
	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/clock"
	"github.com/wherry/wherry/vmm/linux/space"
	"github.com/wherry/wherry/vmm/linux/trace"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

const (
	codeWrite = mmu.CodeWrite
	codeFetch = mmu.CodeFetch
)

// kick is how other goroutines end a run.
type kick struct {
	wanted atomic.Bool
	cpu    atomic.Pointer[cpu] // that runs
	awake  chan struct{}       // ends a sleep; has room for one
}

// Stop makes Run return with Stopped soon. Anybody may call it.
func (p *Process) Stop() {
	p.kick.wanted.Store(true)
	if c := p.kick.cpu.Load(); c != nil {
		c.v.Kick()
	}
	select {
	case p.kick.awake <- struct{}{}:
	default:
	}
}

// Run lets the program go on until there is a reason to return. An error is the machine's: the process can't go on.
func (p *Process) Run(ctx context.Context) (Stop, error) {
	if p.end != nil {
		return *p.end, errDone
	}
	runtime.LockOSThread() // CPU time is counted by thread, and a processor of KVM likes to stay on one
	defer runtime.UnlockOSThread()
	defer after.Func(ctx, p.Stop)() // which waits: the machine may be closed then
	p.kick.wanted.Store(ctx.Err() != nil)
	p.began = time.Now()
	if p.timed() {
		p.threadTime, p.sampled = cputime.Thread(), p.began
		defer p.sample()
	}
	p.held = false
	for {
		if stop, ok := p.stopped(); ok {
			return stop, nil
		}
		if err := p.space.Broken(); err != nil {
			return p.memoryStop(err)
		}
		p.clock.Pass()
		p.tellFiles()
		p.wakeDue()
		p.wakeFiles()
		t := p.choose()
		if t == nil {
			if stop, ok := p.idle(ctx); ok {
				return stop, nil
			}
			continue
		}
		if err := p.turnOf(t); err != nil {
			return Stop{}, err
		}
	}
}

// stopped reports whether Run returns, before another turn.
func (p *Process) stopped() (Stop, bool) {
	l := &p.options.Limits
	switch {
	case p.end != nil:
		p.trace(trace.Event{Kind: trace.End, Name: p.end.Kind.String(), Result: int64(p.end.Status)})
		return *p.end, true
	case p.held:
		return Stop{Kind: Held}, true
	case p.Files.Exceeded() != "":
		return Stop{Kind: LimitPassed, Limit: p.Files.Exceeded()}, true
	case l.CPU > 0 && p.cpuTime-p.cpuBase > int64(l.CPU):
		return Stop{Kind: LimitPassed, Limit: "cpu"}, true
	case l.Instructions > 0 && p.executed() >= l.Instructions:
		return Stop{Kind: LimitPassed, Limit: "instructions"}, true
	case l.Wall > 0 && time.Since(p.began) > l.Wall:
		return Stop{Kind: LimitPassed, Limit: "wall"}, true
	case p.kick.wanted.Load():
		return Stop{Kind: Stopped}, true
	case p.options.Boundary && p.Files.Starved():
		return Stop{Kind: WantsInput, Wake: math.MaxInt64}, true
	case p.options.Heard && p.Files.Spoke():
		return Stop{Kind: Spoke}, true
	}
	return Stop{}, false
}

// Resident names the limit that phys.Options.BudgetPages is.
const Resident = "resident"

// memoryStop is how Run ends because of an error of the machine or its memory.
func (p *Process) memoryStop(err error) (Stop, error) {
	switch {
	case errors.Is(err, phys.ErrBudget):
		p.end = &Stop{Kind: LimitPassed, Limit: Resident}
	case errors.Is(err, space.ErrNoMemory):
		p.end = &Stop{Kind: LimitPassed, Limit: "memory"}
	default:
		return Stop{}, err
	}
	return *p.end, nil
}

// choose is the task whose turn it is: the one that runs, while its slice isn't over.
func (p *Process) choose() *Task {
	if p.current != nil && p.left > 0 && p.current.Wait.Kind == ready && p.turn < len(p.tasks) && p.tasks[p.turn] == p.current {
		return p.current
	}
	for i := range p.tasks {
		at := (p.turn + 1 + i) % len(p.tasks)
		if t := p.tasks[at]; t.Wait.Kind == ready {
			p.turn = at
			if t != p.current {
				p.counters.Switches++
			}
			p.current, p.left = t, p.turns.Next()
			return t
		}
	}
	return nil
}

// alone reports whether no task is ready but the one whose turn it is.
func (p *Process) alone() bool {
	for i, t := range p.tasks {
		if i != p.turn && t.Wait.Kind == ready {
			return false
		}
	}
	return true
}

// budget is how long t may run now: to the end of its slice, or when a limit is passed or somebody's sleep is over.
func (p *Process) budget() vmm.Budget {
	n := p.left
	l := &p.options.Limits
	if p.counts {
		if l.Instructions > 0 {
			n = min(n, int64(min(l.Instructions-p.executed(), math.MaxInt64)))
		}
		if p.clock.Virtual {
			if d := p.due(); d > 0 {
				n = min(n, d)
			}
		}
		return vmm.Budget{Instructions: uint64(max(n, 1))}
	}
	if p.alone() {
		n = p.turns.Alone(n, p.due())
	}
	if l.CPU > 0 {
		n = min(n, int64(l.CPU)-(p.cpuTime-p.cpuBase)+int64(time.Millisecond))
	}
	if l.Wall > 0 {
		n = min(n, int64(l.Wall-time.Since(p.began)+time.Millisecond))
	}
	return vmm.Budget{CPU: time.Duration(max(n, 1)), From: p.threadTime}
}

// executed is how many instructions were, since Load or Restore.
func (p *Process) executed() uint64 { return p.counters.Instructions - p.instructionsBase }

// turnOf runs t until it makes a call, faults, or its slice is over.
func (p *Process) turnOf(t *Task) error {
	if len(t.pending) > 0 || len(p.pending) > 0 || t.HasSaved {
		p.deliver(t)
		if p.end != nil || p.held {
			return nil
		}
	}
	if err := p.attach(t); err != nil {
		return fmt.Errorf("giving task %d a processor: %w", t.ID, err)
	}
	t.ran = true
	c := t.cpu
	p.kick.cpu.Store(c)
	if p.kick.wanted.Load() {
		p.kick.cpu.Store(nil)
		return nil
	}
	budget, ok := p.turnBudget(t)
	if !ok {
		p.kick.cpu.Store(nil)
		return nil
	}
	p.showTime(c)
	exit, err := c.v.Run(budget)
	p.kick.cpu.Store(nil)
	if err != nil {
		return fmt.Errorf("task %d: %w", t.ID, err)
	}
	p.account(t, c)
	p.counters.Exits[exit.Kind]++
	if p.debugger != nil {
		p.held = p.debugger.Ran(t.ID, exit)
	}
	return p.handle(t, exit)
}

func (p *Process) handle(t *Task, exit vmm.Exit) error {
	switch exit.Kind {
	case vmm.ExitSyscall:
		p.systemCall(t)
	case vmm.ExitPageFault:
		return p.pageFault(t, exit)
	case vmm.ExitException:
		p.exception(t, exit.Vector, exit.Code, "")
	case vmm.ExitDebug:
		p.exception(t, x86.DebugException, 0, "")
	case vmm.ExitUnsupported:
		p.exception(t, x86.InvalidOpcode, 0, fmt.Sprintf("the emulator doesn't know the instruction % x; run it on kvm", exit.Bytes))
	case vmm.ExitSpent:
		if p.left <= 0 {
			p.counters.Preemptions++
		}
	case vmm.ExitKicked, vmm.ExitBreakpoint, vmm.ExitWatchpoint:
	case vmm.ExitPort, vmm.ExitDoorbell, vmm.ExitHalt:
		// Linux lets no program do port I/O: it faults.
		p.exception(t, x86.GeneralProtection, 0, "")
	default:
		return fmt.Errorf("task %d: the machine says %v", t.ID, exit.Kind)
	}
	return nil
}

// counter is a processor that counts instructions.
type counter interface{ Instructions() uint64 }

// account adds what the last run took.
func (p *Process) account(t *Task, c *cpu) {
	ran := int64(0)
	if n, ok := c.v.(counter); ok {
		now := n.Instructions()
		ran = int64(now - c.counted)
		c.counted = now
		p.counters.Instructions += uint64(ran)
		p.left -= ran
	}
	switch {
	case !p.timed():
		p.spend(t, ran)
	case p.clock.Virtual || time.Since(p.sampled) >= sampleEvery:
		p.sample()
	}
	if !p.clock.Virtual || p.counts {
		p.clock.Tick(ran)
	}
	p.tellFiles()
}

// sampleEvery is how often the thread's time is looked at, which is a system call.
const sampleEvery = 200 * time.Microsecond

// timed reports whether CPU time is the thread's. With virtual time it is the instructions', where they are counted.
func (p *Process) timed() bool { return !p.clock.Virtual || !p.counts }

// sample adds what the thread has taken since the last one, as the task's whose turn it is.
func (p *Process) sample() {
	now := cputime.Thread()
	spent := int64(max(now-p.threadTime, 0))
	p.threadTime, p.sampled = now, time.Now()
	p.spend(p.current, spent)
	if !p.counts {
		p.left -= spent
		if p.clock.Virtual {
			p.clock.Tick(spent)
		}
	}
}

// look has the CPU times be those of now, for a program that asks.
func (p *Process) look() {
	if p.timed() {
		p.sample()
	}
}

func (p *Process) spend(t *Task, ns int64) {
	p.counters.CPU += ns
	p.cpuTime += ns
	if t != nil {
		t.CPU += ns
	}
}

// tellFiles has the files know what time it is.
func (p *Process) tellFiles() {
	p.Files.SetNow(p.clock.Monotonic, clock.Add(p.clock.Monotonic, p.clock.RealOffset))
}

// wakeDue ends the waits whose time has come.
func (p *Process) wakeDue() {
	for i := 0; i < len(p.tasks); i++ {
		t := p.tasks[i]
		if t.Wait.Kind != ready && t.Wait.Timed && t.Wait.Deadline <= p.clock.Monotonic {
			t.Wait.Expired = true
			p.retry(t)
		}
	}
}

// wakeFiles makes the calls again that wait for files, if something about files has changed.
func (p *Process) wakeFiles() {
	v := p.Files.Version()
	if v == p.version {
		return
	}
	p.version = v
	for i := 0; i < len(p.tasks); i++ {
		if t := p.tasks[i]; t.Wait.Kind == waitFiles {
			p.retry(t)
		}
	}
}

// idle is for when all tasks wait: it waits for the first whose time comes, if there is one.
func (p *Process) idle(ctx context.Context) (Stop, bool) {
	next := int64(math.MaxInt64)
	files := false
	for _, t := range p.tasks {
		if t.Wait.Timed {
			next = min(next, t.Wait.Deadline)
		}
		files = files || t.Wait.Kind == waitFiles
	}
	if at, ok := p.Files.NextTimer(); ok && files {
		next = min(next, at)
	}
	wait := time.Duration(math.MaxInt64)
	if next != math.MaxInt64 {
		wait = time.Duration(max(next-p.clock.Monotonic, 0))
	}
	switch {
	case files && p.Files.Starved():
		return Stop{Kind: WantsInput, Wake: wait}, true
	case next == math.MaxInt64 && files:
		return Stop{Kind: Idle, Wake: wait}, true
	case next == math.MaxInt64:
		return Stop{Kind: Deadlock}, true
	case p.options.Yield:
		return Stop{Kind: Idle, Wake: wait}, true
	}
	if p.clock.Virtual {
		p.clock.Monotonic = max(p.clock.Monotonic, next)
		return Stop{}, false
	}
	if l := p.options.Limits.Wall; l > 0 {
		wait = min(wait, max(l-time.Since(p.began), 0)+time.Millisecond)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.kick.awake:
	case <-ctx.Done():
	}
	return Stop{}, false
}
