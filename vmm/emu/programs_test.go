//go:build linux && amd64

package emu

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// programGuest is a static Linux program in a guest, with as few system calls as C libraries need to print something.
type programGuest struct {
	t       testing.TB
	machine *Machine
	vcpu    *VCPU
	brk     uint64
	next    uint64 // where mmap goes on
	output  bytes.Buffer
}

// Where a program's memory is. All of it is mapped from the beginning.
const (
	programPhys   = 0x1000000
	programAt     = 0x400000
	programSize   = 24 << 20 // and its heap
	mappedAt      = 0x7000_0000_0000
	mappedSize    = 24 << 20
	stackTop      = 0x7fff_0000_0000
	stackSize     = 1 << 20
	programBudget = 3_000_000_000 // instructions
)

func newProgram(t testing.TB, name string) *programGuest {
	t.Helper()
	memory := phys.New(phys.Options{})
	t.Cleanup(func() { _ = memory.Close() })
	if _, err := memory.Add(phys.Spec{Size: 80 << 20}); err != nil {
		t.Fatal(err)
	}
	b, err := mmu.NewBuilder(memory, &mmu.Frames{Next: 0x100000, End: 0x200000})
	if err != nil {
		t.Fatal(err)
	}
	p := &programGuest{t: t, machine: New(memory), next: mappedAt}
	at := phys.Addr(programPhys)
	for _, r := range [][2]uint64{{programAt, programSize}, {mappedAt, mappedSize}, {stackTop - stackSize, stackSize}} {
		if err := b.Map(r[0], at, r[1], mmu.User|mmu.Write); err != nil {
			t.Fatal(err)
		}
		at += phys.Addr(r[1])
	}
	v, err := p.machine.NewVCPU()
	if err != nil {
		t.Fatal(err)
	}
	p.vcpu = v.(*VCPU)
	if err := v.SetSystem(x86.System{
		CR0: x86.CR0PE | x86.CR0PG | x86.CR0WP, CR3: uint64(b.Space().Root), CR4: x86.CR4PAE, EFER: x86.EFERLME | x86.EFERLMA | x86.EFERNXE | x86.EFERSCE,
	}); err != nil {
		t.Fatal(err)
	}
	p.load(name)
	return p
}

// load puts the program's segments into memory, and its arguments on the stack.
func (p *programGuest) load(name string) {
	f, err := elf.Open(name)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	headers := uint64(0)
	for _, s := range f.Progs {
		if s.Type != elf.PT_LOAD {
			continue
		}
		data := make([]byte, s.Filesz)
		if _, err := s.ReadAt(data, 0); err != nil {
			p.t.Fatal(err)
		}
		p.write(s.Vaddr, data)
		p.brk = max(p.brk, (s.Vaddr+s.Memsz+0xffff)&^0xfff)
		if s.Off == 0 {
			headers = s.Vaddr + 64
		}
	}
	const random, text = stackTop - 64, stackTop - 128
	p.write(random, []byte("sixteen bytes...."))
	p.write(text, []byte("program\x00"))
	words := []uint64{
		1, text, 0, 0,
		3, headers, 4, 56, 5, uint64(len(f.Progs)), 6, phys.PageSize, 9, f.Entry, 25, random, 11, 0, 12, 0, 13, 0, 14, 0, 23, 0, 0, 0,
	}
	var stack []byte
	for _, w := range words {
		stack = binary.LittleEndian.AppendUint64(stack, w)
	}
	p.vcpu.regs.RSP = stackTop - 1024
	p.write(p.vcpu.regs.RSP, stack)
	p.vcpu.regs.RIP = f.Entry
}

func (p *programGuest) write(va uint64, data []byte) {
	if err := mmu.WriteVirtual(p.machine.memory, p.vcpu.space, va, data); err != nil {
		p.t.Fatal(err)
	}
}

func (p *programGuest) read(va, size uint64) []byte {
	data := make([]byte, size)
	if err := mmu.ReadVirtual(p.machine.memory, p.vcpu.space, va, data); err != nil {
		p.t.Fatal(err)
	}
	return data
}

// run runs the program to its end and returns what it has written.
func (p *programGuest) run() string {
	for {
		exit := run(p.t, p.vcpu, programBudget)
		if exit.Kind != vmm.ExitSyscall {
			p.t.Fatalf("%+v at %#x after %d instructions", exit, p.vcpu.regs.RIP, p.vcpu.Instructions())
		}
		if !p.call() {
			return p.output.String()
		}
	}
}

// call does a system call. It returns false at the end.
func (p *programGuest) call() bool {
	const (
		sysWrite, sysMmap, sysMunmap, sysBrk, sysIoctl, sysWritev = 1, 9, 11, 12, 16, 20
		sysArchPrctl, sysSetTidAddress, sysExitGroup, sysMprotect = 158, 218, 231, 10
		setFS, enosys, enotty, fixed                              = 0x1002, 38, 25, 0x10
	)
	r := &p.vcpu.regs
	result := uint64(0)
	switch r.RAX {
	case sysWrite:
		p.output.Write(p.read(r.RSI, r.RDX))
		result = r.RDX
	case sysWritev:
		for i := range r.RDX {
			v := p.read(r.RSI+16*i, 16)
			size := binary.LittleEndian.Uint64(v[8:])
			p.output.Write(p.read(binary.LittleEndian.Uint64(v), size))
			result += size
		}
	case sysBrk:
		if r.RDI > p.brk && r.RDI < programAt+programSize {
			p.brk = r.RDI
		}
		result = p.brk
	case sysMmap:
		if result = r.RDI; r.R10&fixed == 0 {
			result = p.next
			p.next += (r.RSI + 0xfff) &^ 0xfff
		}
	case sysArchPrctl:
		if r.RDI == setFS {
			p.vcpu.system.FSBase = r.RSI
		}
	case sysIoctl:
		result = ^uint64(enotty - 1)
	case sysMunmap, sysMprotect:
	case sysSetTidAddress:
		result = 1
	case sysExitGroup:
		return false
	default:
		result = ^uint64(enosys - 1)
	}
	r.RAX = result
	return true
}

// TestPrograms has static programs of C do here what they do natively.
func TestPrograms(t *testing.T) {
	for _, c := range []struct{ compiler, source, options string }{
		{"musl-gcc", "numbers", "-O2"},
		{"gcc", "numbers", "-O2"},
		{"gcc", "strings", "-O2"},
		{"musl-gcc", "strings", "-O1"},
		{"gcc", "vectors", "-O3 -march=x86-64-v2"},
		{"musl-gcc", "vectors", "-O3 -march=x86-64-v2 -mfpmath=sse"},
		{"gcc", "vectors", "-O3 -march=x86-64-v3"},
		{"musl-gcc", "numbers", "-O3 -march=x86-64-v3"},
		{"gcc", "strings", "-O3 -march=x86-64-v3"},
	} {
		t.Run(c.compiler+" "+c.source, func(t *testing.T) {
			if strings.Contains(c.options, "v3") && !hostHasAVX {
				t.Skip("this processor has no AVX2 to compare with")
			}
			binary := compile(t, c.compiler, c.source, c.options)
			want, err := exec.Command(binary).Output()
			if err != nil {
				t.Fatal(err)
			}
			p := newProgram(t, binary)
			before := cpuTime(t)
			got := p.run()
			n := p.vcpu.Instructions()
			t.Logf("%d instructions, %.1f ns each", n, float64(cpuTime(t)-before)/float64(n))
			if got != string(want) {
				t.Errorf("the output differs: %s", firstDifference(got, string(want)))
			}
		})
	}
}

func compile(t testing.TB, compiler, source, options string) string {
	t.Helper()
	if _, err := exec.LookPath(compiler); err != nil {
		t.Skipf("%s isn't installed; tools/setup.sh installs it", compiler)
	}
	binary := filepath.Join(t.TempDir(), source)
	args := append(strings.Fields(options), "-static", "-no-pie", "-fno-builtin-memcpy", "-D_GNU_SOURCE", "-w", "-o", binary, filepath.Join("testdata", "programs", source+".c"), "-lm")
	if out, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

// firstDifference are the first lines that differ.
func firstDifference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d is\n%s\nnatively\n%s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines, natively %d", len(a), len(b))
}
