package vector

import (
	"math"

	"github.com/wherry/wherry/vmm/x86"
)

// Numbers of 8, 16 and 32 bits can be handled 64 bits at a time: upper has the upper bits of them all.
const (
	upper8  = 0x8080808080808080
	upper16 = 0x8000800080008000
	upper32 = 0x8000000080000000
)

var uppers = map[uint8]uint64{8: upper8, 16: upper16, 32: upper32}

func addLanes(a, b, upper uint64) uint64 { return (a&^upper + b&^upper) ^ (a^b)&upper }

func subtractLanes(a, b, upper uint64) uint64 { return (a | upper - b&^upper) ^ (a^^b)&upper }

// fullLanes has all bits of those numbers whose upper bit is in m, of width bits.
func fullLanes(m uint64, width uint8) uint64 { return m | (m - m>>(width-1)) }

// equalLanes has all bits of those numbers that are the same.
func equalLanes(a, b, upper uint64, width uint8) uint64 {
	x := a ^ b
	return fullLanes(^((x&^upper+^upper)|x)&upper, width)
}

// lessLanes has all bits of those numbers of a, without signs, that are less than b's: those that borrow.
func lessLanes(a, b, upper uint64, width uint8) uint64 {
	d := subtractLanes(a, b, upper)
	return fullLanes((^a&b|^(a^b)&d)&upper, width)
}

// quickLanes replaces functions of numbers by ones of 64 bits at a time.
func quickLanes(t *[x86.Vectors]Func) {
	for i, width := range []uint8{8, 16, 32} {
		n, upper := x86.Vector(i), uppers[width]
		t[p66|0xfc+n] = whole(func(a, b uint64) uint64 { return addLanes(a, b, upper) })
		t[p66|0xf8+n] = whole(func(a, b uint64) uint64 { return subtractLanes(a, b, upper) })
		t[p66|0x74+n] = whole(func(a, b uint64) uint64 { return equalLanes(a, b, upper, width) })
		t[p66|0x64+n] = whole(func(a, b uint64) uint64 { return lessLanes(b^upper, a^upper, upper, width) })
	}
	least := func(a, b uint64) uint64 { return b ^ (a^b)&lessLanes(a, b, upper8, 8) }
	t[p66|0xda] = whole(least)
	t[p66|0xde] = whole(func(a, b uint64) uint64 { return a ^ (a^b)&lessLanes(a, b, upper8, 8) })
	t[p66|0xd8] = whole(func(a, b uint64) uint64 { return subtractLanes(a, least(a, b), upper8) })
	t[p66|0xdc] = whole(func(a, b uint64) uint64 { return addLanes(a, least(b, ^a), upper8) })
	t[p66|0xd7] = func(_, s Vec, _ uint8) Vec { return Vec{Lo: signBits(s.Lo) | signBits(s.Hi)<<8} }
	for op, spread := range map[x86.Vector]func(uint64) uint64{0x60: spreadBytes, 0x61: spreadWords} {
		width := uint64(8) << (op & 1)
		both := func(a, b uint64) Vec {
			return Vec{spread(a) | spread(b)<<width, spread(a>>32) | spread(b>>32)<<width}
		}
		t[p66|op] = func(d, s Vec, _ uint8) Vec { return both(d.Lo, s.Lo) }
		t[p66|op+8] = func(d, s Vec, _ uint8) Vec { return both(d.Hi, s.Hi) }
	}
	t[p66|0x62] = func(d, s Vec, _ uint8) Vec {
		return Vec{d.Lo&math.MaxUint32 | s.Lo<<32, d.Lo>>32 | s.Lo&^math.MaxUint32}
	}
	t[p66|0x6a] = func(d, s Vec, _ uint8) Vec {
		return Vec{d.Hi&math.MaxUint32 | s.Hi<<32, d.Hi>>32 | s.Hi&^math.MaxUint32}
	}
	t[p66|0x6c] = func(d, s Vec, _ uint8) Vec { return Vec{d.Lo, s.Lo} }
	t[p66|0x6d] = func(d, s Vec, _ uint8) Vec { return Vec{d.Hi, s.Hi} }
}

// signBits collects the upper bits of 8 bytes.
func signBits(a uint64) uint64 { return (a & upper8) >> 7 * 0x0102040810204080 >> 56 }

// spreadBytes and spreadWords move the numbers of the low 32 bits apart.
func spreadBytes(a uint64) uint64 {
	a = spreadWords(a)
	return (a | a<<8) & 0x00ff00ff00ff00ff
}

func spreadWords(a uint64) uint64 {
	a &= math.MaxUint32
	return (a | a<<16) & 0x0000ffff0000ffff
}
