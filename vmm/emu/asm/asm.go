package asm

import (
	"encoding/binary"
	"errors"
	"math"
)

// Reg is a register by its number: a general one, or XMM.
type Reg uint8

// The general registers.
const (
	AX Reg = iota
	CX
	DX
	BX
	SP
	BP
	SI
	DI
	R8
	R9
	R10
	R11
	R12
	R13
	R14
	R15
	// None is the index or the base of an address that has none.
	None Reg = 0xff
)

// Operand is what ModRM.rm is: a register, or memory.
type Operand struct {
	Reg   Reg
	IsMem bool
	Base  Reg
	Index Reg
	Shift uint8 // log2 of the index's scale
	Disp  int32
}

// R is a register as an operand.
func R(r Reg) Operand { return Operand{Reg: r} }

// M is the memory at base+disp.
func M(base Reg, disp int32) Operand {
	return Operand{IsMem: true, Base: base, Index: None, Disp: disp}
}

// MX is the memory at base+index<<shift+disp.
func MX(base, index Reg, shift uint8, disp int32) Operand {
	return Operand{IsMem: true, Base: base, Index: index, Shift: shift, Disp: disp}
}

// Opcode is an instruction without its operands. In Bytes the first one stands highest: 0x0fb6.
type Opcode struct {
	Prefix byte // 0, 0x66, 0xf2 or 0xf3
	Bytes  uint32
}

// Op is an opcode without a prefix.
func Op(bytes uint32) Opcode { return Opcode{Bytes: bytes} }

// Label is a place in a Buffer.
type Label struct {
	bound bool
	at    int
	uses  []int // where a distance of 4 bytes waits, counted from its end
}

// Buffer is code that is being written.
type Buffer struct {
	code    []byte
	at      uint64 // where it will lie, up to split
	split   int
	beyond  uint64 // and from there on
	pending int    // labels that were used and aren't bound
	err     error
}

var (
	errDistance = errors.New("BUG: a jump that is too far")
	errLabel    = errors.New("BUG: a jump to a label that isn't bound")
)

// Begin empties b, for code that will lie at the address.
func (b *Buffer) Begin(at uint64) {
	b.code, b.at, b.split, b.pending, b.err = b.code[:0], at, math.MaxInt, 0, nil
}

// Continue has what follows lie at another address.
func (b *Buffer) Continue(at uint64) { b.split, b.beyond = len(b.code), at }

// Bytes is the code: all of it, or up to Continue and from there on.
func (b *Buffer) Bytes() (here, there []byte) {
	at := min(b.split, len(b.code))
	return b.code[:at], b.code[at:]
}

// address is where the byte at an offset will lie.
func (b *Buffer) address(at int) uint64 {
	if at < b.split {
		return b.at + uint64(at)
	}
	return b.beyond + uint64(at-b.split)
}

// Len is how long the code is, or that from Continue on.
func (b *Buffer) Len() int {
	if len(b.code) >= b.split {
		return len(b.code) - b.split
	}
	return len(b.code)
}

// Err says what makes the code useless.
func (b *Buffer) Err() error {
	if b.err == nil && b.pending > 0 {
		return errLabel
	}
	return b.err
}

// Raw appends bytes.
func (b *Buffer) Raw(p ...byte) { b.code = append(b.code, p...) }

// Imm appends the low size bytes of v.
func (b *Buffer) Imm(v int64, size uint8) {
	var p [8]byte
	binary.LittleEndian.PutUint64(p[:], uint64(v))
	b.code = append(b.code, p[:size]...)
}

// Emit appends an instruction on operands of size bytes. bytes says that a register of one byte is among them, of which SPL, BPL, SIL and DIL need REX.
func (b *Buffer) Emit(o Opcode, size uint8, reg Reg, rm Operand, bytes bool) {
	if size == 2 {
		b.Raw(0x66)
	}
	if o.Prefix != 0 {
		b.Raw(o.Prefix)
	}
	rex := byte(0)
	if size == 8 {
		rex |= 8
	}
	rex |= byte(reg) >> 3 << 2
	if rm.IsMem {
		rex |= high(rm.Index)<<1 | high(rm.Base)
	} else {
		rex |= high(rm.Reg)
	}
	if rex != 0 || bytes && (reg >= SP && reg <= DI || !rm.IsMem && rm.Reg >= SP && rm.Reg <= DI) {
		b.Raw(0x40 | rex)
	}
	for shift := 24; shift >= 0; shift -= 8 {
		if shift == 0 || o.Bytes>>shift != 0 {
			b.Raw(byte(o.Bytes >> shift))
		}
	}
	b.modRM(byte(reg)&7<<3, rm)
}

// EmitVEX appends an instruction on three general registers of size bytes, 4 or 8. o is its table, 0f, 0f 38 or 0f 3a, and its opcode.
func (b *Buffer) EmitVEX(o Opcode, size uint8, reg, second, rm Reg) {
	b.EmitWide(o, size == 8, false, reg, second, R(rm), true)
}

// EmitWide appends an instruction with VEX: with W, and L if it has 256 bits. second is the register that isn't in ModRM, or 0; some have no ModRM.
func (b *Buffer) EmitWide(o Opcode, w, l bool, reg, second Reg, rm Operand, modRM bool) {
	third := ^byte(second)&15<<3 | map[byte]byte{0x66: 1, 0xf3: 2, 0xf2: 3}[o.Prefix]
	if w {
		third |= 0x80
	}
	if l {
		third |= 4
	}
	table, x, base := byte(1), byte(0), rm.Reg
	if rm.IsMem {
		x, base = high(rm.Index), rm.Base
	}
	switch byte(o.Bytes >> 8) {
	case 0x38:
		table = 2
	case 0x3a:
		table = 3
	}
	b.Raw(0xc4, (high(reg)^1)<<7|(x^1)<<6|(high(base)^1)<<5|table, third, byte(o.Bytes))
	if modRM {
		b.modRM(byte(reg)&7<<3, rm)
	}
}

// high is the bit of a register's number that REX has.
func high(r Reg) byte {
	if r == None {
		return 0
	}
	return byte(r) >> 3
}

func (b *Buffer) modRM(reg byte, rm Operand) {
	if !rm.IsMem {
		b.Raw(0xc0 | reg | byte(rm.Reg)&7)
		return
	}
	if rm.Base == None { // SIB without base: a displacement of 4 bytes
		index := byte(4)
		if rm.Index != None {
			index = byte(rm.Index) & 7
		}
		b.Raw(reg|4, rm.Shift<<6|index<<3|5)
		b.Imm(int64(rm.Disp), 4)
		return
	}
	mod, size := byte(0x80), uint8(4)
	switch {
	case rm.Disp == 0 && rm.Base&7 != BP: // with mod 0 RBP and R13 mean something else
		mod, size = 0, 0
	case rm.Disp == int32(int8(rm.Disp)):
		mod, size = 0x40, 1
	}
	switch {
	case rm.Index != None:
		b.Raw(mod|reg|4, rm.Shift<<6|byte(rm.Index)&7<<3|byte(rm.Base)&7)
	case rm.Base&7 == SP: // needs a SIB
		b.Raw(mod|reg|4, 0x20|byte(rm.Base)&7)
	default:
		b.Raw(mod | reg | byte(rm.Base)&7)
	}
	b.Imm(int64(rm.Disp), size)
}

// Bind makes l this place.
func (b *Buffer) Bind(l *Label) {
	l.bound, l.at = true, len(b.code)
	for _, use := range l.uses {
		b.patch(use, l)
		b.pending--
	}
	l.uses = nil
}

// patch writes the 4 bytes before use: how far l is from behind them.
func (b *Buffer) patch(use int, l *Label) {
	binary.LittleEndian.PutUint32(b.code[use-4:], b.far(use, b.address(l.at)))
}

func (b *Buffer) far(use int, to uint64) uint32 {
	d := int64(to - (b.address(use-1) + 1))
	if d != int64(int32(d)) {
		b.err = errDistance
	}
	return uint32(d)
}

// distance appends the 4 bytes.
func (b *Buffer) distance(l *Label) {
	b.Imm(0, 4)
	if l.bound {
		b.patch(len(b.code), l)
		return
	}
	l.uses = append(l.uses, len(b.code))
	b.pending++
}

// Jump appends JMP l.
func (b *Buffer) Jump(l *Label) {
	b.Raw(0xe9)
	b.distance(l)
}

// JumpIf appends Jcc l, by the condition's number.
func (b *Buffer) JumpIf(cc uint8, l *Label) {
	b.Raw(0x0f, 0x80|cc)
	b.distance(l)
}

// JumpTo appends JMP to an address, which mustn't be further than 2 GiB.
func (b *Buffer) JumpTo(to uint64) {
	b.Raw(0xe9)
	b.Imm(0, 4)
	binary.LittleEndian.PutUint32(b.code[len(b.code)-4:], b.far(len(b.code), to))
}

// Address appends LEA reg, l.
func (b *Buffer) Address(reg Reg, l *Label) {
	b.Raw(0x48|byte(reg)>>3<<2, 0x8d, byte(reg)&7<<3|5)
	b.distance(l)
}

// Constant appends a move of v to reg, the shortest one. It leaves the flags.
func (b *Buffer) Constant(reg Reg, v uint64) {
	switch {
	case v <= math.MaxUint32:
		if high(reg) != 0 {
			b.Raw(0x41)
		}
		b.Raw(0xb8 | byte(reg)&7)
		b.Imm(int64(v), 4)
	case int64(v) == int64(int32(v)):
		b.Emit(Op(0xc7), 8, 0, R(reg), false)
		b.Imm(int64(v), 4)
	default:
		b.Raw(0x48|high(reg), 0xb8|byte(reg)&7)
		b.Imm(int64(v), 8)
	}
}

// Align appends INT3 until Len is a multiple of n.
func (b *Buffer) Align(n int) {
	for b.Len()%n != 0 {
		b.Raw(0xcc)
	}
}
