package emu

import (
	"github.com/wherry/wherry/vmm/emu/vector"
	"github.com/wherry/wherry/vmm/x86"
)

// vecQuick are steps, with registers and with memory, of the instructions that programs do most.
var vecQuick = map[x86.Vector][2]func(*VCPU, *op) bool{
	0x10: {doVecMove, doVecLoad}, p66 | 0x10: {doVecMove, doVecLoad}, 0x28: {doVecMove, doVecLoadAligned}, p66 | 0x28: {doVecMove, doVecLoadAligned},
	p66 | 0x6f: {doVecMove, doVecLoadAligned}, pF3 | 0x6f: {doVecMove, doVecLoad}, pF2 | 0xf0: {nil, doVecLoad},
	0x11: {nil, doVecStore}, p66 | 0x11: {nil, doVecStore}, 0x29: {nil, doVecStoreAligned}, p66 | 0x29: {nil, doVecStoreAligned},
	p66 | 0x7f: {nil, doVecStoreAligned}, pF3 | 0x7f: {nil, doVecStore},
	pF3 | 0x10: {nil, doVecLoadPart}, pF2 | 0x10: {nil, doVecLoadPart}, pF3 | 0x7e: {nil, doVecLoadPart}, p66 | 0x6e: {nil, doVecLoadPart},
	pF3 | 0x11: {nil, doVecStorePart}, pF2 | 0x11: {nil, doVecStorePart}, p66 | 0xd6: {nil, doVecStorePart}, p66 | 0x7e: {nil, doVecStorePart},
	0x57: {doVecXor, nil}, p66 | 0x57: {doVecXor, nil}, p66 | 0xef: {doVecXor, nil},
	pF2 | 0x58: {scalarStep(vector.Add64), nil}, pF2 | 0x5c: {scalarStep(vector.Subtract64), nil}, pF2 | 0x59: {scalarStep(vector.Multiply64), nil},
	pF2 | 0x5e: {scalarStep(vector.Divide64), nil},
}

func doVecMove(c *VCPU, o *op) bool {
	c.extended.XMM[o.d&15] = c.extended.XMM[o.s&15]
	return true
}

func doVecXor(c *VCPU, o *op) bool {
	d, s := &c.extended.XMM[o.d&15], &c.extended.XMM[o.s&15]
	d[0] ^= s[0]
	d[1] ^= s[1]
	return true
}

func doVecLoad(c *VCPU, o *op) bool {
	v, ok := c.loadVec(o)
	if ok {
		c.extended.XMM[o.d&15] = [2]uint64{v.Lo, v.Hi}
	}
	return ok
}

func doVecLoadAligned(c *VCPU, o *op) bool {
	if c.ea(o)%16 != 0 {
		return c.raise(x86.GeneralProtection)
	}
	return doVecLoad(c, o)
}

func doVecStore(c *VCPU, o *op) bool { return c.storeVec(c.ea(o), c.xmm(o.d)) }

func doVecStoreAligned(c *VCPU, o *op) bool {
	va := c.ea(o)
	if va%16 != 0 {
		return c.raise(x86.GeneralProtection)
	}
	return c.storeVec(va, c.xmm(o.d))
}

// doVecLoadPart clears what is above.
func doVecLoadPart(c *VCPU, o *op) bool {
	v, ok := c.load(c.ea(o), o.size)
	if ok {
		c.extended.XMM[o.d&15] = [2]uint64{v, 0}
	}
	return ok
}

func doVecStorePart(c *VCPU, o *op) bool { return c.store(c.ea(o), c.extended.XMM[o.d&15][0], o.size) }

// scalarStep is an operation on the low doubles of two registers.
func scalarStep(f func(u *vector.Unit, a, b uint64) uint64) func(*VCPU, *op) bool {
	return func(c *VCPU, o *op) bool {
		d := &c.extended.XMM[o.d&15]
		v := f(&c.sse, d[0], c.extended.XMM[o.s&15][0])
		if c.sse.Status != 0 && !c.signaled() {
			return false
		}
		d[0] = v
		return true
	}
}
