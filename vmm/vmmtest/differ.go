package vmmtest

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
	"golang.org/x/sys/cpu"
)

// differPrograms is how many programs Differ runs, unless WHERRY_DIFFER says otherwise.
const differPrograms = 150

// Differ runs random programs on two machines: at each exit registers, memory and vectors must be the same on both. Instructions one by one are compared
// with the processor by vmm/emu's own tests; here it is exits, what leads to them and what goes on behind.
func Differ(t *testing.T, one, other Open) {
	programs := differPrograms
	if n, err := strconv.Atoi(os.Getenv("WHERRY_DIFFER")); err == nil {
		programs = n
	}
	kinds := map[vmm.ExitKind]int{}
	a, b := NewGuest(t, one, nil), NewGuest(t, other, nil)
	for _, g := range []*Guest{a, b} { // programs that write over themselves come to any instruction
		must(t, g.Tables.Protect(CodeAt, CodePages*phys.PageSize, mmu.User))
		must(t, g.Machine.Flush(CodePhys, CodePages*phys.PageSize))
	}
	for seed := range uint64(programs) {
		d := differ{t: t, random: rand.New(rand.NewPCG(seed, 46)), a: a, b: b, kinds: kinds}
		if d.program(); t.Failed() {
			t.Fatalf("program %d: % x", seed, d.code)
		}
	}
	t.Logf("%d programs agreed at these exits: %v", programs, kinds)
	for _, kind := range []vmm.ExitKind{vmm.ExitSyscall, vmm.ExitPageFault, vmm.ExitException, vmm.ExitPort, vmm.ExitDoorbell} {
		if kinds[kind] == 0 {
			t.Errorf("no program ended with a %v", kind)
		}
	}
}

type differ struct {
	t      *testing.T
	random *rand.Rand
	a, b   *Guest
	code   []byte
	kinds  map[vmm.ExitKind]int
}

// exitsMax bounds the exits of one program.
const exitsMax = 20

// program makes one and runs it on both, to its end or for exitsMax exits.
func (d *differ) program() {
	d.code = d.code[:0]
	for len(d.code) < 400 {
		d.code = append(d.code, d.instruction()...)
	}
	d.code = append(d.code, 0x0f, 0x05, 0xeb, 0xfc)
	regs := x86.Regs{RIP: CodeAt, RFLAGS: x86.Fixed | x86.IF, RSP: DataAt + 8*phys.PageSize}
	for _, r := range []*uint64{&regs.RAX, &regs.RBX, &regs.RCX, &regs.RDX, &regs.RSI, &regs.RDI, &regs.RBP, &regs.R8, &regs.R9, &regs.R15} {
		*r = d.value()
	}
	data := make([]byte, DataPages*phys.PageSize)
	for i := range data {
		data[i] = byte(d.random.Uint32())
	}
	e := x86.NewExtended()
	var upper [16][2]uint64
	for i := range e.XMM {
		e.XMM[i] = [2]uint64{d.random.Uint64(), d.random.Uint64()}
		upper[i] = [2]uint64{d.random.Uint64(), d.random.Uint64()}
	}
	if cpu.X86.HasAVX2 {
		e.SetUpper(&upper)
	}
	for _, g := range []*Guest{d.a, d.b} {
		must(d.t, g.Machine.Phys().WriteAt(data, DataPhys))
		g.Code(d.code...)
		must(d.t, g.SetExtended(&e))
		*g.Regs() = regs
	}
	for range exitsMax {
		if !d.step() || d.t.Failed() {
			return
		}
	}
}

// step runs both to their next exit and puts them behind it. It returns false at the program's end.
func (d *differ) step() bool {
	one, other := d.a.Exit(), d.b.Exit()
	if one.Kind == vmm.ExitUnsupported || other.Kind == vmm.ExitUnsupported {
		return false // a jump into an instruction's middle finds any
	}
	d.kinds[one.Kind]++
	ra, rb := d.a.Regs(), d.b.Regs()
	if one.Kind != other.Kind || one.Vector != other.Vector || one.Code != other.Code || one.Addr != other.Addr || one.Data != other.Data ||
		one.Size != other.Size || one.In != other.In || one.Port != other.Port || (one.Fault == nil) != (other.Fault == nil) {
		d.t.Errorf("%s: %+v at %#x\n%s: %+v at %#x", d.a.Machine.Caps().Name, one, ra.RIP, d.b.Machine.Caps().Name, other, rb.RIP)
		return false
	}
	if *ra != *rb {
		d.t.Errorf("%v: registers\n%+v\n%+v", one.Kind, *ra, *rb)
	}
	ea, err := d.a.Extended()
	must(d.t, err)
	eb, err := d.b.Extended()
	must(d.t, err)
	if ea.XMM != eb.XMM || ea.Upper() != eb.Upper() {
		d.t.Errorf("%v: vectors\n%x\n%x", one.Kind, ea.XMM, eb.XMM)
	}
	var a, b [DataPages * phys.PageSize]byte
	must(d.t, d.a.Machine.Phys().ReadAt(a[:], DataPhys))
	must(d.t, d.b.Machine.Phys().ReadAt(b[:], DataPhys))
	if a != b {
		d.t.Errorf("%v: memory differs", one.Kind)
	}
	end := CodeAt + uint64(len(d.code))
	if one.Kind == vmm.ExitPageFault || one.Kind == vmm.ExitException && one.Vector != x86.Breakpoint {
		// Behind the instruction that can't be done; the shortest that fault here have two bytes.
		next := d.after(ra.RIP)
		ra.RIP, rb.RIP = next, next
	}
	return ra.RIP >= CodeAt && ra.RIP < end-4
}

// after is where the instruction behind the one at rip begins.
func (d *differ) after(rip uint64) uint64 {
	if rip < CodeAt || rip >= CodeAt+uint64(len(d.code)) {
		return 0
	}
	in, err := x86.Decode(d.code[rip-CodeAt:])
	if err != nil {
		return rip + 2 // UD2
	}
	return rip + uint64(in.Len)
}

// value is an address of data, near its end, near nothing, or any number.
func (d *differ) value() uint64 {
	switch d.random.IntN(6) {
	case 0:
		return SpareAt + uint64(d.random.IntN(10000))
	case 1:
		return StackTop - uint64(d.random.IntN(64))
	case 2:
		return d.random.Uint64() >> d.random.IntN(64)
	}
	return DataAt + uint64(d.random.IntN(DataPages*phys.PageSize-4096))
}

// instruction makes one that leaves flags defined: they are compared.
func (d *differ) instruction() []byte {
	reg, rm := byte(d.random.IntN(8)), byte(d.random.IntN(8))
	if reg == 4 { // the stack stays
		reg = 1
	}
	memory := func(opcode ...byte) []byte { // [base+disp32]
		if rm == 4 || rm == 5 { // no index; and not canonical by RBP is #SS, which the emulator calls #GP
			rm = 3
		}
		return binary.LittleEndian.AppendUint32(append(opcode, 0x80|reg<<3|rm), uint32(d.random.IntN(4000)))
	}
	arithmetic := []byte{0x01, 0x03, 0x11, 0x13, 0x19, 0x1b, 0x29, 0x2b, 0x39, 0x3b}[d.random.IntN(10)] // ADD, ADC, SBB, SUB, CMP
	if d.random.IntN(8) == 0 && cpu.X86.HasAVX2 {
		// Between registers alone: where KVM looks at what raised #GP, it says #UD of what its own emulator doesn't know.
		return [][]byte{
			{0xc5, 0xfd, 0xd4, 0xc0 | reg<<3 | rm}, {0xc5, 0xf9, 0xd4, 0xc0 | reg<<3 | rm}, {0xc5, 0xf8, 0x77}, // VPADDQ, of 256 and of 128 bits; VZEROUPPER
		}[d.random.IntN(3)]
	}
	switch d.random.IntN(24) {
	case 0:
		return []byte{0x0f, 0x05}
	case 1:
		return []byte{0xcc}
	case 2:
		return []byte{0x0f, 0x0b}
	case 3: // OUT and IN at the bell and the console
		return [][]byte{{0x66, 0xba, 0x10, 0x05, 0xef}, {0x66, 0xba, 0x11, 0x05, 0xee}, {0x66, 0xba, 0x11, 0x05, 0xec}, {0xe6, 0x80}, {0xed}}[d.random.IntN(5)]
	case 4, 5, 6, 7:
		return memory(0x48, arithmetic)
	case 8, 9:
		return memory(0x48, 0x8b)
	case 10, 11:
		return memory(0x48, 0x89)
	case 12:
		return memory(0xf0, 0x48, 0x0f, 0xc1) // LOCK XADD
	case 13:
		return memory(0x0f, 0x10) // MOVUPS
	case 14:
		return memory(0x0f, 0x11)
	case 15:
		return memory(0x0f, 0x28) // MOVAPS, which wants alignment
	case 16:
		return []byte{0x66, 0x0f, 0xd4, 0xc0 | reg<<3 | rm} // PADDQ
	case 17:
		return []byte{0x50 | reg, 0x58 | reg} // PUSH, POP
	case 18:
		return []byte{0x48, 0xb8 | reg, 0, 0, 0, 0, 0, 0, 0, byte(d.random.Uint32())} // MOV: often not canonical
	case 19:
		return append([]byte{0x48, 0xb8 | reg}, binary.LittleEndian.AppendUint64(nil, d.value())...)
	case 20:
		return []byte{0x70 | byte(d.random.IntN(16)), 2, 0x90, 0x90} // Jcc
	case 21:
		return []byte{0xb9, byte(d.random.IntN(40)), 0, 0, 0, 0xf3, []byte{0xa4, 0xaa, 0xab}[d.random.IntN(3)]} // REP MOVSB, STOSB, STOSD
	case 22:
		return []byte{0x0f, 0xc8 | reg} // BSWAP
	}
	return []byte{0x48, arithmetic, 0xc0 | reg<<3 | reg}
}
