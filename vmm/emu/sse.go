package emu

import (
	"encoding/binary"

	"github.com/wherry/wherry/vmm"
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
	imm     uint8
	general uint8 // the size of general registers
	aligned bool  // memory must be
}

// vector makes the step of an SSE instruction.
func (t *translator) vector() {
	in := t.in
	v := &vecOp{f: vecs[in.Vec], imm: uint8(in.Imm), general: in.From, aligned: in.IsMem && in.Size == 16 && !unaligned[in.Vec]}
	o := op{d: in.Reg, s: in.RM, size: in.Size, vec: v}
	if in.IsMem {
		a := t.address()
		a.d, a.size, a.vec = o.d, o.size, v
		o = a
		if f := vecsOfMemory[in.Vec]; f != nil {
			v.f = f
		}
	}
	switch in.VecShape {
	case x86.VecM:
		v.f = vecShifts[in.Vec][in.Reg&7]
		o.d = in.RM
	case x86.VecGM:
		if in.Vec != x86.Vec66|0xc5 {
			v.imm = in.From
		}
	}
	o.do = vecSteps[in.VecShape][bit(in.IsMem)]
	if v.f == nil {
		o.do = doUnsupported
	}
	t.add(o)
}

// unaligned are the moves whose memory needs no alignment.
var unaligned = map[x86.Vector]bool{
	0x10: true, 0x11: true, x86.Vec66 | 0x10: true, x86.Vec66 | 0x11: true, x86.VecF3 | 0x6f: true, x86.VecF3 | 0x7f: true,
}

// vecSteps has the step of each shape with registers, and with memory.
var vecSteps = [...][2]func(*VCPU, *op) bool{
	x86.VecXM:   {doVec, doVecOfMemory},
	x86.VecMX:   {doVecBack, doVecToMemory},
	x86.VecXE:   {doVecOfGeneral, doVecOfMemory},
	x86.VecEX:   {doVecToGeneral, doVecToMemory},
	x86.VecGM:   {doGeneralOfVec, doGeneralOfMemory},
	x86.VecM:    {doVecInPlace, nil},
	x86.VecTest: {doVecTest, doVecTestMemory},
}

func doVec(c *VCPU, o *op) bool {
	c.setXMM(o.d, o.vec.f(c.xmm(o.d), c.xmm(o.s), o.vec.imm))
	return true
}

func doVecInPlace(c *VCPU, o *op) bool {
	c.setXMM(o.d, o.vec.f(c.xmm(o.d), vec{}, o.vec.imm))
	return true
}

func doVecOfMemory(c *VCPU, o *op) bool {
	s, ok := c.loadVec(o)
	if ok {
		if o.size < 16 {
			s.hi = uint64(o.vec.general)
		}
		c.setXMM(o.d, o.vec.f(c.xmm(o.d), s, o.vec.imm))
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
	off := va & offMask
	if e := c.tlb.Entry(va); e.Writes(va) && off <= phys.PageSize-16 {
		binary.LittleEndian.PutUint64(e.Page[off:off+8], v.lo)
		binary.LittleEndian.PutUint64(e.Page[off+8:off+16], v.hi)
		return true
	}
	var p [16]byte
	binary.LittleEndian.PutUint64(p[:], v.lo)
	binary.LittleEndian.PutUint64(p[8:], v.hi)
	return c.storeSlowly(va, p[:])
}

func doVecOfGeneral(c *VCPU, o *op) bool {
	size := uint64(o.vec.general)
	c.setXMM(o.d, o.vec.f(c.xmm(o.d), vec{cut(c.file[o.s&regMask], o.vec.general), size}, o.vec.imm))
	return true
}

func doVecToGeneral(c *VCPU, o *op) bool {
	c.put(o.s, c.xmm(o.d).lo, o.vec.general)
	return true
}

func doGeneralOfVec(c *VCPU, o *op) bool {
	c.put(o.d, o.vec.f(vec{}, c.xmm(o.s), o.vec.imm).lo, o.vec.general)
	return true
}

func doGeneralOfMemory(c *VCPU, o *op) bool {
	s, ok := c.loadVec(o)
	if ok {
		c.put(o.d, o.vec.f(vec{}, s, o.vec.imm).lo, o.vec.general)
	}
	return ok
}

func doVecTest(c *VCPU, o *op) bool {
	c.flags.set(comparison(c.xmm(o.d).lo, c.xmm(o.s).lo, o.size))
	return true
}

func doVecTestMemory(c *VCPU, o *op) bool {
	s, ok := c.loadVec(o)
	if ok {
		c.flags.set(comparison(c.xmm(o.d).lo, s.lo, o.size))
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
	if v.lo, ok = c.load(va, 8); !ok {
		return v, false
	}
	v.hi, ok = c.load(va+8, 8)
	return v, ok
}

// The bits of MXCSR (Intel SDM volume 1, 10.2.3).
const (
	mxcsrMasks     = 0x1f80
	mxcsrSticky    = 0x3f
	mxcsrKnown     = mxcsrMasks | mxcsrSticky
	mxcsrWritable  = 0xffff
	mxcsrOnlyKnown = mxcsrWritable &^ mxcsrKnown // rounding, flush to zero, denormals are zeros
)

// doLoadControl takes what the arithmetic here does: to nearest, denormals as they are, no exceptions.
func doLoadControl(c *VCPU, o *op) bool {
	v := uint32(c.file[o.d&regMask])
	switch {
	case v&^mxcsrWritable != 0:
		return c.raise(x86.GeneralProtection)
	case v&mxcsrOnlyKnown != 0 || v&mxcsrMasks != mxcsrMasks:
		c.exit = vmm.Exit{Kind: vmm.ExitUnsupported}
		return false
	}
	c.extended.MXCSR = v
	return true
}

func doStoreControl(c *VCPU, o *op) bool {
	c.file[o.d&regMask] = uint64(c.extended.MXCSR)
	return true
}
