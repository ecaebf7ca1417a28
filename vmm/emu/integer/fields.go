package integer

import (
	"hash/crc32"
	"math/bits"

	"github.com/wherry/wherry/vmm/x86"
)

// Fields is what an instruction of BMI1, BMI2, ADX, LZCNT, POPCNT or BSWAP has, and what it leaves. Of flags that Intel calls undefined, AF is 0 and PF and SF are as of
// the result; TZCNT and LZCNT leave them.
type Fields struct {
	Size     uint8  // of the operands, in bytes
	V, By    uint64 // the operand of ModRM.rm, and that of VEX.vvvv
	D        uint64 // the register of ModRM.reg, or RDX of MULX
	Imm      uint8
	R, Lower uint64    // the result, not cut to the size; the lower half of MULX's
	Flags    x86.Flags // before and after
}

// FieldFuncs are those instructions.
var FieldFuncs = map[x86.Op]func(*Fields){
	x86.ANDN:   func(f *Fields) { f.result(f.V&^f.By, false) },
	x86.BLSR:   func(f *Fields) { f.result(f.V&(f.V-1), f.V == 0) },
	x86.BLSMSK: func(f *Fields) { f.result(f.V^(f.V-1), f.V == 0) },
	x86.BLSI:   func(f *Fields) { f.result(f.V&-f.V, f.V != 0) },
	x86.BZHI:   func(f *Fields) { f.result(lowBits(f.V, f.By&0xff), f.By&0xff >= f.width()) },
	x86.BEXTR:  func(f *Fields) { f.result(lowBits(f.V>>(f.By&0xff), f.By>>8&0xff), false) },
	x86.SHLX:   func(f *Fields) { f.R = f.V << (f.By & (f.width() - 1)) },
	x86.SHRX:   func(f *Fields) { f.R = f.V >> (f.By & (f.width() - 1)) },
	x86.SARX:   func(f *Fields) { f.R = uint64(f.signed() >> (f.By & (f.width() - 1))) },
	x86.RORX: func(f *Fields) {
		n := uint64(f.Imm) & (f.width() - 1)
		f.R = f.V>>n | f.V<<(f.width()-n)
	},
	x86.MULX: func(f *Fields) {
		if f.R, f.Lower = bits.Mul64(f.V, f.D); f.Size == 4 {
			f.R = f.Lower >> 32
		}
	},
	x86.PEXT: func(f *Fields) {
		for i, mask := 0, f.V; mask != 0; i++ {
			f.R |= f.By >> bits.TrailingZeros64(mask) & 1 << i
			mask &= mask - 1
		}
	},
	x86.PDEP: func(f *Fields) {
		for mask, v := f.V, f.By; mask != 0; v >>= 1 {
			f.R |= v & 1 << bits.TrailingZeros64(mask)
			mask &= mask - 1
		}
	},
	x86.TZCNT: func(f *Fields) { f.count(bits.TrailingZeros64(f.V)) },
	x86.LZCNT: func(f *Fields) { f.count(bits.LeadingZeros64(f.V) - 64 + int(f.width())) },
	x86.ADCX:  func(f *Fields) { f.add(x86.CF, 0) },
	x86.ADOX:  func(f *Fields) { f.add(x86.OF, 11) },
	x86.BSWAP: func(f *Fields) {
		if f.Size > 2 { // of 2 bytes Intel says nothing, and processors give 0
			f.R = bits.ReverseBytes64(f.D) >> (64 - f.width())
		}
	},
	x86.POPCNT: func(f *Fields) {
		f.R, f.Flags = uint64(bits.OnesCount64(f.V)), 0
		if f.V == 0 {
			f.Flags = x86.ZF
		}
	},
}

func (f *Fields) width() uint64 { return uint64(f.Size) * 8 }

func (f *Fields) signed() int64 {
	shift := 64 - f.width()
	return int64(f.V<<shift) >> shift
}

// lowBits are v's low n bits.
func lowBits(v, n uint64) uint64 {
	if n < 64 {
		v &= 1<<n - 1
	}
	return v
}

// result leaves r, and its flags with a CF.
func (f *Fields) result(r uint64, carry bool) {
	f.R, f.Flags = lowBits(r, f.width()), 0
	if carry {
		f.Flags |= x86.CF
	}
	if f.R == 0 {
		f.Flags |= x86.ZF
	}
	if f.R>>(f.width()-1) != 0 {
		f.Flags |= x86.SF
	}
	if bits.OnesCount8(uint8(f.R))&1 == 0 {
		f.Flags |= x86.PF
	}
}

// count leaves a count of zeros: as many as there are bits, if there is nothing else.
func (f *Fields) count(n int) {
	f.R = min(uint64(n), f.width())
	f.Flags &^= x86.CF | x86.ZF
	if f.V == 0 {
		f.Flags |= x86.CF
	}
	if f.R == 0 {
		f.Flags |= x86.ZF
	}
}

// add adds with flag as the carry, in and out.
func (f *Fields) add(flag x86.Flags, shift uint8) {
	r, carry := bits.Add64(f.D, f.V, uint64(f.Flags&flag>>shift))
	if f.Size == 4 {
		carry = r >> 32
	}
	f.R, f.Flags = r, f.Flags&^flag|x86.Flags(carry)<<shift
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC32C has sum go on by v's low size bytes, without the inversions that Go's has at both ends.
func CRC32C(sum uint32, v uint64, size uint8) uint32 {
	for range size {
		sum = castagnoli[byte(sum)^byte(v)] ^ sum>>8
		v >>= 8
	}
	return sum
}
