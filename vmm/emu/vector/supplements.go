package vector

import (
	"math"

	"github.com/wherry/wherry/vmm/x86"
)

// supplements are what SSE3 to SSE4.2 compute with whole numbers.
func supplements(t *[x86.Vectors]Func) {
	t[pF2|0x12] = func(_, s Vec, _ uint8) Vec { return Vec{s.Lo, s.Lo} }
	t[pF3|0x12] = func(_, s Vec, _ uint8) Vec { return Vec{twice(s.Lo), twice(s.Hi)} }
	t[pF3|0x16] = func(_, s Vec, _ uint8) Vec { return Vec{twice(s.Lo >> 32), twice(s.Hi >> 32)} }
	t[pF2|0xf0], t[p38|0x2a] = take, take
	t[p38] = shuffleBytes
	t[p38|0x01], t[p38|0x02], t[p38|0x03] = neighbours(16, add), neighbours(32, add), neighbours(16, plusSaturated)
	t[p38|0x05], t[p38|0x06], t[p38|0x07] = neighbours(16, subtract), neighbours(32, subtract), neighbours(16, minusSaturated)
	t[p38|0x04] = lanes(16, multiplyAddBytes)
	for i, width := range []uint8{8, 16, 32} {
		n := x86.Vector(i)
		t[p38|0x08+n] = signed(width, withSign)
		t[p38|0x1c+n] = signed(width, func(_, b int64) int64 { return max(b, -b) })
	}
	t[p38|0x0b] = signed(16, func(a, b int64) int64 { return (a*b>>14 + 1) >> 1 })
	t[p3A|0x0f] = func(d, s Vec, imm uint8) Vec { return align(d, s, imm, 16) }
	t[p38|0x28] = lanes(64, func(a, b uint64) uint64 { return uint64(extend(a, 4) * extend(b, 4)) })
	t[p38|0x29] = lanes(64, equal)
	t[p38|0x2b] = pack(32, true)
	t[p38|0x37] = signed(64, greater)
	for i, from := range []uint8{8, 8, 8, 16, 16, 32} {
		n, to := x86.Vector(i), []uint8{16, 32, 64, 32, 64, 64}[i]
		t[p38|0x20+n], t[p38|0x30+n] = widened(from, to, true), widened(from, to, false)
	}
	least := func(a, b int64) int64 { return min(a, b) }
	greatest := func(a, b int64) int64 { return max(a, b) }
	t[p38|0x38], t[p38|0x39], t[p38|0x3c], t[p38|0x3d] = signed(8, least), signed(32, least), signed(8, greatest), signed(32, greatest)
	for op, width := range map[x86.Vector]uint8{0x3a: 16, 0x3b: 32} {
		t[p38|op] = lanes(width, func(a, b uint64) uint64 { return min(a, b) })
		t[p38|op+4] = lanes(width, func(a, b uint64) uint64 { return max(a, b) })
	}
	t[p38|0x40] = lanes(32, func(a, b uint64) uint64 { return a * b })
	t[p38|0x41] = leastWord
	t[p3A|0x42] = sumsOfDifferences
}

// twice is the low 32 bits, twice.
func twice(a uint64) uint64 { return a&math.MaxUint32 | a<<32 }

func plusSaturated(a, b uint64) uint64 { return uint64(saturate(extend(a, 2)+extend(b, 2), 16)) }

func minusSaturated(a, b uint64) uint64 { return uint64(saturate(extend(a, 2)-extend(b, 2), 16)) }

// neighbours applies f to neighbours in d, and then in s.
func neighbours(width uint8, f func(a, b uint64) uint64) Func {
	mask := uint64(1)<<width - 1
	half := func(a uint64) (r uint64) {
		for at := uint8(0); at < 64; at += 2 * width {
			r |= f(a>>at&mask, a>>(at+width)&mask) & mask << (at / 2)
		}
		return r
	}
	return func(d, s Vec, _ uint8) Vec { return Vec{half(d.Lo) | half(d.Hi)<<32, half(s.Lo) | half(s.Hi)<<32} }
}

// multiplyAddBytes takes a's bytes without and b's with a sign.
func multiplyAddBytes(a, b uint64) uint64 {
	return uint64(saturate(int64(a&0xff)*extend(b, 1)+int64(a>>8)*extend(b>>8, 1), 16))
}

// withSign is a, negated or zero as b is.
func withSign(a, b int64) int64 {
	switch {
	case b < 0:
		return -a
	case b == 0:
		return 0
	}
	return a
}

func shuffleBytes(d, s Vec, _ uint8) Vec {
	p, by := BytesOf(d), BytesOf(s)
	var r [16]byte
	for i, b := range by {
		if b < 0x80 {
			r[i] = p[b&15]
		}
	}
	return vecOf(r)
}

// align is PALIGNR: size bytes of d:s from the byte imm on.
func align(d, s Vec, imm uint8, size int) Vec {
	var all [48]byte
	p, q := BytesOf(s), BytesOf(d)
	copy(all[:], p[:size])
	copy(all[size:], q[:size])
	var r [16]byte
	if int(imm) < 2*size {
		copy(r[:size], all[imm:])
	}
	return vecOf(r)
}

// widened makes numbers of to bits of s's first ones, of from bits.
func widened(from, to uint8, withSign bool) Func {
	return func(_, s Vec, _ uint8) (r Vec) {
		for i := range 128 / to {
			v := s.Lo >> (i * from) & (1<<from - 1)
			if withSign {
				v = uint64(extend(v, from/8)) & (1<<to - 1)
			}
			if at := i * to; at < 64 {
				r.Lo |= v << at
			} else {
				r.Hi |= v << (at - 64)
			}
		}
		return r
	}
}

// leastWord is PHMINPOSUW: the least of s's words, and which it is.
func leastWord(_, s Vec, _ uint8) Vec {
	least, at := uint64(math.MaxUint64), 0
	for i := range 8 {
		half := s.Lo
		if i >= 4 {
			half = s.Hi
		}
		if v := half >> (i & 3 * 16) & 0xffff; v < least {
			least, at = v, i
		}
	}
	return Vec{Lo: least | uint64(at)<<16}
}

// sumsOfDifferences is MPSADBW: four bytes of s against those of d at eight places.
func sumsOfDifferences(d, s Vec, imm uint8) Vec {
	a, b := BytesOf(d), BytesOf(s)
	from, against := int(imm>>2&1*4), int(imm&3*4)
	var r Vec
	for i := range 8 {
		sum := uint64(0)
		for j := range 4 {
			x, y := int(a[from+i+j]), int(b[against+j])
			sum += uint64(max(x-y, y-x))
		}
		if i < 4 {
			r.Lo |= sum << (16 * i)
		} else {
			r.Hi |= sum << (16 * (i - 4))
		}
	}
	return r
}

// choose takes from s where mask has a bit.
func choose(d, s, mask Vec) Vec {
	return Vec{d.Lo&^mask.Lo | s.Lo&mask.Lo, d.Hi&^mask.Hi | s.Hi&mask.Hi}
}

// maskOf has all bits of those numbers of width bits whose bit is in imm.
func maskOf(imm, width uint8) (m Vec) {
	ones := uint64(1)<<(width-1)<<1 - 1
	for i := range 64 / width {
		if imm>>i&1 != 0 {
			m.Lo |= ones << (i * width)
		}
		if imm>>(i+64/width)&1 != 0 {
			m.Hi |= ones << (i * width)
		}
	}
	return m
}

// blends are SSE4.1's that choose or pick. Those that choose by XMM0 are ByXMM0's.
func blends(t *[x86.Vectors]Func) {
	for op, width := range map[x86.Vector]uint8{0x0c: 32, 0x0d: 64, 0x0e: 16} {
		t[p3A|op] = func(d, s Vec, imm uint8) Vec { return choose(d, s, maskOf(imm, width)) }
	}
	for op, size := range map[x86.Vector]uint8{0x14: 1, 0x15: 2, 0x17: 4} {
		t[p3A|op] = func(_, s Vec, imm uint8) Vec { return Vec{Lo: cut(Pick(s, imm, size), size)} }
	}
	t[p3A|0x20] = func(d, s Vec, imm uint8) Vec { return insert(d, s.Lo, imm, 1) }
	t[p3A|0x22] = func(d, s Vec, imm uint8) Vec { return insert(d, s.Lo, imm, uint8(s.Hi)) }
	t[p3A|0x21] = func(d, s Vec, imm uint8) Vec {
		return insert32(d, Pick(s, imm>>6, 4)&math.MaxUint32, imm)
	}
}

// Pick is the number of size bytes at i, and what is above it.
func Pick(v Vec, i, size uint8) uint64 {
	at := i * size & 15
	if at >= 8 {
		return v.Hi >> (at & 7 * 8)
	}
	return v.Lo >> (at * 8)
}

// insert replaces the number of size bytes at i.
func insert(d Vec, v uint64, i, size uint8) Vec {
	at := i * size & 15
	mask := cut(math.MaxUint64, size) << (at & 7 * 8)
	v = v << (at & 7 * 8) & mask
	if at >= 8 {
		return Vec{d.Lo, d.Hi&^mask | v}
	}
	return Vec{d.Lo&^mask | v, d.Hi}
}

// insert32 is INSERTPS, which also clears singles.
func insert32(d Vec, v uint64, imm uint8) Vec {
	return choose(insert(d, v, imm>>4&3, 4), Vec{}, maskOf(imm&15, 32))
}

// testBits is PTEST.
func testBits(_ *Unit, d, s Vec) (f x86.Flags) {
	if d.Lo&s.Lo|d.Hi&s.Hi == 0 {
		f |= x86.ZF
	}
	if s.Lo&^d.Lo|s.Hi&^d.Hi == 0 {
		f |= x86.CF
	}
	return f
}

// horizontals are SSE3's and SSE4.1's sums of floats within a register.
func horizontals(t *[x86.Vectors]FloatFunc) {
	upper := func(a uint64) uint32 { return uint32(a >> 32) }
	for op, f := range map[x86.Vector]float32s{0x7c: add32, 0x7d: subtract32} {
		pair := func(u *Unit, a uint64) uint64 { return uint64(f(u, uint32(a), upper(a))) }
		t[pF2|op] = func(u *Unit, d, s Vec, _ uint8) Vec {
			return Vec{pair(u, d.Lo) | pair(u, d.Hi)<<32, pair(u, s.Lo) | pair(u, s.Hi)<<32}
		}
	}
	for op, f := range map[x86.Vector]float64s{0x7c: Add64, 0x7d: Subtract64} {
		t[p66|op] = func(u *Unit, d, s Vec, _ uint8) Vec { return Vec{f(u, d.Lo, d.Hi), f(u, s.Lo, s.Hi)} }
	}
	t[p66|0xd0] = func(u *Unit, d, s Vec, _ uint8) Vec { return Vec{Subtract64(u, d.Lo, s.Lo), Add64(u, d.Hi, s.Hi)} }
	turns := func(u *Unit, a, b uint64) uint64 {
		return uint64(subtract32(u, uint32(a), uint32(b))) | uint64(add32(u, upper(a), upper(b)))<<32
	}
	t[pF2|0xd0] = func(u *Unit, d, s Vec, _ uint8) Vec { return Vec{turns(u, d.Lo, s.Lo), turns(u, d.Hi, s.Hi)} }
	t[p3A|0x40], t[p3A|0x41] = dotProduct32, dotProduct64
}

// ByXMM0 is what instructions compute that have XMM0 as a third operand: PBLENDVB and the like take from s where the mask's numbers have their upper bits. Of
// others it is nil.
func ByXMM0(key x86.Vector) func(d, s, xmm0 Vec) Vec {
	if key == x86.Vec38|0xcb {
		return sha256Rounds
	}
	width := map[x86.Vector]uint8{p38 | 0x10: 8, p38 | 0x14: 32, p38 | 0x15: 64}[key]
	if width == 0 {
		return nil
	}
	signs := signed(width, func(a, _ int64) int64 { return a >> 63 })
	return func(d, s, mask Vec) Vec { return choose(d, s, signs(mask, Vec{}, 0)) }
}

// stage ends a part of an operation that has several. It returns false if an exception interrupts: the next ones don't happen.
func (u *Unit) stage() bool {
	if u.Status&^u.Masks != 0 {
		return false
	}
	u.earlier |= u.Status
	u.Status = 0
	return true
}

// dotProduct32 is DPPS: products, their sums in pairs, and the sum of these (Intel SDM volume 2, DPPS).
func dotProduct32(u *Unit, d, s Vec, imm uint8) Vec {
	var p [4]uint32
	for i := range p {
		if imm>>(4+i)&1 != 0 {
			p[i] = multiply32(u, uint32(number32(d, uint8(i))), uint32(number32(s, uint8(i))))
		}
	}
	if !u.stage() {
		return d
	}
	var pairs, sums [4]uint32
	for i := range p { // which operand is first matters where both are NaN: it is as Intel's processors do it
		pairs[i] = add32(u, p[i^1], p[i])
	}
	if !u.stage() {
		return d
	}
	for i := range p {
		sums[i] = add32(u, pairs[i], pairs[i^2])
	}
	sum := Vec{uint64(sums[0]) | uint64(sums[1])<<32, uint64(sums[2]) | uint64(sums[3])<<32}
	return choose(Vec{}, sum, maskOf(imm&15, 32))
}

func dotProduct64(u *Unit, d, s Vec, imm uint8) Vec {
	var p Vec
	if imm&0x10 != 0 {
		p.Lo = Multiply64(u, d.Lo, s.Lo)
	}
	if imm&0x20 != 0 {
		p.Hi = Multiply64(u, d.Hi, s.Hi)
	}
	if !u.stage() {
		return d
	}
	sum := Vec{Add64(u, p.Lo, p.Hi), Add64(u, p.Hi, p.Lo)}
	return choose(Vec{}, sum, maskOf(imm&3, 64))
}
