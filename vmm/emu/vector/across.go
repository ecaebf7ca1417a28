package vector

import (
	"math"

	"github.com/wherry/wherry/vmm/x86"
)

// across makes what instructions compute that move numbers from one half to the other, or whose numbers' width is VEX.W's.
var across = map[x86.Vector]func(in *x86.Inst) WideFunc{
	0x50: wideSigns(32), p66 | 0x50: wideSigns(64), p66 | 0xd7: wideSigns(8),
	p38 | 0x16: permute32, p38 | 0x36: permute32, p3A: permute64, p3A | 0x01: permute64, p3A | 0x06: permute128, p3A | 0x46: permute128,
	p38 | 0x18: broadcast(4), p38 | 0x19: broadcast(8), p38 | 0x1a: broadcast(16), p38 | 0x5a: broadcast(16),
	p38 | 0x58: broadcast(4), p38 | 0x59: broadcast(8), p38 | 0x78: broadcast(1), p38 | 0x79: broadcast(2),
	p3A | 0x18: insert128, p3A | 0x38: insert128, p3A | 0x19: extract128, p3A | 0x39: extract128,
	p3A | 0x16: func(in *x86.Inst) WideFunc {
		imm, size := uint8(in.Imm), in.From
		return func(_ *Unit, _, _, s Wide) Wide { return Wide{{Lo: Pick(s[0], imm, size)}} }
	},
	p38 | 0x45: shiftEach(right), p38 | 0x46: shiftEach(nil), p38 | 0x47: shiftEach(left),
	p38 | 0x13: ofHalves, p3A | 0x1d: toHalves,
}

// wideSigns is signs of both halves.
func wideSigns(width uint8) func(*x86.Inst) WideFunc {
	f := signs(width)
	return func(in *x86.Inst) WideFunc {
		if !in.Wide {
			return func(_ *Unit, _, _, s Wide) Wide { return Wide{f(Vec{}, s[0], 0)} }
		}
		return func(_ *Unit, _, _, s Wide) Wide {
			return Wide{{Lo: f(Vec{}, s[0], 0).Lo | f(Vec{}, s[1], 0).Lo<<(128/width)}}
		}
	}
}

// Number is the number of size bytes at i.
func (w *Wide) Number(i, size uint8) uint64 {
	at := int(i) * int(size)
	return cut(Pick(w[at>>4&1], i&(16/size-1), size), size)
}

// SetNumber replaces it.
func (w *Wide) SetNumber(i, size uint8, v uint64) {
	half := &w[int(i)*int(size)>>4&1]
	*half = insert(*half, v, i, size)
}

func permute32(*x86.Inst) WideFunc {
	return func(_ *Unit, _, a, s Wide) (r Wide) {
		for i := range uint8(8) {
			r.SetNumber(i, 4, s.Number(uint8(a.Number(i, 4)&7), 4))
		}
		return r
	}
}

func permute64(in *x86.Inst) WideFunc {
	imm := uint8(in.Imm)
	return func(_ *Unit, _, _, s Wide) (r Wide) {
		for i := range uint8(4) {
			r.SetNumber(i, 8, s.Number(imm>>(2*i)&3, 8))
		}
		return r
	}
}

func permute128(in *x86.Inst) WideFunc {
	imm := uint8(in.Imm)
	return func(_ *Unit, _, a, s Wide) (r Wide) {
		for i := range r {
			if by := imm >> (4 * i); by&8 == 0 {
				r[i] = [4]Vec{a[0], a[1], s[0], s[1]}[by&3]
			}
		}
		return r
	}
}

// broadcast fills X with a number of size bytes.
func broadcast(size uint8) func(*x86.Inst) WideFunc {
	return func(in *x86.Inst) WideFunc {
		return func(_ *Unit, _, _, s Wide) Wide {
			v := s[0]
			if size < 16 {
				v.Lo = cut(v.Lo, size)
				for have := size; have < 8; have *= 2 {
					v.Lo |= v.Lo << (have * 8)
				}
				v.Hi = v.Lo
			}
			if !in.Wide {
				return Wide{v}
			}
			return Wide{v, v}
		}
	}
}

func insert128(in *x86.Inst) WideFunc {
	at := in.Imm & 1
	return func(_ *Unit, _, a, s Wide) Wide {
		a[at] = s[0]
		return a
	}
}

func extract128(in *x86.Inst) WideFunc {
	at := in.Imm & 1
	return func(_ *Unit, _, _, s Wide) Wide { return Wide{s[at]} }
}

// shiftEach shifts each number by the one at its place; nil is to the right with the sign.
func shiftEach(how shift) func(*x86.Inst) WideFunc {
	return func(in *x86.Inst) WideFunc {
		width, how := in.From*8, how
		if how == nil {
			how = arithmetic(width)
		}
		f := lanes(width, func(a, n uint64) uint64 { return how(a, uint8(min(n, uint64(width)))) })
		if !in.Wide {
			return func(_ *Unit, _, a, s Wide) Wide { return Wide{f(a[0], s[0], 0)} }
		}
		return ofLanes(f, 0, 0)
	}
}

// ofHalves and toHalves are F16C's: from numbers of 16 bits and to them.
func ofHalves(in *x86.Inst) WideFunc {
	n := in.Size / 2
	return func(u *Unit, _, _, s Wide) (r Wide) {
		for i := range n {
			r.SetNumber(i, 4, u.OfHalf(s.Number(i, 2)))
		}
		return r
	}
}

func toHalves(in *x86.Inst) WideFunc {
	n, imm := in.Size/2, uint8(in.Imm)
	return func(u *Unit, _, _, s Wide) (r Wide) {
		rounding := u.Rounding
		if imm&4 == 0 {
			rounding = x86.Rounding(imm & 3)
		}
		for i := range n {
			r.SetNumber(i, 2, u.ToHalf(s.Number(i, 4), rounding))
		}
		return r
	}
}

// fused is FMA's: in the opcode the order of the operands is above, and below which signs are turned.
func fused(in *x86.Inst) WideFunc {
	kind, l := in.Vec&15, x86.Single
	size, n := in.From, uint8(16)
	if size == 8 {
		l = x86.Double
	}
	if in.Wide {
		n = 32
	}
	if n /= size; kind&1 != 0 && kind > 8 {
		n = 1
	}
	minusProduct := kind >= 12
	return func(u *Unit, d, a, s Wide) Wide {
		r := Wide{d[0]}
		for i := range n {
			old, second, third := d.Number(i, size), a.Number(i, size), s.Number(i, size)
			x, y, z := old, third, second // 132
			switch in.Vec & 0xf0 {
			case 0xa0: // 213
				x, y, z = second, old, third
			case 0xb0: // 231
				x, y, z = second, third, old
			}
			minusZ := kind&6 == 2 || kind >= 14
			if kind < 8 {
				minusZ = i&1 == uint8(kind&1)
			}
			r.SetNumber(i, size, u.multiplyAdd(l, x, y, z, minusProduct, minusZ))
		}
		return r
	}
}

// multiplyAdd is x·y+z, by the host where that is right and it is known already that a result was inexact once.
func (u *Unit) multiplyAdd(l *x86.Layout, x, y, z uint64, minusProduct, minusZ bool) uint64 {
	if plain, sure := u.plain(); l == x86.Double && plain && sure && fit64(x) && fit64(y) && fit64(z) {
		p, q, r := math.Float64frombits(x), math.Float64frombits(y), math.Float64frombits(z)
		if minusProduct {
			p = -p
		}
		if minusZ {
			r = -r
		}
		if b := math.Float64bits(math.FMA(p, q, r)); abs64(b)-2*normal64 < inf64-2*normal64 {
			return b
		}
	}
	return u.Fused(l, x, y, z, minusProduct, minusZ)
}
