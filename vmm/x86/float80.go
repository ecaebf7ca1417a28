package x86

import "math/bits"

// Float80 is a number of x87: a sign, 15 bits of exponent (biased by 16383) and 64 of mantissa, whose first bit is explicit.
type Float80 struct {
	Mantissa     uint64
	SignExponent uint16
}

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

// unpack takes f apart.
func (f Float80) unpack() number {
	n := number{class: finite, negative: f.negative(), m: f.Mantissa, exp: int(f.exponent()) - bias80}
	switch exp := f.exponent(); {
	case exp == 0 && f.Mantissa == 0:
		n.class = zero
	case exp == 0:
		shift := bits.LeadingZeros64(f.Mantissa)
		n.denormal, n.m, n.exp = true, f.Mantissa<<shift, lowest80-shift
	case f.Mantissa&integer == 0:
		n.class = signaling
	case exp == special && f.Mantissa == integer:
		n.class = infinite
	case exp == special && f.Mantissa&quiet80 != 0:
		n.class = quiet
	case exp == special:
		n.class = signaling
	}
	return n
}

// pack80 puts n together, which fits.
func pack80(n number) (f Float80) {
	switch n.class {
	case infinite:
		f = Float80{integer, special}
	case finite:
		f.Mantissa = n.m
		if n.m&integer != 0 {
			f.SignExponent = uint16(n.exp + bias80)
		}
	case quiet, signaling:
		return Indefinite
	}
	if n.negative {
		f.SignExponent |= sign80
	}
	return f
}

// extended is the format of x87's results.
func (a *FloatEnv) extended() format { return format{int(a.Digits), lowest80, bias80} }

// wide is the format where the control word's precision isn't looked at.
var wide = format{64, lowest80, bias80}

// nan is the result of an operation on x and y of which one is NaN: that one, the quiet one, the one with the larger mantissa, or the positive one (Intel SDM
// volume 1, table 4-7).
func (a *FloatEnv) nan(x, y Float80) Float80 {
	if x.IsNaN() && signals(x) || y.IsNaN() && signals(y) {
		a.Status |= FloatInvalid
	}
	switch {
	case x.meaningless() || y.meaningless():
		return Indefinite
	case !y.IsNaN():
		return x.Quiet()
	case !x.IsNaN():
		return y.Quiet()
	case signals(x) != signals(y):
		if signals(x) {
			return y
		}
		return x
	case x.Mantissa > y.Mantissa, x.Mantissa == y.Mantissa && !x.negative():
		return x.Quiet()
	}
	return y.Quiet()
}

// signals says that f, a NaN, is a signaling or a meaningless one.
func signals(f Float80) bool { return f.Mantissa&quiet80 == 0 || f.meaningless() }

// Calculate80 is x op y, in the precision of the control word.
func (a *FloatEnv) Calculate80(op FloatOp, x, y Float80) Float80 {
	if r, ok := a.quick(op, x, y); ok {
		return r
	}
	if x.IsNaN() || y.IsNaN() {
		return a.nan(x, y)
	}
	return pack80(a.round(a.calculate(op, x.unpack(), y.unpack()), a.extended()))
}

// Root80 is f's root.
func (a *FloatEnv) Root80(f Float80) Float80 { return a.Calculate80(FloatRoot, f, f) }

// Compare80 is x's order to y. loud says that it is invalid for any NaN, and not only for signaling ones.
func (a *FloatEnv) Compare80(x, y Float80, loud bool) Order {
	p, q := x.unpack(), y.unpack()
	order := compare(p, q)
	switch {
	case p.class == signaling || q.class == signaling || loud && order == Unordered:
		a.Status |= FloatInvalid
	case order != Unordered && (p.denormal || q.denormal):
		a.Status |= FloatDenormal
	}
	return order
}

// Round80 is f rounded to a whole number.
func (a *FloatEnv) Round80(f Float80) Float80 {
	n := f.unpack()
	switch {
	case n.nan():
		return a.nan(f, Zero)
	case n.class != finite:
		return f
	}
	if n.denormal {
		a.Status |= FloatDenormal
	}
	if n.exp >= 63 {
		return f
	}
	q, inexact, up := n.cut(63-n.exp, a.Rounding)
	if a.Up = up; inexact {
		a.Status |= FloatInexact
	}
	if q == 0 {
		return pack80(number{negative: n.negative})
	}
	return pack80(number{class: finite, negative: n.negative, exp: 63, m: q}.normal())
}

// Scale80 is f·2^n, n being g cut to a whole number.
func (a *FloatEnv) Scale80(f, g Float80) Float80 {
	if f.IsNaN() || g.IsNaN() {
		return a.nan(f, g)
	}
	x, y := f.unpack(), g.unpack()
	up := y.class == infinite && !y.negative
	down := y.class == infinite && y.negative
	switch {
	case down && x.class == infinite, up && x.class == zero:
		a.Status |= FloatInvalid
		return Indefinite
	}
	if x.denormal || y.denormal {
		a.Status |= FloatDenormal
	}
	switch {
	case down:
		return pack80(number{negative: x.negative})
	case up:
		return pack80(number{class: infinite, negative: x.negative})
	case x.class != finite || y.class == zero || y.exp < 0:
		return pack80(a.round(x, wide))
	}
	const far = 1 << 17 // beyond all exponents
	by := far
	if y.exp < 17 {
		by = int(y.m >> (63 - y.exp))
	}
	if y.negative {
		by = -by
	}
	x.exp += by
	return pack80(a.round(x, wide))
}

// Extract80 is f's exponent, as a number, and f with the exponent 0.
func (a *FloatEnv) Extract80(f Float80) (exponent, mantissa Float80) {
	n := f.unpack()
	switch {
	case n.nan():
		f = a.nan(f, Zero)
		return f, f
	case n.class == infinite:
		return f.Abs(), f
	case n.class == zero:
		a.Status |= FloatZeroDivide
		return Float80{integer, special | sign80}, f
	case n.denormal:
		a.Status |= FloatDenormal
	}
	exponent = pack80(ofInt(int64(n.exp)))
	n.exp = 0
	return exponent, pack80(n)
}

// Remainder80 is what FPREM and FPREM1 leave of x, divided by y: rest, and the last bits of the quotient. It makes less than 64 bits of the quotient's exponent at
// a time, and then isn't complete. nearest has the quotient rounded to nearest, and not towards 0.
func (a *FloatEnv) Remainder80(x, y Float80, nearest bool) (rest Float80, quotient uint64, complete bool) {
	if x.IsNaN() || y.IsNaN() {
		return a.nan(x, y), 0, true
	}
	p, q := x.unpack(), y.unpack()
	switch {
	case p.class == infinite || q.class == zero:
		a.Status |= FloatInvalid
		return Indefinite, 0, true
	case p.denormal || q.denormal:
		a.Status |= FloatDenormal
	}
	distance := p.exp - q.exp
	if p.class == zero || q.class == infinite || distance < 0 && !(nearest && distance == -1) {
		exact := FloatEnv{Masks: FloatExceptions} // x itself, which is no underflow
		return pack80(exact.round(p, wide)), 0, true
	}
	complete = distance < 64
	steps := distance
	if !complete {
		steps = 32 + distance%32 // Intel SDM volume 2, FPREM: a number from 32 to 63
	}
	r, over := p.m, false // over is the rest's 65th bit
	for i := 0; i <= steps; i++ {
		quotient <<= 1
		if over || r >= q.m {
			r -= q.m
			quotient |= 1
		}
		if i < steps {
			over = r&integer != 0
			r <<= 1
		}
	}
	result := number{class: finite, negative: p.negative, m: r, exp: p.exp - steps}
	if distance == -1 { // only compared with a half of y
		result = p
	}
	if nearest && complete {
		result, quotient = toNearest(result, q, quotient)
	}
	if result.m == 0 {
		return pack80(number{negative: p.negative}), quotient, complete
	}
	return pack80(a.round(result.normal(), wide)), quotient, complete
}

// toNearest takes y once more off r, which is less than y, if that leaves less, or as much and makes the quotient even.
func toNearest(r, y number, quotient uint64) (number, uint64) {
	if r.m == 0 {
		return r, quotient
	}
	r = r.normal()
	half := y
	half.exp--
	half.negative, y.negative = false, !r.negative
	size := r
	size.negative = false
	if o := compare(size, half); o == Greater || o == Equal && quotient&1 != 0 {
		r = sum(r, y)
		quotient++
	}
	return r, quotient
}

// constants are those of FLD1 and those after it, and whether they are larger than what they stand for.
var constants = [...]struct {
	value Float80
	side  int8 // 1: it is too large, -1: too small
}{{One, 0}, {Log2Of10, -1}, {Log2OfE, 1}, {Pi, 1}, {Log10Of2, 1}, {LogEOf2, 1}, {Zero, 0}}

// Constant80 is a number that an instruction loads, rounded as the control word says.
func (a *FloatEnv) Constant80(which int) Float80 {
	c := constants[which]
	switch {
	case c.side > 0 && (a.Rounding == Down || a.Rounding == ToZero):
		c.value.Mantissa--
	case c.side < 0 && a.Rounding == Up:
		c.value.Mantissa++
	}
	return c.value
}
