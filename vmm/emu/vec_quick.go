package emu

import (
	"math"

	"github.com/wherry/wherry/vmm/x86"
)

// vecQuick are steps, with registers and with memory, of the instructions that programs do most.
var vecQuick = map[x86.Vector][2]func(*VCPU, *op) bool{
	0x10: {doVecMove, doVecLoad}, p66 | 0x10: {doVecMove, doVecLoad}, 0x28: {doVecMove, doVecLoadAligned}, p66 | 0x28: {doVecMove, doVecLoadAligned},
	p66 | 0x6f: {doVecMove, doVecLoadAligned}, pF3 | 0x6f: {doVecMove, doVecLoad}, pF2 | 0xf0: {nil, doVecLoad},
	0x11: {nil, doVecStore}, p66 | 0x11: {nil, doVecStore}, 0x29: {nil, doVecStoreAligned}, p66 | 0x29: {nil, doVecStoreAligned},
	p66 | 0x7f: {nil, doVecStoreAligned}, pF3 | 0x7f: {nil, doVecStore},
	pF3 | 0x10: {nil, doVecLoadPart}, pF2 | 0x10: {nil, doVecLoadPart}, pF3 | 0x7e: {nil, doVecLoadPart}, p66 | 0x6e: {nil, doVecLoadPart},
	pF3 | 0x11: {nil, doVecStorePart}, pF2 | 0x11: {nil, doVecStorePart}, p66 | 0xd6: {nil, doVecStorePart}, p66 | 0x7e: {nil, doVecStorePart},
	0x57: {doVecXor, nil}, p66 | 0x57: {doVecXor, nil}, p66 | 0xef: {doVecXor, nil},
	pF2 | 0x58: {scalarStep(add64), nil}, pF2 | 0x5c: {scalarStep(subtract64), nil}, pF2 | 0x59: {scalarStep(multiply64), nil},
	pF2 | 0x5e: {scalarStep(divide64), nil},
}

func doVecMove(c *VCPU, o *op) bool {
	c.extended.XMM[o.d&15] = c.extended.XMM[o.s&15]
	return true
}

func doVecXor(c *VCPU, o *op) bool {
	d, s := &c.extended.XMM[o.d&15], &c.extended.XMM[o.s&15]
	d[0] ^= s[0]
	d[1] ^= s[1]
	return true
}

func doVecLoad(c *VCPU, o *op) bool {
	v, ok := c.loadVec(o)
	if ok {
		c.extended.XMM[o.d&15] = [2]uint64{v.lo, v.hi}
	}
	return ok
}

func doVecLoadAligned(c *VCPU, o *op) bool {
	if c.ea(o)%16 != 0 {
		return c.raise(x86.GeneralProtection)
	}
	return doVecLoad(c, o)
}

func doVecStore(c *VCPU, o *op) bool { return c.storeVec(c.ea(o), c.xmm(o.d)) }

func doVecStoreAligned(c *VCPU, o *op) bool {
	va := c.ea(o)
	if va%16 != 0 {
		return c.raise(x86.GeneralProtection)
	}
	return c.storeVec(va, c.xmm(o.d))
}

// doVecLoadPart clears what is above.
func doVecLoadPart(c *VCPU, o *op) bool {
	v, ok := c.load(c.ea(o), o.size)
	if ok {
		c.extended.XMM[o.d&15] = [2]uint64{v, 0}
	}
	return ok
}

func doVecStorePart(c *VCPU, o *op) bool { return c.store(c.ea(o), c.extended.XMM[o.d&15][0], o.size) }

// scalarStep is an operation on the low doubles of two registers.
func scalarStep(f float64s) func(*VCPU, *op) bool {
	return func(c *VCPU, o *op) bool {
		d := &c.extended.XMM[o.d&15]
		v := f(c, d[0], c.extended.XMM[o.s&15][0])
		if c.sse.Status != 0 && !c.signaled() {
			return false
		}
		d[0] = v
		return true
	}
}

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
func quickLanes(t *[x86.Vectors]vecFunc) {
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
	t[p66|0xd7] = func(_, s vec, _ uint8) vec { return vec{lo: signBits(s.lo) | signBits(s.hi)<<8} }
	for op, spread := range map[x86.Vector]func(uint64) uint64{0x60: spreadBytes, 0x61: spreadWords} {
		width := uint64(8) << (op & 1)
		both := func(a, b uint64) vec {
			return vec{spread(a) | spread(b)<<width, spread(a>>32) | spread(b>>32)<<width}
		}
		t[p66|op] = func(d, s vec, _ uint8) vec { return both(d.lo, s.lo) }
		t[p66|op+8] = func(d, s vec, _ uint8) vec { return both(d.hi, s.hi) }
	}
	t[p66|0x62] = func(d, s vec, _ uint8) vec {
		return vec{d.lo&math.MaxUint32 | s.lo<<32, d.lo>>32 | s.lo&^math.MaxUint32}
	}
	t[p66|0x6a] = func(d, s vec, _ uint8) vec {
		return vec{d.hi&math.MaxUint32 | s.hi<<32, d.hi>>32 | s.hi&^math.MaxUint32}
	}
	t[p66|0x6c] = func(d, s vec, _ uint8) vec { return vec{d.lo, s.lo} }
	t[p66|0x6d] = func(d, s vec, _ uint8) vec { return vec{d.hi, s.hi} }
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
