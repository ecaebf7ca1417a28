package x86

// Half is the format of 16 bits.
var Half = &Layout{format{11, -14, 15}, 10, 0x1f}

// Fused is x·y+z, rounded once, with the product's sign and z's turned. Of NaNs it is the first.
func (a *FloatEnv) Fused(l *Layout, x, y, z uint64, minusProduct, minusZ bool) uint64 {
	p, q, r := a.operand(l, x), a.operand(l, y), a.operand(l, z)
	if p.nan() || q.nan() || r.nan() {
		if p.class == signaling || q.class == signaling || r.class == signaling {
			a.Status |= FloatInvalid
		}
		for _, n := range [...]struct {
			nan  bool
			bits uint64
		}{{p.nan(), x}, {q.nan(), y}, {true, z}} {
			if n.nan {
				return n.bits | l.quiet()
			}
		}
	}
	s := multiply(p, q)
	if s.class == signaling {
		a.Status |= FloatInvalid
		return l.Indefinite()
	}
	s.negative, r.negative = s.negative != minusProduct, r.negative != minusZ
	if s = a.add(s, r); s.class == signaling {
		a.Status |= FloatInvalid
		return l.Indefinite()
	}
	if p.denormal || q.denormal || r.denormal {
		a.Status |= FloatDenormal
	}
	return l.pack(a.round(s, l.format))
}

// OfHalf is a half as a single, which always fits: that it is denormal is neither told nor looked at.
func (a *FloatEnv) OfHalf(x uint64) uint64 {
	b := FloatEnv{Masks: FloatExceptions}
	r := b.Convert(Half, Single, x)
	a.Status |= b.Status &^ FloatDenormal
	return r
}

// ToHalf is a single as a half, rounded so. Results may be denormal, whatever FlushToZero says.
func (a *FloatEnv) ToHalf(x uint64, r Rounding) uint64 {
	b := *a
	b.FlushToZero, b.Rounding = false, r
	h := b.Convert(Single, Half, x)
	a.Status |= b.Status
	return h
}
