package x86

// Vector names an SSE or MMX instruction by what selects it: the prefix (none, 66, f3, f2), and the opcode behind 0f, 0f 38 or 0f 3a.
type Vector uint16

// The prefixes of a Vector, and the bytes between 0f and the opcode.
const (
	VecNone Vector = iota << 8
	Vec66
	VecF3
	VecF2
	Vec38 Vector = 4 << 8
	Vec3A Vector = 8 << 8
	// Vectors is above them all.
	Vectors = 12 << 8
)

// VecShape says what an instruction's operands are. X is an XMM register of ModRM.reg, M one of ModRM.rm or memory of Inst.Size bytes, E a
// general register or memory, G a general register; P is an MMX register of ModRM.reg, Q one of ModRM.rm or memory.
type VecShape uint8

// The shapes. Behind an X that is written it is also read, but by moves.
const (
	VecNo     VecShape = iota
	VecXM              // X = f(X, M)
	VecMX              // M = X
	VecXE              // X = f(X, E)
	VecEX              // E = X
	VecGM              // G = f(M)
	VecM               // M = f(M), a register: shifts by an immediate
	VecTest            // flags = f(X, M)
	VecMask            // memory at RDI = X, where M's bytes have their upper bits
	VecString          // flags, and RCX or XMM0 = f(X, M), strings whose lengths may be in RAX and RDX

	// With VEX there is also V, the register of Inst.V; X is written and not read, and what is above it cleared.
	VecXVM         // X = f(V, M)
	VecXVE         // X = f(V, E)
	VecVM          // V = f(M), a register: shifts by an immediate
	VecXVMR        // X = f(V, M, the register of the immediate's upper half)
	VecXXVM        // X = f(X, V, M)
	VecMaskedLoad  // X = the numbers of memory where V's have their upper bits, else 0
	VecMaskedStore // memory's numbers = X's where V's have their upper bits
	VecGather      // X = numbers at places by the register of Inst.RM, where V's have their upper bits; V = 0
	VecZero        // VZEROUPPER and, with 256 bits, VZEROALL

	MMXPQ    // P = f(P, Q)
	MMXQP    // Q = P
	MMXPE    // P = f(P, E)
	MMXEP    // E = P
	MMXGQ    // G = f(Q)
	MMXQ     // Q = f(Q), a register: shifts by an immediate
	MMXXQ    // X = f(X, Q)
	MMXPM    // P = f(M)
	MMXMask  // memory at RDI = P, where Q's bytes have their upper bits
	MMXEmpty // EMMS
)

type vecEntry struct {
	shape VecShape
	size  uint8 // bytes in memory
	imm   bool
	// registers: M can't be memory. memory: it can't be a register.
	registers, memory bool
}

// vectors is the table of MMX, of SSE to SSE4.2, AES and SHA (Intel SDM volume 2, tables ).
var vectors = vectorTable()

// setter puts an entry into the table for some keys.
type setter func(e vecEntry, keys ...Vector)

func vectorTable() (t [Vectors]vecEntry) {
	set := func(e vecEntry, keys ...Vector) {
		for _, k := range keys {
			t[k] = e
		}
	}
	sse2(set)
	sse3(set)
	sse4(set)
	crypto(set)
	mmx(set)
	return t
}

func sse2(set setter) {
	for op := Vector(0x51); op <= 0x5f; op++ { // arithmetic on floats: packed, and one of them
		switch {
		case op == 0x52 || op == 0x53:
			set(vecEntry{shape: VecXM, size: 16}, op)
			set(vecEntry{shape: VecXM, size: 4}, VecF3|op)
		case op == 0x5b:
		case op >= 0x54 && op <= 0x57:
			set(vecEntry{shape: VecXM, size: 16}, op, Vec66|op)
		case op == 0x5a:
			set(vecEntry{shape: VecXM, size: 8}, op, VecF2|op)
			set(vecEntry{shape: VecXM, size: 16}, Vec66|op)
			set(vecEntry{shape: VecXM, size: 4}, VecF3|op)
		default:
			floats(set, op, false)
		}
	}
	floats(set, 0xc2, true)
	set(vecEntry{shape: VecXM, size: 16}, 0x5b, Vec66|0x5b, VecF3|0x5b, Vec66|0xe6, VecF2|0xe6, 0x14, Vec66|0x14, 0x15, Vec66|0x15)
	set(vecEntry{shape: VecXM, size: 8}, VecF3|0xe6, VecF3|0x7e, 0x12, 0x16)
	set(vecEntry{shape: VecXM, size: 8, memory: true}, Vec66|0x12, Vec66|0x16)
	set(vecEntry{shape: VecMX, size: 8, memory: true}, 0x13, Vec66|0x13, 0x17, Vec66|0x17)
	set(vecEntry{shape: VecXM, size: 16, imm: true}, 0xc6, Vec66|0xc6, Vec66|0x70, VecF3|0x70, VecF2|0x70)

	set(vecEntry{shape: VecXM, size: 16}, 0x10, Vec66|0x10, 0x28, Vec66|0x28, Vec66|0x6f, VecF3|0x6f)
	set(vecEntry{shape: VecMX, size: 16}, 0x11, Vec66|0x11, 0x29, Vec66|0x29, Vec66|0x7f, VecF3|0x7f)
	set(vecEntry{shape: VecMX, size: 16, memory: true}, 0x2b, Vec66|0x2b, Vec66|0xe7)
	set(vecEntry{shape: VecXM, size: 4}, VecF3|0x10)
	set(vecEntry{shape: VecMX, size: 4}, VecF3|0x11)
	set(vecEntry{shape: VecXM, size: 8}, VecF2|0x10)
	set(vecEntry{shape: VecMX, size: 8}, VecF2|0x11, Vec66|0xd6)

	set(vecEntry{shape: VecXE}, VecF3|0x2a, VecF2|0x2a, Vec66|0x6e)
	set(vecEntry{shape: VecEX}, Vec66|0x7e)
	set(vecEntry{shape: VecXE, size: 2, imm: true}, Vec66|0xc4)
	set(vecEntry{shape: VecGM, size: 4}, VecF3|0x2c, VecF3|0x2d)
	set(vecEntry{shape: VecGM, size: 8}, VecF2|0x2c, VecF2|0x2d)
	set(vecEntry{shape: VecGM, size: 16, registers: true}, 0x50, Vec66|0x50, Vec66|0xd7)
	set(vecEntry{shape: VecGM, size: 16, registers: true, imm: true}, Vec66|0xc5)
	set(vecEntry{shape: VecTest, size: 4}, 0x2e, 0x2f)
	set(vecEntry{shape: VecTest, size: 8}, Vec66|0x2e, Vec66|0x2f)

	for op := Vector(0x60); op <= 0x6d; op++ { // integers
		set(vecEntry{shape: VecXM, size: 16}, Vec66|op)
	}
	for op := Vector(0xd1); op <= 0xfe; op++ {
		if op != 0xd6 && op != 0xd7 && op != 0xe6 && op != 0xe7 && op != 0xf0 && op != 0xf7 {
			set(vecEntry{shape: VecXM, size: 16}, Vec66|op)
		}
	}
	set(vecEntry{shape: VecXM, size: 16}, Vec66|0x74, Vec66|0x75, Vec66|0x76)
	set(vecEntry{shape: VecM, size: 16, registers: true, imm: true}, Vec66|0x71, Vec66|0x72, Vec66|0x73)
	set(vecEntry{shape: VecMask, size: 16, registers: true}, Vec66|0xf7)
}

// floats sets the four forms of an opcode: packed single, packed double, a single, a double.
func floats(set setter, op Vector, imm bool) {
	set(vecEntry{shape: VecXM, size: 16, imm: imm}, op, Vec66|op)
	set(vecEntry{shape: VecXM, size: 4, imm: imm}, VecF3|op)
	set(vecEntry{shape: VecXM, size: 8, imm: imm}, VecF2|op)
}

// vector decodes an MMX or SSE instruction, whose opcode is b behind what the table is for: 0, Vec38 or Vec3A.
func (d *decoder) vector(table Vector, b byte) error {
	key := table | Vector(b)
	switch {
	case d.rep == 0xf2:
		key |= VecF2
	case d.rep == 0xf3:
		key |= VecF3
	case d.opSize:
		key |= Vec66
	}
	e := vectors[key]
	if e.shape == VecNo {
		return ErrUnsupported
	}
	i := d.set(SSE, FormNone, e.size)
	i.Vec, i.VecShape, i.From = key, e.shape, 4
	if d.rex&8 != 0 {
		i.From = 8 // the size of general registers
	}
	if i.Size == 0 {
		i.Size = i.From
	}
	if e.shape == MMXEmpty {
		return nil
	}
	d.modRM(8, 8)
	if d.short {
		return nil
	}
	if i.IsMem && e.registers || !i.IsMem && e.memory {
		return ErrInvalid
	}
	if (e.shape == VecM || e.shape == MMXQ) && !shiftGroup(key, i.Reg&7) {
		return ErrInvalid
	}
	if e.imm {
		i.Imm = d.imm(1) & 0xff
	}
	return nil
}

// shiftGroup reports whether there is a shift by an immediate of that number: words and doublewords to the right, arithmetically, and to the left;
// quadwords and all 16 bytes to the right and to the left.
func shiftGroup(key Vector, group uint8) bool {
	switch key {
	case Vec66 | 0x73:
		return group == 2 || group == 3 || group == 6 || group == 7
	case 0x73:
		return group == 2 || group == 6
	}
	return group == 2 || group == 4 || group == 6
}
