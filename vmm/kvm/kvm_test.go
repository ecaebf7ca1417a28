//go:build linux && amd64

package kvm

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/vmmtest"
	"github.com/wherry/wherry/vmm/x86"
)

func open(t testing.TB, memory *phys.Memory) vmm.Machine {
	t.Helper()
	m, err := New(memory)
	if err != nil {
		t.Skip(err)
	}
	return m
}

func TestContract(t *testing.T) {
	if _, err := Probe(); err != nil {
		t.Skip(err)
	}
	vmmtest.Test(t, open)
}

// TestContractOfOtherHosts has a machine made as for hosts of another kind where this one does the same by other means: a stub that only ring 0
// may execute, which here ends in a page fault, and flushes of everything.
func TestContractOfOtherHosts(t *testing.T) {
	h, err := Probe()
	if err != nil {
		t.Skip(err)
	}
	h.Ring0Native, h.FlushAll = true, true
	vmmtest.Test(t, func(t testing.TB, memory *phys.Memory) vmm.Machine {
		m, err := newMachine(memory, h)
		if err != nil {
			t.Fatal(err)
		}
		return m
	})
}

// TestFeaturesAsSeen has the kernel told what a guest sees, as on hosts that don't trap CPUID. Here that is what it was told before.
func TestFeaturesAsSeen(t *testing.T) {
	h, err := Probe()
	if err != nil {
		t.Skip(err)
	}
	seen := h
	seen.CPUIDTrapped = false
	if err := probeFeatures(&seen); err != nil {
		t.Fatal(err)
	}
	if seen.xcr0 != h.xcr0 || seen.cpuid == h.cpuid {
		t.Errorf("extended states %#x, want %#x", seen.xcr0, h.xcr0)
	}
}

// stores are a program that writes AL to ESI pages from RBX on.
var stores = []byte{
	0x88, 0x03, // 0: mov [rbx], al
	0x48, 0x81, 0xc3, 0x00, 0x10, 0x00, 0x00, // 2: add rbx, 4096
	0xff, 0xce, // 9: dec esi
	0x75, 0xf3, // 11: jne 0
	0x0f, 0x05,
}

func writePages(g *vmmtest.Guest, count int) {
	g.Regs().RBX, g.Regs().RSI = vmmtest.DataAt, uint64(count)
	g.Call()
}

func dirty(t *testing.T, g *vmmtest.Guest) (n int) {
	t.Helper()
	if err := g.Machine.CollectDirty(); err != nil {
		t.Fatal(err)
	}
	slot := g.Machine.Phys().Slots()[0]
	for i := range vmmtest.DataPages {
		if slot.Dirty().Has(vmmtest.DataPhys>>phys.PageShift + i) {
			n++
		}
	}
	return n
}

func TestHotPagesCountUntilTheyAreCooled(t *testing.T) {
	contents := make([]byte, vmmtest.MemorySize)
	scratch := vmmtest.NewGuest(t, open, stores)
	if err := scratch.Machine.Phys().ReadAt(contents, 0); err != nil {
		t.Fatal(err)
	}
	image, err := phys.NewImage(contents) // so that page tables and code are there after Restore
	if err != nil {
		t.Fatal(err)
	}
	memory := phys.New(phys.Options{})
	if _, err := memory.Add(phys.Spec{Size: vmmtest.MemorySize, Image: image}); err != nil {
		t.Fatal(err)
	}
	machine := open(t, memory)
	defer func() {
		if err := errors.Join(machine.Close(), image.Close()); err != nil {
			t.Error(err)
		}
	}()
	v, err := machine.NewVCPU()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.SetSystem(vmmtest.System(scratch.Tables)); err != nil {
		t.Fatal(err)
	}
	g := &vmmtest.Guest{VCPU: v, Machine: machine, Tables: scratch.Tables, T: t}
	for range 3 {
		writePages(g, 10)
		if n := dirty(t, g); n != 10 {
			t.Fatalf("%d pages are written, want 10", n)
		}
		memory.Restore()
	}
	writePages(g, 3)
	if n := dirty(t, g); n != 10 {
		t.Errorf("%d pages count as written, want those that are hot, 10", n)
	}
	memory.Restore()
	if err := machine.(*Machine).Cool(); err != nil {
		t.Fatal(err)
	}
	memory.Restore()
	if n := dirty(t, g); n != 0 {
		t.Errorf("%d pages are written after Cool", n)
	}
	writePages(g, 3)
	if n := dirty(t, g); n != 3 {
		t.Errorf("%d pages are written after Cool, want 3", n)
	}
}

// TestPressure has a guest write other pages each time, in a memory that doesn't hold them all: restored ones go, and what is written stays.
func TestPressure(t *testing.T) {
	const base, at, pages, budget = 0x1000000, 0x3000000000, 200, 100
	contents := make([]byte, pages*phys.PageSize)
	for i := range contents {
		contents[i] = byte(i >> phys.PageShift)
	}
	image, err := phys.NewImage(contents)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = image.Close() })
	memory := phys.New(phys.Options{BudgetPages: budget})
	g := vmmtest.NewGuestIn(t, open, memory, stores, phys.Spec{Base: base, Size: len(contents), Image: image})
	if err := g.Tables.Map(at, base, pages*phys.PageSize, mmu.User|mmu.Write); err != nil {
		t.Fatal(err)
	}
	write := func(first, count int) error {
		g.Regs().RAX, g.Regs().RBX, g.Regs().RSI = 0xee, at+uint64(first)*phys.PageSize, uint64(count)
		g.Call()
		return g.Machine.CollectDirty()
	}
	// The monitor has looked at many pages: these go first.
	if err := memory.ReadAt(make([]byte, len(contents)), base); err != nil {
		t.Fatal(err)
	}
	if err := write(0, 70); err != nil {
		t.Fatal(err)
	}
	if err := write(70, 70); !errors.Is(err, phys.ErrBudget) {
		t.Errorf("140 pages are written of %d: %v", budget, err)
	}
	for page := range pages {
		want := byte(page)
		if page < 140 {
			want = 0xee
		}
		var b [1]byte
		if err := memory.ReadAt(b[:], phys.Addr(base+page*phys.PageSize)); err != nil || b[0] != want {
			t.Fatalf("page %d has %#x, want %#x (%v)", page, b[0], want, err)
		}
	}
	if got := memory.Metrics(); got.ReplacedClean == 0 || got.OverBudget == 0 {
		t.Errorf("nothing has gone: %+v", got)
	}
}

// TestAVXState has what lies beyond SSE come back with SetExtended, and not stay for the next.
func TestAVXState(t *testing.T) {
	h, err := Probe()
	if err != nil {
		t.Skip(err)
	}
	if h.xcr0&4 == 0 {
		t.Skip("guests have no AVX here")
	}
	g := vmmtest.NewGuest(t, open, []byte{
		0xc5, 0xfe, 0x6f, 0x03, // vmovdqu ymm0, [rbx]
		0x0f, 0x05,
		0xc5, 0xfe, 0x7f, 0x03, // vmovdqu [rbx], ymm0
		0x0f, 0x05,
	})
	m := g.Machine.Phys()
	word := func() uint64 {
		v, err := m.Uint64(vmmtest.DataPhys + 24)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	store := func() uint64 {
		g.Regs().RIP = vmmtest.CodeAt + 6
		g.Want(vmm.ExitSyscall)
		return word()
	}
	if err := m.SetUint64(vmmtest.DataPhys+24, 42); err != nil {
		t.Fatal(err)
	}
	g.Regs().RBX = vmmtest.DataAt
	g.Call()
	kept, err := g.Extended()
	if err != nil {
		t.Fatal(err)
	}
	fresh := x86.NewExtended()
	if err := g.SetExtended(&fresh); err != nil {
		t.Fatal(err)
	}
	if v := store(); v != 0 {
		t.Errorf("YMM0 has %d of the one before", v)
	}
	if err := g.SetExtended(&kept); err != nil {
		t.Fatal(err)
	}
	if v := store(); v != 42 {
		t.Errorf("YMM0 has %d, want 42", v)
	}
}

// TestStubIsNoWayIn has programs jump to the monitor's pages, read and write them.
func TestStubIsNoWayIn(t *testing.T) {
	g := vmmtest.NewGuest(t, open, nil)
	r := g.Regs()
	for _, va := range []uint64{gatesVA, gatesVA + entriesAt, taskVA(0), taskVA(0) + 0xfff, stubVA, detoursVA, detoursVA + detourCode} {
		g.Code(0x88, 0x03) // mov [rbx], al
		r.RBX = va
		if exit := g.Want(vmm.ExitPageFault); exit.Code != mmu.CodeUser|mmu.CodeWrite || exit.Addr != va {
			t.Errorf("a write to the monitor's %#x: %+v", va, exit)
		}
	}
	for va := uint64(stubVA); va < stubVA+8; va++ {
		g.Code(0xff, 0xe3) // jmp rbx
		*r = x86.Regs{RIP: vmmtest.CodeAt, RBX: va, RCX: vmmtest.CodeAt + 1000, R11: 3<<12 | uint64(x86.CF), RDX: vmm.DoorbellPort, RFLAGS: x86.Fixed | x86.IF}
		exit := g.Exit()
		if exit.Kind == vmm.ExitSyscall && (r.RIP != vmmtest.CodeAt+1000 || r.RFLAGS != x86.Fixed|x86.IF|x86.CF) {
			t.Errorf("a jump to %#x: a system call with %+v", va, *r)
		}
		g.Code(0xfa) // cli
		if exit := g.Want(vmm.ExitException); exit.Vector != x86.GeneralProtection {
			t.Errorf("after a jump to %#x the program has rights: %+v", va, exit)
		}
	}
}

// TestBudgetIsCPUTime has a guest that spins spend what it is given, and no less.
func TestBudgetIsCPUTime(t *testing.T) {
	g := vmmtest.NewGuest(t, open, []byte{0xeb, 0xfe})
	for _, budget := range []time.Duration{time.Millisecond, 10 * time.Millisecond} {
		began := processTime(t)
		exit, err := g.Run(vmm.Budget{CPU: budget})
		if err != nil || exit.Kind != vmm.ExitSpent {
			t.Fatalf("%+v, %v", exit, err)
		}
		if used := processTime(t) - began; used < budget {
			t.Errorf("a budget of %v ended after %v", budget, used)
		}
	}
}

func processTime(t *testing.T) time.Duration {
	t.Helper()
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &at); err != nil {
		t.Fatal(err)
	}
	return time.Duration(at.Nano())
}
