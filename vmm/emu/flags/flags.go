package flags

import (
	"math/bits"

	"github.com/wherry/wherry/vmm/x86"
)

// Lazy is what the last arithmetic left, from which its flags follow when somebody asks.
//
//	ZF, SF, PF   of Result, which is sign-extended from the operands' size
//	CF           bit Top of Carries: the carry out of the operands' last bit
//	OF           bits Top and Top-1 of Carries differ
//	AF           bit 3 of Carries
//
// With Top 0 all are in plain instead.
type Lazy struct {
	Result  int64
	Carries uint64
	Top     uint8
	plain   x86.Flags
}

func (l *Lazy) CF() bool {
	if l.Top == 0 {
		return l.plain&x86.CF != 0
	}
	return l.Carries>>(l.Top&63)&1 != 0
}

func (l *Lazy) OF() bool {
	if l.Top == 0 {
		return l.plain&x86.OF != 0
	}
	return (l.Carries>>(l.Top&63)^l.Carries>>((l.Top-1)&63))&1 != 0
}

func (l *Lazy) ZF() bool {
	if l.Top == 0 {
		return l.plain&x86.ZF != 0
	}
	return l.Result == 0
}

func (l *Lazy) sf() bool {
	if l.Top == 0 {
		return l.plain&x86.SF != 0
	}
	return l.Result < 0
}

func (l *Lazy) pf() bool {
	if l.Top == 0 {
		return l.plain&x86.PF != 0
	}
	return bits.OnesCount8(uint8(l.Result))&1 == 0
}

// Arithmetic is all of them.
func (l *Lazy) Arithmetic() x86.Flags {
	if l.Top == 0 {
		return l.plain
	}
	var f x86.Flags
	for _, b := range [...]struct {
		on   bool
		flag x86.Flags
	}{{l.CF(), x86.CF}, {l.OF(), x86.OF}, {l.ZF(), x86.ZF}, {l.sf(), x86.SF}, {l.pf(), x86.PF}, {l.Carries>>3&1 != 0, x86.AF}} {
		if b.on {
			f |= b.flag
		}
	}
	return f
}

// Set makes the arithmetic flags f.
func (l *Lazy) Set(f x86.Flags) { l.Top, l.plain = 0, f&x86.Arithmetic }

// Change replaces those of mask by f.
func (l *Lazy) Change(mask, f x86.Flags) { l.Set(l.Arithmetic()&^mask | f&mask) }

// Logic is what AND, OR, XOR and TEST leave: no carries.
func (l *Lazy) Logic(result int64, top uint8) { l.Result, l.Carries, l.Top = result, 0, top }

// Sum is what an addition leaves; a+b, and a carry in, are result.
func (l *Lazy) Sum(a, b, result uint64, size uint8) {
	l.Carries = a&b | (a|b)&^result
	l.Result, l.Top = Extend(result, size), size*8-1
}

// Difference is what a subtraction leaves, and CMP; a-b, and a borrow in, are result.
func (l *Lazy) Difference(a, b, result uint64, size uint8) {
	l.Carries = ^a&b | (^a|b)&result
	l.Result, l.Top = Extend(result, size), size*8-1
}

// KeepCF has what INC and DEC left say that CF is carry, and OF the same as before.
func (l *Lazy) KeepCF(carry bool) {
	of := l.OF()
	l.Carries &^= 3 << (l.Top - 1)
	if carry {
		l.Carries |= 1 << l.Top
	}
	if carry != of {
		l.Carries |= 1 << (l.Top - 1)
	}
}

// Extend is the sign-extended number in the low size bytes of v.
func Extend(v uint64, size uint8) int64 {
	shift := 64 - size*8
	return int64(v<<(shift&63)) >> (shift & 63)
}

// Cut is v's low size bytes.
func Cut(v uint64, size uint8) uint64 {
	shift := 64 - size*8
	return v << (shift & 63) >> (shift & 63)
}

// Cond reports whether condition cc holds.
func (l *Lazy) Cond(cc x86.Cond) bool {
	var on bool
	switch cc >> 1 {
	case 0:
		on = l.OF()
	case 1:
		on = l.CF()
	case 2:
		on = l.ZF()
	case 3:
		on = l.CF() || l.ZF()
	case 4:
		on = l.sf()
	case 5:
		on = l.pf()
	case 6:
		on = l.sf() != l.OF()
	case 7:
		on = l.ZF() || l.sf() != l.OF()
	}
	return on != (cc&1 != 0)
}

// Compare is Cond after CMP of a and b, both sign-extended, whose difference is in l.
func (l *Lazy) Compare(cc x86.Cond, a, b int64) bool {
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
	return l.Cond(cc)
}
