package vmmtest

import (
	"errors"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// testPrivileges has a program do what only an operating system may.
func testPrivileges(t *testing.T, open Open) {
	g := NewGuest(t, open, nil)
	for _, p := range []struct {
		name string
		code []byte
	}{
		{"hlt", []byte{0xf4}}, {"cli", []byte{0xfa}}, {"sti", []byte{0xfb}}, {"wrmsr", []byte{0x0f, 0x30}}, {"rdmsr", []byte{0x0f, 0x32}},
		{"sysretq", []byte{0x48, 0x0f, 0x07}}, {"mov cr3", []byte{0x0f, 0x22, 0xd8}}, {"mov from cr0", []byte{0x0f, 0x20, 0xc0}},
		{"invlpg", []byte{0x0f, 0x01, 0x3b}}, {"lgdt", []byte{0x0f, 0x01, 0x13}}, {"clts", []byte{0x0f, 0x06}}, {"wbinvd", []byte{0x0f, 0x09}},
	} {
		g.Code(p.code...)
		r := g.Regs()
		*r = x86.Regs{RIP: CodeAt, RSP: StackTop - 64, RBX: DataAt, RCX: 0xc0000082, RFLAGS: x86.Fixed | x86.IF}
		want := *r
		exit := g.Exit()
		if exit.Kind == vmm.ExitUnsupported { // it isn't decoded, and so it isn't done
			exit = vmm.Exit{Kind: vmm.ExitException, Vector: x86.GeneralProtection}
		}
		if exit.Kind != vmm.ExitException || exit.Vector != x86.GeneralProtection || exit.Code != 0 {
			t.Errorf("%s: %+v", p.name, exit)
		}
		if *r != want {
			t.Errorf("%s: registers %+v, want %+v", p.name, *r, want)
		}
	}
	// POPF changes what it may, and no more: neither IOPL nor IF.
	g.Code(0x9d, 0x0f, 0x05)
	r := g.Regs()
	r.RSP = StackTop - 64
	must(t, g.Machine.Phys().SetUint64(DataPhys+DataPages*phys.PageSize-64, uint64(x86.CF|x86.ID|3<<12)))
	g.Want(vmm.ExitSyscall)
	if want := x86.Fixed | x86.IF | x86.CF | x86.ID; r.RFLAGS != want || x86.Flags(r.R11) != want {
		t.Errorf("flags %#x, R11 %#x, want %#x", r.RFLAGS, r.R11, want)
	}
	// Nor does a monitor that takes flags from where a guest may write.
	g.Code(0xfa)
	r.RFLAGS = x86.Fixed | 3<<12
	if exit := g.Exit(); exit.Kind == vmm.ExitSyscall || r.RIP != CodeAt {
		t.Errorf("cli with IOPL 3 from the caller: %+v at %#x", exit, r.RIP)
	}
	r.RFLAGS = x86.Fixed | x86.IF
	g.Code(0x0f, 0x05)
	g.Want(vmm.ExitSyscall)
}

// testOutside has page tables that lead to where no memory is.
func testOutside(t *testing.T, open Open) {
	g := NewGuest(t, open, nil, phys.Spec{Base: 0x5000000, Size: 2 * phys.PageSize, ReadOnly: true})
	const nowhere, readOnly = 0x5000000000, 0x5000001000
	must(t, g.Tables.Map(nowhere, 0x40000000, phys.PageSize, mmu.User|mmu.Write))
	must(t, g.Tables.Map(readOnly, 0x5000000, phys.PageSize, mmu.User|mmu.Write))
	r := g.Regs()
	for _, o := range []struct {
		name string
		code []byte
		at   uint64
		bits uint32
		err  error
	}{
		{"load", reader, nowhere + 8, mmu.CodeUser, phys.ErrOutside},
		{"store", writer, nowhere + 8, mmu.CodeUser | mmu.CodeWrite, phys.ErrOutside},
		{"jump", []byte{0xff, 0xe3}, nowhere + 16, mmu.CodeUser | mmu.CodeFetch, phys.ErrOutside},
		{"store, read-only memory", writer, readOnly, mmu.CodeUser | mmu.CodeWrite, phys.ErrReadOnly},
	} {
		for range 3 {
			g.Code(o.code...)
			r.RBX, r.RAX, r.RDX = o.at, 0x5555, 1
			exit := g.Want(vmm.ExitPageFault)
			if exit.Code != o.bits || !errors.Is(exit.Fault, o.err) || r.RAX != 0x5555 {
				t.Errorf("%s: %+v with RAX %#x", o.name, exit, r.RAX)
			}
			// And the machine goes on.
			g.Code(0x0f, 0x05)
			g.Want(vmm.ExitSyscall)
		}
	}
	g.Code(reader...)
	r.RBX = readOnly
	if g.Want(vmm.ExitSyscall); r.RAX != 0 {
		t.Errorf("read-only memory reads %#x", r.RAX)
	}
}

// testTables has page tables that lie outside of memory, lead to themselves, or have bits set that are reserved.
func testTables(t *testing.T, open Open) {
	g := NewGuest(t, open, nil)
	m, root := g.Machine.Phys(), g.Tables.Space().Root
	const table = mmu.Present | mmu.Write | mmu.User
	at := func(entry uint64) uint64 { return entry << 39 }
	must(t, m.SetUint64(root+8*100, 0x40000000|table))          // its table is outside
	must(t, m.SetUint64(root+8*101, uint64(root)|table))        // its table is the root itself
	must(t, m.SetUint64(root+8*102, 0x3fffffff000|table))       // far outside
	must(t, m.SetUint64(root+8*103, SparePhys|table|1<<50))     // reserved bits
	must(t, m.SetUint64(root+8*104, SparePhys|table|mmu.Large)) // PS at the top
	r := g.Regs()
	for _, p := range []struct {
		name string
		va   uint64
		code uint32
		err  error
	}{
		{"table outside", at(100), mmu.CodeUser, phys.ErrOutside},
		{"table far outside", at(102), mmu.CodeUser, phys.ErrOutside},
		{"reserved bits", at(103), mmu.CodeUser | mmu.CodePresent | mmu.CodeReserved, nil},
		{"PS at the top", at(104), mmu.CodeUser | mmu.CodePresent | mmu.CodeReserved, nil},
		{"through itself to nothing", at(101) + 5<<30, mmu.CodeUser, nil},
	} {
		g.Code(reader...)
		r.RBX = p.va
		exit := g.Want(vmm.ExitPageFault)
		if exit.Code != p.code || exit.Addr != p.va || !errors.Is(exit.Fault, p.err) {
			t.Errorf("%s: %+v, want code %#x", p.name, exit, p.code)
		}
	}
	// Through itself four times is the root table as a page of memory.
	g.Code(reader...)
	r.RBX = at(101) | 101<<30 | 101<<21 | 101<<12 | 103*8
	if g.Want(vmm.ExitSyscall); r.RAX != SparePhys|table|1<<50 {
		t.Errorf("the root's entry reads %#x", r.RAX)
	}
	// A processor without tables in memory has nothing to run.
	other := g.NewProcessor()
	system := System(g.Tables)
	system.CR3 = 0x70000000
	must(t, other.SetSystem(system))
	exit, err := other.Run(limit)
	if must(t, err); exit.Kind != vmm.ExitPageFault || !errors.Is(exit.Fault, phys.ErrOutside) {
		t.Errorf("page tables outside of memory: %+v", exit)
	}
}

// testOwnTables gives a guest its own page tables to write, and it maps what it likes: within its memory, and outside.
func testOwnTables(t *testing.T, open Open) {
	g := NewGuest(t, open, nil)
	const tables = 0x6000000000
	must(t, g.Tables.Map(tables, tablesPhys, tablesEnd-tablesPhys, mmu.User|mmu.Write))
	must(t, g.Tables.Map(SpareAt, SparePhys, phys.PageSize, mmu.User|mmu.Write))
	must(t, g.Machine.Phys().SetUint64(SparePhys, 1))
	must(t, g.Machine.Phys().SetUint64(SparePhys+phys.PageSize, 2))
	entry := leaf(g, SpareAt)
	// Read by the old entry, write the new one, invalidate nothing but by touching, read at another address by a second entry.
	r := g.Regs()
	g.Code(
		0x48, 0x8b, 0x03, // mov rax, [rbx]
		0x48, 0x89, 0x16, // mov [rsi], rdx
		0x48, 0x8b, 0x8b, 0x00, 0x10, 0x00, 0x00, // mov rcx, [rbx+4096]
		0x48, 0x89, 0xcf, // mov rdi, rcx
		0x0f, 0x05,
	)
	r.RBX, r.RSI = SpareAt, tables+uint64(entry-tablesPhys)+8
	r.RDX = SparePhys + phys.PageSize | mmu.Present | mmu.User | mmu.Write
	if g.Want(vmm.ExitSyscall); r.RAX != 1 || r.RDI != 2 {
		t.Errorf("the guest reads %d and %d by its own page tables", r.RAX, r.RDI)
	}
	r.RIP, r.RDX = CodeAt, 0x40000000|mmu.Present|mmu.User|mmu.Write
	r.RSI, r.RBX = tables+uint64(entry-tablesPhys)+16, SpareAt+phys.PageSize
	if exit := g.Want(vmm.ExitPageFault); !errors.Is(exit.Fault, phys.ErrOutside) {
		t.Errorf("its own entry for nowhere: %+v", exit)
	}
	// It tears all of them down: what is left is a fault or the end of its processor, not of ours.
	g.Code(
		0x48, 0x31, 0xc0, // 0: xor rax, rax
		0x48, 0x89, 0x06, // 3: mov [rsi], rax
		0x48, 0x83, 0xc6, 0x08, // 6: add rsi, 8
		0xeb, 0xf7, // 10: jmp 3
	)
	r.RSI = tables
	if exit := g.Exit(); exit.Kind != vmm.ExitPageFault && exit.Kind != vmm.ExitShutdown {
		t.Errorf("without page tables: %+v", exit)
	}
	if exit := g.Exit(); exit.Kind != vmm.ExitPageFault && exit.Kind != vmm.ExitShutdown {
		t.Errorf("without page tables, again: %+v", exit)
	}
}

// leaf is where the last level's entry for va is.
func leaf(g *Guest, va uint64) phys.Addr {
	g.T.Helper()
	table := g.Tables.Space().Root
	for level := range 3 {
		e, err := g.Machine.Phys().Uint64(table + phys.Addr(va>>(39-9*level)&511)*8)
		must(g.T, err)
		table = phys.Addr(e & (1<<46 - 1) &^ (phys.PageSize - 1))
	}
	return table + phys.Addr(va>>12&511)*8
}

// testStorm has a guest leave as often as it can.
func testStorm(t *testing.T, open Open) {
	g := NewGuest(t, open, []byte{
		0x66, 0xba, 0x10, 0x05, // 0: mov dx, the doorbell
		0xef,       // 4: out dx, eax
		0x0f, 0x05, // 5: syscall
		0x0f, 0x0b, // 7: ud2
	})
	for range 300 {
		g.Want(vmm.ExitDoorbell)
		g.Want(vmm.ExitSyscall)
		g.Want(vmm.ExitException)
		g.Regs().RIP -= 3
		g.Regs().RBX = SpareAt
		g.Regs().RIP = CodeAt
	}
}
