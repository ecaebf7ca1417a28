package x86

// sse3 sets SSE3's and SSSE3's instructions.
func sse3(set setter) {
	set(vecEntry{shape: VecXM, size: 8}, VecF2|0x12)
	set(vecEntry{shape: VecXM, size: 16}, VecF3|0x12, VecF3|0x16, Vec66|0x7c, VecF2|0x7c, Vec66|0x7d, VecF2|0x7d, Vec66|0xd0, VecF2|0xd0)
	set(vecEntry{shape: VecXM, size: 16, memory: true}, VecF2|0xf0)
	for op := Vec66 | Vec38; op <= Vec66|Vec38|0x0b; op++ {
		set(vecEntry{shape: VecXM, size: 16}, op)
	}
	set(vecEntry{shape: VecXM, size: 16}, Vec66|Vec38|0x1c, Vec66|Vec38|0x1d, Vec66|Vec38|0x1e)
	set(vecEntry{shape: VecXM, size: 16, imm: true}, Vec66|Vec3A|0x0f)
}

// sse4 sets SSE4.1's and SSE4.2's instructions but for those of general registers.
func sse4(set setter) {
	const two, three = Vec66 | Vec38, Vec66 | Vec3A
	set(vecEntry{shape: VecXM, size: 16}, two|0x10, two|0x14, two|0x15, two|0x28, two|0x29, two|0x2b, two|0x37, two|0x40, two|0x41)
	for op := two | 0x38; op <= two|0x3f; op++ {
		set(vecEntry{shape: VecXM, size: 16}, op)
	}
	set(vecEntry{shape: VecTest, size: 16}, two|0x17)
	set(vecEntry{shape: VecXM, size: 16, memory: true}, two|0x2a)
	for i, size := range []uint8{8, 4, 2, 8, 4, 8} {
		set(vecEntry{shape: VecXM, size: size}, two|0x20+Vector(i), two|0x30+Vector(i))
	}
	set(vecEntry{shape: VecXM, size: 16, imm: true}, three|0x08, three|0x09, three|0x0c, three|0x0d, three|0x0e, three|0x40, three|0x41, three|0x42)
	set(vecEntry{shape: VecXM, size: 4, imm: true}, three|0x0a, three|0x21)
	set(vecEntry{shape: VecXM, size: 8, imm: true}, three|0x0b)
	set(vecEntry{shape: VecEX, size: 1, imm: true}, three|0x14)
	set(vecEntry{shape: VecEX, size: 2, imm: true}, three|0x15)
	set(vecEntry{shape: VecEX, imm: true}, three|0x16)
	set(vecEntry{shape: VecEX, size: 4, imm: true}, three|0x17)
	set(vecEntry{shape: VecXE, size: 1, imm: true}, three|0x20)
	set(vecEntry{shape: VecXE, imm: true}, three|0x22)
	set(vecEntry{shape: VecString, size: 16, imm: true}, three|0x60, three|0x61, three|0x62, three|0x63)
}

// crypto sets those of AES, SHA and PCLMULQDQ.
func crypto(set setter) {
	const two, three = Vec66 | Vec38, Vec66 | Vec3A
	for op := two | 0xdb; op <= two|0xdf; op++ {
		set(vecEntry{shape: VecXM, size: 16}, op)
	}
	for op := Vec38 | 0xc8; op <= Vec38|0xcd; op++ {
		set(vecEntry{shape: VecXM, size: 16}, op)
	}
	set(vecEntry{shape: VecXM, size: 16, imm: true}, Vec3A|0xcc, three|0x44, three|0xdf)
}

// mmx sets the instructions with MMX registers.
func mmx(set setter) {
	for op := Vector(0x60); op <= 0x6b; op++ {
		set(vecEntry{shape: MMXPQ, size: 8}, op)
	}
	// Of a register PUNPCKL's takes 4 bytes, and of memory not more.
	set(vecEntry{shape: MMXPQ, size: 4}, 0x60, 0x61, 0x62)
	for op := Vector(0xd1); op <= 0xfe; op++ {
		if op != 0xd6 && op != 0xd7 && op != 0xe6 && op != 0xe7 && op != 0xf0 && op != 0xf7 {
			set(vecEntry{shape: MMXPQ, size: 8}, op)
		}
	}
	set(vecEntry{shape: MMXPQ, size: 8}, 0x6f, 0x74, 0x75, 0x76)
	set(vecEntry{shape: MMXPQ, size: 8, imm: true}, 0x70, Vec3A|0x0f)
	for op := Vec38; op <= Vec38|0x0b; op++ {
		set(vecEntry{shape: MMXPQ, size: 8}, op)
	}
	set(vecEntry{shape: MMXPQ, size: 8}, Vec38|0x1c, Vec38|0x1d, Vec38|0x1e)
	set(vecEntry{shape: MMXQ, size: 8, registers: true, imm: true}, 0x71, 0x72, 0x73)
	set(vecEntry{shape: MMXPE}, 0x6e)
	set(vecEntry{shape: MMXPE, size: 2, imm: true}, 0xc4)
	set(vecEntry{shape: MMXEP}, 0x7e)
	set(vecEntry{shape: MMXQP, size: 8}, 0x7f)
	set(vecEntry{shape: MMXQP, size: 8, memory: true}, 0xe7)
	set(vecEntry{shape: MMXGQ, size: 8, registers: true}, 0xd7)
	set(vecEntry{shape: MMXGQ, size: 8, registers: true, imm: true}, 0xc5)
	set(vecEntry{shape: MMXXQ, size: 8}, 0x2a, Vec66|0x2a)
	set(vecEntry{shape: MMXXQ, size: 8, registers: true}, VecF3|0xd6)
	set(vecEntry{shape: MMXPM, size: 8}, 0x2c, 0x2d)
	set(vecEntry{shape: MMXPM, size: 16}, Vec66|0x2c, Vec66|0x2d)
	set(vecEntry{shape: MMXPM, size: 8, registers: true}, VecF2|0xd6)
	set(vecEntry{shape: MMXMask, size: 8, registers: true}, 0xf7)
	set(vecEntry{shape: MMXEmpty}, 0x77)
}
