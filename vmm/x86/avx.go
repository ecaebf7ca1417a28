package x86

// wideEntry is what the encoding with VEX has of an instruction.
type wideEntry struct {
	shape      VecShape
	size, wide uint8 // bytes in memory, with 128 bits and with 256; size 0 is that of a general register, wide 0 says that there aren't 256
	w          uint8
	scalar     bool // L doesn't matter
	imm        bool
	// registers: M can't be memory. memory: it can't be a register.
	registers, memory bool
}

const (
	// onlyWide is the size of what there isn't with 128 bits.
	onlyWide = 0xff

	onlyW0 = 1
	onlyW1 = 2
)

// wideVectors is the table of AVX, AVX2, FMA and F16C (Intel SDM volume 2, tables ), by the keys of SSE.
var wideVectors = wideTable()

func (s VecShape) hasV() bool {
	switch s {
	case VecXVM, VecXVE, VecVM, VecXVMR, VecXXVM, VecMaskedLoad, VecMaskedStore, VecGather:
		return true
	}
	return false
}

// wideSetter puts an entry into the table for some keys.
type wideSetter func(e wideEntry, keys ...Vector)

func wideTable() (t [Vectors]wideEntry) {
	set := func(e wideEntry, keys ...Vector) {
		for _, k := range keys {
			t[k] = e
		}
	}
	wideFloats(set)
	wideMoves(set)
	wideIntegers(set)
	wideOf38(set)
	wideOf3A(set)
	fused(set)
	set(wideEntry{shape: VecZero}, 0x77)
	return t
}

func wideFloats(set wideSetter) {
	three := wideEntry{shape: VecXVM, size: 16, wide: 32}
	two := wideEntry{shape: VecXM, size: 16, wide: 32}
	single, double := wideEntry{shape: VecXVM, size: 4, scalar: true}, wideEntry{shape: VecXVM, size: 8, scalar: true}
	for _, op := range []Vector{0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5c, 0x5d, 0x5e, 0x5f, 0x14, 0x15} {
		set(three, op, Vec66|op)
	}
	for _, op := range []Vector{0x51, 0x58, 0x59, 0x5a, 0x5c, 0x5d, 0x5e, 0x5f} {
		set(single, VecF3|op)
		set(double, VecF2|op)
	}
	set(single, VecF3|0x52, VecF3|0x53)
	set(two, 0x51, Vec66|0x51, 0x52, 0x53, 0x5b, Vec66|0x5b, VecF3|0x5b, Vec66|0x5a, Vec66|0xe6, VecF2|0xe6)
	set(three, Vec66|0x7c, VecF2|0x7c, Vec66|0x7d, VecF2|0x7d, Vec66|0xd0, VecF2|0xd0)
	set(wideEntry{shape: VecXM, size: 8, wide: 16}, 0x5a, VecF3|0xe6)
	three.imm, single.imm, double.imm = true, true, true
	set(three, 0xc2, Vec66|0xc2, 0xc6, Vec66|0xc6)
	set(single, VecF3|0xc2)
	set(double, VecF2|0xc2)
	set(wideEntry{shape: VecXVE, scalar: true}, VecF3|0x2a, VecF2|0x2a)
	set(wideEntry{shape: VecGM, size: 4, scalar: true}, VecF3|0x2c, VecF3|0x2d)
	set(wideEntry{shape: VecGM, size: 8, scalar: true}, VecF2|0x2c, VecF2|0x2d)
	set(wideEntry{shape: VecTest, size: 4, scalar: true}, 0x2e, 0x2f)
	set(wideEntry{shape: VecTest, size: 8, scalar: true}, Vec66|0x2e, Vec66|0x2f)
	set(wideEntry{shape: VecGM, size: 16, wide: 32, registers: true}, 0x50, Vec66|0x50, Vec66|0xd7)
}

func wideMoves(set wideSetter) {
	set(wideEntry{shape: VecXM, size: 16, wide: 32}, 0x10, Vec66|0x10, 0x28, Vec66|0x28, Vec66|0x6f, VecF3|0x6f, VecF3|0x12, VecF3|0x16)
	set(wideEntry{shape: VecMX, size: 16, wide: 32}, 0x11, Vec66|0x11, 0x29, Vec66|0x29, Vec66|0x7f, VecF3|0x7f)
	set(wideEntry{shape: VecMX, size: 16, wide: 32, memory: true}, 0x2b, Vec66|0x2b, Vec66|0xe7)
	set(wideEntry{shape: VecXM, size: 16, wide: 32, memory: true}, VecF2|0xf0)
	set(wideEntry{shape: VecXM, size: 8, wide: 32}, VecF2|0x12)
	set(wideEntry{shape: VecXM, size: 4, scalar: true}, VecF3|0x10)
	set(wideEntry{shape: VecMX, size: 4, scalar: true}, VecF3|0x11)
	set(wideEntry{shape: VecXM, size: 8, scalar: true}, VecF2|0x10)
	set(wideEntry{shape: VecMX, size: 8, scalar: true}, VecF2|0x11)
	set(wideEntry{shape: VecXM, size: 8}, VecF3|0x7e)
	set(wideEntry{shape: VecMX, size: 8}, Vec66|0xd6)
	set(wideEntry{shape: VecXVM, size: 8}, 0x12, 0x16)
	set(wideEntry{shape: VecXVM, size: 8, memory: true}, Vec66|0x12, Vec66|0x16)
	set(wideEntry{shape: VecMX, size: 8, memory: true}, 0x13, Vec66|0x13, 0x17, Vec66|0x17)
	set(wideEntry{shape: VecXE}, Vec66|0x6e)
	set(wideEntry{shape: VecEX}, Vec66|0x7e)
	set(wideEntry{shape: VecXVE, size: 2, imm: true}, Vec66|0xc4)
	set(wideEntry{shape: VecGM, size: 16, registers: true, imm: true}, Vec66|0xc5)
	set(wideEntry{shape: VecMask, size: 16, registers: true}, Vec66|0xf7)
}

func wideIntegers(set wideSetter) {
	three := wideEntry{shape: VecXVM, size: 16, wide: 32}
	for op := Vector(0x60); op <= 0x6d; op++ {
		set(three, Vec66|op)
	}
	for op := Vector(0xd1); op <= 0xfe; op++ {
		switch op {
		case 0xd6, 0xd7, 0xe6, 0xe7, 0xf0, 0xf7:
		case 0xd1, 0xd2, 0xd3, 0xe1, 0xe2, 0xf1, 0xf2, 0xf3: // by a count, which has 128 bits
			set(wideEntry{shape: VecXVM, size: 16, wide: 16}, Vec66|op)
		default:
			set(three, Vec66|op)
		}
	}
	set(three, Vec66|0x74, Vec66|0x75, Vec66|0x76)
	set(wideEntry{shape: VecVM, size: 16, wide: 32, registers: true, imm: true}, Vec66|0x71, Vec66|0x72, Vec66|0x73)
	set(wideEntry{shape: VecXM, size: 16, wide: 32, imm: true}, Vec66|0x70, VecF3|0x70, VecF2|0x70)
}

func wideOf38(set wideSetter) {
	const two = Vec66 | Vec38
	three := wideEntry{shape: VecXVM, size: 16, wide: 32}
	for op := two; op <= two|0x0b; op++ {
		set(three, op)
	}
	set(three, two|0x28, two|0x29, two|0x2b, two|0x37, two|0x40, two|0x45, two|0x47)
	for op := two | 0x38; op <= two|0x3f; op++ {
		set(three, op)
	}
	set(wideEntry{shape: VecXVM, size: 16, wide: 32, w: onlyW0}, two|0x0c, two|0x0d, two|0x46)
	set(wideEntry{shape: VecXVM, size: onlyWide, wide: 32, w: onlyW0}, two|0x16, two|0x36)
	set(wideEntry{shape: VecXM, size: 16, wide: 32}, two|0x1c, two|0x1d, two|0x1e)
	for i, size := range []uint8{8, 4, 2, 8, 4, 8} {
		set(wideEntry{shape: VecXM, size: size, wide: 2 * size}, two|0x20+Vector(i), two|0x30+Vector(i))
	}
	set(wideEntry{shape: VecXM, size: 16, wide: 32, memory: true}, two|0x2a)
	set(wideEntry{shape: VecXM, size: 16}, two|0x41, two|0xdb)
	set(wideEntry{shape: VecXVM, size: 16}, two|0xdc, two|0xdd, two|0xde, two|0xdf)
	set(wideEntry{shape: VecTest, size: 16, wide: 32}, two|0x17)
	set(wideEntry{shape: VecTest, size: 16, wide: 32, w: onlyW0}, two|0x0e, two|0x0f)
	set(wideEntry{shape: VecXM, size: 8, wide: 16, w: onlyW0}, two|0x13)
	for op, size := range map[Vector]uint8{0x18: 4, 0x58: 4, 0x59: 8, 0x78: 1, 0x79: 2} {
		set(wideEntry{shape: VecXM, size: size, wide: size, w: onlyW0}, two|op)
	}
	set(wideEntry{shape: VecXM, size: onlyWide, wide: 8, w: onlyW0}, two|0x19)
	set(wideEntry{shape: VecXM, size: onlyWide, wide: 16, w: onlyW0, memory: true}, two|0x1a, two|0x5a)
	set(wideEntry{shape: VecMaskedLoad, size: 16, wide: 32, w: onlyW0, memory: true}, two|0x2c, two|0x2d)
	set(wideEntry{shape: VecMaskedStore, size: 16, wide: 32, w: onlyW0, memory: true}, two|0x2e, two|0x2f)
	set(wideEntry{shape: VecMaskedLoad, size: 16, wide: 32, memory: true}, two|0x8c)
	set(wideEntry{shape: VecMaskedStore, size: 16, wide: 32, memory: true}, two|0x8e)
	set(wideEntry{shape: VecGather, size: 16, wide: 32, memory: true}, two|0x90, two|0x91, two|0x92, two|0x93)
}

func wideOf3A(set wideSetter) {
	const three = Vec66 | Vec3A
	set(wideEntry{shape: VecXM, size: onlyWide, wide: 32, w: onlyW1, imm: true}, three, three|0x01)
	set(wideEntry{shape: VecXM, size: 16, wide: 32, w: onlyW0, imm: true}, three|0x04, three|0x05)
	set(wideEntry{shape: VecXM, size: 16, wide: 32, imm: true}, three|0x08, three|0x09)
	set(wideEntry{shape: VecXVM, size: 16, wide: 32, w: onlyW0, imm: true}, three|0x02)
	set(wideEntry{shape: VecXVM, size: onlyWide, wide: 32, w: onlyW0, imm: true}, three|0x06, three|0x46)
	set(wideEntry{shape: VecXVM, size: 4, scalar: true, imm: true}, three|0x0a)
	set(wideEntry{shape: VecXVM, size: 8, scalar: true, imm: true}, three|0x0b)
	set(wideEntry{shape: VecXVM, size: 16, wide: 32, imm: true}, three|0x0c, three|0x0d, three|0x0e, three|0x0f, three|0x40, three|0x42)
	set(wideEntry{shape: VecXVM, size: 16, imm: true}, three|0x41, three|0x44)
	set(wideEntry{shape: VecXM, size: 16, imm: true}, three|0xdf)
	set(wideEntry{shape: VecEX, size: 1, imm: true}, three|0x14)
	set(wideEntry{shape: VecEX, size: 2, imm: true}, three|0x15)
	set(wideEntry{shape: VecEX, imm: true}, three|0x16)
	set(wideEntry{shape: VecEX, size: 4, imm: true}, three|0x17)
	set(wideEntry{shape: VecXVE, size: 1, imm: true}, three|0x20)
	set(wideEntry{shape: VecXVM, size: 4, imm: true}, three|0x21)
	set(wideEntry{shape: VecXVE, imm: true}, three|0x22)
	set(wideEntry{shape: VecXVM, size: onlyWide, wide: 16, w: onlyW0, imm: true}, three|0x18, three|0x38)
	set(wideEntry{shape: VecMX, size: onlyWide, wide: 16, w: onlyW0, imm: true}, three|0x19, three|0x39)
	set(wideEntry{shape: VecMX, size: 8, wide: 16, w: onlyW0, imm: true}, three|0x1d)
	set(wideEntry{shape: VecXVMR, size: 16, wide: 32, w: onlyW0, imm: true}, three|0x4a, three|0x4b, three|0x4c)
	set(wideEntry{shape: VecString, size: 16, imm: true}, three|0x60, three|0x61, three|0x62, three|0x63)
}

// fused sets FMA's instructions: in each group of 16 from 0x96 on, for each order of the operands.
func fused(set wideSetter) {
	const two = Vec66 | Vec38
	for _, order := range []Vector{0x90, 0xa0, 0xb0} {
		set(wideEntry{shape: VecXXVM, size: 16, wide: 32}, two|order|6, two|order|7)
		for op := order | 8; op <= order|0xe; op += 2 {
			set(wideEntry{shape: VecXXVM, size: 16, wide: 32}, two|op)
			set(wideEntry{shape: VecXXVM, scalar: true}, two|op|1)
		}
	}
}
