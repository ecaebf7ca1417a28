package emu

import (
	"encoding/binary"

	"github.com/wherry/wherry/vmm/emu/avx"
	"github.com/wherry/wherry/vmm/emu/flags"
	"github.com/wherry/wherry/vmm/emu/vector"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

const (
	p66 = x86.Vec66
	pF3 = x86.VecF3
	pF2 = x86.VecF2
	p38 = x86.Vec66 | x86.Vec38
	p3A = x86.Vec66 | x86.Vec3A
)

func (c *VCPU) xmm(r uint8) vector.Vec {
	x := &c.extended.XMM[r&15]
	return vector.Vec{Lo: x[0], Hi: x[1]}
}

func (c *VCPU) setXMM(r uint8, v vector.Vec) { c.extended.XMM[r&15] = [2]uint64{v.Lo, v.Hi} }

// vecOp is what op.vec points to, for the steps that have one.
type vecOp struct {
	f       vector.Func
	float   vector.FloatFunc                                // instead of f
	flags   func(u *vector.Unit, d, s vector.Vec) x86.Flags // of VecTest
	byXMM0  func(d, s, xmm0 vector.Vec) vector.Vec
	imm     uint8
	general uint8 // the size of general registers
	aligned bool  // memory must be
	wide    *avx.Step
}

// compute is what o's instruction gives for d and s. It returns false if that interrupts.
func (c *VCPU) compute(o *op, d, s vector.Vec) (vector.Vec, bool) {
	v := o.vec
	if v.float == nil {
		return v.f(d, s, v.imm), true
	}
	r := v.float(&c.sse, d, s, v.imm)
	return r, !c.sse.Noted() || c.signaled()
}

// signaled ends an operation on floats with exceptions. It returns false if one interrupts.
func (c *VCPU) signaled() bool {
	if c.sse.Signaled() {
		return c.raise(x86.SIMDFloatingPoint)
	}
	return true
}

// vector makes the step of an SSE or MMX instruction.
func (t *translator) vector() {
	in := t.in
	v := &vecOp{
		f: vector.Funcs[in.Vec], float: vector.Floats[in.Vec], flags: vector.Flags[in.Vec], byXMM0: vector.ByXMM0(in.Vec), imm: uint8(in.Imm), general: in.From,
		aligned: in.IsMem && in.Size == 16 && !unaligned[in.Vec],
	}
	o := op{d: in.Reg, s: in.RM, size: in.Size, vec: v, seg: segment(in.Mem.Seg), shift: uint8(bit(in.Mem.Addr32))}
	if in.IsMem {
		a := t.address()
		a.d, a.size, a.vec = o.d, o.size, v
		o = a
		if f := vector.OfMemory[in.Vec]; f != nil {
			v.f = f
		}
	}
	switch in.VecShape {
	case x86.VecM, x86.MMXQ:
		v.f = vector.Shifts[in.Vec|p66][in.Reg&7]
		o.d = in.RM
	case x86.VecGM, x86.MMXGQ:
		if in.Vec&0xff != 0xc5 {
			v.imm = in.From
		}
	case x86.VecEX:
		if in.Vec == p3A|0x16 { // PEXTRD or PEXTRQ
			v.f = func(_, s vector.Vec, imm uint8) vector.Vec { return vector.Vec{Lo: vector.Pick(s, imm, in.From)} }
		}
	case x86.VecString:
		o.cond = x86.Cond(in.Vec & 3)
	}
	if in.VecShape >= x86.MMXPQ {
		t.mmx(o)
		return
	}
	switch quick := vecQuick[in.Vec][bit(in.IsMem)]; {
	case quick != nil:
		o.do = quick
	case v.byXMM0 != nil:
		o.do = [2]func(*VCPU, *op) bool{doVecByXMM0, doVecByXMM0Memory}[bit(in.IsMem)]
	case v.f == nil && v.float == nil && v.flags == nil && in.VecShape != x86.VecString && in.VecShape != x86.VecMask:
		o.do = doUnsupported
	default:
		o.do = vecSteps[in.VecShape][bit(in.IsMem)]
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
	c.setXMM(o.d, o.vec.f(c.xmm(o.d), vector.Vec{}, o.vec.imm))
	return true
}

func doVecOfMemory(c *VCPU, o *op) bool {
	s, ok := c.loadVec(o)
	if !ok {
		return false
	}
	if o.size < 16 {
		s.Hi = uint64(o.vec.general)
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
	v := o.vec.f(vector.Vec{}, c.xmm(o.d), o.vec.imm)
	va := c.ea(o)
	if o.size < 16 {
		return c.store(va, v.Lo, o.size)
	}
	if o.vec.aligned && va%16 != 0 {
		return c.raise(x86.GeneralProtection)
	}
	return c.storeVec(va, v)
}

func (c *VCPU) storeVec(va uint64, v vector.Vec) bool {
	off := va & offMask
	if e := c.tlb.Entry(va); e.Writes(va) && off <= phys.PageSize-16 {
		p := e.Page()[off : off+16]
		binary.LittleEndian.PutUint64(p, v.Lo)
		binary.LittleEndian.PutUint64(p[8:], v.Hi)
		return true
	}
	p := vector.BytesOf(v)
	return c.storeSlowly(va, p[:])
}

func doVecOfGeneral(c *VCPU, o *op) bool {
	size := uint64(o.vec.general)
	v, ok := c.compute(o, c.xmm(o.d), vector.Vec{Lo: flags.Cut(c.file[o.s&regMask], o.vec.general), Hi: size})
	if ok {
		c.setXMM(o.d, v)
	}
	return ok
}

func doVecToGeneral(c *VCPU, o *op) bool {
	c.put(o.s, o.vec.f(vector.Vec{}, c.xmm(o.d), o.vec.imm).Lo, o.vec.general)
	return true
}

func doGeneralOfVec(c *VCPU, o *op) bool {
	v, ok := c.compute(o, vector.Vec{}, c.xmm(o.s))
	if ok {
		c.put(o.d, v.Lo, o.vec.general)
	}
	return ok
}

func doGeneralOfMemory(c *VCPU, o *op) bool {
	s, ok := c.loadVec(o)
	if !ok {
		return false
	}
	v, ok := c.compute(o, vector.Vec{}, s)
	if ok {
		c.put(o.d, v.Lo, o.vec.general)
	}
	return ok
}

func doVecTest(c *VCPU, o *op) bool { return c.testVec(o, c.xmm(o.s)) }

func doVecTestMemory(c *VCPU, o *op) bool {
	s, ok := c.loadVec(o)
	return ok && c.testVec(o, s)
}

func (c *VCPU) testVec(o *op, s vector.Vec) bool {
	flags := o.vec.flags(&c.sse, c.xmm(o.d), s)
	if c.sse.Status != 0 && !c.signaled() {
		return false
	}
	c.flags.Set(flags)
	return true
}

func doVecByXMM0(c *VCPU, o *op) bool {
	c.setXMM(o.d, o.vec.byXMM0(c.xmm(o.d), c.xmm(o.s), c.xmm(0)))
	return true
}

func doVecByXMM0Memory(c *VCPU, o *op) bool {
	s, ok := c.loadVec(o)
	if ok {
		c.setXMM(o.d, o.vec.byXMM0(c.xmm(o.d), s, c.xmm(0)))
	}
	return ok
}

func doVecString(c *VCPU, o *op) bool { return c.compareStrings(o, c.xmm(o.s)) }

func doVecStringMemory(c *VCPU, o *op) bool {
	s, ok := c.loadVec(o)
	return ok && c.compareStrings(o, s)
}

// compareStrings is PCMPESTRM, PCMPESTRI, PCMPISTRM and PCMPISTRI, which are numbered so in o.cond.
func (c *VCPU) compareStrings(o *op, s vector.Vec) bool {
	first, second := flags.Extend(c.file[regAX], o.vec.general), flags.Extend(c.file[regDX], o.vec.general)
	index, mask, flags := vector.Strings(c.xmm(o.d), s, o.vec.imm, o.cond&2 != 0, first, second)
	if o.cond&1 != 0 {
		c.put(regCX, uint64(index), 4)
	} else {
		c.setXMM(0, mask)
	}
	c.flags.Set(flags)
	return true
}

func doLoadControl(c *VCPU, o *op) bool {
	v := uint32(c.file[o.d&regMask])
	if v&^vector.Writable != 0 {
		return c.raise(x86.GeneralProtection)
	}
	c.sse.Load(v)
	return true
}

func doStoreControl(c *VCPU, o *op) bool {
	c.file[o.d&regMask] = uint64(c.extended.MXCSR)
	return true
}

// doVecMask is MASKMOVDQU: nothing is touched where nothing is written.
func doVecMask(c *VCPU, o *op) bool {
	return c.storeMasked(flags.Cut(c.file[regDI], addressWidth(o))+c.file[o.seg&regMask], c.xmm(o.d), c.xmm(o.s), 16)
}

// storeMasked writes those of the first size bytes of v whose bytes in mask have their upper bits.
func (c *VCPU) storeMasked(va uint64, v, mask vector.Vec, size int) bool {
	p, m := vector.BytesOf(v), vector.BytesOf(mask)
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
func (c *VCPU) loadVec(o *op) (v vector.Vec, ok bool) {
	va := c.ea(o)
	if o.size < 16 {
		v.Lo, ok = c.load(va, o.size)
		return v, ok
	}
	if o.vec.aligned && va%16 != 0 {
		return v, c.raise(x86.GeneralProtection)
	}
	off := va & offMask
	if e := c.tlb.Entry(va); e.Reads(va) && off <= phys.PageSize-16 {
		p := e.Page()[off : off+16]
		return vector.Vec{Lo: binary.LittleEndian.Uint64(p), Hi: binary.LittleEndian.Uint64(p[8:])}, true
	}
	if v.Lo, ok = c.load(va, 8); !ok {
		return v, false
	}
	v.Hi, ok = c.load(va+8, 8)
	return v, ok
}
