package emu

import (
	"math/bits"

	"github.com/wherry/wherry/vmm/x86"
)

// The bits of the immediate of PCMPESTRI and the like (Intel SDM volume 2, 4.1).
const (
	stringWords    = 1 << 0
	stringSigned   = 1 << 1
	stringNegate   = 1 << 4
	stringOnlyLong = 1 << 5 // negate only what is in the second string
	stringLast     = 1 << 6 // the last one's number, or a mask of whole numbers
)

// stringSet is a string of 8 or 16 numbers.
type stringSet struct {
	of    [16]int32
	size  int // of a register
	valid int // before its end
}

func newStringSet(v vec, imm uint8) (s stringSet) {
	p := bytesOf(v)
	s.size = 16
	if imm&stringWords != 0 {
		s.size = 8
	}
	for i := range s.size {
		n := uint64(p[i])
		width := uint8(1)
		if imm&stringWords != 0 {
			n, width = uint64(p[2*i])|uint64(p[2*i+1])<<8, 2
		}
		if imm&stringSigned != 0 {
			n = uint64(extend(n, width))
		}
		s.of[i] = int32(n)
	}
	return s
}

// ended is s that ends at its first 0.
func (s stringSet) ended() stringSet {
	for s.valid = 0; s.valid < s.size && s.of[s.valid] != 0; s.valid++ {
	}
	return s
}

// long is s with the length that a register says, whose sign doesn't count.
func (s stringSet) long(n int64) stringSet {
	if s.valid = s.size; n > -int64(s.size) && n < int64(s.size) {
		s.valid = int(max(n, -n))
	}
	return s
}

// match has a bit for each number of b that a's have to do with, as the immediate says.
func match(a, b stringSet, imm uint8) (m uint32) {
	for j := range b.size {
		on := false
		switch imm >> 2 & 3 {
		case 0: // any of a's
			for i := range a.valid {
				on = on || a.of[i] == b.of[j]
			}
			on = on && j < b.valid
		case 1: // in one of a's ranges
			for i := 0; i+1 < a.valid; i += 2 {
				on = on || a.of[i] <= b.of[j] && b.of[j] <= a.of[i+1]
			}
			on = on && j < b.valid
		case 2: // the same at the same place, or neither there
			on = j < a.valid && j < b.valid && a.of[j] == b.of[j] || j >= a.valid && j >= b.valid
		case 3: // a begins here
			on = true
			for i := 0; i < a.valid && i+j < b.size; i++ {
				on = on && i+j < b.valid && a.of[i] == b.of[i+j]
			}
		}
		m |= uint32(bit(on)) << j
	}
	return m
}

func doVecString(c *VCPU, o *op) bool { return c.compareStrings(o, c.xmm(o.s)) }

func doVecStringMemory(c *VCPU, o *op) bool {
	s, ok := c.loadVec(o)
	return ok && c.compareStrings(o, s)
}

// compareStrings is PCMPESTRM, PCMPESTRI, PCMPISTRM and PCMPISTRI, which are numbered so in o.cond.
func (c *VCPU) compareStrings(o *op, s vec) bool {
	imm := o.vec.imm
	a, b := newStringSet(c.xmm(o.d), imm), newStringSet(s, imm)
	if o.cond&2 != 0 {
		a, b = a.ended(), b.ended()
	} else {
		a, b = a.long(extend(c.file[regAX], o.vec.general)), b.long(extend(c.file[regDX], o.vec.general))
	}
	m := match(a, b, imm)
	if all := uint32(1)<<a.size - 1; imm&stringNegate != 0 && imm&stringOnlyLong != 0 {
		m ^= uint32(1)<<b.valid - 1
	} else if imm&stringNegate != 0 {
		m ^= all
	}
	if o.cond&1 != 0 {
		c.put(regCX, uint64(indexOf(m, a.size, imm)), 4)
	} else {
		c.setXMM(0, maskOfMatch(m, a.size, imm))
	}
	var f x86.Flags
	for flag, on := range map[x86.Flags]bool{x86.CF: m != 0, x86.ZF: b.valid < b.size, x86.SF: a.valid < a.size, x86.OF: m&1 != 0} {
		if on {
			f |= flag
		}
	}
	c.flags.set(f)
	return true
}

// indexOf is the first or the last match, or size if there is none.
func indexOf(m uint32, size int, imm uint8) int {
	switch {
	case m == 0:
		return size
	case imm&stringLast != 0:
		return 31 - bits.LeadingZeros32(m)
	}
	return bits.TrailingZeros32(m)
}

// maskOfMatch is the matches as bits, or as whole numbers.
func maskOfMatch(m uint32, size int, imm uint8) vec {
	if imm&stringLast == 0 {
		return vec{lo: uint64(m)}
	}
	var p [16]byte
	for i := range p {
		if m>>(i*size/16)&1 != 0 {
			p[i] = 0xff
		}
	}
	return vecOf(p)
}
