package x86

import (
	"math"
	"math/bits"
)

// Float80 is a number of x87: a sign, 15 bits of exponent (biased by 16383) and 64 of mantissa, whose first bit is explicit.
//
// Its arithmetic is that of the processor with all exceptions masked. The flags of exceptions aren't kept.
type Float80 struct {
	Mantissa     uint64
	SignExponent uint16
}

// Rounding is a way to round: RC of the control word.
type Rounding uint8

// The ways to round.
const (
	ToNearest Rounding = iota
	Down
	Up
	ToZero
)

const (
	bias80   = 16383
	integer  = 1 << 63 // the mantissa's explicit bit
	quiet80  = 1 << 62
	special  = 0x7fff // the exponent of infinities and NaNs
	sign80   = 0x8000
	lowest80 = 1 - bias80 // the exponent of denormals
)

// Numbers that instructions load (Intel SDM volume 2, FLD1), to nearest.
var (
	Indefinite = Float80{integer | quiet80, sign80 | special}
	Zero       = Float80{}
	One        = Float80{integer, bias80}
	Log2Of10   = Float80{0xd49a784bcd1b8afe, 0x4000}
	Log2OfE    = Float80{0xb8aa3b295c17f0bc, 0x3fff}
	Pi         = Float80{0xc90fdaa22168c235, 0x4000}
	Log10Of2   = Float80{0x9a209a84fbcff799, 0x3ffd}
	LogEOf2    = Float80{0xb17217f7d1cf79ac, 0x3ffe}
)

func (f Float80) negative() bool { return f.SignExponent&sign80 != 0 }

func (f Float80) exponent() uint16 { return f.SignExponent & special }

// IsNaN reports whether f is a NaN, or one of the encodings that mean nothing any more (Intel SDM volume 1, 8.2.2).
func (f Float80) IsNaN() bool {
	switch f.exponent() {
	case special:
		return f.Mantissa != integer
	case 0:
		return false
	}
	return f.Mantissa&integer == 0
}

func (f Float80) meaningless() bool { return f.exponent() != 0 && f.Mantissa&integer == 0 }

// IsInf reports whether f is infinite.
func (f Float80) IsInf() bool { return f.exponent() == special && f.Mantissa == integer }

// IsZero reports whether f is 0 or -0.
func (f Float80) IsZero() bool { return f.Mantissa == 0 && f.exponent() == 0 }

// Neg is f with the other sign, whatever it is; Abs without one.
func (f Float80) Neg() Float80 { return Float80{f.Mantissa, f.SignExponent ^ sign80} }

// Abs is f without its sign.
func (f Float80) Abs() Float80 { return Float80{f.Mantissa, f.SignExponent &^ sign80} }

// Quiet is f, a NaN, as one that isn't signaling.
func (f Float80) Quiet() Float80 { return Float80{f.Mantissa | quiet80, f.SignExponent} }

// parts are those of a finite number that isn't 0: ±m·2^(exp-63), with m's first bit set.
type parts struct {
	negative bool
	exp      int
	m        uint64
	rest     uint64 // what follows m; its last bit stands for all that follow it
}

func (f Float80) parts() parts {
	exp := int(f.exponent()) - bias80
	if f.exponent() == 0 {
		exp = lowest80
	}
	shift := bits.LeadingZeros64(f.Mantissa)
	return parts{negative: f.negative(), exp: exp - shift, m: f.Mantissa << shift}
}

// round is m and what follows it, shifted to the right by n bits, as a whole number. It wraps around to 0 at 2^64.
func (p parts) round(n int, r Rounding) uint64 {
	var q, fraction uint64
	var sticky bool
	switch {
	case n == 0:
		q, fraction = p.m, p.rest
	case n < 64:
		q, fraction = p.m>>n, p.m<<(64-n)|p.rest>>n
		sticky = p.rest<<(64-n) != 0
	case n == 64:
		fraction, sticky = p.m, p.rest != 0
	default:
		fraction = p.m >> min(n-64, 63) >> max(0, min(n-64-63, 1))
		sticky = true
	}
	const half = 1 << 63
	up := false
	switch r {
	case ToNearest:
		up = fraction > half || fraction == half && (sticky || q&1 != 0)
	case Down:
		up = p.negative && (fraction != 0 || sticky)
	case Up:
		up = !p.negative && (fraction != 0 || sticky)
	}
	if up {
		q++
	}
	return q
}

// overflows is whether a number too large becomes infinite, and not the largest one.
func (r Rounding) overflows(negative bool) bool {
	return r == ToNearest || r == Down && negative || r == Up && !negative
}

// pack rounds p to a Float80.
func (p parts) pack(r Rounding) Float80 {
	n := max(0, lowest80-p.exp)
	m := p.round(n, r)
	exp := max(p.exp, lowest80) + bias80
	switch {
	case n == 0 && m == 0: // rounded up to the next power of 2
		m, exp = integer, exp+1
	case m&integer == 0:
		exp = 0 // denormal
	}
	f := Float80{m, uint16(exp)}
	if exp >= special {
		f = Float80{integer, special}
		if !r.overflows(p.negative) {
			f = Float80{math.MaxUint64, special - 1}
		}
	}
	if p.negative {
		f.SignExponent |= sign80
	}
	return f
}

// nan is the result of an operation on a and b of which one is NaN: that one, the one with the larger mantissa, or the positive one (Intel SDM volume
// 1, table 4-7).
func nan(a, b Float80) Float80 {
	switch {
	case a.meaningless() || b.meaningless():
		return Indefinite
	case !b.IsNaN():
		return a.Quiet()
	case !a.IsNaN():
		return b.Quiet()
	case signaling(a) != signaling(b):
		if signaling(a) {
			return b
		}
		return a
	case a.Mantissa > b.Mantissa, a.Mantissa == b.Mantissa && !a.negative():
		return a.Quiet()
	}
	return b.Quiet()
}

func signaling(f Float80) bool { return f.Mantissa&quiet80 == 0 }

// Add is f+g.
func (f Float80) Add(g Float80, r Rounding) Float80 {
	switch {
	case f.IsNaN() || g.IsNaN():
		return nan(f, g)
	case f.IsInf() && g.IsInf() && f != g:
		return Indefinite
	case f.IsInf():
		return f
	case g.IsInf():
		return g
	case f.IsZero() && g.IsZero():
		if f == g {
			return f
		}
		return zero(r == Down)
	case f.IsZero():
		return g.parts().pack(r)
	case g.IsZero():
		return f.parts().pack(r)
	}
	a, b := f.parts(), g.parts()
	if b.exp > a.exp || b.exp == a.exp && b.m > a.m {
		a, b = b, a
	}
	b = b.shifted(a.exp - b.exp)
	if a.negative == b.negative {
		var carry uint64
		a.rest = b.rest
		if a.m, carry = bits.Add64(a.m, b.m, 0); carry != 0 {
			a.rest = a.m<<63 | a.rest>>1 | a.rest&1
			a.m = a.m>>1 | integer
			a.exp++
		}
		return a.pack(r)
	}
	var borrow uint64
	a.rest, borrow = bits.Sub64(0, b.rest, 0)
	a.m, _ = bits.Sub64(a.m, b.m, borrow)
	if a.m == 0 && a.rest == 0 {
		return zero(r == Down)
	}
	return a.normal().pack(r)
}

// shifted is p with a larger exponent.
func (p parts) shifted(n int) parts {
	switch {
	case n == 0:
	case n < 64:
		p.rest, p.m = p.m<<(64-n), p.m>>n
	case n < 128:
		lost := p.m<<(127-n)<<1 != 0
		p.rest, p.m = p.m>>(n-64), 0
		if lost {
			p.rest |= 1
		}
	default:
		p.rest, p.m = 1, 0
	}
	p.exp += n
	return p
}

// normal moves the first bit to the front.
func (p parts) normal() parts {
	if p.m == 0 {
		p.m, p.rest, p.exp = p.rest, 0, p.exp-64
	}
	n := bits.LeadingZeros64(p.m)
	p.m = p.m<<n | p.rest>>(63-n)>>1
	p.rest <<= n
	p.exp -= n
	return p
}

func zero(negative bool) Float80 {
	if negative {
		return Float80{0, sign80}
	}
	return Zero
}

// Sub is f-g.
func (f Float80) Sub(g Float80, r Rounding) Float80 {
	if f.IsNaN() || g.IsNaN() {
		return nan(f, g)
	}
	return f.Add(g.Neg(), r)
}

// signed is f with the sign of a product or quotient of a and b.
func (f Float80) signed(a, b Float80) Float80 {
	f.SignExponent |= (a.SignExponent ^ b.SignExponent) & sign80
	return f
}

// Mul is f·g.
func (f Float80) Mul(g Float80, r Rounding) Float80 {
	switch {
	case f.IsNaN() || g.IsNaN():
		return nan(f, g)
	case f.IsInf() && g.IsZero() || f.IsZero() && g.IsInf():
		return Indefinite
	case f.IsInf() || g.IsInf():
		return Float80{integer, special}.signed(f, g)
	case f.IsZero() || g.IsZero():
		return Zero.signed(f, g)
	}
	a, b := f.parts(), g.parts()
	p := parts{negative: a.negative != b.negative, exp: a.exp + b.exp + 1}
	p.m, p.rest = bits.Mul64(a.m, b.m)
	return p.normal().pack(r)
}

// Div is f/g.
func (f Float80) Div(g Float80, r Rounding) Float80 {
	switch {
	case f.IsNaN() || g.IsNaN():
		return nan(f, g)
	case f.IsInf() && g.IsInf() || f.IsZero() && g.IsZero():
		return Indefinite
	case f.IsInf() || g.IsZero():
		return Float80{integer, special}.signed(f, g)
	case f.IsZero() || g.IsInf():
		return Zero.signed(f, g)
	}
	a, b := f.parts(), g.parts()
	p := parts{negative: a.negative != b.negative, exp: a.exp - b.exp}
	high, low := a.m>>1, a.m<<63
	if a.m < b.m {
		high, low = a.m, 0
		p.exp--
	}
	var left uint64
	p.m, left = bits.Div64(high, low, b.m)
	p.rest, left = bits.Div64(left, 0, b.m)
	if left != 0 {
		p.rest |= 1
	}
	return p.pack(r)
}

// Sqrt is f's root.
func (f Float80) Sqrt(r Rounding) Float80 {
	switch {
	case f.IsNaN():
		return nan(f, Zero)
	case f.IsZero():
		return f
	case f.negative():
		return Indefinite
	case f.IsInf():
		return f
	}
	p := f.parts()
	high, low := p.m>>1, p.m<<63 // m·2^63 or, to have an even exponent, m·2^64
	if p.exp&1 != 0 {
		high, low = p.m, 0
	}
	root, left, over := root128(high, low)
	p.exp >>= 1
	p.m, p.rest = root, 0
	switch {
	case over || left > root:
		p.rest = 3 << 62 // more than a half
	case left != 0:
		p.rest = 1 << 62
	}
	return p.pack(r)
}

// root128 is the whole root of a number whose root has 64 bits, and what is left of the number, which may have a bit more (over).
func root128(high, low uint64) (root, left uint64, over bool) {
	for bit := uint64(integer); bit != 0; bit >>= 1 {
		try := root | bit
		h, l := bits.Mul64(try, try)
		if h < high || h == high && l <= low {
			root = try
		}
	}
	h, l := bits.Mul64(root, root)
	left, borrow := bits.Sub64(low, l, 0)
	high, _ = bits.Sub64(high, h, borrow)
	return root, left, high != 0
}
