package vector

import (
	"math"

	"github.com/wherry/wherry/vmm/x86"
)

const (
	p66 = x86.Vec66
	pF3 = x86.VecF3
	pF2 = x86.VecF2
	p38 = x86.Vec66 | x86.Vec38
	p3A = x86.Vec66 | x86.Vec3A
)

func take(_, s Vec, _ uint8) Vec { return s }

func takeLow(_, s Vec, _ uint8) Vec { return Vec{Lo: s.Lo} }

func takeHigh(_, s Vec, _ uint8) Vec { return Vec{Lo: s.Hi} }

// Funcs and Floats are what instructions compute, with registers. Of MMX, those are in it that don't do what SSE's do with the low half.
var (
	Funcs  = funcTable()
	Floats = floatTable()
)

// OfMemory is what they compute of memory where that is something else: loads clear the rest of a register.
var OfMemory = map[x86.Vector]Func{
	pF3 | 0x10: takeLow, pF2 | 0x10: takeLow, pF3 | 0x7e: takeLow, p66 | 0x6e: takeLow,
	0x12: func(d, s Vec, _ uint8) Vec { return Vec{s.Lo, d.Hi} },
	0x17: takeHigh, p66 | 0x17: takeHigh,
	pF3 | 0x11: take, pF2 | 0x11: take,
	p3A | 0x21: func(d, s Vec, imm uint8) Vec { return insert32(d, s.Lo, imm) },
}

// Shifts is by the group in ModRM.reg.
var Shifts = map[x86.Vector][8]Func{
	p66 | 0x71: {2: shiftByImm(16, right), 4: shiftByImm(16, arithmetic(16)), 6: shiftByImm(16, left)},
	p66 | 0x72: {2: shiftByImm(32, right), 4: shiftByImm(32, arithmetic(32)), 6: shiftByImm(32, left)},
	p66 | 0x73: {2: shiftByImm(64, right), 3: shiftBytes(false), 6: shiftByImm(64, left), 7: shiftBytes(true)},
}

// Flags are the instructions that set flags alone.
var Flags = map[x86.Vector]func(u *Unit, d, s Vec) x86.Flags{
	0x2e: comparison(4, false), 0x2f: comparison(4, true), p66 | 0x2e: comparison(8, false), p66 | 0x2f: comparison(8, true),
	p38 | 0x17: testBits,
}

func funcTable() (t [x86.Vectors]Func) {
	moves(&t)
	and, andNot := whole(func(a, b uint64) uint64 { return a & b }), whole(func(a, b uint64) uint64 { return ^a & b })
	or, xor := whole(func(a, b uint64) uint64 { return a | b }), whole(func(a, b uint64) uint64 { return a ^ b })
	t[0x54], t[0x55], t[0x56], t[0x57] = and, andNot, or, xor
	t[p66|0x54], t[p66|0x55], t[p66|0x56], t[p66|0x57] = and, andNot, or, xor
	t[p66|0xdb], t[p66|0xdf], t[p66|0xeb], t[p66|0xef] = and, andNot, or, xor
	shuffles(&t)
	integers(&t)
	quickLanes(&t)
	supplements(&t)
	blends(&t)
	crypto(&t)
	mmxFuncs(&t)
	return t
}

func floatTable() (t [x86.Vectors]FloatFunc) {
	for op, f := range map[x86.Vector]float32s{
		0x51: root32, 0x52: reciprocalRoot, 0x53: reciprocal, 0x58: add32, 0x59: multiply32, 0x5c: subtract32, 0x5d: extreme32(x86.Less), 0x5e: divide32,
		0x5f: extreme32(x86.Greater),
	} {
		t[op], t[pF3|op] = packed32(f), scalar32(f)
	}
	for op, f := range map[x86.Vector]float64s{
		0x51: root64, 0x58: Add64, 0x59: Multiply64, 0x5c: Subtract64, 0x5d: extreme64(x86.Less), 0x5e: Divide64, 0x5f: extreme64(x86.Greater),
	} {
		t[p66|op], t[pF2|op] = packed64(f), scalar64(f)
	}
	t[0xc2], t[pF3|0xc2] = predicate(8, packed32, nil), predicate(8, scalar32, nil)
	t[p66|0xc2], t[pF2|0xc2] = predicate(8, nil, packed64), predicate(8, nil, scalar64)
	floatConversions(&t)
	horizontals(&t)
	roundings(&t)
	return t
}

func moves(t *[x86.Vectors]Func) {
	for _, k := range []x86.Vector{
		0x10, p66 | 0x10, 0x28, p66 | 0x28, p66 | 0x6f, pF3 | 0x6f, 0x11, p66 | 0x11, 0x29, p66 | 0x29, p66 | 0x7f, pF3 | 0x7f,
		0x2b, p66 | 0x2b, p66 | 0xe7, 0x13, p66 | 0x13, 0x17, p66 | 0x17, p66 | 0x7e,
	} {
		t[k] = take
	}
	t[p66|0x6e], t[pF3|0x7e], t[p66|0xd6] = takeLow, takeLow, takeLow
	single := func(d, s Vec, _ uint8) Vec { return Vec{d.Lo&^math.MaxUint32 | s.Lo&math.MaxUint32, d.Hi} }
	double := func(d, s Vec, _ uint8) Vec { return Vec{s.Lo, d.Hi} }
	t[pF3|0x10], t[pF3|0x11], t[pF2|0x10], t[pF2|0x11] = single, single, double, double
	t[p66|0x12] = double
	t[0x12] = func(d, s Vec, _ uint8) Vec { return Vec{s.Hi, d.Hi} }
	t[0x16] = func(d, s Vec, _ uint8) Vec { return Vec{d.Lo, s.Lo} }
	t[p66|0x16] = t[0x16]
	t[0x50], t[p66|0x50] = signs(32), signs(64)
	t[p66|0xc4], t[p66|0xc5] = insertWord, extractWord
}

func shuffles(t *[x86.Vectors]Func) {
	t[0x14], t[0x15], t[p66|0x14], t[p66|0x15] = interleave(4, false), interleave(4, true), interleave(8, false), interleave(8, true)
	t[0xc6], t[p66|0xc6] = shuffle32, shuffle64
	t[p66|0x70] = func(_, s Vec, imm uint8) Vec { return shuffle32(s, s, imm) }
	t[pF3|0x70] = func(_, s Vec, imm uint8) Vec { return Vec{s.Lo, shuffleWords(s.Hi, imm)} }
	t[pF2|0x70] = func(_, s Vec, imm uint8) Vec { return Vec{shuffleWords(s.Lo, imm), s.Hi} }
	t[p66|0x63], t[p66|0x67], t[p66|0x6b] = pack(16, false), pack(16, true), pack(32, false)
}

func integers(t *[x86.Vectors]Func) {
	for i, width := range []uint8{16, 32, 64} {
		n := x86.Vector(i) + 1
		t[p66|0xd0+n], t[p66|0xf0+n] = shiftByVec(width, right), shiftByVec(width, left)
	}
	t[p66|0xec], t[p66|0xed], t[p66|0xe8], t[p66|0xe9] = addSaturated(8), addSaturated(16), subtractSaturated(8), subtractSaturated(16)
	t[p66|0xdd], t[p66|0xd9] = addUnsigned(16), subtractUnsigned(16)
	t[p66|0xd4], t[p66|0xfb] = lanes(64, add), lanes(64, subtract)
	t[p66|0xe1], t[p66|0xe2] = shiftByVec(16, arithmetic(16)), shiftByVec(32, arithmetic(32))
	t[p66|0xe0], t[p66|0xe3] = lanes(8, average), lanes(16, average)
	t[p66|0xea] = signed(16, func(a, b int64) int64 { return min(a, b) })
	t[p66|0xee] = signed(16, func(a, b int64) int64 { return max(a, b) })
	t[p66|0xd5] = lanes(16, func(a, b uint64) uint64 { return a * b })
	t[p66|0xe4] = lanes(16, func(a, b uint64) uint64 { return a * b >> 16 })
	t[p66|0xe5] = signed(16, func(a, b int64) int64 { return a * b >> 16 })
	t[p66|0xf4], t[p66|0xf5], t[p66|0xf6] = lanes(64, multiplyEven), lanes(32, multiplyAdd), lanes(64, sumOfDifferences)
}
