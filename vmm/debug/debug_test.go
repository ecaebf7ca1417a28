package debug_test

import (
	"bytes"
	"context"
	"debug/elf"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/debug"
	"github.com/wherry/wherry/vmm/emu"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

func emulator(m *phys.Memory) (vmm.Machine, error) { return emu.New(m), nil }

// threads begins a session of testdata/threads.c with some input.
func threads(t *testing.T, out io.Writer, input ...string) *debug.Session {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc here; tools/setup.sh installs it")
	}
	return begin(t, []string{"gcc", "-static", "-pthread", "-O1", "-o", "OUTPUT", "testdata/threads.c"}, out, input...)
}

// begin makes a program, by command with OUTPUT for its file, and begins a session.
func begin(t *testing.T, command []string, out io.Writer, input ...string) *debug.Session {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	command[slices.Index(command, "OUTPUT")] = file
	c := exec.Command(command[0], command[1:]...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if msg, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	program, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := debug.New(debug.Options{
		Machine: emulator, Program: program, Linux: linux.Options{Args: []string{"program"}, Stdout: out, Memory: 64 << 20},
		Input: func(ctx context.Context) ([]byte, error) {
			if len(input) == 0 {
				return nil, io.EOF
			}
			line := input[0]
			if line == wait {
				stopWaiting()
				<-ctx.Done()
				return nil, ctx.Err()
			}
			input = input[1:]
			return []byte(line), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// wait is input that doesn't come until somebody interrupts the program, by stopWaiting.
const wait = "wait"

var stopWaiting context.CancelFunc

func resume(t *testing.T, s *debug.Session, o debug.Order) debug.Stop {
	t.Helper()
	stop, err := s.Resume(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return stop
}

// seen is what a debugger sees at a place.
type seen struct {
	at      uint64
	regs    x86.Regs
	threads int
}

func look(t *testing.T, s *debug.Session, thread int32) seen {
	t.Helper()
	r, err := s.Registers(thread)
	if err != nil {
		t.Fatal(err)
	}
	return seen{s.At(), r.Regs, len(s.Threads())}
}

// Whoever goes back step by step sees what he saw on the way, and forward again the same.
func TestStepsBackShowWhatWasSeen(t *testing.T) {
	var out bytes.Buffer
	s := threads(t, &out, "one\n", "two\n")
	if stop := resume(t, s, debug.Order{}); stop.Reason != debug.Signal || stop.Signal != abi.SIGUSR1 {
		t.Fatalf("%+v", stop)
	}
	if stop := resume(t, s, debug.Order{Thread: 1, Signal: abi.SIGUSR1}); stop.Reason != debug.Signal || stop.Signal != abi.SIGSEGV {
		t.Fatalf("%+v", stop)
	}
	shown := out.String()
	if want := "counter 1001500\ngot one\ngot two\n"; shown != want {
		t.Fatalf("%q", shown)
	}
	var back []seen
	for range 40 {
		if stop := resume(t, s, debug.Order{Back: true, Step: true, Thread: 1}); stop.Reason != debug.Stepped {
			t.Fatalf("%+v", stop)
		}
		back = append(back, look(t, s, 1))
	}
	for i := len(back) - 1; i > 0; i-- {
		if got := look(t, s, 1); got != back[i] {
			t.Fatalf("forward again: %+v, was %+v", got, back[i])
		}
		resume(t, s, debug.Order{Step: true, Thread: 1})
	}
	if stop := resume(t, s, debug.Order{}); stop.Reason != debug.Signal || stop.Signal != abi.SIGSEGV {
		t.Fatalf("%+v", stop)
	}
	if out.String() != shown {
		t.Errorf("output was shown again: %q", out.String())
	}
	stop := resume(t, s, debug.Order{Thread: 1, Signal: abi.SIGSEGV})
	if stop.Reason != debug.Ended || stop.End.Kind != linux.Killed || stop.End.Signal != abi.SIGSEGV {
		t.Errorf("%+v", stop)
	}
}

// All of history, to its beginning and to the end again, is the same.
func TestHistoryIsTheSameAgain(t *testing.T) {
	var out bytes.Buffer
	s := threads(t, &out, "one\n", "two\n")
	s.SetPassed(map[abi.Signal]bool{abi.SIGUSR1: true})
	resume(t, s, debug.Order{})
	end := look(t, s, 1)
	if stop := resume(t, s, debug.Order{Back: true}); stop.Reason != debug.Beginning || s.At() != 0 || len(s.Threads()) != 1 {
		t.Fatalf("%+v at %d", stop, s.At())
	}
	resume(t, s, debug.Order{})
	if got := look(t, s, 1); got != end {
		t.Errorf("at the end %+v, was %+v", got, end)
	}
	if n := strings.Count(out.String(), "got"); n != 2 {
		t.Errorf("%d lines: %q", n, out.String())
	}
}

// A Go program with its threads, timers and collections does the same again from any place, and in steps of any size.
func TestGoProgramIsTheSameAgain(t *testing.T) {
	s := begin(t, []string{"go", "build", "-o", "OUTPUT", "../gdb/testdata/goroutines"}, io.Discard)
	stop := resume(t, s, debug.Order{})
	ends := s.At()
	if stop.Reason != debug.Ended || ends < 100_000 {
		t.Fatalf("%+v after %d instructions", stop, ends)
	}
	again := begin(t, []string{"go", "build", "-o", "OUTPUT", "../gdb/testdata/goroutines"}, io.Discard)
	again.SetStops(vmm.Stops{Breakpoints: []uint64{symbol(t, again.Program(), "main.sum")}})
	stops := map[uint64]seen{}
	for stop = resume(t, again, debug.Order{}); stop.Reason == debug.Breakpoint; stop = resume(t, again, debug.Order{}) {
		stops[again.At()] = look(t, again, stop.Thread)
		resume(t, again, debug.Order{Back: true, Step: true, Thread: stop.Thread})
		for range 2 { // to it, without, and past it
			again.SetStops(vmm.Stops{})
			resume(t, again, debug.Order{Step: true, Thread: stop.Thread})
		}
		again.SetStops(vmm.Stops{Breakpoints: []uint64{symbol(t, again.Program(), "main.sum")}})
	}
	if again.At() != ends || len(stops) != 3 {
		t.Errorf("%d stops, and an end after %d instructions, without stops %d", len(stops), again.At(), ends)
	}
}

// symbol is where a function is.
func symbol(t *testing.T, program []byte, name string) uint64 {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if s.Name == name {
			return s.Value
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

// A change in the past makes another future, whose output is new.
func TestAnotherFuture(t *testing.T) {
	var out bytes.Buffer
	s := threads(t, &out)
	resume(t, s, debug.Order{}) // SIGUSR1
	before := look(t, s, 1)
	resume(t, s, debug.Order{Thread: 1, Signal: abi.SIGUSR1})
	resume(t, s, debug.Order{Back: true})
	resume(t, s, debug.Order{})
	if got := look(t, s, 1); got != before {
		t.Fatalf("%+v, was %+v", got, before)
	}
	resume(t, s, debug.Order{Thread: 1}) // without the signal, this time
	if want := "counter 1001500\ncounter 1500\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}

// Whoever stops a program that waits for input sees it wait, and the same again after he went back.
func TestInterruptOfAProgramThatWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := threads(t, io.Discard, "one\n", wait)
	stopWaiting = cancel
	s.SetPassed(map[abi.Signal]bool{abi.SIGUSR1: true})
	stop, err := s.Resume(ctx, debug.Order{})
	if err != nil || stop.Reason != debug.Interrupted {
		t.Fatalf("%+v %v", stop, err)
	}
	waits := look(t, s, 1)
	resume(t, s, debug.Order{Back: true, Step: true, Thread: 1})
	if got := look(t, s, 1); got.at != waits.at-1 {
		t.Errorf("a step back leads from %d to %d", waits.at, got.at)
	}
	resume(t, s, debug.Order{Back: true})
	ctx, stopWaiting = context.WithCancel(t.Context())
	defer stopWaiting()
	if stop, err = s.Resume(ctx, debug.Order{}); err != nil || stop.Reason != debug.Interrupted {
		t.Fatalf("%+v %v", stop, err)
	}
	if got := look(t, s, 1); got != waits {
		t.Errorf("it waits at %+v, waited at %+v", got, waits)
	}
}

func TestOnlyMachinesThatCanGoBack(t *testing.T) {
	_, err := debug.New(debug.Options{
		Machine: func(m *phys.Memory) (vmm.Machine, error) { return blunt{emu.New(m)}, nil },
		Program: []byte("\x7fELF"), Linux: linux.Options{Args: []string{"x"}},
	})
	if err == nil || !strings.Contains(err.Error(), "--machine emulator") {
		t.Error(err)
	}
}

// blunt is a machine without breakpoints.
type blunt struct{ vmm.Machine }

// TestNeedsAStopper has machines that can't stop a program where it is be refused, with what to do.
func TestNeedsAStopper(t *testing.T) {
	for name, machine := range map[string]func(*phys.Memory) (vmm.Machine, error){
		"no stops": func(m *phys.Memory) (vmm.Machine, error) { return plain{emu.New(m)}, nil },
		"no steps": func(m *phys.Memory) (vmm.Machine, error) { return stepless{emu.New(m)}, nil },
	} {
		_, err := debug.New(debug.Options{Machine: machine, Program: []byte("\x7fELF"), Linux: linux.Options{Args: []string{"program"}}})
		if err == nil || !strings.Contains(err.Error(), "--machine emulator") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type plain struct{ vmm.Machine }

type stepless struct{ *emu.Machine }

func (stepless) Caps() vmm.Caps { return vmm.Caps{Name: "kvm"} }
