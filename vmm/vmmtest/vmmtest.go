package vmmtest

import (
	"testing"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// Test runs the contract of machines.
func Test(t *testing.T, open Open) {
	for _, part := range []struct {
		name string
		test func(*testing.T, Open)
	}{
		{"system calls", testSyscall},
		{"page faults", testPageFaults},
		{"exceptions", testExceptions},
		{"ports", testPorts},
		{"kicks", testKicks},
		{"traps", testTraps},
		{"single steps", testSteps},
		{"bases", testBases},
		{"processors", testProcessors},
		{"threads", testThreads},
		{"written pages", testWritten},
		{"demand", testDemand},
		{"flush", testFlush},
		{"large pages", testLargePages},
		{"code", testCode},
		{"vectors", testVectors},
		{"wide vectors", testWideVectors},
		{"x87", testX87},
		{"privileges", testPrivileges},
		{"outside", testOutside},
		{"tables", testTables},
		{"own tables", testOwnTables},
		{"storm", testStorm},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, open) })
	}
}

// sum adds RBX, RBX-1, …, 1 to RAX, and makes a system call.
var sum = []byte{
	0x48, 0x01, 0xd8, // 0: add rax, rbx
	0x48, 0xff, 0xcb, // 3: dec rbx
	0x75, 0xf8, // 6: jne 0
	0x0f, 0x05, // 8: syscall
	0x90,       // 10: nop
	0x0f, 0x05, // 11: syscall
}

func testSyscall(t *testing.T, open Open) {
	g := NewGuest(t, open, sum)
	r := g.Regs()
	*r = x86.Regs{
		RBX: 1000, RCX: 3, RDX: 4, RSI: 5, RDI: 6, RBP: 8, R8: 18, R9: 19, R10: 20, R11: 21, R12: 22, R13: 23, R14: 24, R15: 25,
		RSP: 7, RIP: CodeAt, RFLAGS: x86.Fixed | x86.IF | x86.CF | x86.DF,
	}
	want := *r
	g.Want(vmm.ExitSyscall)
	want.RAX, want.RBX, want.RIP, want.RCX = 500500, 0, CodeAt+10, CodeAt+10
	want.RFLAGS = x86.Fixed | x86.IF | x86.ZF | x86.PF | x86.DF // the last ADD has cleared CF
	want.R11 = uint64(want.RFLAGS)
	if *r != want {
		t.Errorf("registers %+v, want %+v", *r, want)
	}
	// It goes on behind, with registers that the caller changed.
	r.RAX, r.RCX, r.R11, r.RSP, r.RFLAGS = 1, 2, 3, 4, r.RFLAGS|x86.CF
	g.Want(vmm.ExitSyscall)
	if r.RAX != 1 || r.RSP != 4 || r.RCX != CodeAt+13 || r.RIP != CodeAt+13 || x86.Flags(r.R11)&x86.CF == 0 {
		t.Errorf("after another call: %+v", *r)
	}
	// The same call again, as for one that was interrupted.
	r.RIP -= 2
	g.Want(vmm.ExitSyscall)
	if r.RIP != CodeAt+13 {
		t.Errorf("the call again: RIP %#x", r.RIP)
	}
}

func testPageFaults(t *testing.T, open Open) {
	g := NewGuest(t, open, nil)
	// One page of each kind, behind SpareAt.
	const readOnly, supervisor, noExec = SpareAt + 0x1000, SpareAt + 0x2000, SpareAt + 0x3000
	must(t, g.Tables.Map(readOnly, SparePhys, phys.PageSize, mmu.User))
	must(t, g.Tables.Map(supervisor, SparePhys, phys.PageSize, mmu.Write))
	must(t, g.Tables.Map(noExec, SparePhys, phys.PageSize, mmu.User|mmu.NoExec))
	load, store, jump := []byte{0x48, 0x8b, 0x03}, []byte{0x48, 0x89, 0x03}, []byte{0xff, 0xe3}
	for _, f := range []struct {
		name  string
		code  []byte
		rbx   uint64
		addr  uint64
		fault uint32
	}{
		{"load, not present", load, SpareAt + 8, 0, mmu.CodeUser},
		{"load, address 0", load, 0, 0, mmu.CodeUser},
		{"store, not present", store, SpareAt, 0, mmu.CodeUser | mmu.CodeWrite},
		{"jump, not present", jump, SpareAt + 7, 0, mmu.CodeUser | mmu.CodeFetch},
		{"store, read-only", store, readOnly + 16, 0, mmu.CodeUser | mmu.CodeWrite | mmu.CodePresent},
		{"load, supervisor's", load, supervisor, 0, mmu.CodeUser | mmu.CodePresent},
		{"store, supervisor's", store, supervisor, 0, mmu.CodeUser | mmu.CodeWrite | mmu.CodePresent},
		{"jump, no execution", jump, noExec, 0, mmu.CodeUser | mmu.CodeFetch | mmu.CodePresent},
		{"load across pages", load, StackTop - 4, StackTop, mmu.CodeUser},
		{"store across pages", store, StackTop - 1, StackTop, mmu.CodeUser | mmu.CodeWrite},
		{"store across pages, none present", store, SpareAt + 0xfffc, 0, mmu.CodeUser | mmu.CodeWrite},
		{"add to memory", []byte{0x48, 0x01, 0x03}, SpareAt, 0, mmu.CodeUser | mmu.CodeWrite},
		{"upper half", load, 0xffff800000000000, 0, mmu.CodeUser},
		{"the last page", store, 0xfffffffffffff000, 0, mmu.CodeUser | mmu.CodeWrite},
	} {
		g.Code(f.code...)
		r := g.Regs()
		r.RBX, r.RAX, r.RFLAGS = f.rbx, 0x1234, x86.Fixed|x86.IF|x86.CF|x86.OF
		if f.addr == 0 {
			f.addr = f.rbx
		}
		want := *r
		if f.code[0] == 0xff {
			want.RIP = f.rbx
		}
		exit := g.Want(vmm.ExitPageFault)
		if exit.Addr != f.addr || exit.Code != f.fault&^mmu.CodeWrite|exit.Code&mmu.CodeWrite || exit.Fault != nil || f.code[1] != 0x01 && exit.Code != f.fault {
			t.Errorf("%s: %+v, want address %#x and code %#x", f.name, exit, f.addr, f.fault)
		}
		if *r != want {
			t.Errorf("%s: registers %+v, want %+v", f.name, *r, want)
		}
		if system, err := g.System(); err != nil || exit.Kind == vmm.ExitPageFault && system.CR3 != uint64(g.Tables.Space().Root) {
			t.Errorf("%s: system %+v (%v)", f.name, system, err)
		}
	}
}

func testExceptions(t *testing.T, open Open) {
	g := NewGuest(t, open, nil)
	const general = x86.GeneralProtection
	for _, e := range []struct {
		name   string
		code   []byte
		vector uint8
		behind uint64 // RIP, from the instruction
	}{
		{"divide by zero", []byte{0x48, 0xf7, 0xf3}, x86.DivideError, 0},
		{"ud2", []byte{0x0f, 0x0b}, x86.InvalidOpcode, 0},
		{"lock on a register", []byte{0xf0, 0x48, 0x01, 0xc0}, x86.InvalidOpcode, 0},
		{"int3", []byte{0xcc}, x86.Breakpoint, 1},
		{"not canonical", []byte{0x48, 0x8b, 0x06}, general, 0},
		{"not canonical, store", []byte{0x48, 0x89, 0x06}, general, 0},
		{"sse, not aligned", []byte{0x0f, 0x28, 0x07}, general, 0},
	} {
		g.Code(e.code...)
		r := g.Regs()
		r.RBX, r.RDX, r.RSI, r.RDI, r.RFLAGS = 0, 0, 1<<47, DataAt+1, x86.Fixed|x86.IF|x86.CF
		want := *r
		want.RIP += e.behind
		if exit := g.Want(vmm.ExitException); exit.Vector != e.vector || exit.Code != 0 {
			t.Errorf("%s: %+v, want vector %d", e.name, exit, e.vector)
		}
		if *r != want {
			t.Errorf("%s: registers %+v, want %+v", e.name, *r, want)
		}
	}
	// A program that handles it goes on anywhere.
	g.Code(0x0f, 0x05)
	g.Want(vmm.ExitSyscall)
}

func testPorts(t *testing.T, open Open) {
	g := NewGuest(t, open, nil)
	r := g.Regs()
	g.Code(0xef, 0xee, 0xed, 0x66, 0xed, 0xec, 0x0f, 0x05) // out dx, eax; out dx, al; in eax, dx; in ax, dx; in al, dx; syscall
	r.RAX, r.RDX = 0xffffffff11223344, vmm.DoorbellPort
	if exit := g.Want(vmm.ExitDoorbell); exit.Data != 0x11223344 || r.RIP != CodeAt+1 {
		t.Errorf("%+v at %#x", exit, r.RIP)
	}
	r.RDX = vmm.ConsolePort
	if exit := g.Want(vmm.ExitPort); exit.Data != 0x44 || exit.Size != 1 || exit.In || exit.Port != vmm.ConsolePort || r.RIP != CodeAt+2 {
		t.Errorf("%+v at %#x", exit, r.RIP)
	}
	for i, size := range []uint8{4, 2, 1} {
		exit := g.Want(vmm.ExitPort)
		if !exit.In || exit.Size != size || exit.Port != vmm.ConsolePort || r.RIP != CodeAt+[]uint64{3, 5, 6}[i] || r.RAX != 0xffffffff11223344 {
			t.Errorf("%+v at %#x with RAX %#x", exit, r.RIP, r.RAX)
		}
	}
	r.RAX = 77 // what the last IN has read
	if g.Want(vmm.ExitSyscall); r.RAX != 77 {
		t.Errorf("IN has read %d, not 77", r.RAX)
	}
	// An OUT again, as if it hadn't happened, rings again.
	g.Code(0xef, 0x0f, 0x05)
	r.RDX = vmm.DoorbellPort
	for i := range 3 {
		r.RIP, r.RAX = CodeAt, uint64(i)
		if exit := g.Want(vmm.ExitDoorbell); exit.Data != uint32(i) {
			t.Errorf("%+v, want bell %d", exit, i)
		}
	}
	g.Want(vmm.ExitSyscall)
	for _, code := range [][]byte{{0xe6, 0x60}, {0xe4, 0x60}, {0xe6, 0x51}, {0xe7, 0x51}, {0xee}, {0xef}, {0xec}} {
		for _, port := range []uint64{0, 0x51, vmm.DoorbellPort - 1, vmm.ConsolePort + 1, vmm.ConsolePort + 4, 0xcfc, 0xffff} {
			g.Code(code...)
			r.RDX, r.RAX = port, 5
			if exit := g.Want(vmm.ExitException); exit.Vector != x86.GeneralProtection || r.RIP != CodeAt || r.RAX != 5 {
				t.Errorf("% x to port %#x: %+v at %#x", code, port, exit, r.RIP)
			}
		}
	}
}

func testKicks(t *testing.T, open Open) {
	g := NewGuest(t, open, []byte{0xeb, 0xfe}) // jmp to itself
	for range 3 {
		g.Kick() // while none runs: the next Run returns at once
		g.Want(vmm.ExitKicked)
		if g.Regs().RIP != CodeAt {
			t.Fatalf("kicked away to %#x", g.Regs().RIP)
		}
	}
	for range 10 {
		done := make(chan struct{})
		time.AfterFunc(time.Millisecond, func() { g.Kick(); close(done) })
		exit, err := g.Run(vmm.Budget{})
		must(t, err)
		if <-done; exit.Kind != vmm.ExitKicked || g.Regs().RIP != CodeAt {
			t.Fatalf("%v at %#x", exit.Kind, g.Regs().RIP)
		}
	}
	// A budget ends it, too, and it goes on from there.
	for range 5 {
		exit, err := g.Run(vmm.Budget{CPU: time.Millisecond, Instructions: 1000})
		must(t, err)
		if exit.Kind != vmm.ExitSpent || g.Regs().RIP != CodeAt {
			t.Fatalf("%v at %#x", exit.Kind, g.Regs().RIP)
		}
	}
	// No kick gets lost, and none changes what the guest computes.
	g.Code(sum...)
	g.Regs().RAX, g.Regs().RBX = 0, 3_000_000
	quiet := kickOften(g)
	for exit := (vmm.Exit{Kind: vmm.ExitKicked}); exit.Kind == vmm.ExitKicked; {
		exit = g.Exit()
	}
	quiet()
	if r := g.Regs(); r.RAX != 3_000_000*3_000_001/2 || r.RIP != CodeAt+10 {
		t.Errorf("a guest that was kicked has %d at %#x", r.RAX, r.RIP)
	}
}

// kickOften kicks a guest until the returned function is called.
func kickOften(g *Guest) (quiet func()) {
	stop, kicks := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(kicks)
		for {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Microsecond):
				g.Kick()
			}
		}
	}()
	return func() {
		close(stop)
		<-kicks
	}
}

// testTraps has a guest raise traps while it is kicked: each comes out, once.
func testTraps(t *testing.T, open Open) {
	g := NewGuest(t, open, []byte{
		0xcc,             // 0: int3
		0x48, 0xff, 0xc0, // 1: inc rax
		0xeb, 0xfa, // 4: jmp 0
	})
	defer kickOften(g)()
	for want := range uint64(trapsMade) {
		exit := g.Exit()
		for exit.Kind == vmm.ExitKicked {
			exit = g.Exit()
		}
		if r := g.Regs(); exit.Kind != vmm.ExitException || exit.Vector != x86.Breakpoint || r.RIP != CodeAt+1 || r.RAX != want {
			t.Fatalf("breakpoint %d: %+v at %#x with %d", want, exit, r.RIP, r.RAX)
		}
	}
	if !g.Machine.Caps().Debug {
		return
	}
	g.Code(0x48, 0xff, 0xc0, 0xeb, 0xfb) // inc rax; jmp to it
	g.Regs().RAX, g.Regs().RFLAGS = 0, x86.Fixed|x86.IF|x86.TF
	for step := range uint64(trapsMade) {
		exit := g.Exit()
		for exit.Kind == vmm.ExitKicked {
			exit = g.Exit()
		}
		if r := g.Regs(); exit.Kind != vmm.ExitDebug || r.RIP != CodeAt+3*((step+1)%2) || r.RAX != step/2+1 {
			t.Fatalf("step %d: %+v at %#x with %d", step, exit, r.RIP, r.RAX)
		}
	}
}

const trapsMade = 1000

func testSteps(t *testing.T, open Open) {
	g := NewGuest(t, open, sum)
	if !g.Machine.Caps().Debug {
		t.Skip("this back end delivers no single steps here")
	}
	r := g.Regs()
	r.RAX, r.RBX, r.RFLAGS = 0, 2, x86.Fixed|x86.IF|x86.TF
	for _, want := range []uint64{3, 6, 0, 3, 6, 8} {
		if g.Want(vmm.ExitDebug); r.RIP != CodeAt+want || r.RFLAGS&x86.TF == 0 {
			t.Errorf("a step to %#x, want %#x; flags %#x", r.RIP-CodeAt, want, r.RFLAGS)
		}
	}
	if g.Want(vmm.ExitSyscall); r.RAX != 3 || r.RIP != CodeAt+10 || x86.Flags(r.R11)&x86.TF == 0 {
		t.Errorf("the call: %+v", *r)
	}
	if g.Want(vmm.ExitDebug); r.RIP != CodeAt+11 {
		t.Errorf("a step behind the call to %#x", r.RIP-CodeAt)
	}
}

func testBases(t *testing.T, open Open) {
	g := NewGuest(t, open, []byte{
		0x64, 0x48, 0x8b, 0x03, // mov rax, fs:[rbx]
		0x65, 0x48, 0x8b, 0x0b, // mov rcx, gs:[rbx]
		0x48, 0x89, 0xca, // mov rdx, rcx
		0x0f, 0x05,
	})
	must(t, g.Machine.Phys().SetUint64(DataPhys+0x108, 1))
	must(t, g.Machine.Phys().SetUint64(DataPhys+0x208, 2))
	system := System(g.Tables)
	system.FSBase, system.GSBase = DataAt+0x100, DataAt+0x200
	must(t, g.SetSystem(system))
	for range 2 {
		g.Regs().RBX = 8
		if g.Call(); g.Regs().RAX != 1 || g.Regs().RDX != 2 {
			t.Errorf("by FS %d, by GS %d", g.Regs().RAX, g.Regs().RDX)
		}
		got, err := g.System()
		if must(t, err); got.FSBase != system.FSBase || got.GSBase != system.GSBase || got.CR3 != system.CR3 {
			t.Errorf("system %+v, want %+v", got, system)
		}
	}
}
