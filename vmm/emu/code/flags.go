package code

import (
	"github.com/wherry/wherry/vmm/emu/asm"
	"github.com/wherry/wherry/vmm/x86"
)

// flagsPlace is where the guest's arithmetic flags are while a block is translated.
//
// In the host's they are as an instruction left them. In memory (host.flags) they are as LAHF and SETO have them, and one bit more:
//
//	bits 15 to 8   SF ZF – AF – PF – CF
//	bit 1          AF is 0, whatever bit 12 says
//	bit 0          OF
type flagsPlace struct {
	inHost   bool
	inMemory bool
	lost     bool
	noAF     bool // the instruction leaves an AF that Intel calls undefined; here it is 0
}

const (
	NoAF      = 1 << 1
	hostOF    = 1 << 0
	hostShift = 8
	hostMask  = x86.SF | x86.ZF | x86.AF | x86.PF | x86.CF
)

// HostFlags is f as flagsPlace describes it.
func HostFlags(f x86.Flags) uint32 {
	return uint32(f&hostMask)<<hostShift | uint32(f&x86.OF)>>11
}

// GuestFlags is the other way.
func GuestFlags(h uint32) x86.Flags {
	f := x86.Flags(h>>hostShift) & hostMask
	if h&NoAF != 0 {
		f &^= x86.AF
	}
	return f | x86.Flags(h&hostOF)<<11
}

// wrote says that the host's instruction has left all flags as the guest's does.
func (e *Emitter) wrote(noAF bool) {
	e.in.writes = true
	e.flags.inHost, e.flags.inMemory, e.flags.noAF = true, false, noAF
}

// wroteSome says the same of an instruction that leaves some flags as they were; they were in the host's, or aren't needed.
func (e *Emitter) wroteSome() { e.flags.inHost, e.flags.inMemory = true, false }

// spoiled says that nobody needs the flags that there are.
func (e *Emitter) spoiled() { e.flags.inHost, e.flags.inMemory = false, false }

// save has the flags in memory. It leaves the host's.
func (e *Emitter) save() {
	switch {
	case e.flags.inMemory:
		return
	case !e.flags.inHost:
		e.flags.lost = true
		return
	}
	e.Raw(0x9f)                                      // LAHF
	e.Emit(asm.Op(0x0f90), 1, 0, asm.R(hostA), true) // SETO AL
	if e.flags.noAF {
		e.Emit(asm.Op(0x8d), 4, hostA, asm.M(hostA, NoAF), false) // LEA: an addition without flags
	}
	e.Emit(asm.Op(0x89), 2, hostA, asm.M(hostContext, e.at.Flags), false)
	e.flags.inMemory = true
}

// reload has all flags in the host's. It uses hostA.
func (e *Emitter) reload() {
	var defined asm.Label
	e.Emit(asm.Op(0x0fb7), 4, hostA, asm.M(hostContext, e.at.Flags), false) // MOVZX
	e.Raw(0xa8, NoAF)                                                       // TEST AL, …
	e.JumpIf(uint8(x86.CondE), &defined)
	e.Raw(0x80, 0xe4, ^byte(x86.AF)) // AND AH, …
	e.Bind(&defined)
	e.Raw(0x24, hostOF) // AND AL, …
	e.Raw(0x04, 0x7f)   // ADD AL, …: OF if AL is 1
	e.Raw(0x9e)         // SAHF
}

// all has all flags in the host's. It uses hostA.
func (e *Emitter) all() {
	if !e.flags.inHost {
		e.lookUp()
		e.reload()
		e.flags.inHost, e.flags.noAF = true, false
	}
}

// lookUp is where flags are taken from memory.
func (e *Emitter) lookUp() {
	if !e.flags.inMemory {
		e.flags.lost = true
	}
}

// carry has CF in the host's, and maybe no other flag: it uses no register.
func (e *Emitter) carry() {
	if !e.flags.inHost {
		e.lookUp()
		e.Emit(asm.Op(0x0fba), 4, 4, asm.M(hostContext, e.at.Flags), false) // BT
		e.Imm(hostShift, 1)
	}
}

// condition has what cc is about in the host's. It uses hostA.
func (e *Emitter) condition(cc x86.Cond) {
	e.in.reads = true
	if cc == x86.CondB || cc == x86.CondAE {
		e.carry()
		return
	}
	e.all()
}

// patch makes bit of the flags in memory what AL is, 0 or 1; the others are there.
func (e *Emitter) patch(bit x86.Flags, shift uint8) {
	high := asm.M(hostContext, e.at.Flags+1)
	e.Emit(asm.Op(0x80), 1, 4, high, false) // AND
	e.Imm(int64(^bit&0xff), 1)
	if shift > 0 {
		e.Raw(0xc0, 0xe0, shift) // SHL AL, …
	}
	e.Emit(asm.Op(0x08), 1, hostA, high, true) // OR
	e.flags.inHost = false
}

// product leaves the flags of a product in memory: CF and OF are as the host's, the others of the low half, which is in low.
func (e *Emitter) product(low asm.Reg, size uint8) { e.lowHalf(low, size, x86.CondO, true) }

// lowHalf leaves in memory the flags of what is in low, with CF as cc says, and OF the same or 0.
func (e *Emitter) lowHalf(low asm.Reg, size uint8, cc x86.Cond, overflow bool) {
	e.in.writes = true
	if !e.in.needed {
		e.spoiled()
		return
	}
	e.Emit(asm.Op(0x0f90|uint32(cc)), 1, 0, asm.R(hostA), true)  // SETcc AL
	e.Emit(byteOr(0x85, size), size, low, asm.R(low), size == 1) // TEST
	e.Raw(0x9f)                                                  // LAHF
	e.Raw(0x80, 0xe4, byte(x86.SF|x86.ZF|x86.PF))                // AND AH, …
	e.Raw(0x08, 0xc4)                                            // OR AH, AL
	if !overflow {
		e.Raw(0xb0, 0) // MOV AL, 0
	}
	e.Emit(asm.Op(0x89), 2, hostA, asm.M(hostContext, e.at.Flags), false)
	e.flags.inHost, e.flags.inMemory = false, true
}

// byteOr is the opcode for operands of size bytes: that for one byte is one less.
func byteOr(opcode uint32, size uint8) asm.Opcode {
	if size == 1 {
		opcode--
	}
	return asm.Op(opcode)
}
