package emu

import (
	"github.com/wherry/wherry/vmm/emu/integer"
	"github.com/wherry/wherry/vmm/x86"
)

// translator makes the steps of a block's instructions.
type translator struct {
	ops []op
	in  x86.Inst
	off uint16
	ip  uint64 // of the next instruction
}

// add appends o as a step of the present instruction.
func (t *translator) add(o op) {
	o.off, o.next = t.off, t.off+uint16(t.in.Len)
	t.ops = append(t.ops, o)
}

func (t *translator) do(f func(*VCPU, *op) bool, o op) {
	o.do = f
	t.add(o)
}

// inst appends the steps of in, which begins at va and off bytes into the block. It reports whether the block ends after it.
func (t *translator) inst(in x86.Inst, va uint64, off uint16) (ends bool) {
	t.in, t.off, t.ip = in, off, va+uint64(in.Len)
	switch in.Op {
	case x86.JMP, x86.JCC, x86.JRCXZ, x86.LOOP, x86.LOOPE, x86.LOOPNE, x86.CALL, x86.RET:
		t.branch()
		return true
	case x86.MOV, x86.LEA, x86.MOVZX, x86.MOVSX, x86.CRC32, x86.PUSH, x86.POP, x86.XCHG:
		t.move()
	case x86.MOVS, x86.STOS, x86.LODS, x86.SCAS, x86.CMPS:
		t.do(doString, op{size: in.Size, from: in.Rep, cond: x86.Cond(in.Op), seg: segment(in.Mem.Seg), shift: uint8(bit(in.Mem.Addr32))})
	case x86.CPUID, x86.RDTSC, x86.RDTSCP, x86.SYSCALL, x86.HLT, x86.PRIVILEGED, x86.INT3, x86.INTN, x86.UD2, x86.IN, x86.OUT, x86.POPF:
		t.do(doSystem[in.Op], op{size: in.Size, imm: in.Imm, from: uint8(in.Form), cond: x86.Cond(in.Op)})
		return true // all have exits, or change how what follows runs
	case x86.MOVBE:
		t.moveSwapped()
	case x86.SSE:
		t.vector()
	case x86.AVX:
		t.avx()
	case x86.X87:
		t.x87()
	case x86.FXSAVE, x86.FXRSTOR, x86.XSAVE, x86.XRSTOR:
		o := t.address()
		o.size = in.Size
		t.do(saves[in.Op], o)
	case x86.XGETBV:
		t.do(doGetControl, op{})
	case x86.STORESEG, x86.LOADSEG, x86.PUSHSEG, x86.POPSEG, x86.VERR, x86.VERW, x86.LAR:
		t.segment()
	case x86.XLAT:
		t.do(doTranslate, op{seg: segment(in.Mem.Seg), shift: uint8(bit(in.Mem.Addr32))})
	case x86.ENTER:
		t.do(doEnter, op{size: in.Size, from: in.From, imm: in.Imm})
	case x86.CLFLUSH: // there is no cache, but it faults as a load does
		t.read(regT0, 1)
	case x86.NOP:
		t.add(op{kind: kindMov64, d: regT0, s: regZero})
	default:
		t.arithmetic()
	}
	return false
}

var saves = map[x86.Op]func(*VCPU, *op) bool{x86.FXSAVE: doSaveExtended, x86.FXRSTOR: doRestoreExtended, x86.XSAVE: doXSave, x86.XRSTOR: doXRestore}

// address returns op fields for the address of the instruction's memory operand.
func (t *translator) address() op {
	m := t.in.Mem
	o := op{base: m.Base, index: m.Index, shift: m.Shift, seg: segment(m.Seg), imm: m.Disp}
	if m.Base == x86.NoReg {
		o.base = regZero
	}
	if m.Index == x86.NoReg {
		o.index = regZero
	}
	if m.RIP {
		o.imm += int64(t.ip)
	}
	if m.Addr32 {
		seg := o.seg
		o.seg, o.d = regZero, regT2
		t.do(doLea32, o)
		return op{base: regT2, index: regZero, seg: seg}
	}
	return o
}

func segment(s x86.Seg) uint8 {
	return [...]uint8{x86.NoSeg: regZero, x86.FS: regFS, x86.GS: regGS}[s]
}

// read has register d get the memory operand's value, of size bytes.
func (t *translator) read(d, size uint8) {
	o := t.address()
	o.d, o.size = d, size
	t.load(o)
}

func (t *translator) load(o op) {
	switch o.size {
	case 8:
		o.kind = kindLoad64
	case 4:
		o.kind = kindLoad32
	default:
		o.do = doLoad
	}
	t.add(o)
}

// write has the memory operand get register d's value.
func (t *translator) write(d, size uint8) {
	o := t.address()
	o.d, o.size = d, size
	t.store(o)
}

func (t *translator) store(o op) {
	switch o.size {
	case 8:
		o.kind = kindStore64
	case 4:
		o.kind = kindStore32
	default:
		o.do = doStore
	}
	t.add(o)
}

// source returns a register with the value of general register r, of size bytes.
func (t *translator) source(r, size, temp uint8) uint8 {
	if size == 1 && r >= x86.HighByte {
		t.do(doGetHigh, op{d: temp, s: r - x86.HighByte})
		return temp
	}
	return r
}

// target is source for a register that is written: end is called after it was.
func (t *translator) target(r, size, temp uint8) (d uint8, end func()) {
	d = t.source(r, size, temp)
	if size != 1 || r < x86.HighByte {
		return d, func() {}
	}
	return d, func() { t.do(doSetHigh, op{d: r - x86.HighByte, s: d}) }
}

// arithmetic makes steps of what reads operands, computes, and writes the first one back.
func (t *translator) arithmetic() {
	in := t.in
	var o op
	o.size, o.from, o.cond, o.imm = in.Size, in.From, in.Cond, in.Imm
	o.s = regZero
	if in.Op >= x86.ANDN {
		o.from = in.V
	}
	done := func() {}
	switch in.Form {
	case x86.FormRM, x86.FormRMI:
		o.d, done = t.target(in.Reg, in.Size, regT1)
		o.s = regT0
		if in.IsMem {
			t.read(regT0, in.Size)
		} else {
			o.s = t.source(in.RM, in.Size, regT0)
		}
	case x86.FormRI, x86.FormR:
		o.d, done = t.target(in.Reg, in.Size, regT1)
	case x86.FormMR, x86.FormMRI:
		var end func()
		o.s, end = t.target(in.Reg, in.Size, regT1)
		var written func()
		o.d, written = t.modified(o.s)
		if done = written; in.Op == x86.XADD { // which writes both
			done = func() { end(); written() } // if both are one, it gets the sum
		}
	case x86.FormMI, x86.FormM:
		o.d, done = t.modified(regZero)
	}
	t.operate(o)
	done()
}

// modified is target for the operand of ModRM.rm, of an instruction that reads it, and writes it unless it only looks.
func (t *translator) modified(source uint8) (d uint8, done func()) {
	in := t.in
	switch {
	case !in.IsMem && looks(in.Op) && in.Op != x86.SETCC:
		return t.source(in.RM, in.Size, regT0), func() {}
	case !in.IsMem:
		return t.target(in.RM, in.Size, regT0)
	}
	o := t.address()
	if in.Form == x86.FormMR && in.Op >= x86.BT && in.Op <= x86.BTC { // its address depends on the bit's number
		o.s, o.size, o.d, o.from = source, in.Size, regT2, 8
		if in.Mem.Addr32 {
			o.from = 4
		}
		t.do(doBitAddress, o)
		o = op{base: regT2, index: regZero, seg: regZero}
	}
	if in.Op == x86.CMPXCHG || in.Op == x86.XADD { // they write a register that may be in the address
		o.kind, o.d = kindLea64, regT2
		t.add(o)
		o = op{base: regT2, index: regZero, seg: regZero}
	}
	o.d, o.size = regT0, in.Size
	if in.Op == x86.CMPXCHG16B {
		return regT0, func() {}
	}
	if looks(in.Op) {
		if in.Op != x86.SETCC {
			t.load(o)
		}
	} else {
		o.do = doLoadToWrite
		t.add(o)
	}
	if looks(in.Op) && in.Op != x86.SETCC {
		return regT0, func() {}
	}
	o.do = nil
	return regT0, func() { t.store(o) }
}

// looks says that an instruction doesn't write its first operand, or doesn't read it (SETCC).
func looks(o x86.Op) bool {
	switch o {
	case x86.CMP, x86.TEST, x86.BT, x86.MUL, x86.IMUL1, x86.DIV, x86.IDIV, x86.SETCC, x86.LDMXCSR:
		return true
	}
	return false
}

var hot = map[x86.Op][2]kind{
	x86.ADD: {kindAdd32, kindAdd64}, x86.SUB: {kindSub32, kindSub64}, x86.AND: {kindAnd32, kindAnd64},
	x86.OR: {kindOr, kindOr}, x86.XOR: {kindXor, kindXor}, x86.CMP: {kindCmp, kindCmp}, x86.TEST: {kindTest, kindTest},
}

// operate makes the step that computes.
func (t *translator) operate(o op) {
	kinds, ok := hot[t.in.Op]
	looks := t.in.Op == x86.CMP || t.in.Op == x86.TEST
	switch {
	case ok && (t.in.Size == 8 || looks):
		o.kind = kinds[1]
	case ok && t.in.Size == 4:
		o.kind = kinds[0]
	case t.in.Op == x86.CMPXCHG16B:
		a := t.address()
		a.size = t.in.Size
		t.do(doCompareExchangeWide, a)
		return
	default:
		o.do = handlers[t.in.Op]
		if f := integer.FieldFuncs[t.in.Op]; f != nil {
			o.do = fieldStep(f, t.in.Op == x86.MULX)
		}
		if t.in.Form == x86.FormMI && t.in.Size >= 4 && t.in.Imm&int64(t.in.Size*8-1) != 0 && byImmediate[t.in.Op][0] != nil {
			o.do = byImmediate[t.in.Op][t.in.Size/8]
		}
		if o.do == nil {
			o.do = doUnsupported
		}
		if t.in.Form == x86.FormRMI {
			o.do = doMultiplyBy
		}
	}
	if byCL(t.in) {
		o.s = regCX
		if t.in.Op == x86.SHLD || t.in.Op == x86.SHRD {
			o.from, o.imm = t.in.Reg, 0
			o.do = doubleByCL[t.in.Op]
		}
	}
	t.add(o)
}

// byCL says that an instruction counts by CL where its form is MR.
func byCL(in x86.Inst) bool {
	return in.Form == x86.FormMR && (in.Op >= x86.ROL && in.Op <= x86.SAR || in.Op == x86.SHLD || in.Op == x86.SHRD)
}
