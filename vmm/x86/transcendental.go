package x86

import "math/bits"

// Transcendental functions are computed with 128 digits and rounded once: to nearest, or as the control word says. The results of processors are within
// one unit in the last place of this (Intel SDM volume 1, 8.3.10), and mostly the same; the same on no two families of them.

// denormals notes denormal operands.
func (a *FloatEnv) denormals(of ...number) {
	for _, n := range of {
		if n.denormal {
			a.Status |= FloatDenormal
		}
	}
}

func (a *FloatEnv) invalid() Float80 {
	a.Status |= FloatInvalid
	return Indefinite
}

func infinity(negative bool) Float80 { return pack80(number{class: infinite, negative: negative}) }

func signedZero(negative bool) Float80 { return pack80(number{negative: negative}) }

// finish is r rounded.
func (a *FloatEnv) finish(r long) Float80 { return pack80(a.round(r.number(), wide)) }

// Power is 2^x-1, of x from -1 to 1: F2XM1.
func (a *FloatEnv) Power(x Float80) Float80 {
	n := x.unpack()
	switch {
	case n.nan():
		return a.nan(x, x)
	case n.class == infinite && n.negative:
		return One.Neg()
	case n.class != finite:
		return x
	case n.exp == 0 && n.m == integer && n.negative: // processors say that it is inexact
		a.Status |= FloatInexact
		return Float80{integer, bias80 - 1 | sign80}
	case n.exp >= 0: // 1; of more the result isn't defined
		a.Status |= FloatInexact
		return x
	}
	a.denormals(n)
	y := n.long().mul(longLogEOf2)
	return a.finish(y.mul(series(y, 30, func(n int) long { return factorials[n+1] })))
}

// logarithm is log2((1+s)/(1-s)).
func logarithm(s long) long {
	odd := series(s.mul(s), 28, func(n int) long { return reciprocals[2*n+1] })
	return s.mul(odd).mul(longLog2OfE).scaled(1)
}

// Logarithm is y·log2(x): FYL2X.
func (a *FloatEnv) Logarithm(x, y Float80) Float80 {
	if x.IsNaN() || y.IsNaN() {
		return a.nan(x, y)
	}
	p, q := x.unpack(), y.unpack()
	one := p.class == finite && p.exp == 0 && p.m == integer
	switch {
	case p.class != zero && p.negative, p.class == zero && q.class == zero, p.class == infinite && q.class == zero, one && q.class == infinite:
		return a.invalid()
	case p.class == zero && q.class == infinite:
		return infinity(!q.negative)
	case p.class == zero:
		a.Status |= FloatZeroDivide
		return infinity(!q.negative)
	}
	a.denormals(p, q)
	below := p.class == finite && p.exp < 0
	switch {
	case p.class == infinite || q.class == infinite:
		return infinity(q.negative != below)
	case q.class == zero || one:
		return signedZero(q.negative != below)
	}
	exp := p.exp
	if p.m == integer { // a power of 2
		return pack80(a.round(product(ofInt(int64(exp)), q), wide))
	}
	m := p.long()
	if m.exp = 0; !m.smaller(longRootOf2) {
		m.exp, exp = -1, exp+1
	}
	r := logarithm(m.add(longOne.neg()).div(m.add(longOne)))
	return a.finish(longOf(int64(exp)).add(r).mul(q.long()))
}

// LogarithmOfMore is y·log2(1+x), of x up to about ±0.3: FYL2XP1.
func (a *FloatEnv) LogarithmOfMore(x, y Float80) Float80 {
	if x.IsNaN() || y.IsNaN() {
		return a.nan(x, y)
	}
	p, q := x.unpack(), y.unpack()
	switch {
	case p.class == zero && q.class == infinite, p.class == infinite && (p.negative || q.class == zero):
		return a.invalid()
	}
	a.denormals(p, q)
	switch {
	case p.class == infinite || q.class == infinite:
		return infinity(p.negative != q.negative)
	case p.class == zero || q.class == zero:
		return signedZero(p.negative != q.negative)
	case p.negative && p.exp >= 0: // of these the result isn't defined
		a.Status |= FloatInexact
		return x
	}
	if s := p.long(); p.exp < -1 {
		return a.finish(logarithm(s.div(s.add(longOf(2)))).mul(q.long()))
	}
	m := p.long().add(longOne) // beyond what is defined: as FYL2X
	exp := m.exp
	if m.exp = 0; !m.smaller(longRootOf2) {
		m.exp, exp = -1, exp+1
	}
	r := logarithm(m.add(longOne.neg()).div(m.add(longOne)))
	return a.finish(longOf(int64(exp)).add(r).mul(q.long()))
}

// arcTangent is that of t, from 0 to 1.
func arcTangent(t long) long {
	var base long
	if !t.smaller(long{exp: -2, high: 0xd413cccfe7799211}) { // tan(π/8)
		base = longPi.scaled(-2)
		t = t.add(longOne.neg()).div(t.add(longOne))
	}
	return base.add(t.mul(series(t.mul(t), 45, func(n int) long {
		c := reciprocals[2*n+1]
		c.negative = n&1 != 0
		return c
	})))
}

// ArcTangent is the angle of the point (x, y): FPATAN.
func (a *FloatEnv) ArcTangent(x, y Float80) Float80 {
	if x.IsNaN() || y.IsNaN() {
		return a.nan(x, y)
	}
	p, q := x.unpack(), y.unpack()
	a.denormals(p, q)
	var r long
	switch {
	case q.class == zero || p.class == infinite && q.class != infinite:
		if !p.negative {
			return signedZero(q.negative)
		}
		r = longPi
	case p.class == infinite && p.negative:
		r = longPi.scaled(-1).add(longPi.scaled(-2))
	case p.class == infinite:
		r = longPi.scaled(-2)
	case q.class == infinite || p.class == zero:
		r = longPi.scaled(-1)
	default:
		r = angleOf(p, q)
	}
	r.negative = q.negative
	return a.finish(r)
}

// angleOf is that of finite numbers that aren't 0, without y's sign.
func angleOf(x, y number) long {
	p, q := x.long(), y.long()
	p.negative, q.negative = false, false
	var r long
	if q.smaller(p) {
		r = arcTangent(q.div(p))
	} else {
		r = longPi.scaled(-1).add(arcTangent(p.div(q)).neg())
	}
	if x.negative {
		r = longPi.add(r.neg())
	}
	return r
}

// The half of π that angles are reduced by has 66 digits (Intel SDM volume 1, 8.3.8), in units of 2^-65.
const (
	halfPiHigh = 3
	halfPiLow  = 0x243f6a8885a308d3
)

// angleMax is the exponent of angles that are too large.
const angleMax = 63

// reduced is the angle p, which is positive, less n times π/2: from -π/4 to π/4.
func reduced(p number) (r long, n uint64) {
	if p.exp < -1 {
		return p.long(), 0
	}
	var high, low uint64
	for i := 63 + 64; i >= 64-2-p.exp; i-- { // p's digits in units of 2^-65, then zeros
		high, low = high<<1|low>>63, low<<1
		if i >= 64 {
			low |= p.m >> (i - 64) & 1
		}
		n <<= 1
		if h, l := minusHalfPi(high, low); high > halfPiHigh || high == halfPiHigh && low >= halfPiLow {
			high, low = h, l
			n |= 1
		}
	}
	r = long{exp: 127 - 65, high: high, low: low}.normal()
	if half := (long{exp: 127 - 66, high: halfPiHigh, low: halfPiLow}).normal(); half.smaller(r) {
		r = r.add(half.scaled(1).neg())
		n++
	}
	return r, n
}

func minusHalfPi(high, low uint64) (h, l uint64) {
	l, borrow := bits.Sub64(low, halfPiLow, 0)
	h, _ = bits.Sub64(high, halfPiHigh, borrow)
	return h, l
}

func alternating(n, of int) long {
	c := factorials[of]
	c.negative = n&1 != 0
	return c
}

func sine(r long) long {
	return r.mul(series(r.mul(r), 18, func(n int) long { return alternating(n, 2*n+1) }))
}

func cosine(r long) long {
	return series(r.mul(r), 18, func(n int) long { return alternating(n, 2*n) })
}

// sineAndCosine are those of p, which is finite and not too large.
func sineAndCosine(p number) (s, c long) {
	negative := p.negative
	p.negative = false
	r, n := reduced(p)
	s, c = sine(r), cosine(r)
	if n&1 != 0 {
		s, c = c, s.neg()
	}
	if n&2 != 0 {
		s, c = s.neg(), c.neg()
	}
	if negative {
		s = s.neg()
	}
	return s, c
}

// angle looks whether an angle has a sine: ok says that it isn't too large, and done that the result isn't to be computed.
func (a *FloatEnv) angle(x Float80) (n number, result Float80, done, ok bool) {
	n = x.unpack()
	switch {
	case n.nan():
		return n, a.nan(x, x), true, true
	case n.class == infinite:
		return n, a.invalid(), true, true
	case n.class == finite && n.exp >= angleMax:
		return n, x, true, false
	}
	a.denormals(n)
	return n, x, n.class == zero, true
}

// Sine is x's sine. It isn't ok if x is too large.
func (a *FloatEnv) Sine(x Float80) (r Float80, ok bool) {
	n, r, done, ok := a.angle(x)
	if done {
		return r, ok
	}
	s, _ := sineAndCosine(n)
	return a.finish(s), true
}

// Cosine is x's cosine. It isn't ok if x is too large.
func (a *FloatEnv) Cosine(x Float80) (r Float80, ok bool) {
	n, r, done, ok := a.angle(x)
	if n.class == zero {
		return One, true
	}
	if done {
		return r, ok
	}
	_, c := sineAndCosine(n)
	return a.finish(c), true
}

// SineCosine is both.
func (a *FloatEnv) SineCosine(x Float80) (sine, cosine Float80, ok bool) {
	n, r, done, ok := a.angle(x)
	if n.class == zero {
		return r, One, true
	}
	if done {
		return r, r, ok
	}
	s, c := sineAndCosine(n)
	sine = a.finish(s)
	return sine, a.finish(c), true
}

// Tangent is x's tangent, and 1.
func (a *FloatEnv) Tangent(x Float80) (tangent, one Float80, ok bool) {
	n, r, done, ok := a.angle(x)
	if n.class == zero {
		return r, One, true
	}
	if done {
		return r, r, ok
	}
	s, c := sineAndCosine(n)
	return a.finish(s.div(c)), One, true
}
