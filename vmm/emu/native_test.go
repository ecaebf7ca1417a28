//go:build linux && amd64

package emu

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// native executes instructions on this machine's processor.
type native struct {
	memory []byte // at codeAt: code, then what follows; the data at dataAt
}

// Where in the native machine's memory the state is, behind the page of code.
const (
	stateAt   = 0x1000 // RAX … R15 in the order of their numbers, then flags
	afterAt   = 0x1200 // the same after
	savedAt   = 0x1400
	controlAt = 0x1500 // Go's MXCSR
	restoreAt = 0x1600 // an FXSAVE area
	saveAt    = 0x1800 // the same after
	upperAt   = 0x1a00 // the upper halves of YMM registers
	upperTo   = 0x1b00 // the same after
)

func newNative(t testing.TB, size uintptr) *native {
	t.Helper()
	wanted := uintptr(codeAt)
	p, err := unix.MmapPtr(-1, 0, *(*unsafe.Pointer)(unsafe.Pointer(&wanted)), size, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED_NOREPLACE)
	if err != nil {
		t.Skipf("the addresses for native execution aren't free: %v", err)
	}
	t.Cleanup(func() { _ = unix.MunmapPtr(p, size) })
	return &native{unsafe.Slice((*byte)(p), size)}
}

// program is inst between the loading of all registers and their storing. inst is at the returned offset.
func program(inst []byte) (code []byte, at int) {
	move := func(opcode, reg byte, to int) { // MOV reg, [RIP+…] (8b) or the other way (89), LEA (8d)
		code = append(code, 0x48|reg>>3<<2, opcode, reg&7<<3|5)
		code = binary.LittleEndian.AppendUint32(code, uint32(int32(to-(len(code)+4))))
	}
	state := func(group byte, to int) { // FXRSTOR64 [RIP+…] (1) or FXSAVE64 (0)
		code = append(code, 0x48, 0x0f, 0xae, group<<3|5)
		code = binary.LittleEndian.AppendUint32(code, uint32(int32(to-(len(code)+4))))
	}
	uppers := func(opcode byte, to int) { // VINSERTF128 of [RIP+…] (18) or VEXTRACTF128 to there (19), of the upper half
		for r := range byte(16) {
			if !cpu.X86.HasAVX {
				return
			}
			second := byte(0x7d)
			if opcode == 0x18 {
				second = ^r&15<<3 | 5
			}
			code = append(code, 0xc4, ^r>>3<<7|0x63, second, opcode, r&7<<3|5)
			code = binary.LittleEndian.AppendUint32(code, uint32(int32(to+16*int(r)-(len(code)+5))))
			code = append(code, 1)
		}
	}
	saved := []byte{regSP, regBP, 14} // Go's stack, frame and goroutine
	for i, r := range saved {
		move(0x89, r, savedAt+8*i)
	}
	state(1, restoreAt)
	uppers(0x18, upperAt)
	move(0x8d, regSP, stateAt+16*8)
	code = append(code, 0x9d) // POPFQ
	for r := range byte(16) {
		move(0x8b, r, stateAt+8*int(r))
	}
	at = len(code)
	code = append(code, inst...)
	for r := range byte(16) {
		move(0x89, r, afterAt+8*int(r))
	}
	uppers(0x19, upperTo)
	state(0, saveAt)
	move(0x8d, regSP, afterAt+17*8)
	code = append(code, 0x9c) // PUSHFQ
	for i, r := range saved {
		move(0x8b, r, savedAt+8*i)
	}
	code = append(code, 0x0f, 0xae, 2<<3|5) // LDMXCSR [RIP+…]
	code = binary.LittleEndian.AppendUint32(code, uint32(int32(controlAt-(len(code)+4))))
	if cpu.X86.HasAVX {
		code = append(code, 0xc5, 0xf8, 0x77) // VZEROUPPER
	}
	return append(code, 0xdb, 0xe3, 0xfc, 0x45, 0x0f, 0x57, 0xff, 0xc3), at // FNINIT; CLD; XORPS XMM15, XMM15; RET
}

func (n *native) word(at int) *uint64 { return (*uint64)(unsafe.Pointer(&n.memory[at])) }

// run executes program's code with the registers in r and returns them as they are after it.
func (n *native) run(code []byte, r *[17]uint64, x *x86.Extended) {
	copy(n.memory, code)
	*(*area)(unsafe.Pointer(&n.memory[restoreAt])) = *(*area)(unsafe.Pointer(x))
	upper := (*[16][2]uint64)(unsafe.Pointer(&n.memory[upperAt]))
	*upper = x.Upper()
	*n.word(controlAt) = 0x1f80
	for i, v := range r {
		*n.word(stateAt + 8*i) = v
	}
	entry := unsafe.Pointer(unsafe.SliceData(n.memory))
	f := &entry // a func value points to where its code's address is
	(*(*func())(unsafe.Pointer(&f)))()
	for i := range r {
		r[i] = *n.word(afterAt + 8*i)
	}
	*(*area)(unsafe.Pointer(x)) = *(*area)(unsafe.Pointer(&n.memory[saveAt]))
	if cpu.X86.HasAVX {
		x.SetUpper((*[16][2]uint64)(unsafe.Pointer(&n.memory[upperTo])))
	}
}

// area is the part of x86.Extended that FXSAVE knows.
type area [512]byte

func registers(r *x86.Regs) [17]uint64 {
	return [17]uint64{
		r.RAX, r.RCX, r.RDX, r.RBX, r.RSP, r.RBP, r.RSI, r.RDI, r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15, uint64(r.RFLAGS & (x86.Arithmetic | x86.DF)),
	}
}

func setRegisters(r *x86.Regs, v [17]uint64) {
	*r = x86.Regs{
		RAX: v[0], RCX: v[1], RDX: v[2], RBX: v[3], RSP: v[4], RBP: v[5], RSI: v[6], RDI: v[7], R8: v[8], R9: v[9], R10: v[10], R11: v[11],
		R12: v[12], R13: v[13], R14: v[14], R15: v[15], RFLAGS: x86.Flags(v[16]) | x86.Fixed | x86.IF,
	}
}

// hostIsIntel says that the host's processor does as Intel's where processors differ.
var hostIsIntel = func() bool {
	info, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && bytes.Contains(info, []byte("GenuineIntel"))
}()

// intelAlone says that other processors do something else: approximations have other tables, DPPS and DPPD take other NaNs, FXSAVE tells of another bit of MXCSR,
// PREFETCHW takes no register, and SHA's operands needn't be aligned.
func intelAlone(in x86.Inst) bool {
	switch {
	case hostIsIntel:
		return false
	case in.Op == x86.SSE && in.IsMem && (in.Vec == x86.Vec3A|0xcc || in.Vec >= x86.Vec38|0xc8 && in.Vec <= x86.Vec38|0xcd):
		return true
	case in.Op == x86.SSE || in.Op == x86.AVX:
		return in.Vec&0xcfe == 0x52 || in.Vec == p3A|0x40 || in.Vec == p3A|0x41
	}
	return in.Op == x86.NOP && !in.IsMem || in.Op == x86.FXSAVE
}

// neverCompared says that of in not even the operands that other processors treat alike are compared: SHA's are, aligned.
func neverCompared(in x86.Inst) bool {
	return intelAlone(in) && (in.Op != x86.SSE || !in.IsMem || in.Vec&0xff < 0xc0)
}

// failuresMax is how many instructions may differ until a test gives up; of each kind the first is told.
const failuresMax = 30

// TestAgainstProcessor executes random instructions with random registers here and there. WHERRY_EMU_INSTRUCTIONS sets how many, WHERRY_EMU_SEED which.
func TestAgainstProcessor(t *testing.T) {
	count := soaked("WHERRY_EMU_INSTRUCTIONS", 50_000)
	d := newDiffer(t, uint64(fromEnvironment("WHERRY_EMU_SEED", 1)))
	for range count {
		if d.one(); len(d.failed) > failuresMax {
			break
		}
	}
	t.Logf("%d instructions of %d kinds were compared; %d raised an exception here", d.compared, len(d.kinds), d.raised)
	if d.compared < count/2 {
		t.Errorf("only %d of %d were compared", d.compared, count)
	}
	d.coverage(count)
}

// complete is how many instructions there have to be for each kind to be among them.
const complete = 1_000_000

// coverage tells how often each kind of instruction was compared, if asked to, and which instruction of MMX, SSE, AVX or x87 wasn't.
func (d *differ) coverage(count int) {
	seen := map[string]bool{}
	for kind, n := range d.kinds {
		if os.Getenv("WHERRY_EMU_COVERAGE") != "" {
			d.t.Logf("%8d %s", n, kind)
		}
		name, _, _ := strings.Cut(kind, "/")
		seen[name] = true
	}
	for _, code := range vectorCodes {
		in, err := x86.Decode(append(code[:len(code):len(code)], 0x10, 0, 0, 0, 0, 0))
		if err != nil {
			in, _ = x86.Decode(append(code[:len(code):len(code)], 0xd0, 0, 0, 0, 0, 0))
		}
		if name := fmt.Sprintf("vector %#03x", in.Vec); count >= complete && !seen[name] && !neverCompared(in) {
			d.t.Errorf("%s (% x) was never compared", name, code)
		}
	}
	for _, code := range avxCodes {
		in, _ := code.inst()
		if name, _, _ := strings.Cut(kindOf(in), "/"); count >= complete && hostHasAVX && !seen[name] && !neverCompared(in) {
			d.t.Errorf("%s (%+v) was never compared", name, code)
		}
	}
	for op := range x86.FPUs {
		if name := fmt.Sprintf("x87 %d", op); count >= complete && !seen[name] && op != x86.FPUNothing {
			d.t.Errorf("%s was never compared", name)
		}
	}
}

// soakTimes is how many times more a soak (WHERRY_SOAK=1) does.
const soakTimes = 200

// soaked is how much a test does: what the environment says, or short, or much more in a soak.
func soaked(name string, short int) int {
	if os.Getenv("WHERRY_SOAK") != "" {
		short *= soakTimes
	}
	return fromEnvironment(name, short)
}

func fromEnvironment(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

type differ struct {
	t                *testing.T
	native           *native
	random           *rand.Rand
	machine          *Machine
	vcpu             *VCPU
	compared, raised int
	kinds            map[string]int  // what was compared, and how often
	failed           map[string]bool // what wasn't the same
}

func newDiffer(t *testing.T, seed uint64) *differ {
	d := &differ{t: t, native: newNative(t, dataAt-codeAt+dataPages*phys.PageSize), random: rand.New(rand.NewPCG(seed, 7)), kinds: map[string]int{}, failed: map[string]bool{}}
	d.machine, d.vcpu = newGuest(t, nil, phys.Options{})
	return d
}

// kindOf is which instruction it is, without its operands' registers.
func kindOf(in x86.Inst) string {
	m := "register"
	if in.IsMem {
		m = "memory"
	}
	switch in.Op {
	case x86.AVX:
		return fmt.Sprintf("avx %#03x size %d wide %v/%d %s", in.Vec, in.From, in.Wide, in.Reg&7*uint8(bit(in.VecShape == x86.VecVM)), m)
	case x86.SSE:
		return fmt.Sprintf("vector %#03x/%d %s", in.Vec, in.Reg&7*uint8(bit(in.VecShape == x86.VecM || in.VecShape == x86.MMXQ)), m)
	case x86.X87:
		return fmt.Sprintf("x87 %d/%d size %d pops %d %s", in.Vec, in.Cond, in.Size, in.From, m)
	}
	return fmt.Sprintf("op %d form %d size %d from %d cond %d lock %v rep %#x %s", in.Op, in.Form, in.Size, in.From, in.Cond, in.Lock, in.Rep, m)
}

// fail tells of the first difference of each kind of instruction.
func (d *differ) fail(inst []byte, in x86.Inst, format string, args ...any) {
	kind := kindOf(in)
	if d.failed[kind] {
		return
	}
	d.failed[kind] = true
	d.t.Errorf("% x (%s, %+v): %s", inst, kind, in, fmt.Sprintf(format, args...))
}

func (d *differ) one() {
	g := generator{random: d.random}
	inst := g.any()
	in, err := x86.Decode(inst)
	if err != nil || int(in.Len) != len(inst) {
		d.t.Errorf("% x: decoded %d of %d bytes: %v", inst, in.Len, len(inst), err)
		return
	}
	if shiftsTooFar(in, &g.registers) {
		return
	}
	if sp := &g.registers[regSP]; !hostIsIntel && !mmu.Canonical(*sp) { // some hypervisors don't survive an interrupt meanwhile
		*sp &= 1<<47 - 1
	}
	if neverCompared(in) { // operands are aligned here
		return
	}
	code, at := program(inst)
	data := d.native.memory[dataAt-codeAt:][:phys.PageSize]
	if d.compared%256 == 0 { // in between both have what instructions left
		g.fill(data)
		if err := d.machine.memory.WriteAt(data, dataPhys); err != nil {
			d.t.Fatal(err)
		}
	}
	if err := d.machine.memory.WriteAt(code, codePhys); err != nil {
		d.t.Fatal(err)
	}
	setRegisters(&d.vcpu.regs, g.registers)
	if err := d.vcpu.SetExtended(&g.extended); err != nil {
		d.t.Fatal(err)
	}
	d.vcpu.regs.RIP = codeAt + uint64(at)
	exit := run(d.t, d.vcpu, 1)
	switch exit.Kind {
	case vmm.ExitSpent:
	case vmm.ExitException:
		d.raised++
		if exit.Vector == x86.DivideError || exit.Vector == x86.GeneralProtection && (in.Op == x86.LDMXCSR || in.Op == x86.FXRSTOR || in.Op == x86.AVX) {
			return
		}
		fallthrough
	default:
		d.fail(inst, in, "%v %+v", exit.Kind, exit)
		return
	}
	want, wantExtended := g.registers, g.extended
	d.native.run(code, &want, &wantExtended)
	d.compared++
	d.kinds[kindOf(in)]++
	got := registers(&d.vcpu.regs)
	defined := ^undefinedFlags(in, &g.registers)
	got[16] &= defined & uint64(x86.Arithmetic)
	want[16] &= defined & uint64(x86.Arithmetic)
	if got != want || d.vcpu.regs.RIP != codeAt+uint64(at+len(inst)) {
		d.fail(inst, in, "\n%s", difference(&g.registers, &got, &want))
	}
	d.compareExtended(inst, in, &g.extended, &wantExtended)
	d.compareMemory(inst, in, data, dataPhys)
}

func (d *differ) compareMemory(inst []byte, in x86.Inst, want []byte, at phys.Addr) {
	got, err := d.machine.memory.Page(at, false)
	if err != nil {
		d.t.Fatal(err)
	}
	if bytes.Equal(got[:], want) {
		return
	}
	first := 0
	for got[first] == want[first] {
		first++
	}
	last := len(want) - 1
	for got[last] == want[last] {
		last--
	}
	d.fail(inst, in, "memory from %#x to %#x is % x, natively % x", first, last, got[first:last+1], want[first:last+1])
	if err := d.machine.memory.WriteAt(want, at); err != nil {
		d.t.Fatal(err)
	}
}

func (d *differ) compareExtended(inst []byte, in x86.Inst, before, want *x86.Extended) {
	got, _ := d.vcpu.Extended()
	upper, wantUpper, beforeUpper := got.Upper(), want.Upper(), before.Upper()
	for i, x := range got.XMM {
		if upper[i] != wantUpper[i] {
			d.fail(inst, in, "MXCSR %#x\n upper half %d was %016x, is %016x, natively %016x; operands %016x, %016x, %016x", before.MXCSR, i, beforeUpper[i], upper[i], wantUpper[i],
				beforeUpper[in.Reg&15], beforeUpper[in.V&15], beforeUpper[in.RM&15])
		}
		if x != want.XMM[i] {
			d.fail(inst, in, "MXCSR %#x\n XMM%d was %016x, is %016x, natively %016x; operands %016x, %016x, %016x", before.MXCSR, i, before.XMM[i], x, want.XMM[i],
				before.XMM[in.Reg&15], before.XMM[in.V&15], before.XMM[in.RM&15])
		}
	}
	if undefined := undefinedStatus(in); (got.FSW^want.FSW)&^undefined != 0 || got.FTW != want.FTW || got.FCW != want.FCW {
		i := in.RM & 7
		d.fail(inst, in, "control %#x, natively %#x; status was %#x, is %#x, natively %#x; full %#x, natively %#x\n ST0, ST%d were %x, %x, are %x, %x, natively %x, %x",
			got.FCW, want.FCW, before.FSW, got.FSW, want.FSW, got.FTW, want.FTW, i, before.ST[0], before.ST[i], got.ST[0], got.ST[i], want.ST[0], want.ST[i])
	}
	if got.MXCSR != want.MXCSR {
		d.fail(inst, in, "MXCSR was %#x, is %#x, natively %#x; operands %016x, %016x", before.MXCSR, got.MXCSR, want.MXCSR,
			before.XMM[in.Reg&15], before.XMM[in.RM&15])
	}
	for i, s := range got.ST {
		if s != want.ST[i] && !near(in, s, want.ST[i]) {
			d.fail(inst, in, "control %#x\n ST%d was %x, is %x, natively %x; operands %x, %x", before.FCW, i, before.ST[i], s, want.ST[i],
				before.ST[0], before.ST[in.RM&7])
		}
	}
	if got.FIP != want.FIP && in.Op == x86.X87 && hostIsIntel { // AMD's keep it for exceptions alone
		d.fail(inst, in, "FIP is %#x, natively %#x", got.FIP, want.FIP)
	}
}

func difference(before, got, want *[17]uint64) string {
	var b bytes.Buffer
	for i, name := range []string{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "flags"} {
		mark := ""
		if got[i] != want[i] {
			mark = fmt.Sprintf("  emulated %#x, native %#x", got[i], want[i])
		}
		if mark != "" || i < 4 || i == 16 {
			fmt.Fprintf(&b, "  %-5s %#18x%s\n", name, before[i], mark)
		}
	}
	return b.String()
}

// transcendental says that an instruction's result may differ from one kind of processor to another, in the last place.
func transcendental(in x86.Inst) bool {
	if in.Op != x86.X87 {
		return false
	}
	switch in.Vec {
	case x86.FPUPower, x86.FPULogarithm, x86.FPULogarithm1, x86.FPUTangent, x86.FPUArcTangent, x86.FPUSine, x86.FPUCosine, x86.FPUSineCosine:
		return true
	}
	return false
}

// near is that difference. Exponents follow each other as mantissas do.
func near(in x86.Inst, a, b x86.Slot80) bool {
	if !transcendental(in) || (a.SignExponent^b.SignExponent)>>15 != 0 {
		return false
	}
	if a.SignExponent < b.SignExponent {
		a, b = b, a
	}
	switch a.SignExponent - b.SignExponent {
	case 0:
		difference := int64(a.Mantissa - b.Mantissa)
		return difference >= -1 && difference <= 1
	case 1:
		return a.Mantissa == 1<<63 && b.Mantissa == math.MaxUint64
	}
	return false
}

// undefinedStatus are the bits of x87's status word that aren't compared.
func undefinedStatus(in x86.Inst) uint16 {
	switch {
	case in.Op == x86.X87 && in.Vec == x86.FPULogarithm: // of powers of 2 the result may be exact here
		return 0x200 | uint16(x86.FloatInexact|x86.FloatUnderflow) | 0x8080
	case transcendental(in):
		return 0x200
	}
	return 0
}

// undefinedFlags are those that processors differ in (Intel SDM volume 2, at each instruction).
func undefinedFlags(in x86.Inst, r *[17]uint64) uint64 {
	const all = x86.Arithmetic
	count := shiftCount(in, r)
	var f x86.Flags
	switch in.Op {
	case x86.AND, x86.OR, x86.XOR, x86.TEST:
		f = x86.AF
	case x86.SHL, x86.SHR, x86.SAR, x86.SHLD, x86.SHRD:
		if count != 0 {
			f = x86.AF
		}
		if count > 1 {
			f |= x86.OF
		}
		if count > int64(in.Size)*8 {
			f |= all
		}
	case x86.ROL, x86.ROR, x86.RCL, x86.RCR:
		if count != 1 {
			f = x86.OF
		}
	case x86.MUL, x86.IMUL, x86.IMUL1:
		f = x86.SF | x86.ZF | x86.AF | x86.PF
	case x86.DIV, x86.IDIV:
		f = all
	case x86.BT, x86.BTS, x86.BTR, x86.BTC:
		f = all &^ (x86.CF | x86.ZF)
	case x86.BSF, x86.BSR:
		f = all &^ x86.ZF
	case x86.TZCNT, x86.LZCNT:
		f = all &^ (x86.CF | x86.ZF)
	case x86.ANDN, x86.BLSR, x86.BLSMSK, x86.BLSI, x86.BZHI:
		f = x86.AF | x86.PF
	case x86.BEXTR:
		f = x86.AF | x86.PF | x86.SF
	}
	return uint64(f)
}

// shiftsTooFar says that the result is undefined.
func shiftsTooFar(in x86.Inst, r *[17]uint64) bool {
	return in.Size == 2 && (in.Op == x86.SHLD || in.Op == x86.SHRD) && shiftCount(in, r) > 16
}

// shiftCount is by how much a shift shifts.
func shiftCount(in x86.Inst, r *[17]uint64) int64 {
	count := in.Imm
	if in.Form == x86.FormMR {
		count = int64(r[regCX])
	}
	if in.Size == 8 {
		return count & 63
	}
	return count & 31
}
