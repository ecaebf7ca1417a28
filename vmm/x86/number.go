package x86

import (
	"math"
	"math/bits"
)

// class is what kind of number a floating-point number is.
type class uint8

const (
	zero class = iota
	finite
	infinite
	quiet
	signaling // or, of x87, one of the encodings that mean nothing any more (Intel SDM volume 1, 8.2.2)
)

// number is a floating-point number of any format, taken apart: if it is finite ±m·2^(exp-63), with m's first bit set.
type number struct {
	class    class
	negative bool
	denormal bool // in the format that it comes from
	exp      int
	m        uint64
	rest     uint64 // what follows m; its last bit stands for all that follow it
}

func (n number) nan() bool { return n.class >= quiet }

// cut is m and what follows it, shifted to the right by n bits, as a whole number. It wraps around to 0 at 2^64. inexact says that something was lost, and up
// that the result's size is larger than the number's.
func (p number) cut(n int, r Rounding) (q uint64, inexact, up bool) {
	var fraction uint64
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
	inexact = fraction != 0 || sticky
	switch r {
	case ToNearest:
		up = fraction > half || fraction == half && (sticky || q&1 != 0)
	case Down:
		up = p.negative && inexact
	case Up:
		up = !p.negative && inexact
	}
	if up {
		q++
	}
	return q, inexact, up
}

// shifted is p with a larger exponent.
func (p number) shifted(n int) number {
	switch {
	case n == 0:
	case n < 64:
		lost := p.rest<<(64-n) != 0
		p.rest, p.m = p.m<<(64-n)|p.rest>>n, p.m>>n
		if lost {
			p.rest |= 1
		}
	case n < 128:
		lost := p.m<<(127-n)<<1 != 0 || p.rest != 0
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
func (p number) normal() number {
	if p.m == 0 {
		p.m, p.rest, p.exp = p.rest, 0, p.exp-64
	}
	n := bits.LeadingZeros64(p.m)
	p.m = p.m<<n | p.rest>>(63-n)>>1
	p.rest <<= n
	p.exp -= n
	return p
}

// sum is x+y of finite numbers, or the class zero. Of their rests at least one is 0, or both are short enough for nothing to be lost.
func sum(x, y number) number {
	if y.exp > x.exp || y.exp == x.exp && (y.m > x.m || y.m == x.m && y.rest > x.rest) {
		x, y = y, x
	}
	y = y.shifted(y.distance(x))
	if x.negative == y.negative {
		var carry uint64
		x.rest, carry = bits.Add64(x.rest, y.rest, 0)
		if x.m, carry = bits.Add64(x.m, y.m, carry); carry != 0 {
			x.rest = x.m<<63 | x.rest>>1 | x.rest&1
			x.m = x.m>>1 | integer
			x.exp++
		}
		return x
	}
	var borrow uint64
	x.rest, borrow = bits.Sub64(x.rest, y.rest, 0)
	x.m, _ = bits.Sub64(x.m, y.m, borrow)
	if x.m == 0 && x.rest == 0 {
		return number{}
	}
	return x.normal()
}

func (p number) distance(larger number) int { return larger.exp - p.exp }

// product is x·y of finite numbers.
func product(x, y number) number {
	p := number{class: finite, negative: x.negative != y.negative, exp: x.exp + y.exp + 1}
	p.m, p.rest = bits.Mul64(x.m, y.m)
	return p.normal()
}

// quotient is x/y of finite numbers.
func quotient(x, y number) number {
	p := number{class: finite, negative: x.negative != y.negative, exp: x.exp - y.exp}
	high, low := x.m>>1, x.m<<63
	if x.m < y.m {
		high, low = x.m, 0
		p.exp--
	}
	var left uint64
	p.m, left = bits.Div64(high, low, y.m)
	p.rest, left = bits.Div64(left, 0, y.m)
	if left != 0 {
		p.rest |= 1
	}
	return p
}

// root is the root of a positive finite number.
func root(p number) number {
	high, low := p.m>>1, p.m<<63 // m·2^63 or, to have an even exponent, m·2^64
	if p.exp&1 != 0 {
		high, low = p.m, 0
	}
	r, left, over := root128(high, low)
	p.exp >>= 1
	p.m, p.rest = r, 0
	switch {
	case over || left > r:
		p.rest = 3 << 62 // more than a half
	case left != 0:
		p.rest = 1 << 62
	}
	return p
}

// root128 is the whole root of a number whose root has 64 bits, and what is left of the number, which may have a bit more (over).
func root128(high, low uint64) (root, left uint64, over bool) {
	// The root of the upper half is right to about 52 bits; one step of Newton's method makes it right but for the last bits.
	guess := math.Sqrt(float64(high)) * (1 << 32)
	root = math.MaxUint64
	if guess < 1<<64 {
		root = max(uint64(guess), integer)
	}
	if high < root {
		q, _ := bits.Div64(high, low, root)
		half, carry := bits.Add64(root, q, 0)
		root = half>>1 | carry<<63
	}
	for {
		h, l := bits.Mul64(root, root)
		if h > high || h == high && l > low {
			root--
			continue
		}
		var borrow uint64
		left, borrow = bits.Sub64(low, l, 0)
		h, _ = bits.Sub64(high, h, borrow)
		if h > root>>63 || h == root>>63 && left > root<<1 { // (root+1)² is root² + 2·root + 1
			root++
			continue
		}
		return root, left, h != 0
	}
}

// compare is x's order to y.
func compare(x, y number) Order {
	switch {
	case x.nan() || y.nan():
		return Unordered
	case x.class == zero && y.class == zero:
		return Equal
	case x.class == zero:
		return order(y.negative)
	case y.class == zero || x.negative != y.negative:
		return order(!x.negative)
	case x.class == infinite && y.class == infinite:
		return Equal
	case x.class == infinite:
		return order(!x.negative)
	case y.class == infinite:
		return order(y.negative)
	case x.exp != y.exp:
		return order(x.exp > y.exp != x.negative)
	case x.m != y.m:
		return order(x.m > y.m != x.negative)
	}
	return Equal
}

func order(greater bool) Order {
	if greater {
		return Greater
	}
	return Less
}
