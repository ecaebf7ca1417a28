//go:build linux && amd64

package emu

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// load is a function of testdata/loads.c.
type load struct {
	name string
	n    uint64 // how much of it
}

// loads are in the order of the numbers that run knows.
var loads = []load{
	{"integer", 200_000}, {"sieve", 3}, {"float", 20}, {"sha256", 1000}, {"copy", 100}, {"calls", 22}, {"json", 2000}, {"sort", 30_000}, {"table", 100_000},
}

// loadStack is how many bytes of stack loads have, behind their code and data.
const loadStack = 64 << 10

// compileLoads returns loads.c as a piece of memory for codeAt.
func compileLoads(t testing.TB) []byte {
	t.Helper()
	for _, tool := range []string{"gcc", "objcopy"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s isn't installed", tool)
		}
	}
	dir := t.TempDir()
	elf, binary := filepath.Join(dir, "loads"), filepath.Join(dir, "loads.bin")
	for _, args := range [][]string{
		{
			"gcc", "-O2", "-ffreestanding", "-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables", "-fPIE", "-nostdlib", "-static",
			"-Wl,-T,testdata/loads.ld,--build-id=none,--no-warn-rwx-segments", "-o", elf, "testdata/loads.c",
		},
		{"objcopy", "-O", "binary", elf, binary},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	code, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// newLoadGuest is a guest with code, and with what calls run behind it.
func newLoadGuest(t testing.TB, code []byte) *VCPU {
	t.Helper()
	memory := phys.New(phys.Options{})
	t.Cleanup(func() { _ = memory.Close() })
	b := newTables(t, memory)
	size := uint64(len(code)) + loadStack + phys.PageSize
	if err := b.Map(codeAt, codePhys, size, mmu.User|mmu.Write); err != nil {
		t.Fatal(err)
	}
	m, c := newProcessor(t, memory, b, code)
	m.store.after = translateAfter
	end := len(code) + loadStack
	if err := memory.WriteAt(append(callRun(end), 0x0f, 0x05), codePhys+phys.Addr(end)); err != nil {
		t.Fatal(err)
	}
	return c
}

// callRun is CALL run, from an offset.
func callRun(at int) []byte { return appendDistance([]byte{0xe8}, -at) }

func (c *VCPU) runLoad(t testing.TB, code []byte, which int, n uint64) uint64 {
	t.Helper()
	end := codeAt + uint64(len(code)) + loadStack
	c.regs.RIP, c.regs.RSP, c.regs.RDI, c.regs.RSI = end, end, uint64(which), n
	if exit := run(t, c, 0); exit.Kind != vmm.ExitSyscall {
		t.Fatalf("%+v at %#x", exit, c.regs.RIP)
	}
	return c.regs.RAX
}

// nativeLoads runs the same code on the host's processor.
type nativeLoads struct {
	native        // behind the stack
	code   []byte // that calls run
	stack  uint64
}

func newNativeLoads(t testing.TB, code []byte) *nativeLoads {
	t.Helper()
	end := len(code) + loadStack
	all := newNative(t, uintptr(end+2*phys.PageSize)).memory
	copy(all, code)
	_, at := program(nil)
	call, _ := program(callRun(end + at))
	return &nativeLoads{native{all[end:]}, call, codeAt + uint64(end)}
}

func (n *nativeLoads) run(which int, count uint64) uint64 {
	r := [17]uint64{regSP: n.stack, regDI: uint64(which), regSI: count}
	x := x86.NewExtended()
	n.native.run(n.code, &r, &x)
	return r[regAX]
}

// TestLoads has compiled programs give the native results, translated and interpreted.
func TestLoads(t *testing.T) {
	code := compileLoads(t)
	there, c, interpreted := newNativeLoads(t, code), newLoadGuest(t, code), newLoadGuest(t, code)
	interpreted.machine.Interpret()
	for i, l := range loads {
		n := l.n/8 + 1
		want, before, beforeInterpreted := there.run(i, n), c.Instructions(), interpreted.Instructions()
		if got := c.runLoad(t, code, i, n); got != want {
			t.Errorf("%s gives %#x, natively %#x", l.name, got, want)
		}
		if got := interpreted.runLoad(t, code, i, n); got != want {
			t.Errorf("%s interpreted gives %#x, natively %#x", l.name, got, want)
		}
		if a, b := c.Instructions()-before, interpreted.Instructions()-beforeInterpreted; a != b {
			t.Errorf("%s: %d instructions, interpreted %d", l.name, a, b)
		}
	}
}

// BenchmarkAgainstNative has CPU time on all sides in the same run: the machine may have other things to do.
func BenchmarkAgainstNative(b *testing.B) {
	code := compileLoads(b)
	there := newNativeLoads(b, code)
	for i, l := range loads {
		b.Run(l.name, func(b *testing.B) {
			translated, interpreted := newLoadGuest(b, code), newLoadGuest(b, code)
			interpreted.machine.Interpret()
			translated.runLoad(b, code, i, l.n)
			var times [3]int64
			before := translated.Instructions()
			for b.Loop() {
				for k, f := range []func(){
					func() { there.run(i, l.n) },
					func() { translated.runLoad(b, code, i, l.n) },
					func() { interpreted.runLoad(b, code, i, l.n) },
				} {
					start := cpuTime(b)
					f()
					times[k] += cpuTime(b) - start
				}
			}
			made := float64(translated.Instructions() - before)
			b.ReportMetric(float64(times[1])/float64(times[0]), "translated/native")
			b.ReportMetric(float64(times[2])/float64(times[0]), "interpreted/native")
			b.ReportMetric(float64(times[1])/made, "translated-ns/instruction")
			b.ReportMetric(float64(times[2])/made, "interpreted-ns/instruction")
			b.ReportMetric(0, "ns/op")
		})
	}
}
