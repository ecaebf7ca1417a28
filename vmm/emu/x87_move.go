package emu

import (
	"encoding/binary"

	"github.com/wherry/wherry/vmm/x86"
)

func doFPULoad(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	v := x86.Indefinite
	if !c.fpu.lacks(o.s) {
		v = c.fpu.st(o.s)
	}
	return c.push80(o, v)
}

func doFPULoadMemory(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	f := &c.fpu
	if o.d != 0 || o.size == 10 {
		v, _, ok := c.loadFloat(o)
		return ok && c.push80(o, v)
	}
	m, ok := c.load(c.ea(o), o.size)
	if !ok {
		return false
	}
	v := f.env.Load(layout(o.size), m)
	if f.env.Status&x86.FloatDenormal != 0 && f.full>>((f.top-1)&7)&1 == 0 { // it is loaded even if that interrupts
		f.raised |= x86.FloatDenormal
		f.env.Status = 0
	}
	return c.push80(o, v)
}

func layout(size uint8) *x86.Layout {
	if size == 4 {
		return x86.Single
	}
	return x86.Double
}

// loadFloat reads a number in memory: a float of 4, 8 or 10 bytes, or a whole one (d is 1) of 2, 4 or 8. denormal says that it is one in its format.
func (c *VCPU) loadFloat(o *op) (v x86.Float80, denormal, ok bool) {
	va := c.ea(o)
	m, ok := c.load(va, min(o.size, 8))
	switch {
	case !ok:
		return x86.Float80{}, false, false
	case o.d == 1:
		return x86.OfInt80(extend(m, o.size)), false, true
	case o.size <= 8:
		l := layout(o.size)
		return x86.Widen(l, m), x86.IsDenormal(l, m), true
	}
	top, ok := c.load(va+8, 2)
	return x86.Float80{Mantissa: m, SignExponent: uint16(top)}, false, ok
}

func doFPUStore(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	f := &c.fpu
	if o.d != 0 && f.isEmpty(0) { // FSTP1 copies that too
		c.ended(o)
		f.full &^= 1 << ((f.top + o.s) & 7)
		f.pop(o.from)
		return true
	}
	v := x86.Indefinite
	if !f.lacks(0) {
		v = f.st(0)
	}
	return c.result(o, o.s, v, o.from)
}

func doFPUStoreMemory(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	f := &c.fpu
	v := x86.Indefinite
	if !f.lacks(0) {
		v = f.st(0)
	}
	switch {
	case o.d == 1:
		return c.storeFloat(o, uint64(f.env.Int80(v, o.size, f.env.Rounding)), 0)
	case o.size < 10:
		return c.storeFloat(o, f.env.Store(layout(o.size), v), 0)
	}
	return c.storeFloat(o, v.Mantissa, v.SignExponent)
}

// storeFloat writes an instruction's result to memory, of 10 bytes the last ones are high. A result that is out of its range isn't stored either, if that
// interrupts (Intel SDM volume 1, 8.5.4).
func (c *VCPU) storeFloat(o *op, low uint64, high uint16) bool {
	const outOfRange = x86.FloatOverflow | x86.FloatUnderflow
	f := &c.fpu
	status, codes, raised, ip := f.env.Status, f.codes, f.raised, f.ip
	if stored := c.ended(o); !stored || status&^f.env.Masks&outOfRange != 0 {
		f.raised = f.raised&^x86.FloatInexact | raised&x86.FloatInexact
		f.codes &^= codeC1
		return true
	}
	var ok bool
	if va := c.ea(o); o.size <= 8 {
		ok = c.store(va, low, o.size)
	} else {
		p := binary.LittleEndian.AppendUint64(make([]byte, 0, 16), low)
		ok = c.storeSlowly(va, binary.LittleEndian.AppendUint16(p, high))
	}
	if !ok && !c.changed {
		f.codes, f.raised, f.ip = codes, raised, ip
		return false
	}
	f.pop(o.from)
	return ok
}

// doFPUTruncate is FISTTP.
func doFPUTruncate(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	f := &c.fpu
	v := x86.Indefinite
	if !f.lacks(0) {
		v = f.st(0)
	}
	return c.storeFloat(o, uint64(f.env.Int80(v, o.size, x86.ToZero)), 0)
}

func doFPULoadBCD(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	low, ok := c.load(c.ea(o), 8)
	if !ok {
		return false
	}
	high, ok := c.load(c.ea(o)+8, 2)
	if !ok {
		return false
	}
	var b x86.BCD
	binary.LittleEndian.PutUint64(b[:], low)
	binary.LittleEndian.PutUint16(b[8:], uint16(high))
	return c.push80(o, x86.OfBCD(b))
}

func doFPUStoreBCD(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	f := &c.fpu
	v := x86.Indefinite
	if !f.lacks(0) {
		v = f.st(0)
	}
	b := f.env.StoreBCD(v)
	return c.storeFloat(o, binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint16(b[8:]))
}

func doFPUExchange(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	f := &c.fpu
	a, b := x86.Indefinite, x86.Indefinite
	if !f.isEmpty(0) {
		a = f.st(0)
	}
	if !f.isEmpty(o.s) {
		b = f.st(o.s)
	}
	f.lacks(0, o.s)
	if c.ended(o) {
		f.set(0, b)
		f.set(o.s, a)
	}
	return true
}

func doFPUConstant(c *VCPU, o *op) bool {
	return c.begin(o) && c.push80(o, c.fpu.env.Constant80(int(o.to)))
}

func doFPUTurn(by uint8) func(*VCPU, *op) bool {
	return func(c *VCPU, o *op) bool {
		if !c.begin(o) {
			return false
		}
		c.ended(o)
		c.fpu.top = (c.fpu.top + by) & 7
		return true
	}
}

// doFPUFree is FFREE and FFREEP.
func doFPUFree(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	c.ended(o)
	c.fpu.full &^= 1 << ((c.fpu.top + o.s) & 7)
	c.fpu.pop(o.from)
	return true
}

func doFPUMove(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	f := &c.fpu
	v := x86.Indefinite
	if !f.lacks(0, o.s) {
		if v = f.st(0); c.flags.cond(o.cond) {
			v = f.st(o.s)
		}
	}
	if c.kept(o) {
		f.set(0, v)
	}
	return true
}
