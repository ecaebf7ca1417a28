package x86

import "math/bits"

// quick is x op y where that is plain: both are normal, as is the result, to nearest with 64 digits. It isn't ok where it isn't.
func (a *FloatEnv) quick(op FloatOp, x, y Float80) (r Float80, ok bool) {
	p, q := x.SignExponent&special-1, y.SignExponent&special-1 // 0xffff where there was 0
	if x.Mantissa&y.Mantissa&integer == 0 || p >= special-1 || q >= special-1 || a.Digits != 64 || a.Rounding != ToNearest {
		return r, false
	}
	var high, low uint64
	var exp int
	sign := (x.SignExponent ^ y.SignExponent) & sign80
	switch op {
	case FloatMultiply:
		high, low = bits.Mul64(x.Mantissa, y.Mantissa)
		exp = int(p) + int(q) + 2 - bias80 + 1
		if high&integer == 0 {
			high, low, exp = high<<1|low>>63, low<<1, exp-1
		}
	case FloatDivide:
		exp = int(p) - int(q) + bias80
		high, low = x.Mantissa>>1, x.Mantissa<<63
		if x.Mantissa < y.Mantissa {
			high, low, exp = x.Mantissa, 0, exp-1
		}
		var left uint64
		high, left = bits.Div64(high, low, y.Mantissa)
		if low, left = bits.Div64(left, 0, y.Mantissa); left != 0 {
			low |= 1
		}
	case FloatSubtract:
		y.SignExponent ^= sign80
		sign ^= sign80
		fallthrough
	case FloatAdd:
		if high, low, exp, ok = quickSum(&x, &y, sign != 0); !ok {
			return r, false
		}
		sign = x.SignExponent & sign80
	default:
		return r, false
	}
	if exp < 1 || exp >= special-1 {
		return r, false
	}
	if a.Up = low > integer || low == integer && high&1 != 0; a.Up {
		if high++; high == 0 {
			high, exp = integer, exp+1
		}
	}
	if low != 0 {
		a.Status |= FloatInexact
	}
	return Float80{high, sign | uint16(exp)}, true
}

// quickSum has the larger one in x, whose sign is that of the sum.
func quickSum(x, y *Float80, differ bool) (high, low uint64, exp int, ok bool) {
	if y.exponent() > x.exponent() || y.exponent() == x.exponent() && y.Mantissa > x.Mantissa {
		*x, *y = *y, *x
	}
	exp = int(x.exponent())
	shift := uint(exp - int(y.exponent()))
	if shift >= 64 {
		return 0, 0, 0, false
	}
	add, rest := y.Mantissa>>shift, y.Mantissa<<(63-shift)<<1
	var carry uint64
	if !differ {
		if high, carry = bits.Add64(x.Mantissa, add, 0); carry != 0 {
			rest = high<<63 | rest>>1 | rest&1
			high, exp = high>>1|integer, exp+1
		}
		return high, rest, exp, true
	}
	low, carry = bits.Sub64(0, rest, 0)
	high, _ = bits.Sub64(x.Mantissa, add, carry)
	if high == 0 {
		return 0, 0, 0, false
	}
	n := bits.LeadingZeros64(high)
	return high<<n | low>>(63-n)>>1, low << n, exp - n, true
}
