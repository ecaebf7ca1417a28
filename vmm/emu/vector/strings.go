package vector

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

func newStringSet(v Vec, imm uint8) (s stringSet) {
	p := BytesOf(v)
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

// Strings is PCMPESTRM, PCMPESTRI, PCMPISTRM and PCMPISTRI: the number of the match, or what XMM0 gets, and flags. Lengths are those of the first two, where
// they don't end at 0.
func Strings(x, y Vec, imm uint8, ends bool, first, second int64) (index int, mask Vec, f x86.Flags) {
	a, b := newStringSet(x, imm), newStringSet(y, imm)
	if ends {
		a, b = a.ended(), b.ended()
	} else {
		a, b = a.long(first), b.long(second)
	}
	m := match(a, b, imm)
	if all := uint32(1)<<a.size - 1; imm&stringNegate != 0 && imm&stringOnlyLong != 0 {
		m ^= uint32(1)<<b.valid - 1
	} else if imm&stringNegate != 0 {
		m ^= all
	}
	for _, c := range [...]struct {
		flag x86.Flags
		on   bool
	}{{x86.CF, m != 0}, {x86.ZF, b.valid < b.size}, {x86.SF, a.valid < a.size}, {x86.OF, m&1 != 0}} {
		if c.on {
			f |= c.flag
		}
	}
	return indexOf(m, a.size, imm), maskOfMatch(m, a.size, imm), f
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
func maskOfMatch(m uint32, size int, imm uint8) Vec {
	if imm&stringLast == 0 {
		return Vec{Lo: uint64(m)}
	}
	var p [16]byte
	for i := range p {
		if m>>(i*size/16)&1 != 0 {
			p[i] = 0xff
		}
	}
	return vecOf(p)
}
