package code

import (
	"github.com/wherry/wherry/vmm/emu/asm"
	"github.com/wherry/wherry/vmm/x86"
)

// moveInst has what copies. None of it changes flags.
func (e *Emitter) moveInst() bool {
	switch in := e.in; in.Op {
	case x86.MOV:
		return e.mov()
	case x86.MOVZX, x86.MOVSX:
		return e.extend()
	case x86.LEA:
		return e.lea()
	case x86.XCHG:
		return e.exchange()
	case x86.PUSH:
		return e.push()
	case x86.POP:
		return e.pop()
	case x86.LEAVE:
		return e.leaveFrame()
	case x86.CBW:
		from, size := in.Size/2, in.Size
		ax := hostOf[ax]
		e.Emit(signOpcode(from), size, ax, asm.R(ax), from == 1)
		return true
	case x86.CWD:
		e.move(hostA, hostOf[ax])
		switch in.Size {
		case 8:
			e.Raw(0x48)
		case 2:
			e.Raw(0x66)
		}
		e.Raw(0x99)
		return true
	}
	return false
}

// signOpcode is MOVSX from size bytes.
func signOpcode(from uint8) asm.Opcode {
	switch from {
	case 1:
		return asm.Op(0x0fbe)
	case 2:
		return asm.Op(0x0fbf)
	}
	return asm.Op(0x63)
}

func (e *Emitter) mov() bool {
	in, size := e.in, e.in.Size
	switch in.Form {
	case x86.FormRI, x86.FormMI:
		if in.Form == x86.FormMI && in.IsMem {
			e.immediate(0xc7, 0, e.memory(size, true))
			return true
		}
		r := in.Reg
		if in.Form == x86.FormMI {
			r = in.RM
		}
		e.constant(r)
	case x86.FormRM:
		if in.IsMem {
			e.copy(in.Reg, e.memory(size, false))
		} else {
			e.copy(in.Reg, e.operand(in.RM))
		}
	case x86.FormMR:
		if !in.IsMem {
			e.copy(in.RM, e.operand(in.Reg))
			return true
		}
		target := e.memory(size, true)
		e.Emit(byteOr(0x89, size), size, e.read(in.Reg), target, size == 1)
	default:
		return false
	}
	return true
}

// constant makes register r the immediate.
func (e *Emitter) constant(r uint8) {
	size, imm := e.in.Size, e.in.Imm
	if size < 4 {
		e.immediate(0xc7, 0, e.operand(r))
		return
	}
	if size == 4 {
		imm = int64(uint32(imm))
	}
	if !homed(r) {
		e.Constant(hostOf[r], uint64(imm))
		return
	}
	e.Constant(hostB, uint64(imm))
	e.store(e.operand(r), hostB)
}

// copy makes register r what from has.
func (e *Emitter) copy(r uint8, from asm.Operand) {
	size := e.in.Size
	switch {
	case !homed(r):
		e.Emit(byteOr(0x8b, size), size, hostOf[r], from, size == 1)
	case size < 4:
		e.Emit(byteOr(0x8b, size), size, hostB, from, size == 1)
		e.Emit(byteOr(0x89, size), size, hostB, e.operand(r), size == 1)
	default:
		e.Emit(asm.Op(0x8b), size, hostB, from, false)
		e.store(e.operand(r), hostB)
	}
}

func (e *Emitter) extend() bool {
	in, size, from := e.in, e.in.Size, e.in.From
	if size <= from {
		return false
	}
	opcode := signOpcode(from)
	if in.Op == x86.MOVZX {
		opcode = asm.Op(0x0fb5 + uint32(from))
	}
	source := e.operand(in.RM)
	if in.IsMem {
		source = e.memory(from, false)
	}
	d, done := e.target(in.Reg)
	e.Emit(opcode, size, d, source, from == 1)
	done()
	return true
}

func (e *Emitter) lea() bool {
	in := e.in
	if in.Size < 4 {
		return false
	}
	d := hostOf[in.Reg]
	if homed(in.Reg) {
		d = hostA
	}
	e.address(d, false)
	if in.Size == 4 {
		e.Emit(asm.Op(0x8b), 4, d, asm.R(d), false) // clears the upper half
	}
	if homed(in.Reg) {
		e.store(e.operand(in.Reg), d)
	}
	return true
}

// exchange has no LOCK with memory: XCHG would have it, so it is two moves.
func (e *Emitter) exchange() bool {
	in, size := e.in, e.in.Size
	if in.IsMem {
		if homed(in.Reg) {
			return false
		}
		target := e.memory(size, true)
		s := hostOf[in.Reg]
		e.Emit(byteOr(0x8b, size), size, hostB, target, size == 1)
		e.Emit(byteOr(0x89, size), size, s, target, size == 1)
		e.Emit(byteOr(0x8b, size), size, s, asm.R(hostB), size == 1)
		return true
	}
	a, b := e.operand(in.RM), e.operand(in.Reg)
	e.load(hostA, a)
	e.load(hostB, b)
	if size >= 4 {
		e.Emit(asm.Op(0x8b), size, hostA, asm.R(hostA), false)
		e.Emit(asm.Op(0x8b), size, hostB, asm.R(hostB), false)
		e.store(a, hostB)
		e.store(b, hostA)
		return true
	}
	e.Emit(byteOr(0x89, size), size, hostB, a, size == 1)
	e.Emit(byteOr(0x89, size), size, hostA, b, size == 1)
	return true
}

// stackAt finds the 8 bytes at RSP+disp.
func (e *Emitter) stackAt(disp int32, write bool) asm.Operand {
	if found, ok := e.inWindow(int64(disp), 8, write); ok {
		return found
	}
	e.slowly()
	e.Emit(asm.Op(0x8d), 8, hostA, asm.M(hostOf[sp], disp), false)
	return e.find(8, write, 1)
}

// moveSP adds to RSP, without flags.
func (e *Emitter) moveSP(by int32) {
	sp := hostOf[sp]
	e.Emit(asm.Op(0x8d), 8, sp, asm.M(sp, by), false)
}

func (e *Emitter) push() bool {
	in := e.in
	if in.Size != 8 {
		return false
	}
	switch {
	case in.Form == x86.FormI:
		target := e.stackAt(-8, true)
		e.Emit(asm.Op(0xc7), 8, 0, target, false)
		e.Imm(in.Imm, 4)
	case in.IsMem:
		e.load(hostB, e.memory(8, false))
		e.store(e.stash(), hostB)
		target := e.stackAt(-8, true)
		e.load(hostB, e.stash())
		e.store(target, hostB)
	default:
		r := in.Reg
		if in.Form == x86.FormM {
			r = in.RM
		}
		target := e.stackAt(-8, true)
		e.store(target, e.read(r))
	}
	e.moveSP(-8)
	return true
}

func (e *Emitter) pop() bool {
	in := e.in
	if in.Size != 8 || in.IsMem {
		return false
	}
	r := in.Reg
	if in.Form == x86.FormM {
		r = in.RM
	}
	e.load(hostB, e.stackAt(0, false))
	e.moveSP(8)
	e.store(e.operand(r), hostB) // after RSP, which may be r
	return true
}

func (e *Emitter) leaveFrame() bool {
	if e.in.Size != 8 {
		return false
	}
	bp := hostOf[bp]
	e.slowly()
	e.move(hostA, bp)
	e.load(hostB, e.find(8, false, 1))
	e.Emit(asm.Op(0x8d), 8, hostOf[sp], asm.M(bp, 8), false)
	e.move(bp, hostB)
	return true
}

// branch has what ends a block.
func (e *Emitter) branch() bool {
	in := e.in
	to := in.next + uint64(in.Imm)
	switch in.Op {
	case x86.JCC:
		e.save()
		e.condition(in.Cond)
		e.goToIf(in.Cond, to)
		e.goTo(in.next)
	case x86.JMP:
		if in.Form == x86.FormI {
			e.goTo(to)
			break
		}
		e.loadTarget()
		e.goToRegister()
	case x86.CALL:
		direct := in.Form == x86.FormI
		if !direct {
			e.loadTarget()
			e.store(e.stash(), hostA)
		}
		target := e.stackAt(-8, true)
		e.Constant(hostB, in.next)
		e.store(target, hostB)
		e.moveSP(-8)
		e.stack.delta -= 8
		if direct {
			e.goTo(to)
			break
		}
		e.load(hostA, e.stash())
		e.goToRegister()
	case x86.RET:
		e.save()
		e.load(hostA, e.stackAt(0, false))
		e.moveSP(8 + int32(in.Imm))
		e.goToRegister()
	default:
		return false
	}
	return true
}

// loadTarget has in hostA where a jump through a register or memory goes.
func (e *Emitter) loadTarget() {
	e.save()
	if e.in.IsMem {
		e.load(hostA, e.memory(8, false))
		return
	}
	e.load(hostA, e.operand(e.in.RM))
}
