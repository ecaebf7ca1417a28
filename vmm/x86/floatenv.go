package x86

import "math"

// FloatStatus are the exceptions of floating-point operations, as MXCSR, the control and the status word have them (Intel SDM volume 1, 4.9.1).
type FloatStatus uint8

// The exceptions.
const (
	FloatInvalid FloatStatus = 1 << iota
	FloatDenormal
	FloatZeroDivide
	FloatOverflow
	FloatUnderflow
	FloatInexact
	FloatStack // of x87: a register that is empty, or isn't

	// FloatExceptions are those that can be masked.
	FloatExceptions = FloatStack - 1
)

// Rounding is a way to round: RC of the control words.
type Rounding uint8

// The ways to round.
const (
	ToNearest Rounding = iota
	Down
	Up
	ToZero
)

// overflows is whether a number too large becomes infinite, and not the largest one.
func (r Rounding) overflows(negative bool) bool {
	return r == ToNearest || r == Down && negative || r == Up && !negative
}

// FloatEnv is how operations round and what they do about exceptions, and which they had since Status was last cleared.
type FloatEnv struct {
	Rounding      Rounding
	Digits        uint8       // of x87's mantissas: 24, 53 or 64
	Masks         FloatStatus // the exceptions that don't interrupt
	ZeroDenormals bool        // of SSE: DAZ
	FlushToZero   bool        // of SSE: FTZ
	Status        FloatStatus
	Up            bool // the last result that was rounded is larger, by size, than what it was rounded from: C1
}

// format is what numbers a format has.
type format struct {
	digits          int // of the mantissa, with the first one
	lowest, highest int // exponents
}

// wrap is by what x87 moves the exponent of a result that is out of range if that interrupts (Intel SDM volume 1, 8.5.4 and 8.5.5).
const wrap = 24576

// round is p in format f. It is zero, infinite, or finite with m's first bit not set where it is denormal.
func (a *FloatEnv) round(p number, f format) number {
	if p.class != finite {
		return p
	}
	n := 64 - f.digits
	q, inexact, up := p.cut(n, a.Rounding)
	exp := p.exp
	if q == 0 || n > 0 && q>>f.digits != 0 { // rounded up to the next power of 2
		q, exp = 1<<(f.digits-1), exp+1
	}
	r := number{class: finite, negative: p.negative, exp: exp, m: q << n}
	switch {
	case exp > f.highest && a.Masks&FloatOverflow != 0:
		a.Status |= FloatOverflow | FloatInexact
		if a.Up = a.Rounding.overflows(p.negative); a.Up {
			r.class, r.m = infinite, integer
			return r
		}
		r.exp, r.m = f.highest, math.MaxUint64<<n
		return r
	case exp > f.highest:
		a.Status |= FloatOverflow
		if r.exp -= wrap; r.exp > f.highest { // of FSCALE
			r.class, r.m, inexact, up = infinite, integer, true, true
		}
	case exp < f.lowest && a.Masks&FloatUnderflow == 0:
		a.Status |= FloatUnderflow
		if r.exp += wrap; r.exp < f.lowest { // of FSCALE
			r.class, inexact, up = zero, true, false
		}
	case exp < f.lowest && a.FlushToZero:
		a.Status |= FloatUnderflow | FloatInexact
		r.class, a.Up = zero, false
		return r
	case exp < f.lowest:
		q, inexact, up = p.cut(n+f.lowest-p.exp, a.Rounding)
		r.m, r.exp = q<<n, f.lowest
		if inexact {
			a.Status |= FloatUnderflow
		}
		if q == 0 {
			r.class = zero
		}
	}
	if inexact {
		a.Status |= FloatInexact
	}
	a.Up = up
	return r
}

// FloatOp is an operation on two numbers; of FloatRoot on the second.
type FloatOp uint8

// The operations.
const (
	FloatAdd FloatOp = iota
	FloatSubtract
	FloatMultiply
	FloatDivide
	FloatRoot
)

// calculate is x op y of numbers that aren't NaNs, not rounded. If it is invalid, the result is signaling.
func (a *FloatEnv) calculate(op FloatOp, x, y number) number {
	var r number
	divided := false
	switch op {
	case FloatAdd:
		r = a.add(x, y)
	case FloatSubtract:
		y.negative = !y.negative
		r = a.add(x, y)
	case FloatMultiply:
		r = multiply(x, y)
	case FloatDivide:
		divided = y.class == zero
		r = a.divide(x, y)
	case FloatRoot:
		x = y
		switch {
		case y.class == zero:
			r = y
		case y.negative:
			r = number{class: signaling}
		case y.class == infinite:
			r = y
		default:
			r = root(y)
		}
	}
	switch {
	case r.class == signaling:
		a.Status |= FloatInvalid
	case (x.denormal || y.denormal) && !divided:
		a.Status |= FloatDenormal
	}
	return r
}

func (a *FloatEnv) add(x, y number) number {
	switch {
	case x.class == infinite && y.class == infinite && x.negative != y.negative:
		return number{class: signaling}
	case x.class == infinite:
		return x
	case y.class == infinite:
		return y
	case x.class == zero && y.class == zero && x.negative == y.negative:
		return x
	case x.class == zero && y.class == zero:
		return number{negative: a.Rounding == Down}
	case x.class == zero:
		return y
	case y.class == zero:
		return x
	}
	r := sum(x, y)
	if r.class == zero {
		r.negative = a.Rounding == Down
	}
	return r
}

func multiply(x, y number) number {
	negative := x.negative != y.negative
	switch {
	case x.class == infinite && y.class == zero || x.class == zero && y.class == infinite:
		return number{class: signaling}
	case x.class == infinite || y.class == infinite:
		return number{class: infinite, negative: negative}
	case x.class == zero || y.class == zero:
		return number{negative: negative}
	}
	return product(x, y)
}

func (a *FloatEnv) divide(x, y number) number {
	negative := x.negative != y.negative
	switch {
	case x.class == infinite && y.class == infinite || x.class == zero && y.class == zero:
		return number{class: signaling}
	case x.class == infinite:
		return number{class: infinite, negative: negative}
	case y.class == zero:
		a.Status |= FloatZeroDivide
		return number{class: infinite, negative: negative}
	case x.class == zero || y.class == infinite:
		return number{negative: negative}
	}
	return quotient(x, y)
}
