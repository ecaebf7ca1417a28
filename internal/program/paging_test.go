package program_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry/wherry/internal/program"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/trace"
)

// walk builds testdata/walk.c.
func walk(t *testing.T) string {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc here; tools/setup.sh installs it")
	}
	out := filepath.Join(t.TempDir(), "walk")
	if text, err := exec.Command("gcc", "-static", "-O1", "-o", out, "testdata/walk.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// run lets walk fill 64 MiB on a machine, and returns its status and what was printed.
func run(t *testing.T, file, machine string, p program.Paging) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	options := program.Options{Machine: machine, Program: file, Paging: p, Linux: linux.Options{Args: []string{"walk", "64"}, Trace: func(trace.Event) {}}}
	status, err := program.Run(t.Context(), options, program.Streams{In: strings.NewReader(""), Out: &o, Err: &e})
	if err != nil {
		t.Fatal(err)
	}
	return status, o.String(), e.String()
}

func TestResidentAndSwap(t *testing.T) {
	file := walk(t)
	want, err := exec.Command(file, "64").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, swap := range []string{program.SwapAuto, t.TempDir()} {
		status, out, errs := run(t, file, "emulator", program.Paging{Resident: 8 << 20, Swap: swap})
		if status != 0 || out != string(want) {
			t.Errorf("status %d, output %q, natively %q\n%s", status, out, want, errs)
		}
		if !strings.Contains(errs, "--- pages: 2048 resident, 2048 at most;") {
			t.Errorf("the trace ends with %q", errs)
		}
		if left, err := os.ReadDir(swap); swap != program.SwapAuto && (err != nil || len(left) > 0) {
			t.Errorf("left in the directory: %v, %v", left, err)
		}
	}
	status, out, errs := run(t, file, "emulator", program.Paging{Resident: 8 << 20})
	if status != 124 || out != "" || !strings.Contains(errs, "passed its limit: resident") {
		t.Errorf("without swap: status %d, output %q\n%s", status, out, errs)
	}
}

// TestResidentOnKVM: there the budget is held when the program ends or waits.
func TestResidentOnKVM(t *testing.T) {
	file := walk(t)
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		t.Skip(err)
	} else if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := run(t, file, "kvm", program.Paging{Resident: 8 << 20}); status != 124 || !strings.Contains(errs, "passed its limit: resident") {
		t.Errorf("status %d\n%s", status, errs)
	}
	if status, out, errs := run(t, file, "kvm", program.Paging{Resident: 80 << 20}); status != 0 || out == "" {
		t.Errorf("with enough: status %d, output %q\n%s", status, out, errs)
	}
	o := program.Options{Machine: "kvm", Program: file, Paging: program.Paging{Resident: 8 << 20, Swap: program.SwapAuto}}
	if _, err := program.Run(t.Context(), o, program.Streams{}); err == nil || !strings.Contains(err.Error(), "--machine emulator") {
		t.Errorf("swap on KVM: %v", err)
	}
}
