package x86

import (
	"encoding/binary"
	"errors"
)

// InstMax is the longest instruction in bytes.
const InstMax = 15

var (
	// ErrShort says that the instruction goes on after the given bytes.
	ErrShort = errors.New("the instruction isn't complete")
	// ErrInvalid says that a processor raises #UD (or #GP for one that is longer than InstMax).
	ErrInvalid = errors.New("invalid instruction")
	// ErrUnsupported says that a processor may know this instruction, and this decoder doesn't.
	ErrUnsupported = errors.New("unsupported instruction")
)

// decoder is the state between an instruction's bytes.
type decoder struct {
	code   []byte
	at     int
	inst   Inst
	rex    byte
	opSize bool // prefix 0x66
	rep    byte // the last of 0xf2 and 0xf3
	short  bool
	// indexed says that there is a SIB, with index, which may be a vector's register.
	indexed bool
	index   uint8
}

// Decode returns the instruction that code begins with, in 64-bit mode.
func Decode(code []byte) (Inst, error) {
	d := decoder{code: code[:min(len(code), InstMax)]}
	opcode := d.prefixes()
	err := d.oneByte(opcode)
	switch {
	case d.short && len(code) >= InstMax:
		return Inst{}, ErrInvalid
	case d.short:
		return Inst{}, ErrShort
	case err != nil:
		return Inst{}, err
	case d.inst.Lock && !d.lockable():
		return Inst{}, ErrInvalid
	}
	d.inst.Len = uint8(d.at)
	return d.inst, nil
}

// prefixes reads the legacy prefixes and REX, which counts only right before the opcode, and returns the opcode.
func (d *decoder) prefixes() byte {
	for !d.short {
		switch b := d.byte(); {
		case b == 0x66:
			d.opSize, d.rex = true, 0
		case b == 0x67:
			d.inst.Mem.Addr32, d.rex = true, 0
		case b == 0xf0:
			d.inst.Lock, d.rex = true, 0
		case b == 0xf2 || b == 0xf3:
			d.rep, d.rex = b, 0
		case b == 0x64:
			d.inst.Mem.Seg, d.rex = FS, 0
		case b == 0x65:
			d.inst.Mem.Seg, d.rex = GS, 0
		case b == 0x26 || b == 0x2e || b == 0x36 || b == 0x3e: // ignored in 64-bit mode
			d.rex = 0
		case b&0xf0 == 0x40:
			d.rex = b
		default:
			return b
		}
	}
	return 0
}

// lockable: LOCK is for instructions that read and write memory (Intel SDM volume 2, LOCK).
func (d *decoder) lockable() bool {
	if !d.inst.IsMem {
		return false
	}
	switch i := d.inst; i.Op {
	case ADD, OR, ADC, SBB, AND, SUB, XOR:
		return i.Form != FormRM
	case NOT, NEG, INC, DEC, XCHG, XADD, CMPXCHG, CMPXCHG16B, BTS, BTR, BTC:
		return true
	}
	return false
}

func (d *decoder) byte() byte {
	if d.at >= len(d.code) {
		d.short = true
		return 0
	}
	b := d.code[d.at]
	d.at++
	return b
}

// imm reads a signed number of n bytes.
func (d *decoder) imm(n int) int64 {
	if d.at+n > len(d.code) {
		d.short = true
		d.at = len(d.code)
		return 0
	}
	p := d.code[d.at : d.at+n]
	d.at += n
	switch n {
	case 1:
		return int64(int8(p[0]))
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(p)))
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(p)))
	}
	return int64(binary.LittleEndian.Uint64(p))
}

// immZ reads an immediate of the operand size, or of 4 bytes if that is 8.
func (d *decoder) immZ() int64 { return d.imm(int(min(d.inst.Size, 4))) }

// size is the operand size of an opcode: 1 if it is for bytes, else what REX.W and the prefix 0x66 say.
func (d *decoder) size(bytes bool) uint8 {
	switch {
	case bytes:
		return 1
	case d.rex&8 != 0:
		return 8
	case d.opSize:
		return 2
	}
	return 4
}

// stackSize is that of PUSH and POP, which is never 4.
func (d *decoder) stackSize() uint8 {
	if d.opSize && d.rex&8 == 0 {
		return 2
	}
	return 8
}

// set makes the instruction op in form with operands of size.
func (d *decoder) set(op Op, form Form, size uint8) *Inst {
	d.inst.Op, d.inst.Form, d.inst.Size = op, form, size
	return &d.inst
}

// general is the general register with a number of 4 bits; of one byte, 4 to 7 are AH, CH, DH and BH if there is no REX.
func (d *decoder) general(number byte, size uint8) uint8 {
	if size == 1 && d.rex == 0 && number >= 4 && number < 8 {
		return HighByte + number - 4
	}
	return number
}

// modRM reads the operands; registers are general ones of regSize and rmSize.
func (d *decoder) modRM(regSize, rmSize uint8) (group byte) {
	m := d.byte()
	i := &d.inst
	group = m >> 3 & 7
	i.Reg = d.general(group|d.rex<<1&8, regSize)
	if m>>6 == 3 {
		i.RM = d.general(m&7|d.rex<<3&8, rmSize)
		return group
	}
	i.IsMem = true
	i.Mem.Base, i.Mem.Index = m&7|d.rex<<3&8, NoReg
	switch {
	case m&7 == 4:
		d.sib(m)
	case m>>6 == 0 && m&7 == 5:
		i.Mem.Base, i.Mem.RIP = NoReg, true
		i.Mem.Disp = d.imm(4)
	}
	switch m >> 6 {
	case 1:
		i.Mem.Disp = d.imm(1)
	case 2:
		i.Mem.Disp = d.imm(4)
	}
	return group
}

func (d *decoder) sib(m byte) {
	s := d.byte()
	mem := &d.inst.Mem
	mem.Shift = s >> 6
	d.indexed, d.index = true, s>>3&7|d.rex<<2&8
	if d.index != 4 {
		mem.Index = d.index
	}
	mem.Base = s&7 | d.rex<<3&8
	if s&7 == 5 && m>>6 == 0 {
		mem.Base = NoReg
		mem.Disp = d.imm(4)
	}
}
