package code

import (
	"github.com/wherry/wherry/vmm/emu/asm"
	"github.com/wherry/wherry/vmm/x86"
)

// What Layout.Changed says of the upper halves of YMM registers. While translated code runs they are in the host's.
const (
	upperZero    = 0 // all are 0, here and in memory
	upperChanged = 1
	upperCleared = 2 // VZEROUPPER has cleared them, and memory may have others
)

// avx emits the instruction itself on the same registers, where the host has it. Left to Go is what isn't the same on all hosts, what has RAX in it, and what
// reads from several places.
func (e *Emitter) avx() bool {
	in := e.in
	if !translatesWide(&in.Inst.Inst) {
		return false
	}
	o := asm.Opcode{Bytes: vectorTables[in.Vec>>10] | uint32(in.Vec&0xff), Prefix: vectorPrefixes[in.Vec>>8&3]}
	if in.VecShape == x86.VecZero {
		e.EmitWide(o, false, in.Wide, 0, 0, asm.Operand{}, false)
		e.setChanged(upperCleared)
		return true
	}
	rm, x := asm.R(asm.Reg(in.RM)), asm.Reg(in.Reg)
	done := func() {}
	switch {
	case in.IsMem:
		rm = e.wideMemory()
	case in.VecShape == x86.VecVM:
		x = asm.Reg(in.Reg & 7)
	case in.VecShape == x86.VecXE || in.VecShape == x86.VecXVE:
		rm = e.operand(in.RM)
	case in.VecShape == x86.VecEX:
		var h asm.Reg
		h, done = e.target(in.RM)
		rm = asm.R(h)
	}
	if in.VecShape == x86.VecGM {
		x, done = e.target(in.Reg)
	}
	if in.Wide && !e.changed { // by Go, too, if it does this instruction
		e.setChanged(upperChanged)
		e.changed = true
	}
	e.EmitWide(o, in.From == 8, in.Wide, x, asm.Reg(in.V), rm, true)
	if vectorImmediates[in.Vec] || in.Vec >= x86.Vec3A {
		e.Imm(in.Imm, 1)
	}
	if in.VecShape == x86.VecTest || in.VecShape == x86.VecString {
		e.wrote(false)
	}
	done()
	return true
}

func (e *Emitter) setChanged(v int64) {
	e.Emit(asm.Op(0xc7), 4, 0, asm.M(hostContext, e.at.Changed), false)
	e.Imm(v, 4)
	e.changed = false
}

// wideMemory finds the operand. Moves alone want theirs aligned.
func (e *Emitter) wideMemory() asm.Operand {
	in := e.in
	write := in.VecShape == x86.VecMX || in.VecShape == x86.VecEX || in.VecShape == x86.VecMaskedStore
	if !alignedWide[in.Vec] {
		return e.memory(in.Size, write)
	}
	e.slowly()
	e.address(hostA, true)
	return e.find(in.Size, write, in.Size)
}

var alignedWide = vectorSet(
	0x28, 0x29, 0x2b, x86.Vec66|0x28, x86.Vec66|0x29, x86.Vec66|0x2b, x86.Vec66|0x6f, x86.Vec66|0x7f, x86.Vec66|0xe7, x86.Vec66|x86.Vec38|0x2a,
)

// translatesWide reports whether the host's instruction is the guest's.
func translatesWide(in *x86.Inst) bool {
	const two, three = x86.Vec66 | x86.Vec38, x86.Vec66 | x86.Vec3A
	if !hostHasAVX2 {
		return false
	}
	switch in.VecShape {
	case x86.VecGather, x86.VecMask:
		return false
	case x86.VecXXVM:
		return hostHasFMA
	}
	switch in.Vec {
	case 0x52, x86.VecF3 | 0x52, 0x53, x86.VecF3 | 0x53, three | 0x40, three | 0x41: // approximations, and which NaN it is
		return false
	case three | 0x60, three | 0x61: // lengths in RAX
		return false
	case two | 0x13, three | 0x1d:
		return hostHasF16C
	case two | 0xdb, two | 0xdc, two | 0xdd, two | 0xde, two | 0xdf, three | 0xdf:
		return hostHasAES
	case three | 0x44:
		return hostHasPCLMULQDQ
	}
	return true
}

// moveUpper writes code for the doors: the upper halves to the host's registers (VINSERTF128, 18) or to memory (VEXTRACTF128, 19).
func (e *Emitter) moveUpper(opcode byte) {
	for r := range asm.Reg(16) {
		second := asm.Reg(0)
		if opcode == 0x18 {
			second = r
		}
		e.EmitWide(asm.Opcode{Prefix: 0x66, Bytes: 0x0f3a00 | uint32(opcode)}, false, true, r, second, asm.M(hostContext, e.at.Upper+16*int32(r)), true)
		e.Imm(1, 1)
	}
}

// ifChanged does f if upper halves may not be 0.
func (e *Emitter) ifChanged(f func()) {
	if !hostHasAVX2 {
		return
	}
	var zero asm.Label
	e.Emit(asm.Op(0x83), 4, 7, asm.M(hostContext, e.at.Changed), false) // CMP
	e.Imm(upperZero, 1)
	e.JumpIf(uint8(x86.CondE), &zero)
	f()
	e.Bind(&zero)
}

// enterUpper has the guest's upper halves in the host's registers, after XMM registers.
func (e *Emitter) enterUpper() { e.ifChanged(func() { e.moveUpper(0x18) }) }

// leaveUpper has them in memory, and 0 in the host's registers, for which Go's code is quick.
func (e *Emitter) leaveUpper() {
	e.ifChanged(func() {
		e.moveUpper(0x19)
		e.clearUpper()
		e.Emit(asm.Op(0x83), 4, 4, asm.M(hostContext, e.at.Changed), false) // AND
		e.Imm(upperChanged, 1)
	})
}

// clearUpper is VZEROUPPER.
func (e *Emitter) clearUpper() {
	if hostHasAVX2 {
		e.Raw(0xc5, 0xf8, 0x77)
	}
}
