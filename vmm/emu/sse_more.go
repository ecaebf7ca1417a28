package emu

import (
	"math"

	"github.com/wherry/wherry/vmm/x86"
)

// supplements are what SSE3 to SSE4.2 compute with whole numbers.
func supplements(t *[x86.Vectors]vecFunc) {
	t[pF2|0x12] = func(_, s vec, _ uint8) vec { return vec{s.lo, s.lo} }
	t[pF3|0x12] = func(_, s vec, _ uint8) vec { return vec{twice(s.lo), twice(s.hi)} }
	t[pF3|0x16] = func(_, s vec, _ uint8) vec { return vec{twice(s.lo >> 32), twice(s.hi >> 32)} }
	t[pF2|0xf0], t[p38|0x2a] = take, take
	t[p38|0x00] = shuffleBytes
	t[p38|0x01], t[p38|0x02], t[p38|0x03] = neighbours(16, add), neighbours(32, add), neighbours(16, plusSaturated)
	t[p38|0x05], t[p38|0x06], t[p38|0x07] = neighbours(16, subtract), neighbours(32, subtract), neighbours(16, minusSaturated)
	t[p38|0x04] = lanes(16, multiplyAddBytes)
	for i, width := range []uint8{8, 16, 32} {
		n := x86.Vector(i)
		t[p38|0x08+n] = signed(width, withSign)
		t[p38|0x1c+n] = signed(width, func(_, b int64) int64 { return max(b, -b) })
	}
	t[p38|0x0b] = signed(16, func(a, b int64) int64 { return (a*b>>14 + 1) >> 1 })
	t[p3A|0x0f] = func(d, s vec, imm uint8) vec { return align(d, s, imm, 16) }
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
func neighbours(width uint8, f func(a, b uint64) uint64) vecFunc {
	mask := uint64(1)<<width - 1
	half := func(a uint64) (r uint64) {
		for at := uint8(0); at < 64; at += 2 * width {
			r |= f(a>>at&mask, a>>(at+width)&mask) & mask << (at / 2)
		}
		return r
	}
	return func(d, s vec, _ uint8) vec { return vec{half(d.lo) | half(d.hi)<<32, half(s.lo) | half(s.hi)<<32} }
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

func shuffleBytes(d, s vec, _ uint8) vec {
	p, by := bytesOf(d), bytesOf(s)
	var r [16]byte
	for i, b := range by {
		if b < 0x80 {
			r[i] = p[b&15]
		}
	}
	return vecOf(r)
}

// align is PALIGNR: size bytes of d:s from the byte imm on.
func align(d, s vec, imm uint8, size int) vec {
	var all [48]byte
	p, q := bytesOf(s), bytesOf(d)
	copy(all[:], p[:size])
	copy(all[size:], q[:size])
	var r [16]byte
	if int(imm) < 2*size {
		copy(r[:size], all[imm:])
	}
	return vecOf(r)
}

// widened makes numbers of to bits of s's first ones, of from bits.
func widened(from, to uint8, withSign bool) vecFunc {
	return func(_, s vec, _ uint8) (r vec) {
		for i := range 128 / to {
			v := s.lo >> (i * from) & (1<<from - 1)
			if withSign {
				v = uint64(extend(v, from/8)) & (1<<to - 1)
			}
			if at := i * to; at < 64 {
				r.lo |= v << at
			} else {
				r.hi |= v << (at - 64)
			}
		}
		return r
	}
}

// leastWord is PHMINPOSUW: the least of s's words, and which it is.
func leastWord(_, s vec, _ uint8) vec {
	least, at := uint64(math.MaxUint64), 0
	for i := range 8 {
		half := s.lo
		if i >= 4 {
			half = s.hi
		}
		if v := half >> (i & 3 * 16) & 0xffff; v < least {
			least, at = v, i
		}
	}
	return vec{lo: least | uint64(at)<<16}
}

// sumsOfDifferences is MPSADBW: four bytes of s against those of d at eight places.
func sumsOfDifferences(d, s vec, imm uint8) vec {
	a, b := bytesOf(d), bytesOf(s)
	from, against := int(imm>>2&1*4), int(imm&3*4)
	var r vec
	for i := range 8 {
		sum := uint64(0)
		for j := range 4 {
			x, y := int(a[from+i+j]), int(b[against+j])
			sum += uint64(max(x-y, y-x))
		}
		if i < 4 {
			r.lo |= sum << (16 * i)
		} else {
			r.hi |= sum << (16 * (i - 4))
		}
	}
	return r
}

// choose takes from s where mask has a bit.
func choose(d, s, mask vec) vec {
	return vec{d.lo&^mask.lo | s.lo&mask.lo, d.hi&^mask.hi | s.hi&mask.hi}
}

// maskOf has all bits of those numbers of width bits whose bit is in imm.
func maskOf(imm, width uint8) (m vec) {
	ones := uint64(1)<<(width-1)<<1 - 1
	for i := range 64 / width {
		if imm>>i&1 != 0 {
			m.lo |= ones << (i * width)
		}
		if imm>>(i+64/width)&1 != 0 {
			m.hi |= ones << (i * width)
		}
	}
	return m
}

// blends are SSE4.1's that choose or pick. Those that choose by XMM0 have it in a step of their own.
func blends(t *[x86.Vectors]vecFunc) {
	for op, width := range map[x86.Vector]uint8{0x0c: 32, 0x0d: 64, 0x0e: 16} {
		t[p3A|op] = func(d, s vec, imm uint8) vec { return choose(d, s, maskOf(imm, width)) }
	}
	for op, size := range map[x86.Vector]uint8{0x14: 1, 0x15: 2, 0x17: 4} {
		t[p3A|op] = func(_, s vec, imm uint8) vec { return vec{lo: cut(pick(s, imm, size), size)} }
	}
	t[p3A|0x20] = func(d, s vec, imm uint8) vec { return insert(d, s.lo, imm, 1) }
	t[p3A|0x22] = func(d, s vec, imm uint8) vec { return insert(d, s.lo, imm, uint8(s.hi)) }
	t[p3A|0x21] = func(d, s vec, imm uint8) vec {
		return insert32(d, pick(s, imm>>6, 4)&math.MaxUint32, imm)
	}
}

// pick is the number of size bytes at i, and what is above it.
func pick(v vec, i, size uint8) uint64 {
	at := i * size & 15
	if at >= 8 {
		return v.hi >> (at & 7 * 8)
	}
	return v.lo >> (at * 8)
}

// insert replaces the number of size bytes at i.
func insert(d vec, v uint64, i, size uint8) vec {
	at := i * size & 15
	mask := cut(math.MaxUint64, size) << (at & 7 * 8)
	v = v << (at & 7 * 8) & mask
	if at >= 8 {
		return vec{d.lo, d.hi&^mask | v}
	}
	return vec{d.lo&^mask | v, d.hi}
}

// insert32 is INSERTPS, which also clears singles.
func insert32(d vec, v uint64, imm uint8) vec {
	return choose(insert(d, v, imm>>4&3, 4), vec{}, maskOf(imm&15, 32))
}

// testBits is PTEST.
func testBits(_ *VCPU, d, s vec) (f x86.Flags) {
	if d.lo&s.lo|d.hi&s.hi == 0 {
		f |= x86.ZF
	}
	if s.lo&^d.lo|s.hi&^d.hi == 0 {
		f |= x86.CF
	}
	return f
}

// horizontals are SSE3's and SSE4.1's sums of floats within a register, and those that look at XMM0.
func horizontals(t *[x86.Vectors]floatFunc) {
	upper := func(a uint64) uint32 { return uint32(a >> 32) }
	for op, f := range map[x86.Vector]float32s{0x7c: add32, 0x7d: subtract32} {
		pair := func(c *VCPU, a uint64) uint64 { return uint64(f(c, uint32(a), upper(a))) }
		t[pF2|op] = func(c *VCPU, d, s vec, _ uint8) vec {
			return vec{pair(c, d.lo) | pair(c, d.hi)<<32, pair(c, s.lo) | pair(c, s.hi)<<32}
		}
	}
	for op, f := range map[x86.Vector]float64s{0x7c: add64, 0x7d: subtract64} {
		t[p66|op] = func(c *VCPU, d, s vec, _ uint8) vec { return vec{f(c, d.lo, d.hi), f(c, s.lo, s.hi)} }
	}
	t[p66|0xd0] = func(c *VCPU, d, s vec, _ uint8) vec { return vec{subtract64(c, d.lo, s.lo), add64(c, d.hi, s.hi)} }
	turns := func(c *VCPU, a, b uint64) uint64 {
		return uint64(subtract32(c, uint32(a), uint32(b))) | uint64(add32(c, upper(a), upper(b)))<<32
	}
	t[pF2|0xd0] = func(c *VCPU, d, s vec, _ uint8) vec { return vec{turns(c, d.lo, s.lo), turns(c, d.hi, s.hi)} }
	t[p3A|0x40], t[p3A|0x41] = dotProduct32, dotProduct64
	for op, width := range map[x86.Vector]uint8{0x10: 8, 0x14: 32, 0x15: 64} {
		t[p38|op] = func(c *VCPU, d, s vec, _ uint8) vec {
			signs := signed(width, func(a, _ int64) int64 { return a >> 63 })(c.xmm(0), vec{}, 0)
			return choose(d, s, signs)
		}
	}
}

// stage ends a part of an operation that has several. It returns false if an exception interrupts: the next ones don't happen.
func (c *VCPU) stage() bool { return c.sse.Status&^c.sse.Masks == 0 }

// dotProduct32 is DPPS: products, their sums in pairs, and the sum of these (Intel SDM volume 2, DPPS).
func dotProduct32(c *VCPU, d, s vec, imm uint8) vec {
	var p [4]uint32
	for i := range p {
		if imm>>(4+i)&1 != 0 {
			p[i] = multiply32(c, uint32(number32(d, uint8(i))), uint32(number32(s, uint8(i))))
		}
	}
	if !c.stage() {
		return d
	}
	var pairs, sums [4]uint32
	for i := range p { // which operand is first matters where both are NaN: it is as Intel's processors do it
		pairs[i] = add32(c, p[i^1], p[i])
	}
	if !c.stage() {
		return d
	}
	for i := range p {
		sums[i] = add32(c, pairs[i], pairs[i^2])
	}
	sum := vec{uint64(sums[0]) | uint64(sums[1])<<32, uint64(sums[2]) | uint64(sums[3])<<32}
	return choose(vec{}, sum, maskOf(imm&15, 32))
}

func dotProduct64(c *VCPU, d, s vec, imm uint8) vec {
	var p vec
	if imm&0x10 != 0 {
		p.lo = multiply64(c, d.lo, s.lo)
	}
	if imm&0x20 != 0 {
		p.hi = multiply64(c, d.hi, s.hi)
	}
	if !c.stage() {
		return d
	}
	sum := vec{add64(c, p.lo, p.hi), add64(c, p.hi, p.lo)}
	return choose(vec{}, sum, maskOf(imm&3, 64))
}
