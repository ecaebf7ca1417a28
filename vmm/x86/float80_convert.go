package x86

import (
	"math"
	"math/bits"
)

// Order is how two numbers compare.
type Order int8

// The orders.
const (
	Less      Order = -1
	Equal     Order = 0
	Greater   Order = 1
	Unordered Order = 2
)

// Compare is f's order to g.
func (f Float80) Compare(g Float80) Order {
	switch {
	case f.IsNaN() || g.IsNaN():
		return Unordered
	case f.IsZero() && g.IsZero():
		return Equal
	case f.negative() != g.negative():
		if f.negative() {
			return Less
		}
		return Greater
	}
	order := Equal
	switch a, b := f.size(), g.size(); {
	case a != b && a < b, a == b && f.Mantissa < g.Mantissa:
		order = Less
	case a != b || f.Mantissa > g.Mantissa:
		order = Greater
	}
	if f.negative() {
		return -order
	}
	return order
}

// size is the exponent, which denormals share with the smallest normal numbers.
func (f Float80) size() uint16 { return max(f.exponent(), 1) }

// Of64 is the number with the bits of a double.
func Of64(b uint64) Float80 { return widen(b, 11, 52) }

// Of32 is the number with the bits of a single.
func Of32(b uint32) Float80 { return widen(uint64(b), 8, 23) }

// widen takes a number with so many bits of exponent and of mantissa.
func widen(b uint64, exponents, mantissas int) Float80 {
	top := uint64(1)<<exponents - 1
	exp, m := b>>mantissas&top, b&(1<<mantissas-1)<<(63-mantissas)
	f := Float80{Mantissa: m | integer}
	if b>>(exponents+mantissas)&1 != 0 {
		f.SignExponent = sign80
	}
	switch {
	case exp == top: // a signaling NaN stays one, until it is loaded or calculated with
		f.SignExponent |= special
	case exp == 0 && m == 0:
		f.Mantissa = 0
	case exp == 0:
		n := bits.LeadingZeros64(m)
		f.Mantissa = m << n
		f.SignExponent |= uint16(bias80 - int(top/2) + 1 - n)
	default:
		f.SignExponent |= uint16(bias80 - int(top/2) + int(exp))
	}
	return f
}

// OfInt is the number v.
func OfInt(v int64) Float80 {
	if v == 0 {
		return Zero
	}
	f := Float80{SignExponent: bias80 + 63}
	m := uint64(v)
	if v < 0 {
		f.SignExponent |= sign80
		m = -m
	}
	n := bits.LeadingZeros64(m)
	f.Mantissa, f.SignExponent = m<<n, f.SignExponent-uint16(n)
	return f
}

// Bits64 is f rounded to the bits of a double.
func (f Float80) Bits64(r Rounding) uint64 { return f.narrow(11, 52, r) }

// Bits32 is f rounded to the bits of a single.
func (f Float80) Bits32(r Rounding) uint32 { return uint32(f.narrow(8, 23, r)) }

func (f Float80) narrow(exponents, mantissas int, r Rounding) uint64 {
	top := uint64(1)<<exponents - 1
	sign := uint64(f.SignExponent>>15) << (exponents + mantissas)
	infinite := sign | top<<mantissas
	switch {
	case f.meaningless():
		f = Indefinite
		sign = 1 << (exponents + mantissas)
		fallthrough
	case f.IsNaN():
		return sign | top<<mantissas | (f.Mantissa|quiet80)&^integer>>(63-mantissas)
	case f.IsInf():
		return infinite
	case f.IsZero():
		return sign
	}
	p := f.parts()
	lowest := 1 - int(top/2)
	// With its explicit bit, q adds 1 to the exponent that it is put behind, and rounding up carries into it.
	q := p.round(63-mantissas+max(0, lowest-p.exp), r)
	packed := q
	if p.exp >= lowest {
		packed += uint64(p.exp-lowest) << mantissas
	}
	if p.exp > int(top/2) || packed >= top<<mantissas {
		if !r.overflows(p.negative) {
			return infinite - 1
		}
		return infinite
	}
	return sign | packed
}

// Int is f rounded to a number of size bytes; what doesn't fit is the lowest one.
func (f Float80) Int(size uint8, r Rounding) int64 {
	lowest := int64(math.MinInt64) >> (64 - size*8)
	if f.IsNaN() || f.IsInf() {
		return lowest
	}
	if f.IsZero() {
		return 0
	}
	p := f.parts()
	if p.exp > 63 {
		return lowest
	}
	q := p.round(63-p.exp, r)
	limit := uint64(1) << (size*8 - 1)
	switch {
	case p.exp == 63 && q == 0, q > limit, q == limit && !p.negative:
		return lowest
	case p.negative:
		return -int64(q)
	}
	return int64(q)
}

// Round is f rounded to a whole number.
func (f Float80) Round(r Rounding) Float80 {
	switch {
	case f.IsNaN():
		return nan(f, Zero)
	case f.IsInf() || f.IsZero():
		return f
	}
	p := f.parts()
	if p.exp >= 63 {
		return f
	}
	q := p.round(63-p.exp, r)
	if q == 0 {
		return zero(p.negative)
	}
	return parts{negative: p.negative, exp: 63, m: q}.normal().pack(r)
}

// Scale is f·2^n, n being g cut to a whole number.
func (f Float80) Scale(g Float80, r Rounding) Float80 {
	switch {
	case f.IsNaN() || g.IsNaN():
		return nan(f, g)
	case g.IsInf() && g.negative() && f.IsInf(), g.IsInf() && !g.negative() && f.IsZero():
		return Indefinite
	case g.IsInf() && g.negative():
		return Zero.signed(f, Zero)
	case g.IsInf():
		return Float80{integer, special}.signed(f, Zero)
	case f.IsInf() || f.IsZero():
		return f
	}
	const far = 1 << 17 // beyond all exponents
	p := f.parts()
	p.exp += int(max(-far, min(far, g.Int(8, ToZero))))
	if g.parts().exp >= 63 {
		p.exp = far
		if g.negative() {
			p.exp = -far
		}
	}
	return p.pack(r)
}
