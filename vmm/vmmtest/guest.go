package vmmtest

import (
	"testing"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// Open makes a machine of the back end under test, which owns memory from then on.
type Open func(t testing.TB, memory *phys.Memory) vmm.Machine

// Where a Guest's things are.
const (
	MemorySize = 4 << 20
	tablesPhys = 0x100000
	tablesEnd  = 0x140000
	CodePhys   = 0x200000
	DataPhys   = 0x210000
	SparePhys  = 0x280000 // mapped nowhere

	CodeAt    = 0x1000000000
	DataAt    = 0x1000010000
	SpareAt   = 0x2000000000 // nothing is mapped there
	CodePages = 2
	DataPages = 16
	StackTop  = DataAt + DataPages*phys.PageSize
)

// Guest is a machine with code at CodeAt, data at DataAt, and one processor.
type Guest struct {
	vmm.VCPU
	Machine vmm.Machine
	Tables  *mmu.Builder
	T       testing.TB
}

// System is the state of a processor that uses the page tables of b.
func System(b *mmu.Builder) x86.System {
	return x86.System{
		CR0: x86.CR0PE | x86.CR0PG | x86.CR0WP, CR3: uint64(b.Space().Root), CR4: x86.CR4PAE, EFER: x86.EFERLME | x86.EFERLMA | x86.EFERNXE | x86.EFERSCE,
	}
}

// NewGuest makes a Guest that begins at its code's start. The test's end closes it.
func NewGuest(t testing.TB, open Open, code []byte, more ...phys.Spec) *Guest {
	t.Helper()
	return NewGuestIn(t, open, phys.New(phys.Options{}), code, more...)
}

// NewGuestIn is NewGuest with a memory that has no slots yet.
func NewGuestIn(t testing.TB, open Open, memory *phys.Memory, code []byte, more ...phys.Spec) *Guest {
	t.Helper()
	for _, spec := range append([]phys.Spec{{Size: MemorySize}}, more...) {
		must(t, second(memory.Add(spec)))
	}
	b, err := mmu.NewBuilder(memory, &mmu.Frames{Next: tablesPhys, End: tablesEnd})
	must(t, err)
	must(t, b.Map(CodeAt, CodePhys, CodePages*phys.PageSize, mmu.User|mmu.Write))
	must(t, b.Map(DataAt, DataPhys, DataPages*phys.PageSize, mmu.User|mmu.Write|mmu.NoExec))
	must(t, memory.WriteAt(code, CodePhys))
	m := open(t, memory)
	t.Cleanup(func() { must(t, m.Close()) })
	g := &Guest{Machine: m, Tables: b, T: t}
	g.VCPU = g.NewProcessor()
	return g
}

// NewProcessor makes one more processor.
func (g *Guest) NewProcessor() vmm.VCPU {
	g.T.Helper()
	v, err := g.Machine.NewVCPU()
	must(g.T, err)
	must(g.T, v.SetSystem(System(g.Tables)))
	v.Regs().RIP, v.Regs().RSP = CodeAt, StackTop
	return v
}

// limit ends a guest that goes astray.
var limit = vmm.Budget{Instructions: 100_000_000, CPU: 5 * time.Second}

// Exit runs the guest to its next exit.
func (g *Guest) Exit() vmm.Exit {
	g.T.Helper()
	exit, err := g.Run(limit)
	must(g.T, err)
	return exit
}

// Call runs the guest from the code's start to a system call.
func (g *Guest) Call() {
	g.T.Helper()
	g.Regs().RIP = CodeAt
	g.Want(vmm.ExitSyscall)
}

// Want runs the guest to its next exit, which must be of a kind.
func (g *Guest) Want(kind vmm.ExitKind) vmm.Exit {
	g.T.Helper()
	exit := g.Exit()
	if exit.Kind != kind {
		g.T.Fatalf("exit %+v at %#x, want %v", exit, g.Regs().RIP, kind)
	}
	return exit
}

// Code replaces what is at the code's start, and lets the guest begin there.
func (g *Guest) Code(code ...byte) {
	g.T.Helper()
	must(g.T, g.Machine.Phys().WriteAt(code, CodePhys))
	g.Regs().RIP = CodeAt
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }
