package vector

// Vec is an XMM register; of an MMX register Lo.
type Vec struct{ Lo, Hi uint64 }

// Func computes what X gets (or M, or G, by the shape) of what was in it, of the other operand, and of the immediate. Other operands than XMM registers are
// in s.Lo; of general registers s.Hi is the size.
type Func func(d, s Vec, imm uint8) Vec

// bit is 1 if on.
func bit(on bool) uint64 {
	if on {
		return 1
	}
	return 0
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
