package code

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
	hostContext = asm.R15
	hostA       = asm.AX  // addresses and flags
	hostB       = asm.R14 // what has no register of its own, while an instruction uses it
)

// hostOf is where the general registers are. The last four are in memory.
var hostOf = [16]asm.Reg{
	asm.R12, asm.CX, asm.DX, asm.BX, asm.R13, asm.BP, asm.SI, asm.DI, asm.R8, asm.R9, asm.R10, asm.R11, asm.None, asm.None, asm.None, asm.None,
}

// mxcsrOfGo is what Go's own code has: all exceptions masked, to nearest.
const mxcsrOfGo = 0x1f80

const (
	readAt  = int32(unsafe.Offsetof(mmu.Entry{}.ReadBase))
	writeAt = int32(unsafe.Offsetof(mmu.Entry{}.WriteBase))
	hostAt  = int32(unsafe.Offsetof(mmu.Entry{}.Host))
)

// The general registers that instructions use without naming them.
const (
	ax = 0
	cx = 1
	dx = 2
	sp = 4
	bp = 5
)

// Block is what is translated: instructions that are entered at the first one.
type Block struct {
	VA     uint64
	Number int
	Insts  []Inst
	// NoWindow has each access to the stack looked up by itself.
	NoWindow bool
}

// Inst is an instruction of a block.
type Inst struct {
	x86.Inst
	Step int  // what Layout.Exit has for it
	Last bool // what Go does of it, it does to the end of the block
}

// emitted is what is found out about an instruction.
type emitted struct {
	Inst
	next     uint64 // RIP behind it
	after    asm.Label
	slow     asm.Label // where Go does it
	isSlow   bool      // slow is used, so Go sees the flags from before it
	inHost   bool      // after it, flags are in the host's
	ifNeeded bool      // Go does it only where its flags are needed
	reads    bool
	writes   bool // all flags
	needed   bool // its flags, or those from before it
}

// Emitter translates a block. It goes over it twice: the first time all flags are needed; then it is known which instructions observe them.
type Emitter struct {
	asm.Buffer
	at         Layout
	block      *Block
	end        uint64 // RIP behind the block
	here       uint64 // where its code lies
	there      uint64
	out        uint64 // the code that leaves
	insts      []emitted
	in         *emitted
	flags      flagsPlace
	entry      asm.Label
	body       asm.Label // behind the count
	short      asm.Label
	indirect   asm.Label
	isIndirect bool
	again      asm.Label
	isLoop     bool
	ways       [WaysMax]way
	used       int // of ways
	window     window
	stack      stackPointer
	checked    asm.Label // behind the window's check
	missed     asm.Label
	changed    bool // Layout.Changed is upperChanged here
}

// way is a jump out of a block to a known place. It goes to stub until it is linked.
type way struct {
	to     uint64
	stub   asm.Label
	stubAt int
	end    int // of the jump
}

// Way is the address of such a jump's end, and where it goes as long as nobody has changed it.
type Way struct{ End, Stub uint64 }

// WaysMax is how many ways lead out of a block.
const WaysMax = 2

var errFlags = errors.New("BUG: flags that were needed are lost")

// New makes an emitter of code that finds things by l.
func New(l Layout) *Emitter { return &Emitter{at: l} }

// The passes over a block: the first finds its window, the second whose flags are seen.
const (
	passWindow = iota
	passFlags
	passCode
	passes
)

// Translate writes the code of b for address here, and what is seldom on the way for address there. out is the address that Doors has returned.
func (e *Emitter) Translate(b *Block, here, there, out uint64) error {
	e.block, e.here, e.there, e.out = b, here, there, out
	e.prepare()
	e.window = window{none: b.NoWindow}
	for pass := range passes {
		e.Begin(here)
		e.entry, e.body, e.short, e.indirect = asm.Label{}, asm.Label{}, asm.Label{}, asm.Label{}
		e.again, e.isLoop, e.isIndirect, e.used = asm.Label{}, false, false, 0
		e.checked, e.missed, e.stack = asm.Label{}, asm.Label{}, stackPointer{known: true}
		e.flags, e.changed = flagsPlace{inMemory: true}, false
		e.head()
		e.instructions()
		if e.isLoop { // the code is what it was: who writes to it leaves
			e.Bind(&e.again)
			e.count()
			if e.stack.moved {
				e.Jump(&e.body)
			} else {
				e.Jump(&e.checked)
			}
		}
		e.Continue(there)
		e.tail()
		switch pass {
		case passWindow:
			e.window.decide()
			e.forget()
		case passFlags:
			e.analyse()
		}
	}
	if e.flags.lost {
		return errFlags
	}
	return e.Err()
}

// Ways are the jumps out of the block to known places, by their numbers.
func (e *Emitter) Ways() (ways [WaysMax]Way) {
	for i := range e.used {
		ways[i] = Way{e.here + uint64(e.ways[i].end), e.there + uint64(e.ways[i].stubAt)}
	}
	return ways
}

func (e *Emitter) prepare() {
	e.insts, e.end = e.insts[:0], e.block.VA
	for _, in := range e.block.Insts {
		e.end += uint64(in.Len)
		e.insts = append(e.insts, emitted{Inst: in, next: e.end, needed: true})
	}
}

// analyse finds whose flags are needed: by an instruction behind, by Go, or by the next block.
func (e *Emitter) analyse() {
	needed := true
	for i := len(e.insts) - 1; i >= 0; i-- {
		in := &e.insts[i]
		in.needed = needed
		observes := in.isSlow && !in.ifNeeded || in.ifNeeded && needed
		needed = observes || in.reads || needed && !in.writes
	}
	e.forget()
}

// forget has instructions as no pass has seen them, but for whose flags are needed.
func (e *Emitter) forget() {
	for i := range e.insts {
		in := &e.insts[i]
		in.after, in.slow, in.isSlow, in.ifNeeded = asm.Label{}, asm.Label{}, false, false
	}
}

// head takes the block's instructions from those that are left. That the code is what is in memory is who enters it to know.
func (e *Emitter) head() {
	e.Bind(&e.entry)
	e.count()
	e.Bind(&e.body)
	e.check()
	e.Bind(&e.checked)
}

func (e *Emitter) count() {
	e.Emit(asm.Op(0x83), 4, 5, asm.M(hostContext, e.at.Count), false) // SUB
	e.Imm(int64(len(e.insts)), 1)
	e.JumpIf(uint8(x86.CondS), &e.short)
}

func (e *Emitter) instructions() {
	for i := range e.insts {
		in := &e.insts[i]
		e.in = in
		in.reads, in.writes = false, false
		ends := branches(in.Op)
		if done := e.inst(); !done {
			e.leaveToGo()
			ends = in.Last
		}
		in.inHost = e.flags.inHost
		e.stack.after(in)
		e.Bind(&in.after)
		if ends {
			return
		}
	}
	e.goTo(e.end)
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
func (e *Emitter) slowly() *asm.Label {
	e.save()
	e.in.isSlow = true
	return &e.in.slow
}

// leaveToGo has Go do the present instruction always.
func (e *Emitter) leaveToGo() {
	e.Jump(e.slowly())
	e.flags.inHost, e.changed = false, false
}

// tail writes what isn't on the way: how to leave.
func (e *Emitter) tail() {
	for i := range e.insts {
		if e.insts[i].isSlow {
			e.slowStub(&e.insts[i])
		}
	}
	e.Bind(&e.short)
	e.leaveUncounted(ExitCount)
	e.Bind(&e.missed)
	if e.window.used {
		e.leaveUncounted(ExitWindow)
	}
	if e.isIndirect {
		e.Bind(&e.indirect)
		e.store(asm.M(hostContext, e.at.RIP), hostA)
		e.exit(ExitIndirect << ExitShift)
	}
	for i := range e.used {
		w := &e.ways[i]
		w.stubAt = e.Len()
		e.Bind(&w.stub)
		e.leave(ExitLink<<ExitShift|i, w.to)
	}
}

func (e *Emitter) slowStub(in *emitted) {
	e.Bind(&in.slow)
	if in.Last {
		e.exit(ExitLast<<ExitShift | in.Step)
		return
	}
	var back asm.Label
	e.Address(hostA, &back)
	e.store(asm.M(hostContext, e.at.Resume), hostA)
	e.exit(ExitStep<<ExitShift | in.Step)
	e.Bind(&back)
	if in.inHost {
		e.reload()
	}
	e.Jump(&in.after)
}

// leaveUncounted is leave before the block has begun.
func (e *Emitter) leaveUncounted(exit int) {
	e.Emit(asm.Op(0x83), 4, 0, asm.M(hostContext, e.at.Count), false) // ADD
	e.Imm(int64(len(e.insts)), 1)
	e.leave(exit<<ExitShift, e.block.VA)
}

// leave is exit with an address to go on at.
func (e *Emitter) leave(exit int, rip uint64) {
	e.Constant(hostA, rip)
	e.store(asm.M(hostContext, e.at.RIP), hostA)
	e.exit(exit)
}

func (e *Emitter) exit(exit int) {
	e.Emit(asm.Op(0xc7), 4, 0, asm.M(hostContext, e.at.Exit), false)
	e.Imm(int64(exit), 4)
	e.Emit(asm.Op(0xc7), 4, 0, asm.M(hostContext, e.at.Block), false)
	e.Imm(int64(e.block.Number), 4)
	e.JumpTo(e.out)
}

// always is no condition.
const always = 0xff

// goTo leaves the block for a known address. The flags have to be in memory there, as at every entry.
func (e *Emitter) goTo(to uint64) { e.goToIf(always, to) }

func (e *Emitter) goToIf(cc x86.Cond, to uint64) {
	e.save()
	jump := func(l *asm.Label) {
		if cc == always {
			e.Jump(l)
		} else {
			e.JumpIf(uint8(cc), l)
		}
	}
	if to == e.block.VA {
		e.isLoop = true
		e.stack.loops()
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
func (e *Emitter) goToRegister() {
	e.isIndirect = true
	e.move(hostB, hostA)
	e.Emit(asm.Op(0xc1), 8, 5, asm.R(hostB), false) // SHR
	e.Imm(jumpsBits, 1)
	e.Emit(asm.Op(0x33), 4, hostB, asm.R(hostA), false) // XOR
	e.Emit(asm.Op(0xc1), 4, 4, asm.R(hostB), false)     // SHL, by log2 of a jump's size
	e.Imm(jumpBits, 1)
	e.Emit(asm.Op(0x81), 4, 4, asm.R(hostB), false) // AND
	e.Imm((JumpsSize-1)<<jumpBits, 4)
	e.Emit(asm.Op(0x03), 8, hostB, asm.M(hostContext, e.at.Jumps), false)
	e.Emit(asm.Op(0x3b), 8, hostA, asm.M(hostB, 0), false)
	e.JumpIf(uint8(x86.CondNE), &e.indirect)
	e.Emit(asm.Op(0xff), 4, 4, asm.M(hostB, 8), false) // JMP
}

func (e *Emitter) store(to asm.Operand, r asm.Reg) { e.Emit(asm.Op(0x89), 8, r, to, false) }

func (e *Emitter) load(r asm.Reg, from asm.Operand) { e.Emit(asm.Op(0x8b), 8, r, from, false) }

func (e *Emitter) move(to, from asm.Reg) { e.load(to, asm.R(from)) }

// operandOf is the operand that general register r is.
func (e *Emitter) operand(r uint8) asm.Operand {
	if h := hostOf[r&15]; h != asm.None {
		return asm.R(h)
	}
	return asm.M(hostContext, e.at.File+8*int32(r&15))
}

// stash is where a number waits for another use of the TLB.
func (e *Emitter) stash() asm.Operand { return asm.M(hostContext, e.at.Stash) }

func homed(r uint8) bool { return hostOf[r&15] == asm.None }

// read returns a host's register with the value of r: hostB, if r has none.
func (e *Emitter) read(r uint8) asm.Reg {
	if !homed(r) {
		return hostOf[r]
	}
	e.load(hostB, e.operand(r))
	return hostB
}

// target is read for a register that is written: done is called after it was.
func (e *Emitter) target(r uint8) (h asm.Reg, done func()) {
	h = e.read(r)
	if !homed(r) {
		return h, func() {}
	}
	return h, func() { e.store(e.operand(r), hostB) }
}

// memory finds the present instruction's operand in the TLB, or has Go do the instruction. All of what follows is valid until the next use of
// hostA, and flags aren't in the host's any more.
func (e *Emitter) memory(size uint8, write bool) asm.Operand {
	if m := e.in.Mem; m.Base == sp && m.Index == x86.NoReg && m.Seg == x86.NoSeg {
		if found, ok := e.inWindow(m.Disp, size, write); ok {
			return found
		}
	}
	e.slowly()
	e.address(hostA, true)
	return e.find(size, write, 1)
}

// find is memory for the address in hostA, which has to be a multiple of align.
func (e *Emitter) find(size uint8, write bool, align uint8) asm.Operand {
	slow := e.slowly()
	if align > 1 {
		e.Raw(0xa8, align-1) // TEST AL, …
		e.JumpIf(uint8(x86.CondNE), slow)
	}
	e.translate(int64(size), write, slow)
	e.flags.inHost = false
	return asm.M(hostA, 0)
}

// translate has in hostA where the host has the size bytes at the address there, or jumps. It uses hostB, and the flags.
func (e *Emitter) translate(size int64, write bool, otherwise *asm.Label) {
	base := e.at.TLB + readAt
	if write {
		base = e.at.TLB + writeAt
	}
	e.move(hostB, hostA)
	e.Emit(asm.Op(0xc1), 8, 5, asm.R(hostB), false) // SHR
	e.Imm(phys.PageShift-mmu.EntryBits, 1)
	e.Emit(asm.Op(0x81), 4, 4, asm.R(hostB), false) // AND
	e.Imm((mmu.TLBSize-1)<<mmu.EntryBits, 4)
	e.Emit(asm.Op(0x2b), 8, hostA, asm.MX(hostContext, hostB, 0, base), false) // SUB
	e.Emit(asm.Op(0x81), 8, 7, asm.R(hostA), false)                            // CMP
	e.Imm(phys.PageSize-size, 4)
	e.JumpIf(uint8(x86.CondA), otherwise)
	e.Emit(asm.Op(0x03), 8, hostA, asm.MX(hostContext, hostB, 0, e.at.TLB+hostAt), false) // ADD
}

// address computes the address of the present instruction's operand.
func (e *Emitter) address(to asm.Reg, based bool) {
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
			e.load(hostA, e.operand(m.Base))
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
		e.Emit(asm.Op(0x03), 8, to, asm.M(hostContext, e.at.Segments[m.Seg]), false)
	}
}
