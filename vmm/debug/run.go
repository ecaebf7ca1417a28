package debug

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/abi"
)

// Order is what a debugger wants.
type Order struct {
	Thread   int32 // that steps, or gets the signal
	Step     bool
	From, To uint64     // of Step: go on while the thread is in [From, To), if that isn't empty
	Signal   abi.Signal // that the thread gets; 0 for none, also not the one that it stopped at
	Back     bool
}

// Reason is why the program stopped.
type Reason uint8

// The reasons.
const (
	Stepped Reason = iota + 1
	Breakpoint
	Watchpoint  // Addr
	Signal      // which Signal is about to be handled
	Interrupted // by the context
	Beginning   // of what can be gone back to
	Stuck       // all threads wait for what never comes
	Ended       // End
)

// Stop is why and where the program stopped.
type Stop struct {
	Reason Reason
	Thread int32
	Signal abi.Signal
	Addr   uint64
	End    linux.Stop
}

// goal is what a run is after, and how far it has come.
type goal struct {
	order  Order
	replay bool   // it goes to a place in the past: nothing new is asked for
	until  uint64 // a place, where it ends
	mark   uint64 // a place where a mark is made on the way; 0 is nowhere
	scan   *scan
	moved  bool // the thread of a step has executed something
	steps  bool // this turn is one instruction
	past   bool // the next turn begins with an instruction whose breakpoint was noted
	turnAt uint64
	task   int32 // whose turn was last
	// decided says that the signal the program stopped at has its verdict, sent is one that the order sends: they don't stop it again.
	decided bool
	verdict linux.Verdict // of a program that is live, for what was held
	held    held
	sent    abi.Signal
	event   bool // the program is held for what came from outside
	marks   bool // or to be marked
	stop    Stop
}

// scan notes the last place where a run would have stopped.
type scan struct {
	step  bool
	task  int32
	found bool
	at    uint64
	stop  Stop
}

// Resume lets the program go on as order says. An error is the machine's.
func (s *Session) Resume(ctx context.Context, o Order) (Stop, error) {
	if s.ended != nil {
		return Stop{Reason: Ended, End: *s.ended}, nil
	}
	if o.Back && s.live {
		return Stop{Reason: Beginning, Thread: s.someThread()}, nil
	}
	if o.Back {
		return s.back(ctx, o)
	}
	s.goal = goal{order: o, until: math.MaxUint64, task: o.Thread}
	if err := s.decide(o); err != nil {
		return Stop{}, err
	}
	s.apply()
	return s.advance(ctx)
}

// Detach lets the program run to its end, with nobody asked any more.
func (s *Session) Detach(ctx context.Context) error {
	s.SetStops(vmm.Stops{})
	s.alone = true
	o := Order{}
	if s.signal != nil {
		o = Order{Thread: s.signal.task, Signal: s.signal.info.Signo}
	}
	for s.ended == nil {
		stop, err := s.Resume(ctx, o)
		switch {
		case err != nil:
			return err
		case stop.Reason == Stuck || stop.Reason == Interrupted:
			s.ended = &stop.End
		}
		o = Order{}
	}
	return nil
}

func (s *Session) apply() {
	if !s.applied {
		s.stopper.SetStops(s.stops)
		s.applied = true
	}
}

// decide says what becomes of the signal that the program stopped at, and sends another.
func (s *Session) decide(o Order) error {
	signal := o.Signal
	if s.signal != nil {
		v := linux.Discard
		if s.signal.info.Signo == signal {
			v, signal = linux.Deliver, 0
		}
		h := s.signal
		s.goal.verdict, s.goal.held = v, *h
		if e := s.history.coming(); e == nil || e.kind != eventVerdict || e.at != s.at() || e.verdict != v {
			if err := s.change(event{kind: eventVerdict, task: h.task, signal: h.info.Signo, verdict: v}); err != nil {
				return err
			}
			s.history.next = max(s.history.next-1, 0) // Signal looks for it
		}
		s.signal, s.goal.decided = nil, true
	}
	if signal == 0 {
		return nil
	}
	s.goal.sent = signal
	return s.change(event{kind: eventSignal, task: o.Thread, signal: signal})
}

// advance runs to the goal.
func (s *Session) advance(ctx context.Context) (Stop, error) {
	for {
		s.goal.event, s.goal.marks, s.goal.stop = false, false, Stop{}
		stop, err := s.process.Run(ctx)
		s.history.furthest = max(s.history.furthest, s.at())
		if err != nil {
			return Stop{}, err
		}
		switch stop.Kind {
		case linux.Held:
			switch {
			case s.goal.event:
				err = s.again()
			case s.goal.marks:
				err = s.mark()
				s.goal.mark = 0
			default:
				return s.goal.stop, nil
			}
		case linux.WantsInput:
			if s.history.coming() == nil && s.goal.replay {
				return Stop{Reason: Stepped, Thread: s.someThread()}, nil
			}
			if err = s.feed(ctx, stop); err != nil && ctx.Err() != nil {
				return Stop{Reason: Interrupted, Thread: s.someThread(), End: stop}, nil
			}
		case linux.Stopped:
			return Stop{Reason: Interrupted, Thread: s.someThread(), End: stop}, nil
		case linux.Idle, linux.Deadlock:
			return Stop{Reason: Stuck, Thread: s.someThread(), End: stop}, nil
		default:
			s.ended = &stop
			return Stop{Reason: Ended, End: stop}, nil
		}
		if err != nil {
			return Stop{}, err
		}
	}
}

// someThread is the one that ran last, or the first.
func (s *Session) someThread() int32 {
	tasks := s.process.Tasks()
	for _, t := range tasks {
		if t.ID == s.goal.task {
			return t.ID
		}
	}
	if len(tasks) > 0 {
		return tasks[0].ID
	}
	return 0
}

// again has the events happen that came here.
func (s *Session) again() error {
	for {
		e := s.history.coming()
		if e == nil || e.at > s.at() || e.idle() || e.kind == eventVerdict {
			return nil
		}
		s.history.next++
		if err := s.do(e); err != nil {
			return fmt.Errorf("BUG: what a debugger did can't be done again: %w", err)
		}
	}
}

// feed is for when all threads wait: what came then comes again, or it waits for something new.
func (s *Session) feed(ctx context.Context, stop linux.Stop) error {
	if e := s.history.coming(); e != nil {
		if e.at != s.at() {
			return fmt.Errorf("BUG: after %d instructions the program waits, where it waited after %d", s.at(), e.at)
		}
		s.history.next++
		return s.do(e)
	}
	bytes := s.rest
	if len(bytes) == 0 {
		until, cancel := context.WithTimeout(ctx, stop.Wake)
		defer cancel()
		var err error
		bytes, err = s.options.Input(until)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			return s.change(event{kind: eventPass, passed: stop.Wake})
		case errors.Is(err, io.EOF):
			return s.change(event{kind: eventEnd})
		case err != nil:
			return fmt.Errorf("reading standard input: %w", err)
		}
	}
	n := min(len(bytes), inputMax)
	s.rest = bytes[n:]
	return s.change(event{kind: eventInput, bytes: bytes[:n]})
}

// inputMax is how much a program that waits for input takes at once.
const inputMax = 64 << 10

var _ linux.Debugger = (*Session)(nil)

// Turn implements linux.Debugger.
func (s *Session) Turn(task int32) (most uint64, past bool) {
	g := &s.goal
	at := s.process.Executed()
	g.turnAt, g.task = at, task
	end := g.until
	if e := s.history.coming(); e != nil && !e.idle() && e.kind != eventVerdict {
		if e.at <= at {
			g.event = true
			return 0, false
		}
		end = min(end, e.at)
	}
	if at >= g.until {
		g.stop = Stop{Reason: Stepped, Thread: task}
		return 0, false
	}
	if m := s.markAt(); m > 0 {
		if m <= at {
			g.marks = true
			return 0, false
		}
		end = min(end, m)
	}
	if g.order.Step && task == g.order.Thread && g.scan == nil {
		if g.moved && !s.inRange(task) {
			g.stop = Stop{Reason: Stepped, Thread: task}
			return 0, false
		}
		end = min(end, at+1)
	}
	past, g.past = g.past, false
	g.steps = end-at == 1
	return end - at, past
}

// markAt is where a mark is to be made; 0 is nowhere.
func (s *Session) markAt() uint64 {
	if s.goal.replay {
		return s.goal.mark
	}
	if s.alone || s.live {
		return 0
	}
	return s.history.nextMark()
}

func (s *Session) inRange(task int32) bool {
	o := &s.goal.order
	if o.From >= o.To {
		return false
	}
	r, err := s.process.TaskRegisters(task)
	return err == nil && r.RIP >= o.From && r.RIP < o.To
}

// Ran implements linux.Debugger.
func (s *Session) Ran(task int32, exit vmm.Exit) bool {
	g := &s.goal
	at := s.process.Executed()
	ran := at > g.turnAt || s.live && (exit.Kind == vmm.ExitSyscall || exit.Kind == vmm.ExitSpent && g.steps || exit.Kind == vmm.ExitWatchpoint)
	g.moved = g.moved || ran && task == g.order.Thread
	if g.scan != nil && g.scan.step && ran && task == g.scan.task {
		*g.scan = scan{step: true, task: task, found: true, at: at - 1, stop: Stop{Reason: Stepped, Thread: task}}
	}
	stop, place := Stop{Thread: task}, at
	switch exit.Kind {
	case vmm.ExitBreakpoint:
		stop.Reason = Breakpoint
		g.past = g.scan != nil || g.replay
	case vmm.ExitWatchpoint:
		stop.Reason, stop.Addr = Watchpoint, exit.Addr
		place-- // who comes back stops before what was written
	default:
		return false
	}
	if g.scan != nil {
		if !g.scan.step {
			g.scan.found, g.scan.at, g.scan.stop = true, place, stop
		}
		return false
	}
	if g.replay {
		return false
	}
	g.stop = stop
	return true
}

// Signal implements linux.Debugger.
func (s *Session) Signal(task int32, info abi.Siginfo) linux.Verdict {
	g := &s.goal
	if s.live && g.decided && task == g.held.task && info.Signo == g.held.info.Signo {
		g.decided = false
		return g.verdict
	}
	if g.replay || g.decided {
		for e := s.history.coming(); e != nil && e.at == s.process.Executed() && e.stopped; e = s.history.coming() {
			s.history.next++
			if e.kind == eventVerdict {
				g.decided = false
				return e.verdict
			}
			if s.do(e) != nil {
				break
			}
		}
	}
	switch {
	case info.Signo == g.sent:
		g.sent = 0
		return linux.Deliver
	case g.replay || s.alone || s.passed[info.Signo]:
		return linux.Deliver
	}
	s.signal = &held{task, info}
	s.goal.stop = Stop{Reason: Signal, Thread: task, Signal: info.Signo}
	return linux.Hold
}
