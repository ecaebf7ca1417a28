package emu

import (
	"encoding/binary"

	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// vec is an XMM register.
type vec struct{ lo, hi uint64 }

// vecFunc computes what X gets (or M, or G, by the shape) of what was in it, of the other operand, and of the immediate. Other operands than XMM registers are
// in s.lo; of general registers s.hi is the size.
type vecFunc func(d, s vec, imm uint8) vec

func (c *VCPU) xmm(r uint8) vec {
	x := &c.extended.XMM[r&15]
	return vec{x[0], x[1]}
}

func (c *VCPU) setXMM(r uint8, v vec) { c.extended.XMM[r&15] = [2]uint64{v.lo, v.hi} }

// vecOp is what op.vec points to, for the steps that have one.
type vecOp struct {
	f       vecFunc
	float   floatFunc                         // instead of f
	flags   func(c *VCPU, d, s vec) x86.Flags // of VecTest
	imm     uint8
	general uint8 // the size of general registers
	aligned bool  // memory must be
}

// compute is what o's instruction gives for d and s. It returns false if that interrupts.
func (c *VCPU) compute(o *op, d, s vec) (vec, bool) {
	v := o.vec
	if v.float == nil {
		return v.f(d, s, v.imm), true
	}
	r := v.float(c, d, s, v.imm)
	return r, c.sse.Status == 0 || c.signaled()
}

// vector makes the step of an SSE or MMX instruction.
func (t *translator) vector() {
	in := t.in
	v := &vecOp{
		f: vecs[in.Vec], float: floats[in.Vec], flags: vecFlags[in.Vec], imm: uint8(in.Imm), general: in.From,
		aligned: in.IsMem && in.Size == 16 && !unaligned[in.Vec],
	}
	o := op{d: in.Reg, s: in.RM, size: in.Size, vec: v, seg: segment(in.Mem.Seg), shift: uint8(bit(in.Mem.Addr32))}
	if in.IsMem {
		a := t.address()
		a.d, a.size, a.vec = o.d, o.size, v
		o = a
		if f := vecsOfMemory[in.Vec]; f != nil {
			v.f = f
		}
	}
	switch in.VecShape {
	case x86.VecM, x86.MMXQ:
		v.f = vecShifts[in.Vec|p66][in.Reg&7]
		o.d = in.RM
	case x86.VecGM, x86.MMXGQ:
		if in.Vec&0xff != 0xc5 {
			v.imm = in.From
		}
	case x86.VecEX:
		if in.Vec == p3A|0x16 { // PEXTRD or PEXTRQ
			v.f = func(_, s vec, imm uint8) vec { return vec{lo: pick(s, imm, in.From)} }
		}
	case x86.VecString:
		o.cond = x86.Cond(in.Vec & 3)
	}
	if in.VecShape >= x86.MMXPQ {
		t.mmx(o)
		return
	}
	if o.do = vecQuick[in.Vec][bit(in.IsMem)]; o.do == nil {
		o.do = vecSteps[in.VecShape][bit(in.IsMem)]
	}
	if v.f == nil && v.float == nil && v.flags == nil && in.VecShape != x86.VecString && in.VecShape != x86.VecMask {
		o.do = doUnsupported
	}
	t.add(o)
}

// unaligned are the instructions whose memory needs no alignment.
var unaligned = map[x86.Vector]bool{
	0x10: true, 0x11: true, p66 | 0x10: true, p66 | 0x11: true, pF3 | 0x6f: true, pF3 | 0x7f: true, pF2 | 0xf0: true,
	p3A | 0x60: true, p3A | 0x61: true, p3A | 0x62: true, p3A | 0x63: true,
}

// vecSteps has the step of each shape with registers, and with memory.
var vecSteps = [...][2]func(*VCPU, *op) bool{
	x86.VecXM:     {doVec, doVecOfMemory},
	x86.VecMX:     {doVecBack, doVecToMemory},
	x86.VecXE:     {doVecOfGeneral, doVecOfMemory},
	x86.VecEX:     {doVecToGeneral, doVecToMemory},
	x86.VecGM:     {doGeneralOfVec, doGeneralOfMemory},
	x86.VecM:      {doVecInPlace, nil},
	x86.VecTest:   {doVecTest, doVecTestMemory},
	x86.VecMask:   {doVecMask, nil},
	x86.VecString: {doVecString, doVecStringMemory},
}

func doVec(c *VCPU, o *op) bool {
	v, ok := c.compute(o, c.xmm(o.d), c.xmm(o.s))
	if ok {
		c.setXMM(o.d, v)
	}
	return ok
}

func doVecInPlace(c *VCPU, o *op) bool {
	c.setXMM(o.d, o.vec.f(c.xmm(o.d), vec{}, o.vec.imm))
	return true
}

func doVecOfMemory(c *VCPU, o *op) bool {
	s, ok := c.loadVec(o)
	if !ok {
		return false
	}
	if o.size < 16 {
		s.hi = uint64(o.vec.general)
	}
	v, ok := c.compute(o, c.xmm(o.d), s)
	if ok {
		c.setXMM(o.d, v)
	}
	return ok
}

// doVecBack is a store to a register: the operands change places.
func doVecBack(c *VCPU, o *op) bool {
	c.setXMM(o.s, o.vec.f(c.xmm(o.s), c.xmm(o.d), o.vec.imm))
	return true
}

func doVecToMemory(c *VCPU, o *op) bool {
	v := o.vec.f(vec{}, c.xmm(o.d), o.vec.imm)
	va := c.ea(o)
	if o.size < 16 {
		return c.store(va, v.lo, o.size)
	}
	if o.vec.aligned && va%16 != 0 {
		return c.raise(x86.GeneralProtection)
	}
	return c.storeVec(va, v)
}

func (c *VCPU) storeVec(va uint64, v vec) bool {
	off := va & offMask
	if e := c.tlb.Entry(va); e.Writes(va) && off <= phys.PageSize-16 {
		p := e.Page[off : off+16]
		binary.LittleEndian.PutUint64(p, v.lo)
		binary.LittleEndian.PutUint64(p[8:], v.hi)
		return true
	}
	p := bytesOf(v)
	return c.storeSlowly(va, p[:])
}

func doVecOfGeneral(c *VCPU, o *op) bool {
	size := uint64(o.vec.general)
	v, ok := c.compute(o, c.xmm(o.d), vec{cut(c.file[o.s&regMask], o.vec.general), size})
	if ok {
		c.setXMM(o.d, v)
	}
	return ok
}

func doVecToGeneral(c *VCPU, o *op) bool {
	c.put(o.s, o.vec.f(vec{}, c.xmm(o.d), o.vec.imm).lo, o.vec.general)
	return true
}

func doGeneralOfVec(c *VCPU, o *op) bool {
	v, ok := c.compute(o, vec{}, c.xmm(o.s))
	if ok {
		c.put(o.d, v.lo, o.vec.general)
	}
	return ok
}

func doGeneralOfMemory(c *VCPU, o *op) bool {
	s, ok := c.loadVec(o)
	if !ok {
		return false
	}
	v, ok := c.compute(o, vec{}, s)
	if ok {
		c.put(o.d, v.lo, o.vec.general)
	}
	return ok
}

func doVecTest(c *VCPU, o *op) bool { return c.testVec(o, c.xmm(o.s)) }

func doVecTestMemory(c *VCPU, o *op) bool {
	s, ok := c.loadVec(o)
	return ok && c.testVec(o, s)
}

func (c *VCPU) testVec(o *op, s vec) bool {
	flags := o.vec.flags(c, c.xmm(o.d), s)
	if c.sse.Status != 0 && !c.signaled() {
		return false
	}
	c.flags.set(flags)
	return true
}

// doVecMask is MASKMOVDQU: nothing is touched where nothing is written.
func doVecMask(c *VCPU, o *op) bool {
	return c.storeMasked(cut(c.file[regDI], addressWidth(o))+c.file[o.seg&regMask], c.xmm(o.d), c.xmm(o.s), 16)
}

// storeMasked writes those of the first size bytes of v whose bytes in mask have their upper bits.
func (c *VCPU) storeMasked(va uint64, v, mask vec, size int) bool {
	p, m := bytesOf(v), bytesOf(mask)
	part := va // where the access begins in its page, which is what a fault tells of
	for i := range size {
		at := va + uint64(i)
		if at&offMask == 0 {
			part = at
		}
		if m[i]>>7 != 0 && !c.probe(part) {
			return false
		}
	}
	ok := true
	for i := range size {
		if m[i]>>7 != 0 {
			ok = c.store(va+uint64(i), uint64(p[i]), 1) && ok
		}
	}
	return ok
}

// loadVec reads size bytes, and zeros behind them.
func (c *VCPU) loadVec(o *op) (v vec, ok bool) {
	va := c.ea(o)
	if o.size < 16 {
		v.lo, ok = c.load(va, o.size)
		return v, ok
	}
	if o.vec.aligned && va%16 != 0 {
		return v, c.raise(x86.GeneralProtection)
	}
	off := va & offMask
	if e := c.tlb.Entry(va); e.Reads(va) && off <= phys.PageSize-16 {
		p := e.Page[off : off+16]
		return vec{binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])}, true
	}
	if v.lo, ok = c.load(va, 8); !ok {
		return v, false
	}
	v.hi, ok = c.load(va+8, 8)
	return v, ok
}
