package vector

import (
	"encoding/binary"
	"math/bits"
)

// lanes applies f to each pair of numbers of width bits.
func lanes(width uint8, f func(a, b uint64) uint64) Func {
	mask := uint64(1)<<width - 1
	half := func(a, b uint64) (r uint64) {
		for at := uint8(0); at < 64; at += width {
			r |= f(a>>at&mask, b>>at&mask) & mask << at
		}
		return r
	}
	if width == 64 {
		half = f
	}
	return func(d, s Vec, _ uint8) Vec { return Vec{half(d.Lo, s.Lo), half(d.Hi, s.Hi)} }
}

// signed is lanes of signed numbers.
func signed(width uint8, f func(a, b int64) int64) Func {
	size := width / 8
	return lanes(width, func(a, b uint64) uint64 { return uint64(f(extend(a, size), extend(b, size))) })
}

func whole(f func(a, b uint64) uint64) Func { return lanes(64, f) }

func add(a, b uint64) uint64 { return a + b }

func subtract(a, b uint64) uint64 { return a - b }

func equal(a, b uint64) uint64 { return -bit(a == b) }

func greater(a, b int64) int64 { return -int64(bit(a > b)) }

func average(a, b uint64) uint64 { return (a + b + 1) >> 1 }

// saturate bounds v to numbers of width bits.
func saturate(v int64, width uint8) int64 {
	limit := int64(1) << (width - 1)
	return min(max(v, -limit), limit-1)
}

func saturateUnsigned(v int64, width uint8) uint64 { return uint64(min(max(v, 0), 1<<width-1)) }

func addSaturated(width uint8) Func {
	return signed(width, func(a, b int64) int64 { return saturate(a+b, width) })
}

func subtractSaturated(width uint8) Func {
	return signed(width, func(a, b int64) int64 { return saturate(a-b, width) })
}

func addUnsigned(width uint8) Func {
	return lanes(width, func(a, b uint64) uint64 { return saturateUnsigned(int64(a+b), width) })
}

func subtractUnsigned(width uint8) Func {
	return lanes(width, func(a, b uint64) uint64 { return saturateUnsigned(int64(a-b), width) })
}

// shift is a shift of numbers of width bits by what how makes of a number and a count.
type shift func(a uint64, n uint8) uint64

func left(a uint64, n uint8) uint64 { return a << n }

func right(a uint64, n uint8) uint64 { return a >> n }

// shiftBy shifts by count, all bits at most.
func shiftBy(d Vec, width uint8, count uint64, how shift) Vec {
	n := uint8(min(count, uint64(width)))
	return lanes(width, func(a, _ uint64) uint64 { return how(a, n) })(d, Vec{}, 0)
}

// shiftByVec shifts by the number in the low half of s; shiftByImm by the immediate.
func shiftByVec(width uint8, how shift) Func {
	return func(d, s Vec, _ uint8) Vec { return shiftBy(d, width, s.Lo, how) }
}

func shiftByImm(width uint8, how shift) Func {
	return func(d, _ Vec, imm uint8) Vec { return shiftBy(d, width, uint64(imm), how) }
}

func arithmetic(width uint8) shift {
	return func(a uint64, n uint8) uint64 { return uint64(extend(a, width/8) >> min(n, width-1)) }
}

func BytesOf(v Vec) (p [16]byte) {
	binary.LittleEndian.PutUint64(p[:], v.Lo)
	binary.LittleEndian.PutUint64(p[8:], v.Hi)
	return p
}

func vecOf(p [16]byte) Vec {
	return Vec{binary.LittleEndian.Uint64(p[:]), binary.LittleEndian.Uint64(p[8:])}
}

// shiftBytes shifts all 16 bytes.
func shiftBytes(toLeft bool) Func {
	return func(d, _ Vec, imm uint8) Vec {
		p, n := BytesOf(d), int(min(imm, 16))
		var r [16]byte
		if toLeft {
			copy(r[n:], p[:])
		} else {
			copy(r[:], p[n:])
		}
		return vecOf(r)
	}
}

// interleave takes numbers of size bytes from the low or the high halves in turns.
func interleave(size int, high bool) Func {
	return func(d, s Vec, _ uint8) Vec {
		a, b := BytesOf(d), BytesOf(s)
		from := 0
		if high {
			from = 8
		}
		var r [16]byte
		for i := 0; i < 8; i += size {
			copy(r[2*i:], a[from+i:from+i+size])
			copy(r[2*i+size:], b[from+i:from+i+size])
		}
		return vecOf(r)
	}
}

// pack makes numbers of half the width of d's and s's, bounded.
func pack(width uint8, unsigned bool) Func {
	half := func(a uint64) (r uint64) {
		for at := uint8(0); at < 64; at += width {
			v := extend(a>>at, width/8)
			if unsigned {
				v = int64(saturateUnsigned(v, width/2))
			} else {
				v = saturate(v, width/2)
			}
			r |= cut(uint64(v), width/16) << (at / 2)
		}
		return r
	}
	return func(d, s Vec, _ uint8) Vec { return Vec{half(d.Lo) | half(d.Hi)<<32, half(s.Lo) | half(s.Hi)<<32} }
}

// shuffleWords picks four numbers of 16 bits of a by the immediate.
func shuffleWords(a uint64, imm uint8) (r uint64) {
	for i := range 4 {
		r |= a >> (imm >> (2 * i) & 3 * 16) & 0xffff << (16 * i)
	}
	return r
}

func number32(v Vec, i uint8) uint64 {
	if i&2 != 0 {
		v.Lo = v.Hi
	}
	return v.Lo >> (i & 1 * 32) & 0xffffffff
}

// shuffle32 takes two numbers of a and two of b.
func shuffle32(a, b Vec, imm uint8) Vec {
	return Vec{
		number32(a, imm&3) | number32(a, imm>>2&3)<<32,
		number32(b, imm>>4&3) | number32(b, imm>>6)<<32,
	}
}

func shuffle64(d, s Vec, imm uint8) Vec {
	r := Vec{d.Lo, s.Lo}
	if imm&1 != 0 {
		r.Lo = d.Hi
	}
	if imm&2 != 0 {
		r.Hi = s.Hi
	}
	return r
}

// signs collects the upper bits of numbers of width bits.
func signs(width uint8) Func {
	return func(_, s Vec, _ uint8) Vec {
		var r uint64
		for i := range 128 / width {
			half := s.Lo
			at := (i + 1) * width
			if at > 64 {
				half, at = s.Hi, at-64
			}
			r |= half >> (at - 1) & 1 << i
		}
		return Vec{Lo: r}
	}
}

func insertWord(d, s Vec, imm uint8) Vec {
	p := BytesOf(d)
	binary.LittleEndian.PutUint16(p[imm&7*2:], uint16(s.Lo))
	return vecOf(p)
}

func extractWord(_, s Vec, imm uint8) Vec {
	p := BytesOf(s)
	return Vec{Lo: uint64(binary.LittleEndian.Uint16(p[imm&7*2:]))}
}

func multiplyAdd(a, b uint64) uint64 {
	return uint64(extend(a, 2)*extend(b, 2) + extend(a>>16, 2)*extend(b>>16, 2))
}

func multiplyEven(a, b uint64) uint64 { return a & 0xffffffff * (b & 0xffffffff) }

func sumOfDifferences(a, b uint64) (r uint64) {
	for range 8 {
		x, y := int(a&0xff), int(b&0xff)
		r += uint64(max(x-y, y-x))
		a, b = bits.RotateLeft64(a, -8), bits.RotateLeft64(b, -8)
	}
	return r
}
