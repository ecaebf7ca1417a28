package code

import (
	"github.com/wherry/wherry/vmm/emu/asm"
	"github.com/wherry/wherry/vmm/x86"
)

// bitFields are BMI1's and BMI2's instructions with three operands; of BLSR and what follows it the second one is what ModRM.reg has.
var bitFields = map[x86.Op]asm.Opcode{
	x86.ANDN: {Bytes: 0x0f38f2}, x86.BLSR: {Bytes: 0x0f38f3}, x86.BLSMSK: {Bytes: 0x0f38f3}, x86.BLSI: {Bytes: 0x0f38f3},
	x86.BZHI: {Bytes: 0x0f38f5}, x86.PEXT: {Prefix: 0xf3, Bytes: 0x0f38f5}, x86.PDEP: {Prefix: 0xf2, Bytes: 0x0f38f5}, x86.MULX: {Prefix: 0xf2, Bytes: 0x0f38f6},
	x86.BEXTR: {Bytes: 0x0f38f7}, x86.SHLX: {Prefix: 0x66, Bytes: 0x0f38f7}, x86.SARX: {Prefix: 0xf3, Bytes: 0x0f38f7}, x86.SHRX: {Prefix: 0xf2, Bytes: 0x0f38f7},
	x86.RORX: {Prefix: 0xf2, Bytes: 0x0f3af0},
}

// bitField has the operand and the result in hostB.
func (e *Emitter) bitField() bool {
	in, size := e.in, e.in.Size
	if !hostHasBMI {
		return false
	}
	o := bitFields[in.Op]
	e.factor()
	v := hostA
	if h := hostOf[in.V]; h != asm.None {
		v = h
	} else {
		e.load(hostA, e.operand(in.V))
	}
	switch in.Op {
	case x86.MULX:
		e.EmitVEX(o, size, hostA, hostB, hostB)
		e.store(e.operand(in.V), hostB)
		e.store(e.operand(in.Reg), hostA)
		return true
	case x86.BLSR, x86.BLSMSK, x86.BLSI:
		e.EmitVEX(o, size, asm.Reg(in.Op-x86.BLSR+1), hostB, hostB)
		e.lowHalf(hostB, size, x86.CondB, false)
	case x86.BZHI:
		e.EmitVEX(o, size, hostB, v, hostB)
		e.lowHalf(hostB, size, x86.CondB, false)
	case x86.ANDN, x86.BEXTR:
		e.EmitVEX(o, size, hostB, v, hostB)
		e.Emit(asm.Op(0x85), size, hostB, asm.R(hostB), false) // TEST, after which no flag is undefined but AF
		e.wrote(true)
	case x86.RORX:
		e.EmitVEX(o, size, hostB, 0, hostB)
		e.Imm(in.Imm, 1)
	default:
		e.EmitVEX(o, size, hostB, v, hostB)
	}
	e.store(e.operand(in.Reg), hostB)
	return true
}

// countZeros has TZCNT and LZCNT, which change CF and ZF alone, by BSF and BSR: these are in every host.
func (e *Emitter) countZeros() bool {
	in, size := e.in, e.in.Size
	if size < 4 {
		return false
	}
	if in.needed {
		e.save()
	}
	var none, done asm.Label
	e.factor()
	e.Emit(asm.Op(0x85), size, hostB, asm.R(hostB), false) // TEST
	e.Emit(asm.Op(0x0f94), 1, 0, asm.R(hostA), true)       // SETE AL
	e.JumpIf(uint8(x86.CondE), &none)
	if in.Op == x86.TZCNT {
		e.Emit(asm.Op(0x0fbc), size, hostB, asm.R(hostB), false) // BSF
	} else {
		e.Emit(asm.Op(0x0fbd), size, hostB, asm.R(hostB), false) // BSR
		e.Emit(asm.Op(0x83), size, 6, asm.R(hostB), false)       // XOR
		e.Imm(int64(size)*8-1, 1)
	}
	e.Jump(&done)
	e.Bind(&none)
	e.Constant(hostB, uint64(size)*8)
	e.Bind(&done)
	e.store(e.operand(in.Reg), hostB)
	if !in.needed {
		e.spoiled()
		return true
	}
	e.patch(x86.CF, 0)
	e.Emit(asm.Op(0x85), size, hostB, asm.R(hostB), false)
	e.Emit(asm.Op(0x0f94), 1, 0, asm.R(hostA), true)
	e.patch(x86.ZF, 6)
	return true
}

// addAlone has ADCX and ADOX, which leave all flags but one.
func (e *Emitter) addAlone() bool {
	in := e.in
	if !hostHasADX || in.IsMem && homed(in.Reg) {
		return false
	}
	source := e.operand(in.RM)
	if in.IsMem {
		e.factor()
		source = asm.R(hostB)
	}
	in.reads = true
	e.all()
	o := asm.Opcode{Prefix: 0x66, Bytes: 0x0f38f6}
	if in.Op == x86.ADOX {
		o.Prefix = 0xf3
	}
	d, done := e.target(in.Reg)
	e.Emit(o, in.Size, d, source, false)
	e.wroteSome()
	done()
	return true
}

// moveSwapped has MOVBE as a move and BSWAP: not every host has it.
func (e *Emitter) moveSwapped() bool {
	in, size := e.in, e.in.Size
	if size < 4 {
		return false
	}
	if in.Form == x86.FormRM {
		e.factor()
		e.swap(hostB, size)
		e.store(e.operand(in.Reg), hostB)
		return true
	}
	target := e.memory(size, true)
	e.load(hostB, e.operand(in.Reg))
	e.swap(hostB, size)
	e.Emit(asm.Op(0x89), size, hostB, target, false)
	return true
}

func (e *Emitter) swap(r asm.Reg, size uint8) {
	rex := byte(r) >> 3
	if size == 8 {
		rex |= 8
	}
	e.Raw(0x40|rex, 0x0f, 0xc8|byte(r)&7)
}
