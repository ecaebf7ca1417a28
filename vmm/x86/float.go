package x86

import "math/bits"

// Layout is a format of numbers in memory and in XMM registers: so many bits of a sign, an exponent, and a mantissa without its first bit.
type Layout struct {
	format
	mantissa uint8 // bits
	top      uint64
}

// Single and Double are the formats of 32 and of 64 bits.
var (
	Single = &Layout{format{24, -126, 127}, 23, 0xff}
	Double = &Layout{format{53, -1022, 1023}, 52, 0x7ff}
)

// Sign is the bit of the sign.
func (l *Layout) Sign() uint64 { return (l.top + 1) << l.mantissa }

// Indefinite is the NaN that an invalid operation gives.
func (l *Layout) Indefinite() uint64 { return l.Sign() | l.top<<l.mantissa | l.quiet() }

func (l *Layout) quiet() uint64 { return 1 << (l.mantissa - 1) }

// unpack takes b apart.
func (l *Layout) unpack(b uint64) number {
	exp, m := int(b>>l.mantissa&l.top), b<<(63-l.mantissa)&^integer
	n := number{class: finite, negative: b&l.Sign() != 0, m: m | integer, exp: exp - l.highest}
	switch {
	case exp == int(l.top) && m == 0:
		n.class = infinite
	case exp == int(l.top) && b&l.quiet() != 0:
		n.class = quiet
	case exp == int(l.top):
		n.class = signaling
	case exp == 0 && m == 0:
		n.class = zero
	case exp == 0:
		shift := bits.LeadingZeros64(m)
		n.denormal, n.m, n.exp = true, m<<shift, l.lowest-shift
	}
	return n
}

// pack puts n together, which fits.
func (l *Layout) pack(n number) (b uint64) {
	if n.negative {
		b = l.Sign()
	}
	switch n.class {
	case infinite:
		b |= l.top << l.mantissa
	case finite:
		m := n.m >> (63 - l.mantissa)
		if n.m&integer != 0 {
			m += uint64(n.exp-l.lowest) << l.mantissa // with its first bit this is one more
		}
		b |= m
	case quiet, signaling:
		return l.Indefinite()
	}
	return b
}

// operand is b as SSE's instructions see it.
func (a *FloatEnv) operand(l *Layout, b uint64) number {
	n := l.unpack(b)
	if n.denormal && a.ZeroDenormals {
		n.class, n.denormal = zero, false
	}
	return n
}

// Calculate is x op y as SSE's instructions have it: of NaNs the first.
func (a *FloatEnv) Calculate(l *Layout, op FloatOp, x, y uint64) uint64 {
	p, q := a.operand(l, x), a.operand(l, y)
	if op == FloatRoot {
		p = q
		x = y
	}
	if p.nan() || q.nan() {
		if p.class == signaling || q.class == signaling {
			a.Status |= FloatInvalid
		}
		if p.nan() {
			return x | l.quiet()
		}
		return y | l.quiet()
	}
	return l.pack(a.round(a.calculate(op, p, q), l.format))
}

// Compare is x's order to y. loud says that it is invalid for any NaN, and not only for signaling ones.
func (a *FloatEnv) Compare(l *Layout, x, y uint64, loud bool) Order {
	p, q := a.operand(l, x), a.operand(l, y)
	order := compare(p, q)
	switch {
	case p.class == signaling || q.class == signaling || loud && order == Unordered:
		a.Status |= FloatInvalid
	case order != Unordered && (p.denormal || q.denormal):
		a.Status |= FloatDenormal
	}
	return order
}

// Convert makes a number of one format one of another.
func (a *FloatEnv) Convert(from, to *Layout, x uint64) uint64 {
	n := a.operand(from, x)
	if n.nan() {
		if n.class == signaling {
			a.Status |= FloatInvalid
		}
		m := n.m &^ integer >> (63 - to.mantissa)
		b := to.top<<to.mantissa | m | to.quiet()
		if n.negative {
			b |= to.Sign()
		}
		return b
	}
	if n.denormal {
		a.Status |= FloatDenormal
	}
	return to.pack(a.round(n, to.format))
}

// OfInt is the number v.
func (a *FloatEnv) OfInt(l *Layout, v int64) uint64 {
	return l.pack(a.round(ofInt(v), l.format))
}

func ofInt(v int64) number {
	if v == 0 {
		return number{}
	}
	n := number{class: finite, negative: v < 0, exp: 63, m: uint64(v)}
	if v < 0 {
		n.m = -n.m
	}
	return n.normal()
}

// Int is x rounded to a whole number of size bytes; what doesn't fit is the lowest one.
func (a *FloatEnv) Int(l *Layout, x uint64, size uint8, r Rounding) int64 {
	return a.int(a.operand(l, x), size, r)
}

func (a *FloatEnv) int(p number, size uint8, r Rounding) int64 {
	lowest := int64(-1) << (size*8 - 1)
	if p.class == zero {
		return 0
	}
	if p.class != finite || p.exp > 63 {
		a.Status |= FloatInvalid
		return lowest
	}
	q, inexact, up := p.cut(63-p.exp, r)
	limit := uint64(1) << (size*8 - 1)
	if p.exp == 63 && q == 0 || q > limit || q == limit && !p.negative {
		a.Status |= FloatInvalid
		return lowest
	}
	if inexact {
		a.Status |= FloatInexact
	}
	a.Up = up
	if p.negative {
		return -int64(q)
	}
	return int64(q)
}

// Whole is x rounded to a whole number in the same format. quietly says that it isn't told that something was lost.
func (a *FloatEnv) Whole(l *Layout, x uint64, r Rounding, quietly bool) uint64 {
	n := a.operand(l, x)
	switch {
	case n.class == signaling:
		a.Status |= FloatInvalid
		return x | l.quiet()
	case n.class != finite:
		if n.class == zero {
			return l.pack(n)
		}
		return x
	}
	w, inexact := n.whole(r)
	if inexact && !quietly {
		a.Status |= FloatInexact
	}
	return l.pack(w)
}

// whole is p, which is finite, rounded to a whole number.
func (p number) whole(r Rounding) (w number, inexact bool) {
	if p.exp >= 63 {
		return p, false
	}
	q, inexact, _ := p.cut(63-p.exp, r)
	if q == 0 {
		return number{negative: p.negative}, inexact
	}
	return number{class: finite, negative: p.negative, exp: 63, m: q}.normal(), inexact
}
