package linux

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/trace"
)

// traced runs a program in virtual time and returns what Trace was told.
func traced(t *testing.T, m vmm.Machine, file string, o Options) []string {
	t.Helper()
	var lines []string
	o.Time.Virtual = true
	o.Trace = func(e trace.Event) { lines = append(lines, e.String()) }
	p, err := Load(m, read(t, file), o)
	if err != nil {
		t.Fatal(err)
	}
	p.CloseStdin()
	if stop, err := p.Run(context.Background()); err != nil || stop.Kind != Exited {
		t.Fatalf("%+v %v", stop, err)
	}
	return lines
}

func TestTraceIsLikeStraces(t *testing.T) {
	file := buildC(t, "gcc", "memory")
	onAll(t, func(t *testing.T, newMachine func() vmm.Machine) {
		all := strings.Join(traced(t, newMachine(), file, Options{Args: []string{"memory"}}), "\n")
		for _, want := range []string{
			"[1] arch_prctl(0x1002, ", ` = -1 ENOSYS (function not implemented)`, "[1] mmap(0x0, 0x40000, 0x3, 0x22, -1, 0x0) = 0x",
			`[1] write(1, "dontneed: ok\n97 0 0 97\n`, "[1] --- page at 0x", " = -1 EEXIST (", `[1] memfd_create("x", 0x0) = 3`, "+++ exited 0 +++",
		} {
			if !strings.Contains(all, want) {
				t.Errorf("no %q in the trace:\n%s", want, all)
			}
		}
	})
}

// TestMachinesAgree: a program does the same system calls with the same results on all machines, and the same faults.
func TestMachinesAgree(t *testing.T) {
	file := buildC(t, "musl-gcc", "hello")
	traces := map[string][]string{}
	for name, make := range backends {
		m, err := make()
		if err != nil {
			t.Logf("%s: %v", name, err)
			continue
		}
		defer m.Close()
		traces[name] = traced(t, m, file, Options{Args: []string{"hello"}})
	}
	for name, lines := range traces {
		if !slices.Equal(lines, traces["emulator"]) {
			t.Errorf("%s:\n%s\nemulator:\n%s", name, strings.Join(lines, "\n"), strings.Join(traces["emulator"], "\n"))
		}
	}
}

// TestTheSameAgain: on a machine that is deterministic, threads, timers and signals of a program happen at the same places each time.
func TestTheSameAgain(t *testing.T) {
	file := buildGo(t, "threads")
	o := Options{Args: []string{"threads", "1"}, Slice: Slice{Instructions: 10_007, Random: 5}}
	var first []string
	for range 2 {
		m, err := backends["emulator"]()
		if err != nil {
			t.Fatal(err)
		}
		lines := traced(t, m, file, o)
		_ = m.Close()
		if first == nil {
			first = lines
		}
		if !slices.Equal(lines, first) {
			t.Errorf("%d lines of trace, then %d", len(first), len(lines))
		}
	}
}
