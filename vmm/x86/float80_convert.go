package x86

// Order is how two numbers compare.
type Order int8

// The orders.
const (
	Less      Order = -1
	Equal     Order = 0
	Greater   Order = 1
	Unordered Order = 2
)

// Load makes a Float80 of a number of another format.
func (a *FloatEnv) Load(l *Layout, b uint64) Float80 {
	if exp := b >> l.mantissa & l.top; exp-1 < l.top-1 { // normal
		f := Float80{integer | b<<(63-l.mantissa), uint16(int(exp) - l.highest + bias80)}
		if b&l.Sign() != 0 {
			f.SignExponent |= sign80
		}
		return f
	}
	n := l.unpack(b)
	if n.denormal {
		a.Status |= FloatDenormal
	}
	if !n.nan() {
		return pack80(n)
	}
	f := Widen(l, b)
	if n.class == signaling {
		a.Status |= FloatInvalid
	}
	return f.Quiet()
}

// Widen is Load of an operand: a signaling NaN stays one until it is calculated with, and nothing is told.
func Widen(l *Layout, b uint64) Float80 {
	n := l.unpack(b)
	if !n.nan() {
		return pack80(n)
	}
	f := Float80{n.m, special}
	if n.negative {
		f.SignExponent |= sign80
	}
	return f
}

// IsDenormal reports whether b is one in l's format.
func IsDenormal(l *Layout, b uint64) bool { return b>>l.mantissa&l.top == 0 && b&^l.Sign() != 0 }

// OfInt80 is the number v.
func OfInt80(v int64) Float80 { return pack80(ofInt(v)) }

// Store is f rounded to another format.
func (a *FloatEnv) Store(l *Layout, f Float80) uint64 {
	if exp := int(f.exponent()) - bias80 + l.highest; f.Mantissa&integer != 0 && exp > 0 && exp < int(l.top)-1 && a.Rounding == ToNearest {
		n := 63 - l.mantissa // normal, and it stays so
		q, rest := f.Mantissa>>n, f.Mantissa<<(64-n)
		if a.Up = rest > integer || rest == integer && q&1 != 0; a.Up {
			q++
		}
		if rest != 0 {
			a.Status |= FloatInexact
		}
		return uint64(exp-1)<<l.mantissa + q | l.Sign()*uint64(f.SignExponent>>15)
	}
	n := f.unpack()
	if !n.nan() {
		// A denormal doesn't count: it is an operand of nothing (Intel SDM volume 2, FST).
		return l.pack(a.round(n, l.format))
	}
	if n.class == signaling {
		a.Status |= FloatInvalid
	}
	if f.meaningless() {
		return l.Indefinite()
	}
	b := l.top<<l.mantissa | (f.Mantissa|quiet80)&^integer>>(63-l.mantissa)
	if n.negative {
		b |= l.Sign()
	}
	return b
}

// Int80 is f rounded to a number of size bytes; what doesn't fit is the lowest one.
func (a *FloatEnv) Int80(f Float80, size uint8, r Rounding) int64 { return a.int(f.unpack(), size, r) }

// BCD is a number of 18 decimal digits, two in a byte, and a sign.
type BCD [10]byte

const (
	digitsBCD = 18
	limitBCD  = 1_000_000_000_000_000_000
)

// indefiniteBCD is what an invalid operation stores.
var indefiniteBCD = BCD{7: 0xc0, 8: 0xff, 9: 0xff}

// OfBCD is the number b. Digits above 9 count as what they are.
func OfBCD(b BCD) Float80 {
	v := uint64(0)
	for i := digitsBCD/2 - 1; i >= 0; i-- {
		v = v*100 + uint64(b[i]>>4)*10 + uint64(b[i]&15)
	}
	f := OfInt80(int64(v))
	if b[9]&0x80 != 0 {
		f = f.Neg()
	}
	return f
}

// StoreBCD is f rounded to a whole number of 18 digits.
func (a *FloatEnv) StoreBCD(f Float80) (b BCD) {
	before := a.Status
	v := a.int(f.unpack(), 8, a.Rounding)
	if v >= limitBCD || v <= -limitBCD || (a.Status&^before)&FloatInvalid != 0 {
		a.Status, a.Up = before|FloatInvalid, false
		return indefiniteBCD
	}
	if f.negative() {
		b[9] = 0x80
		v = -v
	}
	for i := range digitsBCD / 2 {
		b[i] = byte(v%10 | v/10%10<<4)
		v /= 100
	}
	return b
}
