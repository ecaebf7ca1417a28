package x86

import "math/bits"

// long is a number with twice x87's digits, for what isn't exact: ±(high:low)·2^(exp-127), with high's first bit set, or 0. Its operations cut, and don't
// round: each is off by 2^-126 of its result at most.
type long struct {
	negative  bool
	exp       int
	high, low uint64
}

func (n number) long() long {
	if n.class != finite {
		return long{}
	}
	return long{n.negative, n.exp, n.m, n.rest}
}

// number is a to be rounded. As nothing that is computed with longs is exact, it isn't either.
func (a long) number() number {
	if a.high == 0 {
		return number{}
	}
	return number{class: finite, negative: a.negative, exp: a.exp, m: a.high, rest: a.low | 1}
}

func (a long) neg() long {
	a.negative = !a.negative
	return a
}

// scaled is a·2^n.
func (a long) scaled(n int) long {
	a.exp += n
	return a
}

func (a long) normal() long {
	if a.high == 0 {
		if a.high, a.low, a.exp = a.low, 0, a.exp-64; a.high == 0 {
			return long{}
		}
	}
	n := bits.LeadingZeros64(a.high)
	a.high = a.high<<n | a.low>>(63-n)>>1
	a.low <<= n
	a.exp -= n
	return a
}

func (a long) mul(b long) long {
	if a.high == 0 || b.high == 0 {
		return long{}
	}
	r := long{negative: a.negative != b.negative, exp: a.exp + b.exp + 1}
	var low, carry uint64
	r.high, low = bits.Mul64(a.high, b.high)
	x, _ := bits.Mul64(a.high, b.low)
	y, _ := bits.Mul64(a.low, b.high)
	low, carry = bits.Add64(low, x, 0)
	r.high += carry
	r.low, carry = bits.Add64(low, y, 0)
	r.high += carry
	return r.normal()
}

func (a long) smaller(b long) bool {
	switch {
	case a.high == 0 || b.high == 0:
		return b.high != 0
	case a.exp != b.exp:
		return a.exp < b.exp
	case a.high != b.high:
		return a.high < b.high
	}
	return a.low < b.low
}

func (a long) add(b long) long {
	if a.smaller(b) {
		a, b = b, a
	}
	shift := a.exp - b.exp
	switch {
	case b.high == 0:
		return a
	case shift > 127 && a.negative == b.negative:
		return a
	case shift > 127: // a little less than a
		b.high, b.low = 0, 1
	case shift >= 64:
		b.high, b.low = 0, b.high>>(shift-64)
	default:
		b.low = b.low>>shift | b.high<<(63-shift)<<1
		b.high >>= shift
	}
	var carry uint64
	if a.negative != b.negative {
		a.low, carry = bits.Sub64(a.low, b.low, 0)
		a.high, _ = bits.Sub64(a.high, b.high, carry)
		return a.normal()
	}
	a.low, carry = bits.Add64(a.low, b.low, 0)
	if a.high, carry = bits.Add64(a.high, b.high, carry); carry != 0 {
		a.low = a.low>>1 | a.high<<63
		a.high = a.high>>1 | integer
		a.exp++
	}
	return a
}

// div is a/b, bit by bit.
func (a long) div(b long) long {
	if a.high == 0 {
		return long{}
	}
	r := long{negative: a.negative != b.negative, exp: a.exp - b.exp}
	over := uint64(0)
	for i := 0; i < 128; i++ {
		low, borrow := bits.Sub64(a.low, b.low, 0)
		high, borrow := bits.Sub64(a.high, b.high, borrow)
		r.high, r.low = r.high<<1|r.low>>63, r.low<<1
		if over != 0 || borrow == 0 {
			a.high, a.low = high, low
			r.low |= 1
		}
		over = a.high >> 63
		a.high, a.low = a.high<<1|a.low>>63, a.low<<1
	}
	return r.normal()
}

func longOf(v int64) long { return ofInt(v).long() }

var longOne = longOf(1)

// seriesLength is how many terms series have at most.
const seriesLength = 48

// reciprocals are 1/n, and factorials 1/n!.
var reciprocals, factorials = func() (r, f [2 * seriesLength]long) {
	f[0] = longOne
	for n := 1; n < len(r); n++ {
		r[n] = longOne.div(longOf(int64(n)))
		f[n] = f[n-1].mul(r[n])
	}
	return r, f
}()

// series is c(0) + x·(c(1) + x·(…)), with so many terms.
func series(x long, terms int, c func(n int) long) long {
	var sum long
	for n := terms - 1; n >= 0; n-- {
		sum = sum.mul(x).add(c(n))
	}
	return sum
}

// Constants with 128 digits.
var (
	longLogEOf2 = long{exp: -1, high: 0xb17217f7d1cf79ab, low: 0xc9e3b39803f2f6af}
	longLog2OfE = longOne.div(longLogEOf2)
	longPi      = long{exp: 1, high: 0xc90fdaa22168c234, low: 0xc4c6628b80dc1cd1}
	longRootOf2 = long{exp: 0, high: 0xb504f333f9de6484, low: 0x597d89b3754abe9f}
)
