//go:build linux && amd64

package kvm

import (
	"bytes"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/vmmtest"
	"github.com/wherry/wherry/vmm/x86"
)

// debugged is a guest on a host that delivers single steps.
func debugged(t *testing.T, code []byte) (*vmmtest.Guest, *Machine) {
	t.Helper()
	g := vmmtest.NewGuest(t, open, code)
	if !g.Machine.Caps().Debug {
		t.Skip("this host delivers no single steps")
	}
	return g, g.Machine.(*Machine)
}

// step runs one instruction, or none where it faults.
func step(t *testing.T, g *vmmtest.Guest) vmm.Exit {
	t.Helper()
	for {
		exit, err := g.VCPU.Run(vmm.Budget{Instructions: 1})
		if err != nil {
			t.Fatal(err)
		}
		if exit.Kind != vmm.ExitKicked {
			return exit
		}
	}
}

// TestBreakpoints has a loop stop before an instruction each round. Whoever looks when it has stopped finds the memory as it was.
func TestBreakpoints(t *testing.T) {
	code := []byte{
		0x48, 0x01, 0xc8, // 0: add rax, rcx
		0x48, 0xff, 0xc9, // 3: dec rcx
		0x75, 0xf8, // 6: jne 0
		0x0f, 0x05, // 8: syscall
	}
	g, m := debugged(t, code)
	r := g.Regs()
	r.RAX, r.RCX = 0, 3
	m.SetStops(vmm.Stops{Breakpoints: []uint64{vmmtest.CodeAt + 3, vmmtest.SpareAt}}) // one is where nothing is
	for round := uint64(3); round > 0; round-- {
		for range 2 { // where it is, it stays
			if g.Want(vmm.ExitBreakpoint); r.RIP != vmmtest.CodeAt+3 || r.RCX != round {
				t.Fatalf("stopped at %d in round %d", r.RIP-vmmtest.CodeAt, r.RCX)
			}
		}
		now := make([]byte, len(code))
		if err := m.Phys().ReadAt(now, vmmtest.CodePhys); err != nil || !bytes.Equal(now, code) {
			t.Fatalf("% x, %v", now, err)
		}
		if exit := step(t, g); exit.Kind != vmm.ExitBreakpoint {
			t.Errorf("a step from a breakpoint: %+v", exit)
		}
		m.SetStops(vmm.Stops{})
		if exit := step(t, g); exit.Kind != vmm.ExitSpent || r.RIP != vmmtest.CodeAt+6 || r.RFLAGS&x86.TF != 0 {
			t.Errorf("a step past it: %+v at %d, flags %#x", exit, r.RIP-vmmtest.CodeAt, r.RFLAGS)
		}
		m.SetStops(vmm.Stops{Breakpoints: []uint64{vmmtest.CodeAt + 3}})
	}
	if g.Want(vmm.ExitSyscall); r.RAX != 6 {
		t.Errorf("the sum is %d", r.RAX)
	}
}

// TestProgramsOwnBreakpoints has INT3 of the program's be the program's, unless the debugger wants to stop there.
func TestProgramsOwnBreakpoints(t *testing.T) {
	g, m := debugged(t, []byte{0x90, 0xcc, 0x90, 0x0f, 0x05})
	m.SetStops(vmm.Stops{Breakpoints: []uint64{vmmtest.CodeAt + 2}})
	if exit := g.Want(vmm.ExitException); exit.Vector != x86.Breakpoint || g.Regs().RIP != vmmtest.CodeAt+2 {
		t.Errorf("%+v at %d", exit, g.Regs().RIP-vmmtest.CodeAt)
	}
	g.Want(vmm.ExitBreakpoint)
}

// TestStepsAreNotSeen steps over what shows the flags, and finds no TF there.
func TestStepsAreNotSeen(t *testing.T) {
	g, _ := debugged(t, []byte{0x9c, 0x58, 0x90, 0x0f, 0x05, 0x90}) // pushf; pop rax; nop; syscall; nop
	r := g.Regs()
	r.RSP = vmmtest.StackTop - 64
	for _, want := range []uint64{1, 2, 3} {
		if exit := step(t, g); exit.Kind != vmm.ExitSpent || r.RIP != vmmtest.CodeAt+want {
			t.Errorf("%+v at %d, want %d", exit, r.RIP-vmmtest.CodeAt, want)
		}
	}
	if x86.Flags(r.RAX)&x86.TF != 0 {
		t.Errorf("it pushed %#x", r.RAX)
	}
	if exit := step(t, g); exit.Kind != vmm.ExitSyscall || r.RIP != vmmtest.CodeAt+5 || x86.Flags(r.R11)&x86.TF != 0 || r.RFLAGS&x86.TF != 0 {
		t.Errorf("%+v at %d with %#x in R11", exit, r.RIP-vmmtest.CodeAt, r.R11)
	}
}

// TestWatches stops behind the instruction that changes something.
func TestWatches(t *testing.T) {
	g, m := debugged(t, []byte{
		0x48, 0x89, 0x03, // 0: mov [rbx], rax
		0x48, 0x89, 0x03, // 3: mov [rbx], rax
		0x48, 0x89, 0x43, 0x08, // 6: mov [rbx+8], rax
		0x0f, 0x05, // 10: syscall
	})
	r := g.Regs()
	r.RBX, r.RAX = vmmtest.DataAt+0x100, 42
	m.SetStops(vmm.Stops{Watches: []vmm.Watch{{Addr: vmmtest.DataAt + 0x100, Size: 8, Write: true}, {Addr: vmmtest.DataAt + 0x108, Size: 1, Write: true}}})
	for _, want := range []uint64{3, 10} {
		if exit := g.Want(vmm.ExitWatchpoint); r.RIP != vmmtest.CodeAt+want || exit.Addr != vmmtest.DataAt+0x100+8*(want/10) {
			t.Errorf("%+v at %d, want %d", exit, r.RIP-vmmtest.CodeAt, want)
		}
	}
	g.Want(vmm.ExitSyscall)
	m.SetStops(vmm.Stops{})
	r.RIP, r.RAX = vmmtest.CodeAt, 43
	g.Want(vmm.ExitSyscall)
}
