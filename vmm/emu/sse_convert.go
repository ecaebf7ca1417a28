package emu

import (
	"math"

	"github.com/wherry/wherry/vmm/x86"
)

// toInt makes a whole number of a, of 4 or 8 bytes; what doesn't fit is the lowest one.
func (c *VCPU) toInt(l *x86.Layout, a uint64, size uint8, truncate bool) uint64 {
	if truncate && l == x86.Double && fit64(a) {
		f := math.Float64frombits(a)
		if i := int64(f); f > -1<<62 && f < 1<<62 && (size == 8 || int64(int32(i)) == i) {
			c.exact(float64(i) == f)
			return cut(uint64(i), size)
		}
	}
	r := c.sse.Rounding
	if truncate {
		r = x86.ToZero
	}
	return cut(uint64(c.sse.Int(l, a, size, r)), size)
}

// ofInt makes a float of v.
func (c *VCPU) ofInt(l *x86.Layout, v int64) uint64 {
	if f := float64(v); l == x86.Double && v > -1<<53 && v < 1<<53 && v != 0 {
		return math.Float64bits(f)
	}
	return c.sse.OfInt(l, v)
}

func (c *VCPU) widen(a uint32) uint64 { return c.sse.Convert(x86.Single, x86.Double, uint64(a)) }

func (c *VCPU) narrow(a uint64) uint64 { return c.sse.Convert(x86.Double, x86.Single, a) }

// ints32 makes four whole numbers of four floats.
func ints32(truncate bool) floatFunc {
	return packed32(func(c *VCPU, _, b uint32) uint32 { return uint32(c.toInt(x86.Single, uint64(b), 4, truncate)) })
}

// ints64 makes two whole numbers of two doubles, and zeros.
func ints64(truncate bool) floatFunc {
	return func(c *VCPU, _, s vec, _ uint8) vec {
		a := c.toInt(x86.Double, s.lo, 4, truncate)
		return vec{lo: a | c.toInt(x86.Double, s.hi, 4, truncate)<<32}
	}
}

func ofInt(v vec) int64 { return extend(v.lo, uint8(v.hi)) }

// low32 replaces d's lowest single.
func low32(d vec, v uint64) vec { return vec{d.lo&^math.MaxUint32 | v, d.hi} }

func floatConversions(t *[x86.Vectors]floatFunc) {
	t[pF3|0x2a] = func(c *VCPU, d, s vec, _ uint8) vec { return low32(d, c.ofInt(x86.Single, ofInt(s))) }
	t[pF2|0x2a] = func(c *VCPU, d, s vec, _ uint8) vec { return vec{c.ofInt(x86.Double, ofInt(s)), d.hi} }
	for op, truncate := range map[x86.Vector]bool{0x2c: true, 0x2d: false} {
		t[pF3|op] = func(c *VCPU, _, s vec, size uint8) vec {
			return vec{lo: c.toInt(x86.Single, uint64(uint32(s.lo)), size, truncate)}
		}
		t[pF2|op] = func(c *VCPU, _, s vec, size uint8) vec { return vec{lo: c.toInt(x86.Double, s.lo, size, truncate)} }
		t[op] = func(c *VCPU, _, s vec, _ uint8) vec { return vec{lo: ints32(truncate)(c, vec{}, vec{lo: s.lo}, 0).lo} } // MMX
		t[p66|op] = ints64(truncate)
	}
	t[0x2a] = func(c *VCPU, d, s vec, _ uint8) vec { // MMX
		return vec{c.ofInt(x86.Single, int64(int32(s.lo))) | c.ofInt(x86.Single, int64(int32(s.lo>>32)))<<32, d.hi}
	}
	t[0x5a] = func(c *VCPU, _, s vec, _ uint8) vec { return vec{c.widen(uint32(s.lo)), c.widen(uint32(s.lo >> 32))} }
	t[p66|0x5a] = func(c *VCPU, _, s vec, _ uint8) vec { return vec{lo: c.narrow(s.lo) | c.narrow(s.hi)<<32} }
	t[pF3|0x5a] = func(c *VCPU, d, s vec, _ uint8) vec { return vec{c.widen(uint32(s.lo)), d.hi} }
	t[pF2|0x5a] = func(c *VCPU, d, s vec, _ uint8) vec { return low32(d, c.narrow(s.lo)) }
	t[0x5b] = packed32(func(c *VCPU, _, b uint32) uint32 { return uint32(c.ofInt(x86.Single, int64(int32(b)))) })
	t[p66|0x5b], t[pF3|0x5b] = ints32(false), ints32(true)
	t[pF2|0xe6], t[p66|0xe6] = ints64(false), ints64(true)
	doubles := func(c *VCPU, _, s vec, _ uint8) vec {
		return vec{c.ofInt(x86.Double, int64(int32(s.lo))), c.ofInt(x86.Double, int64(int32(s.lo>>32)))}
	}
	t[pF3|0xe6], t[p66|0x2a] = doubles, doubles // the second of MMX
}

// roundings has ROUNDPS and the like: by the immediate, or as MXCSR says.
func roundings(t *[x86.Vectors]floatFunc) {
	round := func(c *VCPU, l *x86.Layout, a uint64, imm uint8) uint64 {
		r := c.sse.Rounding
		if imm&4 == 0 {
			r = x86.Rounding(imm & 3)
		}
		return c.sse.Whole(l, a, r, imm&8 != 0)
	}
	by32 := func(c *VCPU, s, imm uint64) uint64 { return round(c, x86.Single, s, uint8(imm)) }
	pair := func(c *VCPU, s uint64, imm uint8) uint64 {
		return by32(c, s&math.MaxUint32, uint64(imm)) | by32(c, s>>32, uint64(imm))<<32
	}
	t[p3A|0x08] = func(c *VCPU, _, s vec, imm uint8) vec { return vec{pair(c, s.lo, imm), pair(c, s.hi, imm)} }
	t[p3A|0x09] = func(c *VCPU, _, s vec, imm uint8) vec {
		return vec{round(c, x86.Double, s.lo, imm), round(c, x86.Double, s.hi, imm)}
	}
	t[p3A|0x0a] = func(c *VCPU, d, s vec, imm uint8) vec { return low32(d, by32(c, s.lo&math.MaxUint32, uint64(imm))) }
	t[p3A|0x0b] = func(c *VCPU, d, s vec, imm uint8) vec { return vec{round(c, x86.Double, s.lo, imm), d.hi} }
}
