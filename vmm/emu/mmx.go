package emu

import (
	"math"

	"github.com/wherry/wherry/vmm/x86"
)

// mmxExponent is what writing an MMX register makes of the rest of its x87 register.
const mmxExponent = 0xffff

// mmxFuncs are the instructions that don't do with MMX registers what SSE's do with the low half of XMM registers.
func mmxFuncs(t *[x86.Vectors]vecFunc) {
	for _, op := range []x86.Vector{ // they take half of the result from each operand
		0x63, 0x67, 0x6b, x86.Vec38 | 0x01, x86.Vec38 | 0x02, x86.Vec38 | 0x03, x86.Vec38 | 0x05, x86.Vec38 | 0x06, x86.Vec38 | 0x07,
	} {
		f := t[p66|op]
		t[op] = func(d, s vec, imm uint8) vec {
			r := f(d, s, imm)
			return vec{lo: r.lo&math.MaxUint32 | r.hi<<32}
		}
	}
	for op := x86.Vector(0x68); op <= 0x6a; op++ { // the upper halves of 8 bytes
		f := t[p66|op-8]
		t[op] = func(d, s vec, imm uint8) vec { return vec{lo: f(d, s, imm).hi} }
	}
	t[0x70] = func(_, s vec, imm uint8) vec { return vec{lo: shuffleWords(s.lo, imm)} }
	t[0xc4] = func(d, s vec, imm uint8) vec { return insert(d, s.lo, imm&3, 2) }
	t[0xc5] = func(_, s vec, imm uint8) vec { return vec{lo: pick(s, imm&3, 2) & 0xffff} }
	t[0x6e], t[0x6f], t[0x7e], t[0x7f], t[0xe7], t[pF3|0xd6], t[pF2|0xd6] = takeLow, takeLow, takeLow, takeLow, takeLow, takeLow, takeLow
	t[x86.Vec38] = func(d, s vec, imm uint8) vec {
		const eight = 0x8787878787878787 // of the bytes' numbers the last 3 bits count
		return shuffleBytes(d, vec{lo: s.lo & eight}, imm)
	}
	t[x86.Vec3A|0x0f] = func(d, s vec, imm uint8) vec { return align(d, s, imm, 8) }
}

// mmx makes the step of an instruction with MMX registers, whose function is SSE's where it has none of its own.
func (t *translator) mmx(o op) {
	in := t.in
	if o.vec.f == nil && o.vec.float == nil {
		o.vec.f = vecs[in.Vec|p66]
	}
	o.vec.aligned = in.IsMem && in.Size == 16
	o.do = mmxSteps[in.VecShape-x86.MMXPQ]
	o.from = uint8(bit(in.IsMem))
	if o.vec.f == nil && o.vec.float == nil && in.VecShape != x86.MMXMask && in.VecShape != x86.MMXEmpty {
		o.do = doUnsupported
	}
	t.add(o)
}

var mmxSteps = [...]func(*VCPU, *op) bool{
	x86.MMXPQ - x86.MMXPQ:    doMMX,
	x86.MMXQP - x86.MMXPQ:    doMMXStore,
	x86.MMXPE - x86.MMXPQ:    doMMXOfGeneral,
	x86.MMXEP - x86.MMXPQ:    doMMXToGeneral,
	x86.MMXGQ - x86.MMXPQ:    doGeneralOfMMX,
	x86.MMXQ - x86.MMXPQ:     doMMXInPlace,
	x86.MMXXQ - x86.MMXPQ:    doVecOfMMX,
	x86.MMXPM - x86.MMXPQ:    doMMXOfVec,
	x86.MMXMask - x86.MMXPQ:  doMMXMask,
	x86.MMXEmpty - x86.MMXPQ: doMMXEmpty,
}

func (c *VCPU) mm(r uint8) vec { return vec{lo: c.fpu.regs[r&7].Mantissa} }

func (c *VCPU) setMM(r uint8, v vec) {
	c.fpu.regs[r&7] = x86.Float80{Mantissa: v.lo, SignExponent: mmxExponent}
}

// mmxBegin is what all do but EMMS: no register is empty, and ST(0) is the first (Intel SDM volume 1, 9.5.1).
func (c *VCPU) mmxBegin() {
	c.fpu.top, c.fpu.full = 0, 0xff
}

// mmxOperand is the one of ModRM.rm.
func (c *VCPU) mmxOperand(o *op) (vec, bool) {
	if o.from == 0 {
		return c.mm(o.s), true
	}
	return c.loadVec(o)
}

func doMMX(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	s, ok := c.mmxOperand(o)
	if ok {
		c.mmxBegin()
		c.setMM(o.d, o.vec.f(c.mm(o.d), s, o.vec.imm))
	}
	return ok
}

func doMMXStore(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	if o.from == 0 {
		c.mmxBegin()
		c.setMM(o.s, c.mm(o.d))
		return true
	}
	return c.mmxStored(c.store(c.ea(o), c.mm(o.d).lo, 8))
}

// mmxStored is the end of an instruction that wrote to memory, and maybe to the block that runs.
func (c *VCPU) mmxStored(ok bool) bool {
	if ok || c.changed {
		c.mmxBegin()
	}
	return ok
}

func doMMXOfGeneral(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	s, ok := vec{lo: cut(c.file[o.s&regMask], o.vec.general)}, true
	if o.from != 0 {
		s, ok = c.loadVec(o)
	}
	if ok {
		c.mmxBegin()
		c.setMM(o.d, o.vec.f(c.mm(o.d), s, o.vec.imm))
	}
	return ok
}

func doMMXToGeneral(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	v := c.mm(o.d).lo
	if o.from != 0 {
		return c.mmxStored(c.store(c.ea(o), v, o.size))
	}
	c.mmxBegin()
	c.put(o.s, v, o.vec.general)
	return true
}

func doGeneralOfMMX(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	c.mmxBegin()
	c.put(o.d, o.vec.f(vec{}, c.mm(o.s), o.vec.imm).lo, 4)
	return true
}

func doMMXInPlace(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	c.mmxBegin()
	c.setMM(o.d, o.vec.f(c.mm(o.d), vec{}, o.vec.imm))
	return true
}

func doVecOfMMX(c *VCPU, o *op) bool {
	if o.from == 0 && !c.waitFPU() {
		return false
	}
	s, ok := c.mmxOperand(o)
	if !ok {
		return false
	}
	if o.from == 0 {
		c.mmxBegin() // also where an exception of SSE interrupts, on Intel's processors
	}
	v, ok := c.compute(o, c.xmm(o.d), s)
	if ok {
		c.setXMM(o.d, v)
	}
	return ok
}

func doMMXOfVec(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	s, ok := c.xmm(o.s), true
	if o.from != 0 {
		s, ok = c.loadVec(o)
	}
	if !ok {
		return false
	}
	c.mmxBegin()
	v, ok := c.compute(o, vec{}, s)
	if ok {
		c.setMM(o.d, v)
	}
	return ok
}

func doMMXMask(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	return c.mmxStored(c.storeMasked(cut(c.file[regDI], addressWidth(o))+c.file[o.seg&regMask], c.mm(o.d), c.mm(o.s), 8))
}

func doMMXEmpty(c *VCPU, _ *op) bool {
	if !c.waitFPU() {
		return false
	}
	c.fpu.top, c.fpu.full = 0, 0
	return true
}
