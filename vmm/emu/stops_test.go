package emu

import (
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
)

// TestBreakpoints has a loop stop before an instruction each round, with the count of a run without.
func TestBreakpoints(t *testing.T) {
	const dec = codeAt + 3
	m, c := newGuest(t, sum, phys.Options{})
	c.regs.RCX = 1000
	run(t, c, 4*995+2)                                // so that it is translated, where the host can
	m.SetStops(vmm.Stops{Breakpoints: []uint64{dec}}) // behind code that was decoded without
	for round := uint64(4); round > 0; round-- {
		if exit := run(t, c, 0); exit.Kind != vmm.ExitBreakpoint || c.regs.RIP != dec || c.regs.RCX != round {
			t.Fatalf("%v at %#x, round %d", exit.Kind, c.regs.RIP, c.regs.RCX)
		}
		if exit := run(t, c, 0); exit.Kind != vmm.ExitBreakpoint || c.regs.RIP != dec {
			t.Fatalf("%v at %#x, where a breakpoint is", exit.Kind, c.regs.RIP)
		}
		if exit, err := c.Run(vmm.Budget{Instructions: 1, Past: true}); err != nil || exit.Kind != vmm.ExitSpent || c.regs.RIP != dec+3 {
			t.Fatalf("past it: %v, %v at %#x", exit.Kind, err, c.regs.RIP)
		}
	}
	m.SetStops(vmm.Stops{})
	if exit := run(t, c, 0); exit.Kind != vmm.ExitSyscall || c.regs.RAX != 500500 || c.Instructions() != 4*1000+1 {
		t.Errorf("%v with %d after %d instructions", exit.Kind, c.regs.RAX, c.Instructions())
	}
}

// TestWatches has accesses end the run behind the instruction that made them, whatever was in the TLB.
func TestWatches(t *testing.T) {
	code := []byte{
		0x48, 0x89, 0x03, // 0: mov [rbx], rax
		0x48, 0x8b, 0x0b, // 3: mov rcx, [rbx]
		0x48, 0x89, 0x43, 0x08, // 6: mov [rbx+8], rax
		0xeb, 0xf4, // 10: jmp 0
	}
	m, c := newGuest(t, code, phys.Options{})
	c.regs.RBX, c.regs.RAX = dataAt+0x100, 42
	run(t, c, 1000)
	for _, w := range []struct {
		vmm.Watch
		ends []uint64 // RIP, from code on, of the stops in a round
	}{
		{vmm.Watch{Addr: dataAt + 0x100, Size: 8, Write: true}, []uint64{3}},
		{vmm.Watch{Addr: dataAt + 0x100, Size: 8, Read: true}, []uint64{6}},
		{vmm.Watch{Addr: dataAt + 0x107, Size: 2, Read: true, Write: true}, []uint64{3, 6, 10}},
		{vmm.Watch{Addr: dataAt + 0xff, Size: 1, Read: true, Write: true}, nil},
	} {
		c.regs.RIP = codeAt
		m.SetStops(vmm.Stops{Watches: []vmm.Watch{w.Watch}})
		for _, end := range append(w.ends, w.ends...) {
			if exit := run(t, c, 0); exit.Kind != vmm.ExitWatchpoint || exit.Addr != w.Addr || c.regs.RIP != codeAt+end {
				t.Errorf("%+v: %v, %#x at %d", w.Watch, exit.Kind, exit.Addr, c.regs.RIP-codeAt)
			}
		}
		if exit := run(t, c, 1000); len(w.ends) == 0 && exit.Kind != vmm.ExitSpent {
			t.Errorf("%+v: %v", w.Watch, exit.Kind)
		}
	}
	m.SetStops(vmm.Stops{})
	if exit := run(t, c, 1000); exit.Kind != vmm.ExitSpent {
		t.Error(exit.Kind)
	}
	var b [8]byte
	if err := mmu.ReadVirtual(m.Phys(), c.space, dataAt+0x108, b[:]); err != nil || b[0] != 42 {
		t.Errorf("%v %v", b, err)
	}
}
