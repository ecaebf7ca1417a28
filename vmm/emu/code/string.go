package code

import (
	"math/bits"

	"github.com/wherry/wherry/vmm/emu/asm"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

const (
	si = 6
	di = 7
)

// str has MOVS and STOS upwards, once, or repeated within a page on each side. None of it changes flags.
func (e *Emitter) str() bool {
	in := e.in
	if in.Mem.Seg != x86.NoSeg || in.Rep == 0xf2 {
		return false
	}
	slow := e.slowly()
	e.flags.inHost = false
	e.Emit(asm.Op(0xf7), 4, 0, asm.M(hostContext, e.at.Other), false) // TEST
	e.Imm(int64(x86.DF), 4)
	e.JumpIf(uint8(x86.CondNE), slow)
	if in.Rep == 0 {
		e.strOnce()
	} else {
		e.strRepeated(slow)
	}
	return true
}

func (e *Emitter) strOnce() {
	size, moves := e.in.Size, e.in.Op == x86.MOVS
	value := hostOf[ax]
	if moves {
		e.move(hostA, hostOf[si])
		e.Emit(byteOr(0x8b, size), size, hostB, e.find(size, false, 1), size == 1)
		e.store(e.stash(), hostB)
	}
	e.move(hostA, hostOf[di])
	to := e.find(size, true, 1)
	if moves {
		value = hostB
		e.load(hostB, e.stash())
		e.advance(hostOf[si], size)
	}
	e.Emit(byteOr(0x89, size), size, value, to, size == 1)
	e.advance(hostOf[di], size)
}

func (e *Emitter) advance(r asm.Reg, by uint8) {
	e.Emit(asm.Op(0x8d), 8, r, asm.M(r, int32(by)), false) // LEA
}

// strRepeated is the host's own instruction, whose registers are the guest's, but for how far the host has the bytes from where the guest has them.
func (e *Emitter) strRepeated(slow *asm.Label) {
	in := e.in
	from, to, moves := hostOf[si], hostOf[di], in.Op == x86.MOVS
	e.Emit(asm.Op(0x81), 8, 7, asm.R(hostOf[cx]), false) // CMP
	e.Imm(phys.PageSize/int64(in.Size), 4)
	e.JumpIf(uint8(x86.CondA), slow)
	if moves {
		e.distance(from, false, slow)
		e.store(e.stash(), hostA)
	}
	e.distance(to, true, slow)
	e.move(hostB, hostA)
	e.Emit(asm.Op(0x03), 8, to, asm.R(hostB), false) // ADD
	opcode := byte(0xaa)
	if moves {
		opcode = 0xa4
		e.Emit(asm.Op(0x03), 8, from, e.stash(), false)
	} else {
		e.move(hostA, hostOf[ax])
	}
	switch in.Size {
	case 1:
		e.Raw(0xf3, opcode)
	case 2:
		e.Raw(0x66, 0xf3, opcode+1)
	case 4:
		e.Raw(0xf3, opcode+1)
	default:
		e.Raw(0xf3, 0x48, opcode+1)
	}
	e.Emit(asm.Op(0x2b), 8, to, asm.R(hostB), false) // SUB
	if moves {
		e.Emit(asm.Op(0x2b), 8, from, e.stash(), false)
	}
}

// distance has in hostA how far from the address in r the host has it, where all that is repeated lies in its page.
func (e *Emitter) distance(r asm.Reg, write bool, slow *asm.Label) {
	e.move(hostA, r)
	e.Emit(asm.Op(0x81), 4, 4, asm.R(hostA), false) // AND
	e.Imm(phys.PageSize-1, 4)
	e.Emit(asm.Op(0x8d), 8, hostA, asm.MX(hostA, hostOf[cx], uint8(bits.TrailingZeros8(e.in.Size)), 0), false) // LEA
	e.Emit(asm.Op(0x81), 4, 7, asm.R(hostA), false)                                                            // CMP
	e.Imm(phys.PageSize, 4)
	e.JumpIf(uint8(x86.CondA), slow)
	e.move(hostA, r)
	e.translate(1, write, slow)
	e.Emit(asm.Op(0x2b), 8, hostA, asm.R(r), false) // SUB
}
