package code

import (
	"github.com/wherry/wherry/vmm/emu/asm"
	"github.com/wherry/wherry/vmm/x86"
)

// vector emits SSE and SSE2, which every host has, and what this one has beyond: the instruction itself, on the same registers.
func (e *Emitter) vector() bool {
	in := e.in
	if !knownVectors[in.Vec] {
		return false
	}
	o := asm.Opcode{Bytes: vectorTables[in.Vec>>10] | uint32(in.Vec&0xff), Prefix: vectorPrefixes[in.Vec>>8&3]}
	wide := uint8(4)
	switch in.VecShape {
	case x86.VecXE, x86.VecEX, x86.VecGM:
		wide = in.From
	}
	rm := asm.R(asm.Reg(in.RM))
	x := asm.Reg(in.Reg)
	done := func() {}
	switch {
	case in.IsMem:
		rm = e.vectorMemory()
	case in.VecShape == x86.VecM:
		x = asm.Reg(in.Reg & 7)
	case in.VecShape == x86.VecXE:
		rm = e.operand(in.RM)
	case in.VecShape == x86.VecEX:
		var h asm.Reg
		h, done = e.target(in.RM)
		rm = asm.R(h)
	}
	if in.VecShape == x86.VecGM {
		x, done = e.target(in.Reg)
	}
	e.Emit(o, wide, x, rm, false)
	if vectorImmediates[in.Vec] || in.Vec >= x86.Vec3A {
		e.Imm(in.Imm, 1)
	}
	if in.VecShape == x86.VecTest || in.VecShape == x86.VecString {
		e.wrote(false)
	}
	done()
	return true
}

// vectorTables are the bytes before the opcode.
var vectorTables = [3]uint32{0x0f00, 0x0f3800, 0x0f3a00}

var vectorPrefixes = [4]byte{0, 0x66, 0xf3, 0xf2}

// vectorMemory finds the operand. What a processor wants aligned is checked, for the fault is the guest's.
func (e *Emitter) vectorMemory() asm.Operand {
	in := e.in
	write := in.VecShape == x86.VecMX || in.VecShape == x86.VecEX
	if in.Size < 16 || unalignedVectors[in.Vec] {
		return e.memory(in.Size, write)
	}
	e.slowly()
	e.address(hostA, true)
	return e.find(in.Size, write, 16)
}

// unalignedVectors are the moves whose memory needs no alignment.
var unalignedVectors = vectorSet(
	0x10, 0x11, x86.Vec66|0x10, x86.Vec66|0x11, x86.VecF3|0x6f, x86.VecF3|0x7f,
	x86.VecF2|0xf0, x86.Vec66|x86.Vec3A|0x62, x86.Vec66|x86.Vec3A|0x63,
)

// vectorImmediates are those with a byte behind the operands.
var vectorImmediates = vectorSet(
	0xc2, x86.VecF3|0xc2, x86.Vec66|0xc2, x86.VecF2|0xc2, 0xc6,
	x86.Vec66|0xc6, x86.Vec66|0x70, x86.VecF3|0x70, x86.VecF2|0x70, x86.Vec66|0xc4, x86.Vec66|0xc5, x86.Vec66|0x71, x86.Vec66|0x72, x86.Vec66|0x73,
)

func vectorSet(all ...x86.Vector) (set [x86.Vectors]bool) {
	for _, v := range all {
		set[v] = true
	}
	return set
}

// knownVectors are those that the host has and whose size in memory is x86.Inst.Size.
var knownVectors = func() [x86.Vectors]bool {
	set := vectorImmediates
	add := func(from, to x86.Vector) {
		for v := from; v <= to; v++ {
			set[v] = true
		}
	}
	for _, prefix := range []x86.Vector{0, x86.Vec66} {
		for _, op := range []x86.Vector{0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x28, 0x29, 0x2b, 0x2e, 0x2f, 0x50, 0x51} {
			set[prefix|op] = true
		}
		add(prefix|0x54, prefix|0x5f)
	}
	for _, prefix := range []x86.Vector{x86.VecF2, x86.VecF3} {
		for _, op := range []x86.Vector{0x10, 0x11, 0x2a, 0x2c, 0x2d, 0x51, 0x58, 0x59, 0x5a, 0x5c, 0x5d, 0x5e, 0x5f, 0xe6} {
			set[prefix|op] = true
		}
	}
	beyond(&set, add)
	set[x86.VecF3|0x5b], set[x86.VecF3|0x6f], set[x86.VecF3|0x7e], set[x86.VecF3|0x7f] = true, true, true, true
	add(x86.Vec66|0x60, x86.Vec66|0x6f)
	add(x86.Vec66|0x74, x86.Vec66|0x76)
	set[x86.Vec66|0x7e], set[x86.Vec66|0x7f] = true, true
	add(x86.Vec66|0xd1, x86.Vec66|0xef)
	add(x86.Vec66|0xf1, x86.Vec66|0xf6)
	add(x86.Vec66|0xf8, x86.Vec66|0xfe)
	return set
}()

// beyond adds what isn't in every host. Left out is what differs between hosts (DPPS, approximations), or has RAX in it.
func beyond(set *[x86.Vectors]bool, add func(from, to x86.Vector)) {
	const two, three = x86.Vec66 | x86.Vec38, x86.Vec66 | x86.Vec3A
	if hostHasSSE3 {
		for _, v := range []x86.Vector{
			x86.VecF2 | 0x12, x86.VecF3 | 0x12, x86.VecF3 | 0x16, x86.Vec66 | 0x7c, x86.VecF2 | 0x7c, x86.Vec66 | 0x7d, x86.VecF2 | 0x7d,
			x86.Vec66 | 0xd0, x86.VecF2 | 0xd0, x86.VecF2 | 0xf0,
		} {
			set[v] = true
		}
	}
	if hostHasSSSE3 {
		add(two, two|0x0b)
		add(two|0x1c, two|0x1e)
		set[three|0x0f] = true
	}
	if hostHasSSE41 {
		set[two|0x10], set[two|0x14], set[two|0x15], set[two|0x17] = true, true, true, true
		add(two|0x20, two|0x25)
		add(two|0x28, two|0x2b)
		add(two|0x30, two|0x35)
		add(two|0x38, two|0x41)
		add(three|0x08, three|0x0e)
	}
	if hostHasSSE42 {
		set[two|0x37], set[three|0x62], set[three|0x63] = true, true, true
	}
	if hostHasAES {
		add(two|0xdb, two|0xdf)
		set[three|0xdf] = true
	}
	set[three|0x44] = hostHasPCLMULQDQ
	if hostHasSHA {
		add(x86.Vec38|0xc8, x86.Vec38|0xcd)
		set[x86.Vec3A|0xcc] = true
	}
}
