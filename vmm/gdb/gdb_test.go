package gdb_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/debug"
	"github.com/wherry/wherry/vmm/emu"
	"github.com/wherry/wherry/vmm/gdb"
	"github.com/wherry/wherry/vmm/kvm"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/snap"
)

// build makes a program from testdata.
func build(t *testing.T, source string, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(source), ".c"))
	c := exec.Command("gcc", append([]string{"-g", "-O0", "-static", "-o", out, source}, flags...)...)
	if !strings.HasSuffix(source, ".c") {
		c = exec.Command("go", "build", "-o", out, source)
		c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	}
	if _, err := exec.LookPath(c.Args[0]); err != nil {
		t.Skipf("no %s here; tools/setup.sh installs it", c.Args[0])
	}
	if msg, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", c.Args, err, msg)
	}
	return out
}

func emulator(m *phys.Memory) (vmm.Machine, error) { return emu.New(m), nil }

func onKVM(m *phys.Memory) (vmm.Machine, error) { return kvm.New(m) }

// onEach runs f on the emulator, and on KVM where that stops programs.
func onEach(t *testing.T, f func(t *testing.T, machine snap.Maker)) {
	t.Run("emulator", func(t *testing.T) { f(t, emulator) })
	t.Run("kvm", func(t *testing.T) {
		needsKVM(t)
		f(t, onKVM)
	})
}

func needsKVM(t *testing.T) {
	t.Helper()
	memory := phys.New(phys.Options{})
	m, err := kvm.New(memory)
	if err != nil {
		t.Skip(errors.Join(err, memory.Close()))
	}
	defer m.Close()
	if !m.Caps().Debug {
		t.Skip("this host delivers no single steps")
	}
}

// serve begins a program and serves it to a gdb; done returns what became of both.
func serve(t *testing.T, machine snap.Maker, file string, stdout io.Writer) (address string, done func(gdbSaid string) (*linux.Stop, error)) {
	t.Helper()
	if _, err := exec.LookPath("gdb"); err != nil {
		t.Skip("no gdb here; tools/setup.sh installs it")
	}
	program, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := debug.New(debug.Options{
		Machine: machine, Program: program,
		Linux: linux.Options{Args: []string{file}, Stdout: stdout, Memory: 64 << 20},
		Input: func(context.Context) ([]byte, error) { return nil, io.EOF },
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	served.Go(func() { err = gdb.Serve(ctx, l, s) })
	return l.Addr().String(), func(said string) (*linux.Stop, error) {
		if !strings.Contains(said, "detached") {
			cancel() // no other gdb comes
		}
		served.Wait()
		cancel()
		if s.End() != nil && errors.Is(err, context.Canceled) {
			err = nil
		}
		return s.End(), errors.Join(err, s.Close())
	}
}

// command is a gdb that attaches and does what it is told.
func command(t *testing.T, address string, commands ...string) *exec.Cmd {
	t.Helper()
	args := []string{"-batch", "-nx", "-ex", "set pagination off", "-ex", "target remote " + address}
	for _, c := range commands {
		args = append(args, "-ex", c)
	}
	return exec.CommandContext(t.Context(), "gdb", args...)
}

// script has gdb do commands with a program, and checks that what it prints has all of wants, in order.
func script(t *testing.T, machine snap.Maker, file string, commands []string, wants ...string) linux.Stop {
	t.Helper()
	address, done := serve(t, machine, file, io.Discard)
	out, err := command(t, address, commands...).CombinedOutput()
	if err != nil {
		t.Errorf("gdb: %v", err)
	}
	end, err := done(string(out))
	if err != nil && !errors.Is(err, gdb.ErrKilled) {
		t.Error(err)
	}
	rest := string(out)
	for _, want := range wants {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("no %q in the rest of:\n%s", want, out)
		}
		rest = after
	}
	if end == nil {
		return linux.Stop{}
	}
	return *end
}

func TestBreakpointsStepsVariables(t *testing.T) { onEach(t, testBreakpointsStepsVariables) }

func testBreakpointsStepsVariables(t *testing.T, machine snap.Maker) {
	end := script(t, machine, build(t, "testdata/points.c"), []string{
		"break add", "continue", "bt", "p a", "finish", "next", "p p", "p/x $cs", "stepi", "info registers rip", "delete",
		"p add(20, 22)", "set var p.x = 100", "p p.x", "continue",
	},
		"Breakpoint 1, add (a=0, b=0)", "#1 ", "in main", "$1 = 0", "Value returned is $2 = 0", "x += total", "$3 = {x = 3, y = 4}", "$4 = 0x33",
		"rip", "= 42", "= 100", "exited with code 07")
	if end.Kind != linux.Exited || end.Status != 7 {
		t.Errorf("%+v", end)
	}
}

// TestWideRegisters: gdb sees YMM registers as a whole, and changes them.
func TestWideRegisters(t *testing.T) {
	script(t, emulator, build(t, "testdata/points.c"), []string{
		"break add", "continue", "set var $ymm3.v4_int64 = {11, 12, 13, 77}", "stepi", "p $ymm3.v4_int64", "p $xmm3.v2_int64", "kill",
	}, "Breakpoint 1, add", "$1 = {11, 12, 13, 77}", "$2 = {11, 12}", "killed")
}

func TestWatchForwardAndBack(t *testing.T) {
	script(t, emulator, build(t, "testdata/points.c"), []string{
		"break main", "continue", "watch total", "continue", "continue", "reverse-continue", "reverse-continue", "reverse-continue", "delete",
		"rwatch total", "continue", "bt 1", "delete", "break add", "continue", "reverse-stepi", "p $rip < (unsigned long)add", "reverse-next", "kill",
	},
		"Breakpoint 1, main", "Old value = 0", "New value = 1", "Old value = 1", "New value = 3", "Old value = 3", "New value = 1", "Old value = 1", "New value = 0",
		"Breakpoint 1, main", "Hardware read watchpoint 3: total", "in main", "Breakpoint 4, add", "killed")
}

// TestForwardOnly watches what is written on KVM, and is refused the rest, with what to do.
func TestForwardOnly(t *testing.T) {
	needsKVM(t)
	script(t, onKVM, build(t, "testdata/points.c"), []string{
		"break main", "continue", "watch total", "continue", "continue", "reverse-continue", "bt 1", "monitor when", "delete", "rwatch total", "continue", "kill",
	},
		"Breakpoint 1, main", "Old value = 0", "New value = 1", "Old value = 1", "New value = 3", "--machine emulator", "No more reverse-execution history", "main ()",
		"--machine emulator", "Could not insert hardware watchpoint", "killed")
}

// TestThreadsOnKVM has threads, signals that the program handles, one that is kept from it, and one that kills.
func TestThreadsOnKVM(t *testing.T) {
	needsKVM(t)
	file := build(t, "../debug/testdata/threads.c", "-pthread")
	end := script(t, onKVM, file, []string{
		"break worker", "continue", "info threads", "continue", "continue", "stepi", "stepi", "p $_thread > 1", "delete", "continue", "p counter", "thread apply all bt 1",
		"continue", "p counter", "continue",
	},
		"hit Breakpoint 1, worker", "Thread 1 \"threads\"", "hit Breakpoint 1, worker", "hit Breakpoint 1, worker", "$1 = 1", "received signal SIGUSR1", "$2 = 1500",
		"#0 ", "received signal SIGSEGV", "$3 = 1001500", "Program terminated with signal SIGSEGV")
	if end.Kind != linux.Killed {
		t.Errorf("%+v", end)
	}
	end = script(t, onKVM, file, []string{"continue", "signal 0", "p counter", "detach"}, "received signal SIGUSR1", "received signal SIGSEGV", "$1 = 1500", "detached")
	if end.Kind != linux.Killed {
		t.Errorf("%+v", end)
	}
	end = script(t, onKVM, file, []string{"continue", "signal SIGTERM"}, "received signal SIGUSR1", "Program terminated with signal SIGTERM") // instead
	if end.Kind != linux.Killed {
		t.Errorf("%+v", end)
	}
}

func TestThreads(t *testing.T) {
	end := script(t, emulator, build(t, "../debug/testdata/threads.c", "-pthread"), []string{
		"break worker", "continue", "info threads", "delete", "watch counter if counter == 1200", "continue", "thread apply all bt 1", "delete",
		"continue", "continue", "p counter", "break worker", "reverse-continue", "reverse-continue", "reverse-continue", "reverse-continue", "delete",
		"continue", "continue", "continue",
	},
		"hit Breakpoint 1, worker", "Thread 1 \"threads\"", "* ", "New value = 1200", "received signal SIGUSR1", "received signal SIGSEGV", "$1 = 1001500",
		"hit Breakpoint 3, worker", "hit Breakpoint 3, worker", "hit Breakpoint 3, worker", "No more reverse-execution history",
		"received signal SIGUSR1", "received signal SIGSEGV", "Program terminated with signal SIGSEGV")
	if end.Kind != linux.Killed {
		t.Errorf("%+v", end)
	}
}

func TestGoProgram(t *testing.T) { onEach(t, testGoProgram) }

func testGoProgram(t *testing.T, machine snap.Maker) {
	end := script(t, machine, build(t, "./testdata/goroutines"), []string{"break main.sum", "continue", "bt", "info threads", "delete", "detach"},
		"Breakpoint 1, main.sum (n=1000", "main.main.func1", "runtime.goexit", "* ", "detached")
	if end.Kind != linux.Exited || end.Status != 0 {
		t.Errorf("%+v", end)
	}
}

// signaller sends an interrupt to gdb when the program has written something.
type signaller struct {
	once    sync.Once
	written chan struct{}
}

func (s *signaller) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.written) })
	return len(b), nil
}

func TestInterruptOfALoop(t *testing.T) { onEach(t, testInterruptOfALoop) }

func testInterruptOfALoop(t *testing.T, machine snap.Maker) {
	file := build(t, "testdata/loop.c")
	w := &signaller{written: make(chan struct{})}
	address, done := serve(t, machine, file, w)
	g := command(t, address, "continue", "bt", "p rounds > 0", "kill")
	var out strings.Builder
	g.Stdout, g.Stderr = &out, &out
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- g.Wait() }()
	select {
	case <-w.written:
		if err := g.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := <-gone; err != nil {
			t.Error(err)
		}
	case err := <-gone:
		t.Errorf("gdb went before the program said anything: %v", err)
	}
	if _, err := done(out.String()); !errors.Is(err, gdb.ErrKilled) {
		t.Error(err)
	}
	for _, want := range []string{"received signal SIGINT", "main () at", "$1 = 1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}
