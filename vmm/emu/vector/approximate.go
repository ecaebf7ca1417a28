package vector

import "math"

// RCPPS and RSQRTPS are what Intel's processors have: of the operand's first digits the middle of where it may be, and the result of that with 12 digits. Others'
// are as near (Intel SDM volume 2: a relative error of at most 1.5·2^-12), and different.
const (
	quiet32            = 1 << 22
	approximateScale   = 1 << 13 // results are from 1/2 to 1, in units of 1/approximateScale
	reciprocalDigits   = 11
	rootDigits         = 10
	mantissa32         = 23
	bias32             = 127
	indefiniteSingle32 = 0xffc00000
)

// approximateSpecial is the result where b isn't a normal number.
func approximateSpecial(b uint32) (r uint32, special bool) {
	sign, size := b&(1<<31), abs32(b)
	switch {
	case size > inf32:
		return b | quiet32, true
	case size < normal32:
		return sign | inf32, true
	}
	return 0, false
}

// middle is the middle of the numbers from 1 to 2 that have the same first digits as b's mantissa.
func middle(b uint32, digits int) float64 {
	return 1 + (float64(b&(1<<mantissa32-1)>>(mantissa32-digits))+0.5)/float64(int(1)<<digits)
}

// approximated is r, from 1/2 to 1, times 2^exp.
func approximated(sign uint32, r float64, exp int) uint32 {
	r = math.Floor(r*approximateScale+0.5) / approximateScale
	bits := math.Float32bits(float32(r)) + uint32(exp)<<mantissa32
	if int(bits)>>mantissa32 <= 0 || bits >= inf32 {
		bits = 0 // no denormals
	}
	return sign | bits
}

func reciprocal(_ *Unit, _, b uint32) uint32 {
	if r, special := approximateSpecial(b); special {
		return r
	}
	sign, size := b&(1<<31), abs32(b)
	if size == inf32 {
		return sign
	}
	return approximated(sign, 1/middle(size, reciprocalDigits), bias32-int(size>>mantissa32))
}

func reciprocalRoot(_ *Unit, _, b uint32) uint32 {
	if r, special := approximateSpecial(b); special {
		return r
	}
	switch {
	case b>>31 != 0:
		return indefiniteSingle32
	case b == inf32:
		return 0
	}
	exp := int(b>>mantissa32) - bias32
	x := middle(b, rootDigits)
	if exp&1 != 0 {
		x *= 2
	}
	return approximated(0, 1/math.Sqrt(x), -(exp >> 1))
}
