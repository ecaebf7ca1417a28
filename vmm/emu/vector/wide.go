package vector

import (
	"math"

	"github.com/wherry/wherry/vmm/x86"
)

// Wide is a YMM register.
type Wide [2]Vec

// WideFunc computes what an instruction with VEX writes: of what is in X (or in the register of the immediate), of V, and of the last operand, which stores
// have in X. Other operands than registers are in s[0], of general registers s[0].Hi is the size. It looks at no more than the instruction's 128 bits, if that is
// what it has.
type WideFunc func(u *Unit, d, a, s Wide) Wide

// WideOf is what in computes, or nil if it doesn't compute.
func WideOf(in *x86.Inst) WideFunc {
	imm := uint8(in.Imm)
	switch {
	case in.VecShape == x86.VecXXVM:
		return fused(in)
	case in.VecShape == x86.VecXVMR:
		blend := ByXMM0([3]x86.Vector{p38 | 0x14, p38 | 0x15, p38 | 0x10}[in.Vec&0xff-0x4a])
		return func(_ *Unit, mask, a, s Wide) Wide {
			return Wide{blend(a[0], s[0], mask[0]), blend(a[1], s[1], mask[1])}
		}
	case across[in.Vec] != nil:
		return across[in.Vec](in)
	case in.VecShape == x86.VecVM:
		return ofLanes(Shifts[in.Vec][in.Reg&7], imm, imm)
	case in.VecShape == x86.VecGM && in.Vec&0xff != 0xc5:
		imm = in.From
	}
	f, float := Funcs[in.Vec], Floats[in.Vec]
	if special := OfMemory[in.Vec]; in.IsMem && special != nil {
		f = special
	}
	if wide := wideLanes[in.Vec]; wide != nil {
		f = wide
	}
	if in.Vec&0xff == 0xc2 {
		float = widePredicates[in.Vec]
	}
	second := imm >> laneImmediates[in.Vec]
	switch {
	case float != nil && in.Wide && narrowing[in.Vec]:
		return func(u *Unit, _, _, s Wide) Wide {
			low := float(u, Vec{}, s[0], imm)
			return Wide{{low.Lo, float(u, Vec{}, s[1], imm).Lo}}
		}
	case f == nil && float == nil:
		return nil
	case in.Wide && in.Size < 32 && in.VecShape == x86.VecXM: // each half of the operand becomes one of the result
		shift := in.Size / 2
		return func(u *Unit, _, a, s Wide) Wide {
			upper := Vec{Lo: Pick(s[0], 1, shift)}
			if f != nil {
				return Wide{f(Vec{}, s[0], imm), f(Vec{}, upper, imm)}
			}
			low := float(u, Vec{}, s[0], imm)
			return Wide{low, float(u, Vec{}, upper, imm)}
		}
	case float != nil && in.Wide && in.Size >= 32:
		return func(u *Unit, _, a, s Wide) Wide {
			low := float(u, a[0], s[0], imm)
			return Wide{low, float(u, a[1], s[1], second)}
		}
	case float != nil:
		return func(u *Unit, _, a, s Wide) Wide { return Wide{float(u, a[0], s[0], imm)} }
	case in.Wide && in.Size == 16: // shifts by a count
		return func(_ *Unit, _, a, s Wide) Wide { return Wide{f(a[0], s[0], imm), f(a[1], s[0], imm)} }
	case in.Wide && in.Size == 32:
		return ofLanes(f, imm, second)
	}
	return func(_ *Unit, _, a, s Wide) Wide { return Wide{f(a[0], s[0], imm)} }
}

// ofLanes does f with both halves.
func ofLanes(f Func, imm, second uint8) WideFunc {
	return func(_ *Unit, _, a, s Wide) Wide { return Wide{f(a[0], s[0], imm), f(a[1], s[1], second)} }
}

// laneImmediates is by how many bits the immediate goes on in the upper half, where that has other ones.
var laneImmediates = map[x86.Vector]uint8{p3A | 0x02: 4, p3A | 0x05: 2, p3A | 0x0c: 4, p3A | 0x0d: 2, p66 | 0xc6: 2, p3A | 0x42: 3}

// narrowing are conversions whose results are half as long as their operands.
var narrowing = map[x86.Vector]bool{p66 | 0x5a: true, p66 | 0xe6: true, pF2 | 0xe6: true}

// wideLanes are what SSE doesn't have, and half by half.
var wideLanes = map[x86.Vector]Func{
	p38 | 0x0c: func(a, s Vec, _ uint8) Vec {
		by := func(i uint64) uint64 { return number32(a, uint8(i&3)) }
		return Vec{by(s.Lo) | by(s.Lo>>32)<<32, by(s.Hi) | by(s.Hi>>32)<<32}
	},
	p38 | 0x0d: func(a, s Vec, _ uint8) Vec { return shuffle64(a, a, uint8(s.Lo>>1&1|s.Hi&2)) },
	p3A | 0x02: func(a, s Vec, imm uint8) Vec { return choose(a, s, maskOf(imm&15, 32)) },
	p3A | 0x04: func(_, s Vec, imm uint8) Vec { return shuffle32(s, s, imm) },
	p3A | 0x05: func(_, s Vec, imm uint8) Vec { return shuffle64(s, s, imm) },
}

// widePredicates are VCMPPS and the like, which have 32.
var widePredicates = map[x86.Vector]FloatFunc{
	0xc2: predicate(32, packed32, nil), pF3 | 0xc2: predicate(32, scalar32, nil), p66 | 0xc2: predicate(32, nil, packed64), pF2 | 0xc2: predicate(32, nil, scalar64),
}

// WideFlags is what instructions compute that set flags alone.
func WideFlags(in *x86.Inst) func(u *Unit, a, s Wide) x86.Flags {
	mask := uint64(math.MaxUint64)
	switch in.Vec {
	default:
		f := Flags[in.Vec]
		return func(u *Unit, a, s Wide) x86.Flags { return f(u, a[0], s[0]) }
	case p38 | 0x0e:
		mask = upper32
	case p38 | 0x0f:
		mask = 1 << 63
	case p38 | 0x17:
	}
	wide := in.Wide
	return func(_ *Unit, a, s Wide) x86.Flags {
		if !wide {
			a[1], s[1] = Vec{}, Vec{}
		}
		both, left := uint64(0), uint64(0)
		for i := range a {
			both |= a[i].Lo&s[i].Lo | a[i].Hi&s[i].Hi
			left |= s[i].Lo&^a[i].Lo | s[i].Hi&^a[i].Hi
		}
		var f x86.Flags
		if both&mask == 0 {
			f |= x86.ZF
		}
		if left&mask == 0 {
			f |= x86.CF
		}
		return f
	}
}
