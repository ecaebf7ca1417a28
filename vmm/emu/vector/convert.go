package vector

import (
	"math"

	"github.com/wherry/wherry/vmm/x86"
)

// toInt makes a whole number of a, of 4 or 8 bytes; what doesn't fit is the lowest one.
func (u *Unit) toInt(l *x86.Layout, a uint64, size uint8, truncate bool) uint64 {
	if truncate && l == x86.Double && fit64(a) {
		f := math.Float64frombits(a)
		if i := int64(f); f > -1<<62 && f < 1<<62 && (size == 8 || int64(int32(i)) == i) {
			u.exact(float64(i) == f)
			return cut(uint64(i), size)
		}
	}
	r := u.Rounding
	if truncate {
		r = x86.ToZero
	}
	return cut(uint64(u.Int(l, a, size, r)), size)
}

// ofInt makes a float of v.
func (u *Unit) ofInt(l *x86.Layout, v int64) uint64 {
	if f := float64(v); l == x86.Double && v > -1<<53 && v < 1<<53 && v != 0 {
		return math.Float64bits(f)
	}
	return u.OfInt(l, v)
}

func (u *Unit) widen(a uint32) uint64 { return u.Convert(x86.Single, x86.Double, uint64(a)) }

func (u *Unit) narrow(a uint64) uint64 { return u.Convert(x86.Double, x86.Single, a) }

// ints32 makes four whole numbers of four floats.
func ints32(truncate bool) FloatFunc {
	return packed32(func(u *Unit, _, b uint32) uint32 { return uint32(u.toInt(x86.Single, uint64(b), 4, truncate)) })
}

// ints64 makes two whole numbers of two doubles, and zeros.
func ints64(truncate bool) FloatFunc {
	return func(u *Unit, _, s Vec, _ uint8) Vec {
		a := u.toInt(x86.Double, s.Lo, 4, truncate)
		return Vec{Lo: a | u.toInt(x86.Double, s.Hi, 4, truncate)<<32}
	}
}

func ofInt(v Vec) int64 { return extend(v.Lo, uint8(v.Hi)) }

// low32 replaces d's lowest single.
func low32(d Vec, v uint64) Vec { return Vec{d.Lo&^math.MaxUint32 | v, d.Hi} }

func floatConversions(t *[x86.Vectors]FloatFunc) {
	t[pF3|0x2a] = func(u *Unit, d, s Vec, _ uint8) Vec { return low32(d, u.ofInt(x86.Single, ofInt(s))) }
	t[pF2|0x2a] = func(u *Unit, d, s Vec, _ uint8) Vec { return Vec{u.ofInt(x86.Double, ofInt(s)), d.Hi} }
	for op, truncate := range map[x86.Vector]bool{0x2c: true, 0x2d: false} {
		t[pF3|op] = func(u *Unit, _, s Vec, size uint8) Vec {
			return Vec{Lo: u.toInt(x86.Single, uint64(uint32(s.Lo)), size, truncate)}
		}
		t[pF2|op] = func(u *Unit, _, s Vec, size uint8) Vec { return Vec{Lo: u.toInt(x86.Double, s.Lo, size, truncate)} }
		t[op] = func(u *Unit, _, s Vec, _ uint8) Vec { return Vec{Lo: ints32(truncate)(u, Vec{}, Vec{Lo: s.Lo}, 0).Lo} } // MMX
		t[p66|op] = ints64(truncate)
	}
	t[0x2a] = func(u *Unit, d, s Vec, _ uint8) Vec { // MMX
		return Vec{u.ofInt(x86.Single, int64(int32(s.Lo))) | u.ofInt(x86.Single, int64(int32(s.Lo>>32)))<<32, d.Hi}
	}
	t[0x5a] = func(u *Unit, _, s Vec, _ uint8) Vec { return Vec{u.widen(uint32(s.Lo)), u.widen(uint32(s.Lo >> 32))} }
	t[p66|0x5a] = func(u *Unit, _, s Vec, _ uint8) Vec { return Vec{Lo: u.narrow(s.Lo) | u.narrow(s.Hi)<<32} }
	t[pF3|0x5a] = func(u *Unit, d, s Vec, _ uint8) Vec { return Vec{u.widen(uint32(s.Lo)), d.Hi} }
	t[pF2|0x5a] = func(u *Unit, d, s Vec, _ uint8) Vec { return low32(d, u.narrow(s.Lo)) }
	t[0x5b] = packed32(func(u *Unit, _, b uint32) uint32 { return uint32(u.ofInt(x86.Single, int64(int32(b)))) })
	t[p66|0x5b], t[pF3|0x5b] = ints32(false), ints32(true)
	t[pF2|0xe6], t[p66|0xe6] = ints64(false), ints64(true)
	doubles := func(u *Unit, _, s Vec, _ uint8) Vec {
		return Vec{u.ofInt(x86.Double, int64(int32(s.Lo))), u.ofInt(x86.Double, int64(int32(s.Lo>>32)))}
	}
	t[pF3|0xe6], t[p66|0x2a] = doubles, doubles // the second of MMX
}

// roundings has ROUNDPS and the like: by the immediate, or as MXCSR says.
func roundings(t *[x86.Vectors]FloatFunc) {
	round := func(u *Unit, l *x86.Layout, a uint64, imm uint8) uint64 {
		r := u.Rounding
		if imm&4 == 0 {
			r = x86.Rounding(imm & 3)
		}
		return u.Whole(l, a, r, imm&8 != 0)
	}
	by32 := func(u *Unit, s, imm uint64) uint64 { return round(u, x86.Single, s, uint8(imm)) }
	pair := func(u *Unit, s uint64, imm uint8) uint64 {
		return by32(u, s&math.MaxUint32, uint64(imm)) | by32(u, s>>32, uint64(imm))<<32
	}
	t[p3A|0x08] = func(u *Unit, _, s Vec, imm uint8) Vec { return Vec{pair(u, s.Lo, imm), pair(u, s.Hi, imm)} }
	t[p3A|0x09] = func(u *Unit, _, s Vec, imm uint8) Vec {
		return Vec{round(u, x86.Double, s.Lo, imm), round(u, x86.Double, s.Hi, imm)}
	}
	t[p3A|0x0a] = func(u *Unit, d, s Vec, imm uint8) Vec { return low32(d, by32(u, s.Lo&math.MaxUint32, uint64(imm))) }
	t[p3A|0x0b] = func(u *Unit, d, s Vec, imm uint8) Vec { return Vec{round(u, x86.Double, s.Lo, imm), d.Hi} }
}
