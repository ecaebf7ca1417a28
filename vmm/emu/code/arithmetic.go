package code

import (
	"github.com/wherry/wherry/vmm/emu/asm"
	"github.com/wherry/wherry/vmm/x86"
)

// inst emits the present instruction. It returns false where Go has to do it: then it has written nothing.
func (e *Emitter) inst() bool {
	in := e.in
	if in.Reg >= x86.HighByte || !in.IsMem && in.RM >= x86.HighByte || in.Mem.Addr32 && (in.IsMem || !branches(in.Op)) {
		return false
	}
	switch in.Op {
	case x86.ADD, x86.OR, x86.ADC, x86.SBB, x86.AND, x86.SUB, x86.XOR, x86.CMP:
		return e.arithmetic()
	case x86.TEST:
		return e.test()
	case x86.INC, x86.DEC, x86.NOT, x86.NEG:
		return e.one()
	case x86.ROL, x86.ROR, x86.SHL, x86.SHR, x86.SAR:
		return e.shift()
	case x86.SHLD, x86.SHRD:
		return e.shiftDouble()
	case x86.IMUL:
		return e.multiply()
	case x86.MUL, x86.IMUL1:
		return e.multiplyWide()
	case x86.DIV, x86.IDIV:
		return e.divide()
	case x86.BT, x86.BTS, x86.BTR, x86.BTC:
		return e.bitTest()
	case x86.BSF, x86.BSR:
		return e.scan()
	case x86.TZCNT, x86.LZCNT:
		return e.countZeros()
	case x86.ADCX, x86.ADOX:
		return e.addAlone()
	case x86.MOVBE:
		return e.moveSwapped()
	case x86.ANDN, x86.BLSR, x86.BLSMSK, x86.BLSI, x86.BZHI, x86.BEXTR, x86.PEXT, x86.PDEP, x86.MULX, x86.SHLX, x86.SHRX, x86.SARX, x86.RORX:
		return e.bitField()
	case x86.BSWAP:
		return e.byteSwap()
	case x86.POPCNT:
		return e.population()
	case x86.SETCC, x86.CMOVCC:
		return e.conditional()
	case x86.XADD, x86.CMPXCHG:
		return e.exchangeAndMore()
	case x86.SSE:
		return e.vector()
	case x86.AVX:
		return e.avx()
	case x86.MOVS, x86.STOS:
		return e.str()
	case x86.NOP:
		return true
	}
	return e.moveInst() || e.branch()
}

// arithmetic has the eight that are opcodes 0 to 3f, in the order of their numbers.
func (e *Emitter) arithmetic() bool {
	in, size := e.in, e.in.Size
	op := uint32(in.Op) << 3
	compare, withCarry := in.Op == x86.CMP, in.Op == x86.ADC || in.Op == x86.SBB
	noAF := in.Op == x86.AND || in.Op == x86.OR || in.Op == x86.XOR
	done := func() {}
	before := func() {
		if withCarry {
			in.reads = true
			e.carry()
		}
	}
	switch {
	case in.Form == x86.FormRM || in.Form == x86.FormMR && !in.IsMem:
		to, from := in.Reg, in.RM
		if in.Form == x86.FormMR {
			to, from = from, to
		}
		var source asm.Operand
		if in.IsMem {
			source = e.memory(size, false)
		} else {
			source = e.operand(from)
		}
		var d asm.Reg
		d, done = e.target(to)
		before()
		e.Emit(byteOr(op|3, size), size, d, source, size == 1)
	case in.Form == x86.FormMR:
		target := e.memory(size, !compare)
		s := e.read(in.Reg)
		before()
		e.Emit(byteOr(op|1, size), size, s, target, size == 1)
	default: // FormMI, FormRI
		var target asm.Operand
		target, done = e.immediateTarget(!compare)
		before()
		e.immediate(0x81, uint8(in.Op), target)
	}
	e.wrote(noAF)
	if !compare {
		done()
	}
	return true
}

// immediateTarget is the operand of an instruction with an immediate or alone.
func (e *Emitter) immediateTarget(write bool) (target asm.Operand, done func()) {
	in := e.in
	if in.IsMem {
		return e.memory(in.Size, write), func() {}
	}
	r := in.RM
	if in.Form == x86.FormRI || in.Form == x86.FormR {
		r = in.Reg
	}
	h, done := e.target(r)
	return asm.R(h), done
}

// immediate emits opcode with a group's number and the immediate; with 0x81, that of a signed byte where it fits.
func (e *Emitter) immediate(opcode uint32, group uint8, target asm.Operand) {
	size, imm := e.in.Size, e.in.Imm
	if opcode == 0x81 && size > 1 && imm == int64(int8(imm)) {
		e.Emit(asm.Op(0x83), size, asm.Reg(group), target, false)
		e.Imm(imm, 1)
		return
	}
	e.Emit(byteOr(opcode, size), size, asm.Reg(group), target, size == 1)
	e.Imm(imm, min(size, 4))
}

func (e *Emitter) test() bool {
	in, size := e.in, e.in.Size
	if in.Form != x86.FormMR {
		target, _ := e.immediateTarget(false)
		e.immediate(0xf7, 0, target)
		e.wrote(true)
		return true
	}
	operand := e.operand(in.RM)
	if in.IsMem {
		operand = e.memory(size, false)
	}
	r := e.read(in.Reg)
	e.Emit(byteOr(0x85, size), size, r, operand, size == 1)
	e.wrote(true)
	return true
}

// one has those with one operand.
func (e *Emitter) one() bool {
	in, size := e.in, e.in.Size
	target, done := e.immediateTarget(true)
	switch in.Op {
	case x86.NOT:
		e.Emit(byteOr(0xf7, size), size, 2, target, size == 1)
	case x86.NEG:
		e.Emit(byteOr(0xf7, size), size, 3, target, size == 1)
		e.wrote(false)
	default:
		if in.needed {
			e.carry()
		}
		e.Emit(byteOr(0xff, size), size, asm.Reg(in.Op-x86.INC), target, size == 1)
		e.wroteSome()
		e.flags.noAF = false
	}
	done()
	return true
}

func (e *Emitter) multiply() bool {
	in, size := e.in, e.in.Size
	source := e.operand(in.RM)
	if in.IsMem {
		source = e.memory(size, false)
	}
	d, done := hostOf[in.Reg], func() {}
	if in.Form == x86.FormRMI {
		if homed(in.Reg) {
			d, done = hostB, func() { e.store(e.operand(in.Reg), hostB) }
			if size == 2 { // the rest of the register stays
				e.load(hostB, e.operand(in.Reg))
			}
		}
		if short := in.Imm == int64(int8(in.Imm)); short {
			e.Emit(asm.Op(0x6b), size, d, source, false)
			e.Imm(in.Imm, 1)
		} else {
			e.Emit(asm.Op(0x69), size, d, source, false)
			e.Imm(in.Imm, min(size, 4))
		}
	} else {
		d, done = e.target(in.Reg)
		e.Emit(asm.Op(0x0faf), size, d, source, false)
	}
	done()
	e.product(d, size)
	return true
}

// factor has the operand of a multiplication or division in hostB.
func (e *Emitter) factor() {
	in, size := e.in, e.in.Size
	source := e.operand(in.RM)
	if in.IsMem {
		source = e.memory(size, false)
	}
	e.Emit(byteOr(0x8b, size), size, hostB, source, size == 1)
}

// multiplyWide has RDX:RAX and the like; of bytes it is AX. RDX is in the host's.
func (e *Emitter) multiplyWide() bool {
	size := e.in.Size
	e.factor()
	e.move(hostA, hostOf[ax])
	e.Emit(byteOr(0xf7, size), size, asm.Reg(4+e.in.Op-x86.MUL), asm.R(hostB), size == 1)
	e.Emit(asm.Op(0x8b), max(size, 2), hostOf[ax], asm.R(hostA), false)
	e.product(hostOf[ax], size)
	return true
}

// divide leaves to Go what the host's processor would refuse: it is the guest's fault. The flags stay, whatever the host does to its own.
func (e *Emitter) divide() bool {
	size := e.in.Size
	if size < 4 {
		return false
	}
	slow := e.slowly()
	e.factor()
	ax, dx := hostOf[ax], hostOf[dx]
	if e.in.Op == x86.DIV {
		e.Emit(asm.Op(0x3b), size, dx, asm.R(hostB), false) // CMP: the quotient fits if the upper half is below the divisor
		e.JumpIf(uint8(x86.CondAE), slow)
		e.Emit(asm.Op(0x8b), size, hostA, asm.R(ax), false)
		e.Emit(asm.Op(0xf7), size, 6, asm.R(hostB), false)
	} else {
		e.Emit(asm.Op(0x8d), size, hostA, asm.M(hostB, 1), false) // not by 0 nor -1
		e.Emit(asm.Op(0x83), size, 7, asm.R(hostA), false)
		e.Imm(1, 1)
		e.JumpIf(uint8(x86.CondBE), slow)
		e.Emit(asm.Op(0x8b), size, hostA, asm.R(ax), false)
		e.Emit(asm.Op(0xc1), size, 7, asm.R(hostA), false) // and the upper half is the sign: then the quotient fits
		e.Imm(int64(size)*8-1, 1)
		e.Emit(asm.Op(0x3b), size, dx, asm.R(hostA), false)
		e.JumpIf(uint8(x86.CondNE), slow)
		e.Emit(asm.Op(0x8b), size, hostA, asm.R(ax), false)
		e.Emit(asm.Op(0xf7), size, 7, asm.R(hostB), false)
	}
	e.Emit(asm.Op(0x8b), size, ax, asm.R(hostA), false)
	e.flags.inHost = false
	return true
}

// exchangeAndMore has XADD and CMPXCHG on memory: with registers nobody uses them. LOCK isn't needed, for one processor of a machine runs at
// a time, and a locked access across cache lines would disturb the host.
func (e *Emitter) exchangeAndMore() bool {
	in, size := e.in, e.in.Size
	if !in.IsMem || homed(in.Reg) {
		return false
	}
	target := e.memory(size, true)
	s := hostOf[in.Reg]
	if in.Op == x86.XADD {
		e.Emit(byteOr(0x0fc1, size), size, s, target, size == 1)
		e.wrote(false)
		return true
	}
	var equal asm.Label
	ax := hostOf[ax]
	e.Emit(asm.Op(0x8d), 8, hostB, target, false) // LEA
	e.move(hostA, ax)
	e.Emit(byteOr(0x0fb1, size), size, s, asm.M(hostB, 0), size == 1)
	e.JumpIf(uint8(x86.CondE), &equal)
	e.Emit(byteOr(0x8b, size), size, ax, asm.R(hostA), size == 1)
	e.Bind(&equal)
	e.wrote(false)
	return true
}
