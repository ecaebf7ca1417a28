package emu

import (
	"errors"
	"unsafe"

	"github.com/wherry/wherry/vmm/emu/asm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// What translated code has in the host's registers: a guest's general registers stay in those of hostOf from block to block, its XMM
// registers in those of the same number. Go's stack pointer stays where it is.
const (
	hostContext = asm.R15 // &VCPU + hostBias
	hostA       = asm.AX  // addresses and flags
	hostB       = asm.R14 // what has no register of its own, while an instruction uses it
)

// hostOf is where the general registers are. The last four are in VCPU.file.
var hostOf = [16]asm.Reg{
	asm.R12, asm.CX, asm.DX, asm.BX, asm.R13, asm.BP, asm.SI, asm.DI, asm.R8, asm.R9, asm.R10, asm.R11, asm.None, asm.None, asm.None, asm.None,
}

// hostBias makes the distances of what is used most fit in a byte.
const hostBias = 128

// Where the parts of a VCPU are, from hostContext.
const (
	atCount    = int32(unsafe.Offsetof(VCPU{}.host)+unsafe.Offsetof(host{}.count)) - hostBias
	atExit     = int32(unsafe.Offsetof(VCPU{}.host)+unsafe.Offsetof(host{}.exit)) - hostBias
	atBlock    = int32(unsafe.Offsetof(VCPU{}.host)+unsafe.Offsetof(host{}.block)) - hostBias
	atHostFlag = int32(unsafe.Offsetof(VCPU{}.host)+unsafe.Offsetof(host{}.flags)) - hostBias
	atResume   = int32(unsafe.Offsetof(VCPU{}.host)+unsafe.Offsetof(host{}.resume)) - hostBias
	atJumps    = int32(unsafe.Offsetof(VCPU{}.host)+unsafe.Offsetof(host{}.jumps)) - hostBias
	atRIP      = int32(unsafe.Offsetof(VCPU{}.rip)) - hostBias
	atFile     = int32(unsafe.Offsetof(VCPU{}.file)) - hostBias
	atXMM      = int32(unsafe.Offsetof(VCPU{}.extended)+unsafe.Offsetof(x86.Extended{}.XMM)) - hostBias
	atTLB      = int32(unsafe.Offsetof(VCPU{}.tlb)) - hostBias
	atRead     = atTLB + int32(unsafe.Offsetof(mmu.Entry{}.ReadBase))
	atWrite    = atTLB + int32(unsafe.Offsetof(mmu.Entry{}.WriteBase))
	atPage     = atTLB + int32(unsafe.Offsetof(mmu.Entry{}.Page))
)

// Why translated code comes back, above the number of a step or of a link.
const (
	exitStep     = iota // Go does the instruction whose steps begin there, and goes back to host.resume
	exitLast            // Go does the rest of the block
	exitLink            // a jump out of the block isn't linked yet
	exitIndirect        // a jump to a place that the table of jumps doesn't have
	exitCount           // the block has more instructions than are left
	exitStale           // its page was written
	exitShift    = 16
)

// emitted is an instruction of the block that is translated.
type emitted struct {
	x86.Inst
	next     uint64 // RIP behind it
	step     int    // the first of its steps
	last     bool   // what Go does of it, it does to the end of the block
	after    asm.Label
	slow     asm.Label // where Go does it
	isSlow   bool      // slow is used, so Go sees the flags from before it
	inHost   bool      // after it, flags are in the host's
	ifNeeded bool      // Go does it only where its flags are needed
	reads    bool
	writes   bool // all flags
	needed   bool // its flags, or those from before it
}

// emitter translates a block. It goes over it twice: the first time all flags are needed; then it is known which instructions observe them.
type emitter struct {
	asm.Buffer
	block      *block
	number     int
	out        uint64 // the code that leaves
	insts      []emitted
	in         *emitted
	flags      flagsPlace
	entry      asm.Label
	body       asm.Label // behind the checks
	stale      asm.Label
	short      asm.Label
	indirect   asm.Label
	isIndirect bool
	again      asm.Label
	isLoop     bool
	ways       [linksMax]way
	used       int // of ways
}

// way is a jump out of a block to a known place. It goes to stub until it is linked.
type way struct {
	to     uint64
	stub   asm.Label
	stubAt int
	end    int // of the jump
}

// linksMax is how many ways lead out of a block.
const linksMax = 2

var errFlags = errors.New("BUG: flags that were needed are lost")

// translate writes the code of b for address at, and what is seldom on the way for address beyond. The instructions are those that b's steps were made of.
func (e *emitter) translate(b *block, number int, at, beyond, out uint64, insts []x86.Inst) error {
	e.block, e.number, e.out = b, number, out
	e.prepare(insts)
	for pass := range 2 {
		e.Begin(at)
		e.entry, e.body, e.stale, e.short, e.indirect = asm.Label{}, asm.Label{}, asm.Label{}, asm.Label{}, asm.Label{}
		e.again, e.isLoop, e.isIndirect, e.used = asm.Label{}, false, false, 0
		e.flags = flagsPlace{inMemory: true}
		e.head()
		e.instructions()
		if e.isLoop { // the code is what it was: who writes to it leaves
			e.Bind(&e.again)
			e.count()
			e.Jump(&e.body)
		}
		e.Continue(beyond)
		e.tail()
		if pass == 0 {
			e.analyse()
		}
	}
	if e.flags.lost {
		return errFlags
	}
	return e.Err()
}

// prepare finds the steps of each instruction. A comparison that is one step with the jump behind it has its own step, or none.
func (e *emitter) prepare(insts []x86.Inst) {
	e.insts = e.insts[:0]
	b, va, step := e.block, e.block.va, 0
	for i, in := range insts {
		off := uint16(va - b.va)
		va += uint64(in.Len)
		e.insts = append(e.insts, emitted{Inst: in, next: va, step: step, last: i == len(insts)-1, needed: true})
		for step < len(b.ops) && b.ops[step].off == off {
			step++
		}
	}
	if n := len(insts); n > 1 && (b.ops[len(b.ops)-1].kind == kindCmpJump || b.ops[len(b.ops)-1].kind == kindTestJump) {
		e.insts[n-2].last = true
	}
}

// analyse finds whose flags are needed: by an instruction behind, by Go, or by the next block.
func (e *emitter) analyse() {
	needed := true
	for i := len(e.insts) - 1; i >= 0; i-- {
		in := &e.insts[i]
		in.needed = needed
		observes := in.isSlow && !in.ifNeeded || in.ifNeeded && needed
		needed = observes || in.reads || needed && !in.writes
		in.after, in.slow, in.isSlow, in.ifNeeded = asm.Label{}, asm.Label{}, false, false
	}
}

// head checks that the code is still what is in memory, and takes the block's instructions from those that are left.
func (e *emitter) head() {
	e.Bind(&e.entry)
	for i, gen := range e.block.gens {
		if i > 0 && gen == e.block.gens[0] {
			break
		}
		e.Constant(hostA, uint64(uintptr(unsafe.Pointer(gen))))
		e.Emit(asm.Op(0x81), 4, 7, asm.M(hostA, 0), false) // CMP
		e.Imm(int64(int32(e.block.written[i])), 4)
		e.JumpIf(uint8(x86.CondNE), &e.stale)
	}
	e.count()
	e.Bind(&e.body)
}

func (e *emitter) count() {
	e.Emit(asm.Op(0x83), 4, 5, asm.M(hostContext, atCount), false) // SUB
	e.Imm(int64(e.block.count), 1)
	e.JumpIf(uint8(x86.CondS), &e.short)
}

func (e *emitter) instructions() {
	for i := range e.insts {
		in := &e.insts[i]
		e.in = in
		in.reads, in.writes = false, false
		ends := branches(in.Op)
		if done := e.inst(); !done {
			e.leaveToGo()
			ends = in.last
		}
		in.inHost = e.flags.inHost
		e.Bind(&in.after)
		if ends {
			return
		}
	}
	e.goTo(e.block.end)
}

// branches says that an instruction has the ways out of its block.
func branches(o x86.Op) bool {
	switch o {
	case x86.JMP, x86.JCC, x86.CALL, x86.RET:
		return true
	}
	return false
}

// slowly is where Go does the present instruction from its beginning: none of it may have happened.
func (e *emitter) slowly() *asm.Label {
	e.save()
	e.in.isSlow = true
	return &e.in.slow
}

// leaveToGo has Go do the present instruction always.
func (e *emitter) leaveToGo() {
	e.Jump(e.slowly())
	e.flags.inHost = false
}

// tail writes what isn't on the way: how to leave.
func (e *emitter) tail() {
	for i := range e.insts {
		if e.insts[i].isSlow {
			e.slowStub(&e.insts[i])
		}
	}
	e.Bind(&e.short)
	e.Emit(asm.Op(0x83), 4, 0, asm.M(hostContext, atCount), false) // ADD
	e.Imm(int64(e.block.count), 1)
	e.leave(exitCount<<exitShift, e.block.va)
	e.Bind(&e.stale)
	e.leave(exitStale<<exitShift, e.block.va)
	if e.isIndirect {
		e.Bind(&e.indirect)
		e.store(asm.M(hostContext, atRIP), hostA)
		e.exit(exitIndirect << exitShift)
	}
	for i := range e.used {
		w := &e.ways[i]
		w.stubAt = e.Len()
		e.Bind(&w.stub)
		e.leave(exitLink<<exitShift|i, w.to)
	}
}

func (e *emitter) slowStub(in *emitted) {
	e.Bind(&in.slow)
	if in.last {
		e.exit(exitLast<<exitShift | in.step)
		return
	}
	var back asm.Label
	e.Address(hostA, &back)
	e.store(asm.M(hostContext, atResume), hostA)
	e.exit(exitStep<<exitShift | in.step)
	e.Bind(&back)
	if in.inHost {
		e.reload()
	}
	e.Jump(&in.after)
}

// leave is exit with an address to go on at.
func (e *emitter) leave(exit int, rip uint64) {
	e.Constant(hostA, rip)
	e.store(asm.M(hostContext, atRIP), hostA)
	e.exit(exit)
}

func (e *emitter) exit(exit int) {
	e.Emit(asm.Op(0xc7), 4, 0, asm.M(hostContext, atExit), false)
	e.Imm(int64(exit), 4)
	e.Emit(asm.Op(0xc7), 4, 0, asm.M(hostContext, atBlock), false)
	e.Imm(int64(e.number), 4)
	e.JumpTo(e.out)
}

// always is no condition.
const always = 0xff

// goTo leaves the block for a known address. The flags have to be in memory there, as at every entry.
func (e *emitter) goTo(to uint64) { e.goToIf(always, to) }

func (e *emitter) goToIf(cc x86.Cond, to uint64) {
	e.save()
	jump := func(l *asm.Label) {
		if cc == always {
			e.Jump(l)
		} else {
			e.JumpIf(uint8(cc), l)
		}
	}
	if to == e.block.va {
		e.isLoop = true
		jump(&e.again)
		return
	}
	w := &e.ways[e.used]
	*w = way{to: to}
	e.used++
	jump(&w.stub)
	w.end = e.Len()
}

// goToRegister leaves for the address in hostA.
func (e *emitter) goToRegister() {
	e.isIndirect = true
	e.move(hostB, hostA)
	e.Emit(asm.Op(0xc1), 8, 5, asm.R(hostB), false) // SHR
	e.Imm(jumpsBits, 1)
	e.Emit(asm.Op(0x33), 4, hostB, asm.R(hostA), false) // XOR
	e.Emit(asm.Op(0xc1), 4, 4, asm.R(hostB), false)     // SHL, by log2 of a jump's size
	e.Imm(jumpBits, 1)
	e.Emit(asm.Op(0x81), 4, 4, asm.R(hostB), false) // AND
	e.Imm((jumpsSize-1)<<jumpBits, 4)
	e.Emit(asm.Op(0x03), 8, hostB, asm.M(hostContext, atJumps), false)
	e.Emit(asm.Op(0x3b), 8, hostA, asm.M(hostB, 0), false)
	e.JumpIf(uint8(x86.CondNE), &e.indirect)
	e.Emit(asm.Op(0xff), 4, 4, asm.M(hostB, 8), false) // JMP
}

func (e *emitter) store(to asm.Operand, r asm.Reg) { e.Emit(asm.Op(0x89), 8, r, to, false) }

func (e *emitter) load(r asm.Reg, from asm.Operand) { e.Emit(asm.Op(0x8b), 8, r, from, false) }

func (e *emitter) move(to, from asm.Reg) { e.load(to, asm.R(from)) }

// operandOf is the operand that general register r is.
func operandOf(r uint8) asm.Operand {
	if h := hostOf[r&15]; h != asm.None {
		return asm.R(h)
	}
	return asm.M(hostContext, atFile+8*int32(r&15))
}

func homed(r uint8) bool { return hostOf[r&15] == asm.None }

// read returns a host's register with the value of r: hostB, if r has none.
func (e *emitter) read(r uint8) asm.Reg {
	if !homed(r) {
		return hostOf[r]
	}
	e.load(hostB, operandOf(r))
	return hostB
}

// target is read for a register that is written: done is called after it was.
func (e *emitter) target(r uint8) (h asm.Reg, done func()) {
	h = e.read(r)
	if !homed(r) {
		return h, func() {}
	}
	return h, func() { e.store(operandOf(r), hostB) }
}

// memory finds the present instruction's operand in the TLB, or has Go do the instruction. All of what follows is valid until the next use of
// hostA, and flags aren't in the host's any more.
func (e *emitter) memory(size uint8, write bool) asm.Operand {
	e.slowly()
	e.address(hostA, true)
	return e.find(size, write, 1)
}

// find is memory for the address in hostA, which has to be a multiple of align.
func (e *emitter) find(size uint8, write bool, align uint8) asm.Operand {
	slow := e.slowly()
	base := atRead
	if write {
		base = atWrite
	}
	if align > 1 {
		e.Raw(0xa8, align-1) // TEST AL, …
		e.JumpIf(uint8(x86.CondNE), slow)
	}
	e.move(hostB, hostA)
	e.Emit(asm.Op(0xc1), 8, 5, asm.R(hostB), false) // SHR
	e.Imm(phys.PageShift-mmu.EntryBits, 1)
	e.Emit(asm.Op(0x81), 4, 4, asm.R(hostB), false) // AND
	e.Imm((mmu.TLBSize-1)<<mmu.EntryBits, 4)
	e.Emit(asm.Op(0x2b), 8, hostA, asm.MX(hostContext, hostB, 0, base), false) // SUB
	e.Emit(asm.Op(0x81), 8, 7, asm.R(hostA), false)                            // CMP
	e.Imm(phys.PageSize-int64(size), 4)
	e.JumpIf(uint8(x86.CondA), slow)
	e.Emit(asm.Op(0x03), 8, hostA, asm.MX(hostContext, hostB, 0, atPage), false) // ADD
	e.flags.inHost = false
	return asm.M(hostA, 0)
}

// address computes the address of the present instruction's operand.
func (e *emitter) address(to asm.Reg, based bool) {
	m := e.in.Mem
	base, index, disp := asm.None, asm.None, m.Disp
	if m.RIP {
		disp += int64(e.in.next)
	}
	if m.Index != x86.NoReg {
		index = e.read(m.Index)
	}
	if m.Base != x86.NoReg {
		if base = hostOf[m.Base]; base == asm.None {
			e.load(hostA, operandOf(m.Base))
			base = hostA
		}
	}
	switch {
	case base == asm.None && index == asm.None:
		e.Constant(to, uint64(disp))
	default:
		e.Emit(asm.Op(0x8d), 8, to, asm.MX(base, index, m.Shift, int32(disp)), false) // LEA
	}
	if based && m.Seg != x86.NoSeg { // the flags are saved
		e.Emit(asm.Op(0x03), 8, to, asm.M(hostContext, atFile+8*int32(segment(m.Seg))), false)
	}
}
