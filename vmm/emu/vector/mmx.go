package vector

import (
	"math"

	"github.com/wherry/wherry/vmm/x86"
)

// mmxFuncs are the instructions that don't do with MMX registers what SSE's do with the low half of XMM registers.
func mmxFuncs(t *[x86.Vectors]Func) {
	for _, op := range []x86.Vector{ // they take half of the result from each operand
		0x63, 0x67, 0x6b, x86.Vec38 | 0x01, x86.Vec38 | 0x02, x86.Vec38 | 0x03, x86.Vec38 | 0x05, x86.Vec38 | 0x06, x86.Vec38 | 0x07,
	} {
		f := t[p66|op]
		t[op] = func(d, s Vec, imm uint8) Vec {
			r := f(d, s, imm)
			return Vec{Lo: r.Lo&math.MaxUint32 | r.Hi<<32}
		}
	}
	for op := x86.Vector(0x68); op <= 0x6a; op++ { // the upper halves of 8 bytes
		f := t[p66|op-8]
		t[op] = func(d, s Vec, imm uint8) Vec { return Vec{Lo: f(d, s, imm).Hi} }
	}
	t[0x70] = func(_, s Vec, imm uint8) Vec { return Vec{Lo: shuffleWords(s.Lo, imm)} }
	t[0xc4] = func(d, s Vec, imm uint8) Vec { return insert(d, s.Lo, imm&3, 2) }
	t[0xc5] = func(_, s Vec, imm uint8) Vec { return Vec{Lo: Pick(s, imm&3, 2) & 0xffff} }
	t[0x6e], t[0x6f], t[0x7e], t[0x7f], t[0xe7], t[pF3|0xd6], t[pF2|0xd6] = takeLow, takeLow, takeLow, takeLow, takeLow, takeLow, takeLow
	t[x86.Vec38] = func(d, s Vec, imm uint8) Vec {
		const eight = 0x8787878787878787 // of the bytes' numbers the last 3 bits count
		return shuffleBytes(d, Vec{Lo: s.Lo & eight}, imm)
	}
	t[x86.Vec3A|0x0f] = func(d, s Vec, imm uint8) Vec { return align(d, s, imm, 8) }
}
