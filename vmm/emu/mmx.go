package emu

import (
	"github.com/wherry/wherry/vmm/emu/flags"
	"github.com/wherry/wherry/vmm/emu/vector"
	"github.com/wherry/wherry/vmm/x86"
)

// mmx makes the step of an instruction with MMX registers, whose function is SSE's where it has none of its own.
func (t *translator) mmx(o op) {
	in := t.in
	if o.vec.f == nil && o.vec.float == nil {
		o.vec.f = vector.Funcs[in.Vec|p66]
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
	0:                        doMMX, // x86.MMXPQ
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

func (c *VCPU) mm(r uint8) vector.Vec { return vector.Vec{Lo: c.fpu.MM(r)} }

func (c *VCPU) setMM(r uint8, v vector.Vec) {
	c.fpu.SetMM(r, v.Lo)
}

// mmxBegin is what all do but EMMS: no register is empty, and ST(0) is the first (Intel SDM volume 1, 9.5.1).
func (c *VCPU) mmxBegin() { c.fpu.BeginMMX() }

// mmxOperand is the one of ModRM.rm.
func (c *VCPU) mmxOperand(o *op) (vector.Vec, bool) {
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
	return c.mmxStored(c.store(c.ea(o), c.mm(o.d).Lo, 8))
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
	s, ok := vector.Vec{Lo: flags.Cut(c.file[o.s&regMask], o.vec.general)}, true
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
	v := c.mm(o.d).Lo
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
	c.put(o.d, o.vec.f(vector.Vec{}, c.mm(o.s), o.vec.imm).Lo, 4)
	return true
}

func doMMXInPlace(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	c.mmxBegin()
	c.setMM(o.d, o.vec.f(c.mm(o.d), vector.Vec{}, o.vec.imm))
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
	v, ok := c.compute(o, vector.Vec{}, s)
	if ok {
		c.setMM(o.d, v)
	}
	return ok
}

func doMMXMask(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	return c.mmxStored(c.storeMasked(flags.Cut(c.file[regDI], addressWidth(o))+c.file[o.seg&regMask], c.mm(o.d), c.mm(o.s), 8))
}

func doMMXEmpty(c *VCPU, _ *op) bool {
	if !c.waitFPU() {
		return false
	}
	c.fpu.EndMMX()
	return true
}
