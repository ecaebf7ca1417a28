package debug

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/trace"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/snap"
)

// Options say what is debugged.
type Options struct {
	Machine snap.Maker
	// Program is the file, Snapshot one of it, to go on from; one of them.
	Program  []byte
	Snapshot *snap.Snapshot
	// Linux is how it runs. Its time is virtual, whatever is said here.
	Linux linux.Options
	// Input waits for standard input, until its context is done; io.EOF is its end.
	Input func(context.Context) ([]byte, error)
}

// Session is a program under a debugger.
type Session struct {
	options Options
	machine vmm.Machine
	stopper vmm.Stopper
	process *linux.Process
	stops   vmm.Stops
	applied bool // the machine has them
	passed  map[abi.Signal]bool
	outputs [2]*output
	history history
	rest    []byte // of the input, for which there was no room
	signal  *held  // that the program stopped at
	ended   *linux.Stop
	alone   bool // nobody debugs it any more
	live    bool // it runs once: the machine doesn't count instructions, and there is no way back
	goal    goal
}

// held is a signal that waits for what the debugger says.
type held struct {
	task int32
	info abi.Siginfo
}

// New makes a session of a program that hasn't begun.
func New(o Options) (*Session, error) {
	s := &Session{options: o}
	l := &s.options.Linux
	l.Time.Virtual = true
	if l.Seed == ([32]byte{}) {
		l.Seed[0] = 1 // else a snapshot's random bytes would be new ones
	}
	if show := l.Trace; show != nil {
		l.Trace = func(e trace.Event) {
			if !s.history.past(s.at()) {
				show(e)
			}
		}
	}
	for i, w := range []*io.Writer{&l.Stdout, &l.Stderr} {
		if *w == nil {
			*w = io.Discard
		}
		s.outputs[i] = &output{w: *w}
		*w = s.outputs[i]
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Session) begin() (err error) {
	if from := s.options.Snapshot; from != nil {
		s.options.Program = from.Program()
		s.machine, s.process, err = from.Open(s.options.Machine, s.options.Linux)
	} else {
		memory := phys.New(phys.Options{})
		if s.machine, err = s.options.Machine(memory); err != nil {
			return errors.Join(err, memory.Close())
		}
		if _, err = stopper(s.machine); err == nil {
			s.process, err = linux.Load(s.machine, s.options.Program, s.options.Linux)
		}
	}
	if err == nil {
		err = s.take()
	}
	if err == nil && !s.live {
		err = s.mark()
	}
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// take makes the session that of s.machine and s.process.
func (s *Session) take() (err error) {
	if s.stopper, err = stopper(s.machine); err == nil {
		s.live = !s.machine.Caps().Deterministic
		s.applied, s.signal, s.ended = false, nil, nil
		s.process.Debug(s)
	}
	return err
}

func stopper(m vmm.Machine) (vmm.Stopper, error) {
	stopper, ok := m.(vmm.Stopper)
	if caps := m.Caps(); !ok || !caps.Deterministic && !caps.Debug {
		return nil, fmt.Errorf("machine %q can't stop a program where it is on this host (wherry doctor machine: single steps no); debug with --machine emulator", caps.Name)
	}
	return stopper, nil
}

var errForward = errors.New("this machine doesn't count instructions, so the program can't go back; debug with --machine emulator for that")

// NoWayBack says why the program can't go back; nil if it can.
func (s *Session) NoWayBack() error {
	if s.live {
		return errForward
	}
	return nil
}

// Close ends the session and its program.
func (s *Session) Close() error {
	var err error
	if s.machine != nil {
		err = s.machine.Close()
		s.machine = nil
	}
	return errors.Join(err, s.history.close())
}

func (s *Session) at() uint64 {
	if s.process == nil {
		return 0
	}
	return s.process.Executed()
}

// At is how many instructions the program has executed.
func (s *Session) At() uint64 { return s.at() }

// Program is the file that is debugged.
func (s *Session) Program() []byte { return s.options.Program }

// Name is what the program calls itself.
func (s *Session) Name() string { return s.options.Linux.Args[0] }

// Auxv is its auxiliary vector.
func (s *Session) Auxv() []byte { return s.process.Auxv() }

// Threads are those that are alive.
func (s *Session) Threads() []linux.TaskInfo { return s.process.Tasks() }

// Registers are those of a thread.
func (s *Session) Registers(id int32) (linux.TaskRegisters, error) {
	return s.process.TaskRegisters(id)
}

// ReadMemory fills b with what the program reads at va.
func (s *Session) ReadMemory(va uint64, b []byte) error { return s.process.ReadMemory(va, b) }

// SetRegisters changes a thread's registers.
func (s *Session) SetRegisters(id int32, r linux.TaskRegisters) error {
	return s.change(event{kind: eventRegisters, task: id, registers: r})
}

// WriteMemory writes where the program may.
func (s *Session) WriteMemory(va uint64, b []byte) error {
	return s.change(event{kind: eventMemory, addr: va, bytes: append([]byte(nil), b...)})
}

// SetStops replaces breakpoints and watches.
func (s *Session) SetStops(stops vmm.Stops) {
	if !slices.Equal(stops.Breakpoints, s.stops.Breakpoints) || !slices.Equal(stops.Watches, s.stops.Watches) {
		s.stops, s.applied = stops, false
	}
}

// SetPassed has the program get these signals without stopping.
func (s *Session) SetPassed(signals map[abi.Signal]bool) { s.passed = signals }

// End is how the program ended; nil while it hasn't.
func (s *Session) End() *linux.Stop { return s.ended }

// Metrics are the process's.
func (s *Session) Metrics() linux.Metrics { return s.process.Metrics() }

// output shows what is written for the first time.
type output struct {
	w         io.Writer
	at, shown int64
}

func (o *output) Write(b []byte) (int, error) {
	n := len(b)
	known := min(max(o.shown-o.at, 0), int64(n))
	o.at += int64(n)
	o.shown = max(o.shown, o.at)
	if b = b[known:]; len(b) > 0 {
		if _, err := o.w.Write(b); err != nil {
			return 0, err
		}
	}
	return n, nil
}
