package emu

import (
	"math/bits"

	"github.com/wherry/wherry/vmm/x86"
)

// lazy is what the last arithmetic left, from which its flags follow when somebody asks.
//
//	ZF, SF, PF   of result, which is sign-extended from the operands' size
//	CF           bit top of carries: the carry out of the operands' last bit
//	OF           bits top and top-1 of carries differ
//	AF           bit 3 of carries
//
// With top 0 all are in plain instead.
type lazy struct {
	result  int64
	carries uint64
	top     uint8
	plain   x86.Flags
}

func (l *lazy) cf() bool {
	if l.top == 0 {
		return l.plain&x86.CF != 0
	}
	return l.carries>>(l.top&63)&1 != 0
}

func (l *lazy) of() bool {
	if l.top == 0 {
		return l.plain&x86.OF != 0
	}
	return (l.carries>>(l.top&63)^l.carries>>((l.top-1)&63))&1 != 0
}

func (l *lazy) zf() bool {
	if l.top == 0 {
		return l.plain&x86.ZF != 0
	}
	return l.result == 0
}

func (l *lazy) sf() bool {
	if l.top == 0 {
		return l.plain&x86.SF != 0
	}
	return l.result < 0
}

func (l *lazy) pf() bool {
	if l.top == 0 {
		return l.plain&x86.PF != 0
	}
	return bits.OnesCount8(uint8(l.result))&1 == 0
}

// arithmetic is all of them.
func (l *lazy) arithmetic() x86.Flags {
	if l.top == 0 {
		return l.plain
	}
	var f x86.Flags
	for _, b := range [...]struct {
		on   bool
		flag x86.Flags
	}{{l.cf(), x86.CF}, {l.of(), x86.OF}, {l.zf(), x86.ZF}, {l.sf(), x86.SF}, {l.pf(), x86.PF}, {l.carries>>3&1 != 0, x86.AF}} {
		if b.on {
			f |= b.flag
		}
	}
	return f
}

// set makes the arithmetic flags f.
func (l *lazy) set(f x86.Flags) { l.top, l.plain = 0, f&x86.Arithmetic }

// change replaces those of mask by f.
func (l *lazy) change(mask, f x86.Flags) { l.set(l.arithmetic()&^mask | f&mask) }

// logic is what AND, OR, XOR and TEST leave: no carries.
func (l *lazy) logic(result int64, top uint8) { l.result, l.carries, l.top = result, 0, top }

// sum is what an addition leaves; a+b, and a carry in, are result.
func (l *lazy) sum(a, b, result uint64, size uint8) {
	l.carries = a&b | (a|b)&^result
	l.result, l.top = extend(result, size), size*8-1
}

// difference is what a subtraction leaves, and CMP; a-b, and a borrow in, are result.
func (l *lazy) difference(a, b, result uint64, size uint8) {
	l.carries = ^a&b | (^a|b)&result
	l.result, l.top = extend(result, size), size*8-1
}

// keepCF has what INC and DEC left say that CF is carry, and OF the same as before.
func (l *lazy) keepCF(carry bool) {
	of := l.of()
	l.carries &^= 3 << (l.top - 1)
	if carry {
		l.carries |= 1 << l.top
	}
	if carry != of {
		l.carries |= 1 << (l.top - 1)
	}
}

// extend is the sign-extended number in the low size bytes of v.
func extend(v uint64, size uint8) int64 {
	shift := 64 - size*8
	return int64(v<<(shift&63)) >> (shift & 63)
}

// cut is v's low size bytes.
func cut(v uint64, size uint8) uint64 {
	shift := 64 - size*8
	return v << (shift & 63) >> (shift & 63)
}

// cond reports whether condition cc holds.
func (l *lazy) cond(cc x86.Cond) bool {
	var on bool
	switch cc >> 1 {
	case 0:
		on = l.of()
	case 1:
		on = l.cf()
	case 2:
		on = l.zf()
	case 3:
		on = l.cf() || l.zf()
	case 4:
		on = l.sf()
	case 5:
		on = l.pf()
	case 6:
		on = l.sf() != l.of()
	case 7:
		on = l.zf() || l.sf() != l.of()
	}
	return on != (cc&1 != 0)
}

// compare is cond after CMP of a and b, both sign-extended, whose difference is in l.
func (l *lazy) compare(cc x86.Cond, a, b int64) bool {
	switch cc {
	case x86.CondE:
		return a == b
	case x86.CondNE:
		return a != b
	case x86.CondB:
		return uint64(a) < uint64(b)
	case x86.CondAE:
		return uint64(a) >= uint64(b)
	case x86.CondBE:
		return uint64(a) <= uint64(b)
	case x86.CondA:
		return uint64(a) > uint64(b)
	case x86.CondL:
		return a < b
	case x86.CondGE:
		return a >= b
	case x86.CondLE:
		return a <= b
	case x86.CondG:
		return a > b
	}
	return l.cond(cc)
}
