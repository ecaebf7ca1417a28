package integer

import "math/bits"

// Divide is DIV of size bytes. It isn't ok if the quotient doesn't fit. Of less than 8 bytes the dividend is in low.
func Divide(high, low, by uint64, size uint8) (q, r uint64, ok bool) {
	if by == 0 || high >= by {
		return 0, 0, false
	}
	q, r = bits.Div64(high, low, by)
	return q, r, size == 8 || q>>(size*8) == 0
}

// DivideSigned is IDIV, by a number that is sign-extended.
func DivideSigned(high, low, by uint64, size uint8) (q, r uint64, ok bool) {
	if size < 8 {
		shift := 64 - size*16
		low = uint64(int64(low<<shift) >> shift)
		high = uint64(int64(low) >> 63)
	}
	negative := int64(high) < 0
	if negative {
		var borrow uint64
		low, borrow = bits.Sub64(0, low, 0)
		high, _ = bits.Sub64(0, high, borrow)
	}
	opposite := negative != (int64(by) < 0)
	if int64(by) < 0 {
		by = -by
	}
	if by == 0 || high >= by {
		return 0, 0, false
	}
	q, r = bits.Div64(high, low, by)
	limit := uint64(1) << (size*8 - 1) // the quotient's largest size: one more if it is negative
	if q > limit || q == limit && !opposite {
		return 0, 0, false
	}
	if opposite {
		q = -q
	}
	if negative {
		r = -r
	}
	return q, r, true
}

// SignedProduct is the whole product of two numbers.
func SignedProduct(a, b int64) (high, low uint64) {
	high, low = bits.Mul64(uint64(a), uint64(b))
	return high - uint64(a>>63)&uint64(b) - uint64(b>>63)&uint64(a), low
}

// ShiftDouble shifts n bits of s, at least one, into d, both of width bits. With 16 bits, counts above 16 are undefined: then the bits of d follow those of s.
// carry and overflow are the flags.
func ShiftDouble(d, s uint64, n, width uint8, left bool) (r uint64, carry, overflow bool) {
	if n > width {
		n -= width
		d, s = s, d
	}
	if left {
		r, carry = d<<n|s>>(width-n), d>>(width-n)&1 != 0
	} else {
		r, carry = d>>n|s<<(width-n), d>>(n-1)&1 != 0
	}
	return r, carry, (r^d)>>(width-1)&1 != 0
}
