package code

import (
	"github.com/wherry/wherry/vmm/emu/asm"
	"github.com/wherry/wherry/vmm/x86"
)

// shift has shifts and rotations. By more than one they are done in two, where flags are needed: OF is defined after the last one alone.
func (e *Emitter) shift() bool {
	in, size := e.in, e.in.Size
	group := asm.Reg(in.Op - x86.ROL)
	rotates := in.Op == x86.ROL || in.Op == x86.ROR
	if in.Form == x86.FormMR {
		return e.shiftByCL(group)
	}
	n := in.Imm & 31
	if size == 8 {
		n = in.Imm & 63
	}
	if n == 0 || n >= int64(size)*8 || rotates && in.IsMem && in.needed {
		return false
	}
	target, done := e.immediateTarget(true)
	if rotates && in.needed {
		e.all()
	}
	if in.needed && n > 1 {
		e.Emit(byteOr(0xc1, size), size, group, target, size == 1)
		e.Imm(n-1, 1)
		n = 1
	}
	e.Emit(byteOr(0xc1, size), size, group, target, size == 1)
	e.Imm(n, 1)
	if rotates {
		e.wroteSome()
	} else {
		e.wrote(true)
	}
	done()
	return true
}

// shiftByCL shifts by 0 without flags, and else in two: the last one by one alone, for OF is defined after that.
func (e *Emitter) shiftByCL(group asm.Reg) bool {
	in, size := e.in, e.in.Size
	if !in.needed {
		target, done := e.immediateTarget(true)
		e.Emit(byteOr(0xd3, size), size, group, target, size == 1)
		e.spoiled()
		done()
		return true
	}
	if in.IsMem || size < 4 || in.RM == cx || in.Op < x86.SHL {
		in.ifNeeded = !in.IsMem
		return false
	}
	var none asm.Label
	h, done := e.target(in.RM)
	cx := hostOf[cx]
	e.save()
	e.Emit(asm.Op(0x8b), size, h, asm.R(h), false) // clears the upper half of 4 bytes, also where nothing is shifted
	e.Emit(asm.Op(0xf6), 1, 0, asm.R(cx), true)    // TEST CL, …
	e.Imm(int64(size)*8-1, 1)
	e.JumpIf(uint8(x86.CondE), &none)
	e.Emit(asm.Op(0x8d), 8, cx, asm.M(cx, -1), false) // LEA
	e.Emit(asm.Op(0xd3), size, group, asm.R(h), false)
	e.Emit(asm.Op(0x8d), 8, cx, asm.M(cx, 1), false)
	e.Emit(asm.Op(0xd1), size, group, asm.R(h), false)
	e.flags = flagsPlace{inHost: true, noAF: true}
	e.save()
	e.Bind(&none)
	e.flags.inHost = false
	done()
	return true
}

func (e *Emitter) shiftDouble() bool {
	in := e.in
	n := in.Imm & 31
	if in.Size == 8 {
		n = in.Imm & 63
	}
	if in.Form != x86.FormMRI || in.Size < 4 || in.IsMem || homed(in.RM) && homed(in.Reg) || n == 0 {
		return false
	}
	in.ifNeeded = true
	if in.needed {
		return false
	}
	opcode := uint32(0x0fa4)
	if in.Op == x86.SHRD {
		opcode = 0x0fac
	}
	target, done := e.target(in.RM)
	e.Emit(asm.Op(opcode), in.Size, e.read(in.Reg), asm.R(target), false)
	e.Imm(n, 1)
	e.in.writes = true
	e.spoiled()
	done()
	return true
}

// bitTest changes CF alone, while the host may change the others, too.
func (e *Emitter) bitTest() bool {
	in, size := e.in, e.in.Size
	number := in.Op - x86.BT
	if size < 4 || in.Form == x86.FormMR && (in.IsMem || homed(in.RM) && homed(in.Reg)) {
		return false
	}
	if in.needed {
		e.save()
	}
	var target asm.Operand
	done := func() {}
	if in.IsMem {
		target = e.memory(size, in.Op != x86.BT)
	} else {
		var h asm.Reg
		h, done = e.target(in.RM)
		target = asm.R(h)
	}
	if in.Form == x86.FormMI {
		e.Emit(asm.Op(0x0fba), size, asm.Reg(4+number), target, false)
		e.Imm(in.Imm, 1)
	} else {
		e.Emit(asm.Op(0x0fa3|uint32(number)<<3), size, e.read(in.Reg), target, false)
	}
	if in.Op != x86.BT {
		done()
	}
	if !in.needed {
		e.spoiled()
		return true
	}
	e.Emit(asm.Op(0x0f92), 1, 0, asm.R(hostA), true) // SETB AL
	e.patch(x86.CF, 0)
	return true
}

// scan changes ZF alone, and of 0 nothing else.
func (e *Emitter) scan() bool {
	in, size := e.in, e.in.Size
	if size < 4 {
		return false
	}
	if in.needed {
		e.save()
	}
	var none asm.Label
	e.factor()
	e.Emit(asm.Op(0x85), size, hostB, asm.R(hostB), false) // TEST
	e.Emit(asm.Op(0x0f94), 1, 0, asm.R(hostA), true)       // SETE AL
	e.JumpIf(uint8(x86.CondE), &none)
	e.Emit(asm.Op(0x0fbc+uint32(in.Op-x86.BSF)), size, hostB, asm.R(hostB), false)
	e.store(e.operand(in.Reg), hostB)
	e.Bind(&none)
	if !in.needed {
		e.spoiled()
		return true
	}
	e.patch(x86.ZF, 6)
	return true
}

func (e *Emitter) byteSwap() bool {
	in := e.in
	if in.Size < 4 {
		return false
	}
	h, done := e.target(in.Reg)
	e.swap(h, in.Size)
	done()
	return true
}

func (e *Emitter) population() bool {
	in := e.in
	if !hostHasPOPCNT {
		return false
	}
	source := e.operand(in.RM)
	if in.IsMem {
		source = e.memory(in.Size, false)
	}
	d, done := e.target(in.Reg)
	e.Emit(asm.Opcode{Prefix: 0xf3, Bytes: 0x0fb8}, in.Size, d, source, false)
	e.wrote(false)
	done()
	return true
}

// conditional has SETcc and CMOVcc. The flags are in memory while an operand of theirs is looked for.
func (e *Emitter) conditional() bool {
	in, size := e.in, e.in.Size
	cc := uint32(in.Cond)
	switch {
	case in.Op == x86.SETCC && in.IsMem:
		e.condition(in.Cond)
		e.Emit(asm.Op(0x0f90|cc), 1, 0, e.stash(), false)
		target := e.memory(1, true)
		e.load(hostB, e.stash())
		e.Emit(asm.Op(0x88), 1, hostB, target, true)
	case in.Op == x86.SETCC:
		e.condition(in.Cond)
		e.Emit(asm.Op(0x0f90|cc), 1, 0, e.operand(in.RM), true)
	case in.IsMem && homed(in.Reg):
		return false
	case in.IsMem:
		source := e.memory(size, false)
		e.Emit(asm.Op(0x8b), size, hostB, source, false)
		e.condition(in.Cond)
		e.Emit(asm.Op(0x0f40|cc), size, hostOf[in.Reg], asm.R(hostB), false)
	default:
		e.condition(in.Cond)
		d, done := e.target(in.Reg)
		e.Emit(asm.Op(0x0f40|cc), size, d, e.operand(in.RM), false)
		done()
	}
	return true
}
