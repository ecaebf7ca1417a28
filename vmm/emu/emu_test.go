package emu

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/emu/x87"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// sum adds RCX, RCX-1, …, 1 to RAX, and makes a system call.
var sum = []byte{
	0x48, 0x01, 0xc8, // 0: add rax, rcx
	0x48, 0xff, 0xc9, // 3: dec rcx
	0x48, 0x83, 0xf9, 0x00, // 6: cmp rcx, 0
	0x75, 0xf4, // 10: jne 0
	0x0f, 0x05, // 12: syscall
}

func TestSystemCall(t *testing.T) {
	_, c := newGuest(t, sum, phys.Options{})
	c.regs.RCX = 1000
	exit := run(t, c, 0)
	if exit.Kind != vmm.ExitSyscall || c.regs.RAX != 500500 || c.regs.RIP != codeAt+14 || c.regs.RCX != codeAt+14 {
		t.Errorf("%v with %+v", exit.Kind, c.regs)
	}
	if flags := x86.Flags(c.regs.R11); flags != x86.Fixed|x86.IF|x86.ZF|x86.PF {
		t.Errorf("R11 has flags %#x", flags)
	}
	if c.Instructions() != 4*1000+1 {
		t.Errorf("%d instructions, want 4001", c.Instructions())
	}
}

// TestBudgetIsExact has a guest in steps of any size end where it ends at once.
func TestBudgetIsExact(t *testing.T) {
	_, whole := newGuest(t, sum, phys.Options{})
	whole.regs.RCX = 50
	run(t, whole, 0)
	for size := uint64(1); size < 12; size++ {
		_, c := newGuest(t, sum, phys.Options{})
		c.regs.RCX = 50
		for exit := (vmm.Exit{Kind: vmm.ExitSpent}); exit.Kind == vmm.ExitSpent; {
			before := c.Instructions()
			exit = run(t, c, size)
			if made := c.Instructions() - before; exit.Kind == vmm.ExitSpent && made != size {
				t.Fatalf("%d instructions of a budget of %d", made, size)
			}
		}
		if c.regs != whole.regs || c.Instructions() != whole.Instructions() {
			t.Errorf("steps of %d: %+v, want %+v", size, c.regs, whole.regs)
		}
	}
}

// TestTimeIsCounted: RDTSC tells the instructions before it, in whatever steps they were executed.
func TestTimeIsCounted(t *testing.T) {
	for size := uint64(1); size < 70; size++ {
		_, c := newGuest(t, []byte{
			0x90, 0x90, 0x90, // 0: nop
			0x0f, 0x31, // 3: rdtsc
			0x01, 0xc3, // 5: add ebx, eax
			0xff, 0xce, // 7: dec esi
			0x75, 0xf5, // 9: jne 0
			0x0f, 0x05,
		}, phys.Options{})
		c.regs.RSI = 10
		for run(t, c, size).Kind == vmm.ExitSpent {
		}
		if want := uint64(10*3 + 7*45); c.regs.RBX != want {
			t.Errorf("in steps of %d the times' sum is %d, want %d", size, c.regs.RBX, want)
		}
	}
}

func TestCodeThatWritesItself(t *testing.T) {
	_, c := newGuest(t, []byte{
		0xc6, 0x05, 0x01, 0x00, 0x00, 0x00, 0x07, // 0: mov byte [rip+1], 7: the immediate of the next
		0xb0, 0x00, // 7: mov al, 0
		0x3c, 0x07, // 9: cmp al, 7
		0x0f, 0x05, // 11: syscall
	}, phys.Options{})
	for range 3 {
		c.regs.RIP = codeAt
		if exit := run(t, c, 100); exit.Kind != vmm.ExitSyscall || c.regs.RAX&0xff != 7 || x86.Flags(c.regs.R11)&x86.ZF == 0 {
			t.Fatalf("%v; AL is %d", exit.Kind, c.regs.RAX&0xff)
		}
	}
	// From another block: a counter in the immediate of an instruction in a loop.
	_, c = newGuest(t, []byte{
		0x05, 0x00, 0x00, 0x00, 0x00, // 0: add eax, 0
		0xfe, 0x05, 0xf6, 0xff, 0xff, 0xff, // 5: inc byte [rip-10]: the immediate
		0xff, 0xc9, // 11: dec ecx
		0x75, 0xf1, // 13: jne 0
		0x0f, 0x05,
	}, phys.Options{})
	c.regs.RCX = 10
	if exit := run(t, c, 1000); exit.Kind != vmm.ExitSyscall || c.regs.RAX != 45 {
		t.Errorf("%v; the sum is %d, want 45", exit.Kind, c.regs.RAX)
	}
}

// TestCodeThatAnotherProcessorWrites: one that may write to a page without a note is asked for one after another has decoded code from it.
func TestCodeThatAnotherProcessorWrites(t *testing.T) {
	m, writer := newGuest(t, []byte{
		0x88, 0x03, // 0: mov [rbx], al
		0x0f, 0x05, // 2: syscall
		0xb0, 0x00, // 4: mov al, 0
		0x0f, 0x05, // 6: syscall
	}, phys.Options{})
	v, err := m.NewVCPU()
	if err != nil {
		t.Fatal(err)
	}
	reader := v.(*VCPU)
	if err := reader.SetSystem(writer.system); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(5) {
		writer.regs.RIP, writer.regs.RBX, writer.regs.RAX = codeAt, codeAt+5, i
		run(t, writer, 10)
		reader.regs.RIP = codeAt + 4
		if run(t, reader, 10); reader.regs.RAX&0xff != i {
			t.Fatalf("the other one's instruction has %d, want %d", reader.regs.RAX&0xff, i)
		}
	}
}

func TestFaultsLeaveNothing(t *testing.T) {
	const end = dataAt + dataPages*phys.PageSize // nothing is there
	for _, f := range []struct {
		name string
		code []byte
		exit vmm.Exit
		set  func(*x86.Regs)
	}{
		{"load", []byte{0x48, 0x8b, 0x03}, vmm.Exit{Kind: vmm.ExitPageFault, Vector: 14, Code: 4, Addr: end}, func(r *x86.Regs) { r.RBX = end }},
		{"add to memory across pages", []byte{0x48, 0x01, 0x03}, vmm.Exit{Kind: vmm.ExitPageFault, Vector: 14, Code: 6, Addr: end}, func(r *x86.Regs) { r.RBX = end - 4 }},
		{"store across pages", []byte{0x48, 0x89, 0x03}, vmm.Exit{Kind: vmm.ExitPageFault, Vector: 14, Code: 6, Addr: end}, func(r *x86.Regs) { r.RBX = end - 1 }},
		{"push", []byte{0x50}, vmm.Exit{Kind: vmm.ExitPageFault, Vector: 14, Code: 6, Addr: 0x7ffffffffff8}, func(r *x86.Regs) { r.RSP = 0x800000000000 }},
		{"call", []byte{0xe8, 0, 0, 0, 0}, vmm.Exit{Kind: vmm.ExitPageFault, Vector: 14, Code: 6, Addr: 0x18}, func(r *x86.Regs) { r.RSP = 0x20 }},
		{"xchg with memory", []byte{0x48, 0x87, 0x03}, vmm.Exit{Kind: vmm.ExitPageFault, Vector: 14, Code: 6, Addr: 0x1000}, func(r *x86.Regs) { r.RBX = 0x1000 }},
		{"not canonical", []byte{0x48, 0x8b, 0x03}, vmm.Exit{Kind: vmm.ExitException, Vector: x86.GeneralProtection}, func(r *x86.Regs) { r.RBX = 1 << 47 }},
		{"divide", []byte{0x48, 0xf7, 0xf3}, vmm.Exit{Kind: vmm.ExitException, Vector: x86.DivideError}, func(r *x86.Regs) { r.RBX = 0 }},
		{"hlt", []byte{0xf4}, vmm.Exit{Kind: vmm.ExitException, Vector: x86.GeneralProtection}, func(*x86.Regs) {}},
		{"ud2", []byte{0x0f, 0x0b}, vmm.Exit{Kind: vmm.ExitException, Vector: x86.InvalidOpcode}, func(*x86.Regs) {}},
		{"lock on a register", []byte{0xf0, 0x48, 0x01, 0xc0}, vmm.Exit{Kind: vmm.ExitException, Vector: x86.InvalidOpcode}, func(*x86.Regs) {}},
		{"a port", []byte{0xe6, 0x60}, vmm.Exit{Kind: vmm.ExitException, Vector: x86.GeneralProtection}, func(*x86.Regs) {}},
		{"jump to data", []byte{0xff, 0xe3}, vmm.Exit{Kind: vmm.ExitPageFault, Vector: 14, Code: 0x15, Addr: dataAt}, func(r *x86.Regs) { r.RBX = dataAt }},
	} {
		_, c := newGuest(t, f.code, phys.Options{})
		c.regs.RFLAGS |= x86.CF
		f.set(&c.regs)
		before := c.regs
		exit := run(t, c, 100)
		if f.name == "jump to data" {
			before.RIP = dataAt
		}
		exit.Fault = nil
		if exit.Kind != f.exit.Kind || exit.Vector != f.exit.Vector || exit.Code != f.exit.Code || exit.Addr != f.exit.Addr {
			t.Errorf("%s: exit %+v, want %+v", f.name, exit, f.exit)
		}
		if c.regs != before {
			t.Errorf("%s: registers %+v, want %+v", f.name, c.regs, before)
		}
	}
}

func TestRepeatedInstructionsGoOn(t *testing.T) {
	m, c := newGuest(t, []byte{0xf3, 0xa4, 0x0f, 0x05}, phys.Options{}) // rep movsb; syscall
	const end = dataAt + dataPages*phys.PageSize
	want := []byte("from here to the end of what is mapped")
	if err := m.memory.WriteAt(want, dataPhys); err != nil {
		t.Fatal(err)
	}
	c.regs.RSI, c.regs.RDI, c.regs.RCX = dataAt, end-10, uint64(len(want))
	exit := run(t, c, 100)
	if exit.Kind != vmm.ExitPageFault || exit.Addr != end || c.regs.RCX != uint64(len(want)-10) || c.regs.RSI != dataAt+10 || c.regs.RIP != codeAt {
		t.Fatalf("%+v with %+v", exit, c.regs)
	}
	c.regs.RDI = dataAt + 0x1ff0 // as if the page had been moved: it goes on with the eleventh byte
	got := make([]byte, len(want)-10)
	if exit = run(t, c, 100); exit.Kind != vmm.ExitSyscall {
		t.Fatal(exit)
	}
	if err := m.memory.ReadAt(got, dataPhys+0x1ff0); err != nil || !bytes.Equal(got, want[10:]) {
		t.Errorf("copied %q", got)
	}
	// A copy onto itself, one byte further, spreads the first byte.
	c.regs.RIP, c.regs.RSI, c.regs.RDI, c.regs.RCX = codeAt, dataAt, dataAt+1, 5000
	run(t, c, 100)
	spread := make([]byte, 5001)
	if err := m.memory.ReadAt(spread, dataPhys); err != nil || !bytes.Equal(spread, bytes.Repeat(want[:1], 5001)) {
		t.Error("an overlapping copy isn't byte by byte")
	}
}

func TestInstructionAcrossPages(t *testing.T) {
	code := make([]byte, phys.PageSize+8)
	at := phys.PageSize - 3
	copy(code[at:], []byte{0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 0x0f, 0x05}[:11]) // mov rax, …
	m, c := newGuest(t, code, phys.Options{})
	for _, want := range []uint64{0x0807060504030201, 0x08070605040302ff} {
		c.regs.RIP = codeAt + uint64(at)
		if exit := run(t, c, 1); exit.Kind != vmm.ExitSpent || c.regs.RAX != want {
			t.Errorf("%+v; RAX is %#x, want %#x", exit, c.regs.RAX, want)
		}
		if err := m.memory.WriteAt([]byte{0xff}, codePhys+phys.Addr(at)+2); err != nil {
			t.Fatal(err)
		}
	}
	// Where the next page isn't there, the fault is of the fetch.
	if err := m.memory.WriteAt([]byte{0x48, 0xb8}, codePhys+2*phys.PageSize-2); err != nil {
		t.Fatal(err)
	}
	c.regs.RIP = codeAt + 2*phys.PageSize - 2
	if exit := run(t, c, 1); exit.Kind != vmm.ExitPageFault || exit.Addr != codeAt+2*phys.PageSize || exit.Code != 0x14 {
		t.Errorf("%+v", exit)
	}
}

func TestUnsupportedInstructionsHaveTheirBytes(t *testing.T) {
	for _, code := range [][]byte{{0xc4, 0xe2, 0x79, 0xcf, 0xc0}, {0xc4, 0xe3, 0xf9, 0xce, 0xc0, 1}, {0x62, 0xf1}, {0x66, 0x0f, 0x38, 0xcf, 0xc0}, {0xca, 0, 0}} {
		_, c := newGuest(t, append([]byte{0x90, 0x90}, code...), phys.Options{})
		exit := run(t, c, 10)
		if exit.Kind != vmm.ExitUnsupported || !bytes.HasPrefix(exit.Bytes, code) || c.regs.RIP != codeAt+2 {
			t.Errorf("% x: %v, % x, RIP %#x", code, exit.Kind, exit.Bytes, c.regs.RIP)
		}
	}
}

func TestDoorbell(t *testing.T) {
	_, c := newGuest(t, []byte{0xef, 0xee, 0xed}, phys.Options{}) // out dx, eax; out dx, al; in eax, dx
	c.regs.RAX, c.regs.RDX = 0x11223344, vmm.DoorbellPort
	if exit := run(t, c, 0); exit.Kind != vmm.ExitDoorbell || exit.Data != 0x11223344 || c.regs.RIP != codeAt+1 {
		t.Errorf("%+v at %#x", exit, c.regs.RIP)
	}
	c.regs.RDX = vmm.ConsolePort
	if exit := run(t, c, 0); exit.Kind != vmm.ExitPort || exit.Data != 0x44 || exit.Size != 1 || exit.In {
		t.Errorf("%+v", exit)
	}
	if exit := run(t, c, 0); exit.Kind != vmm.ExitPort || !exit.In || exit.Size != 4 || c.regs.RIP != codeAt+3 {
		t.Errorf("%+v", exit)
	}
}

func TestKick(t *testing.T) {
	_, c := newGuest(t, []byte{0xeb, 0xfe}, phys.Options{}) // jmp to itself
	time.AfterFunc(time.Millisecond, c.Kick)
	if exit := run(t, c, 0); exit.Kind != vmm.ExitKicked || c.regs.RIP != codeAt {
		t.Errorf("%v at %#x", exit.Kind, c.regs.RIP)
	}
	c.Kick() // while none is running: the next Run returns at once
	before := c.Instructions()
	if exit := run(t, c, 0); exit.Kind != vmm.ExitKicked || c.Instructions() != before {
		t.Errorf("%v after %d instructions", exit.Kind, c.Instructions()-before)
	}
}

func TestSingleSteps(t *testing.T) {
	_, c := newGuest(t, sum, phys.Options{})
	c.regs.RCX = 2
	c.regs.RFLAGS |= x86.TF
	var rips []uint64
	for range 5 {
		if exit := run(t, c, 0); exit.Kind != vmm.ExitDebug {
			t.Fatal(exit)
		}
		rips = append(rips, c.regs.RIP-codeAt)
	}
	if want := []uint64{3, 6, 10, 0, 3}; !slices.Equal(rips, want) {
		t.Errorf("steps to %v, want %v", rips, want)
	}
}

// TestGuestUnderPressure runs a program over more pages than may be resident.
func TestGuestUnderPressure(t *testing.T) {
	swap, err := os.Create(filepath.Join(t.TempDir(), "swap"))
	if err != nil {
		t.Fatal(err)
	}
	defer swap.Close()
	m, c := newGuest(t, []byte{
		0x48, 0x01, 0x03, // 0: add [rbx], rax
		0x48, 0x81, 0xc3, 0x00, 0x10, 0x00, 0x00, // 3: add rbx, 4096
		0x48, 0x39, 0xd3, // 10: cmp rbx, rdx
		0x72, 0xf1, // 13: jb 0
		0x48, 0x89, 0xf3, // 15: mov rbx, rsi
		0xff, 0xc9, // 18: dec ecx
		0x75, 0xea, // 20: jne 0
		0x0f, 0x05,
	}, phys.Options{BudgetPages: 7, Swap: swap}) // four for tables, one for code
	c.regs.RAX, c.regs.RBX, c.regs.RSI, c.regs.RDX, c.regs.RCX = 3, dataAt, dataAt, dataAt+dataPages*phys.PageSize, 20
	if exit := run(t, c, 0); exit.Kind != vmm.ExitSyscall {
		t.Fatalf("%+v", exit)
	}
	for i := range dataPages {
		var word [8]byte
		if err := m.memory.ReadAt(word[:], dataPhys+phys.Addr(i)*phys.PageSize); err != nil || binary.LittleEndian.Uint64(word[:]) != 60 {
			t.Errorf("page %d has %d, want 60 (%v)", i, word, err)
		}
	}
	if got := m.memory.Metrics(); got.SwappedIn == 0 || got.ResidentMax > 7 {
		t.Errorf("%+v", got)
	}
}

// TestNothingIsDecodedInVain: what the decoder knows, exec does.
func TestNothingIsDecodedInVain(t *testing.T) {
	m, c := newGuest(t, nil, phys.Options{})
	for _, prefix := range []string{"", "\x66", "\xf3", "\xf2"} {
		for two := range 2 {
			for opcode := range 256 {
				for _, modRM := range []byte{0x00, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0xc0, 0xc8, 0xd0, 0xd8, 0xe0, 0xe8, 0xf0, 0xf8} {
					code := append([]byte(prefix), "\x0f"[:two]...)
					code = append(code, byte(opcode), modRM, 1, 2, 3, 4, 5, 6, 7, 8, 9)
					in, err := x86.Decode(code)
					if err != nil || two == 0 && opcode == 0x0f {
						continue
					}
					if err := m.memory.WriteAt(code[:in.Len], codePhys); err != nil {
						t.Fatal(err)
					}
					c.regs = x86.Regs{RIP: codeAt, RSP: dataAt + 0x1000}
					if run(t, c, 1).Kind == vmm.ExitUnsupported {
						t.Errorf("% x is decoded (%+v) and not done", code[:in.Len], in)
					}
				}
			}
		}
	}
}

func TestControlOfSSE(t *testing.T) {
	_, c := newGuest(t, []byte{0x0f, 0xae, 0x1b, 0x0f, 0xae, 0x13}, phys.Options{}) // stmxcsr [rbx]; ldmxcsr [rbx]
	c.regs.RBX = dataAt
	if exit := run(t, c, 2); exit.Kind != vmm.ExitSpent || c.extended.MXCSR != 0x1f80 {
		t.Errorf("%v; MXCSR is %#x", exit.Kind, c.extended.MXCSR)
	}
	m, c := newGuest(t, []byte{0x0f, 0xae, 0x13}, phys.Options{})
	_ = m.memory.WriteAt(binary.LittleEndian.AppendUint32(nil, 1<<16), dataPhys)
	c.regs.RBX = dataAt
	if exit := run(t, c, 1); exit.Kind != vmm.ExitException || exit.Vector != x86.GeneralProtection || c.regs.RIP != codeAt {
		t.Errorf("a reserved bit of MXCSR: %+v", exit)
	}
}

// TestFloatingPointExceptions: those of SSE interrupt at once and leave the operand, those of x87 at the next instruction of x87.
func TestFloatingPointExceptions(t *testing.T) {
	_, c := newGuest(t, []byte{0xf2, 0x0f, 0x5e, 0xc1}, phys.Options{}) // divsd xmm0, xmm1
	c.extended.XMM[0][0] = math.Float64bits(1)
	c.sse.Load(0x1f80 &^ (1 << 9)) // not masked: division by zero
	exit := run(t, c, 1)
	if exit.Vector != x86.SIMDFloatingPoint || c.regs.RIP != codeAt || c.extended.XMM[0][0] != math.Float64bits(1) || c.extended.MXCSR&0x3f != 4 {
		t.Errorf("%+v at %#x, MXCSR %#x", exit, c.regs.RIP, c.extended.MXCSR)
	}
	_, c = newGuest(t, []byte{0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0x90, 0x9b}, phys.Options{}) // fld1; fldz; fdivp; nop; fwait
	c.fpu.SetControl(x87.ControlInit &^ 4)
	if exit := run(t, c, 10); exit.Vector != x86.FloatingPoint || c.regs.RIP != codeAt+7 || c.fpu.Status()&0xff != 0x84 {
		t.Errorf("%+v at %#x, status %#x", exit, c.regs.RIP, c.fpu.Status())
	}
}

func FuzzGuest(f *testing.F) {
	f.Add(sum, uint64(5))
	f.Add([]byte{0xf3, 0xa4, 0xeb, 0xfc}, uint64(1<<40))
	f.Add([]byte{0xc6, 0x05, 0xf9, 0xff, 0xff, 0xff, 0x90, 0xeb, 0xf7}, uint64(0))
	f.Add([]byte{0x9d, 0x54, 0x5c, 0xc9, 0xc3}, uint64(dataAt))
	f.Fuzz(func(t *testing.T, code []byte, seed uint64) {
		m, c := newGuest(t, code[:min(len(code), phys.PageSize)], phys.Options{BudgetPages: 16})
		c.regs.RAX, c.regs.RBX, c.regs.RDX, c.regs.R8 = seed, dataAt+seed%0x4000, seed>>7, seed<<9
		c.regs.RSI, c.regs.RDI, c.regs.RBP = dataAt+seed%0x3000, dataAt+seed%0x2000, codeAt+seed%0x1000
		c.regs.RCX = seed % 5000
		for range 4 {
			before := c.Instructions()
			exit := run(t, c, 500)
			if made := c.Instructions() - before; made > 500 || exit.Kind == 0 {
				t.Fatalf("%d instructions of 500, %+v", made, exit)
			}
			if c.regs.RFLAGS&x86.Fixed == 0 {
				t.Fatal("a flag that is always 1 is 0")
			}
			c.regs.RIP = codeAt
		}
		if got := m.memory.Metrics().Resident; got > 16 {
			t.Fatalf("%d pages are resident of 16", got)
		}
	})
}
