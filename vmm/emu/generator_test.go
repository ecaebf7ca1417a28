package emu

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/wherry/wherry/vmm/x86"
)

// generator makes an instruction, and registers with which it stays in the tests' data.
type generator struct {
	random    *rand.Rand
	registers [17]uint64
	extended  x86.Extended
	out       []byte
}

// shape is a group of opcodes that are encoded alike.
type shape struct {
	opcodes []byte
	two     bool // behind 0f
	modRM   bool
	group   []byte // what ModRM.reg may be, where it is part of the opcode
	imm     int    // bytes of an immediate; immZ is that of the operand size
	memory  bool   // only in memory
	rep     byte
	address bool // RSI and RDI, RSP or RBX are addresses
	aligned bool // memory is at a multiple of 16
	no66    bool
	noREX   bool
	third   byte // between 0f and the opcode
	vex     byte // the table of an instruction with VEX, else 0
	pp      byte // of VEX
}

const immZ = -1

var shapes = []shape{
	{opcodes: arithmeticOpcodes(0, 4), modRM: true},
	{opcodes: arithmeticOpcodes(4, 5), imm: 1},
	{opcodes: arithmeticOpcodes(5, 6), imm: immZ},
	{opcodes: []byte{0x80, 0x83}, modRM: true, group: []byte{0, 1, 2, 3, 4, 5, 6, 7}, imm: 1},
	{opcodes: []byte{0x81}, modRM: true, group: []byte{0, 1, 2, 3, 4, 5, 6, 7}, imm: immZ},
	{opcodes: []byte{0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x63}, modRM: true},
	{opcodes: []byte{0x8d}, modRM: true, memory: true},
	{opcodes: []byte{0x9b, 0x90, 0x91, 0x92, 0x93, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9e, 0x9f, 0xf5, 0xf8, 0xf9}},
	{opcodes: []byte{0xa8}, imm: 1},
	{opcodes: []byte{0xa9}, imm: immZ},
	{opcodes: []byte{0xb0, 0xb1, 0xb3, 0xb4, 0xb7}, imm: 1},
	{opcodes: []byte{0xc0, 0xc1}, modRM: true, group: []byte{0, 1, 2, 3, 4, 5, 7}, imm: 1},
	{opcodes: []byte{0xd0, 0xd1, 0xd2, 0xd3}, modRM: true, group: []byte{0, 1, 2, 3, 4, 5, 7}},
	{opcodes: []byte{0xc6}, modRM: true, group: []byte{0}, imm: 1},
	{opcodes: []byte{0xc7}, modRM: true, group: []byte{0}, imm: immZ},
	{opcodes: []byte{0xf6}, modRM: true, group: []byte{0}, imm: 1},
	{opcodes: []byte{0xf7}, modRM: true, group: []byte{0}, imm: immZ},
	{opcodes: []byte{0xf6, 0xf7}, modRM: true, group: []byte{2, 3, 4, 5, 6, 7}},
	{opcodes: []byte{0xfe, 0xff}, modRM: true, group: []byte{0, 1}},
	{opcodes: []byte{0x69}, modRM: true, imm: immZ},
	{opcodes: []byte{0x6b}, modRM: true, imm: 1},
	{opcodes: twoOpcodes(0x40, 16), two: true, modRM: true},
	{opcodes: twoOpcodes(0x90, 16), two: true, modRM: true},
	{opcodes: []byte{0xa3, 0xab, 0xb3, 0xbb}, two: true, modRM: true, address: true},
	{opcodes: []byte{0xa4, 0xac}, two: true, modRM: true, imm: 1},
	{opcodes: []byte{0xa5, 0xad, 0xaf, 0xb0, 0xb1, 0xb6, 0xb7, 0xbc, 0xbd, 0xbe, 0xbf, 0xc0, 0xc1}, two: true, modRM: true},
	{opcodes: []byte{0xba}, two: true, modRM: true, group: []byte{4, 5, 6, 7}, imm: 1},
	{opcodes: []byte{0xb8}, two: true, modRM: true, rep: 0xf3},
	{opcodes: []byte{0xc3}, two: true, modRM: true, memory: true, no66: true},
	{opcodes: []byte{0xc7}, two: true, modRM: true, memory: true, group: []byte{1}, no66: true, aligned: true},
	{opcodes: twoOpcodes(0xc8, 8), two: true, no66: true},
	{opcodes: []byte{0x50, 0x53, 0x57, 0x58, 0x5a, 0x5c, 0x5f, 0x9c, 0xc9}, address: true, no66: true},
	{opcodes: []byte{0x6a}, address: true, imm: 1},
	{opcodes: []byte{0xff}, modRM: true, group: []byte{6}, address: true},
	{opcodes: []byte{0x8f}, modRM: true, group: []byte{0}, address: true},
	{opcodes: []byte{0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf}, address: true},
	{opcodes: []byte{0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf}, address: true, rep: 0xf3},
	{opcodes: []byte{0xa6, 0xa7, 0xae, 0xaf}, address: true, rep: 0xf2},
	{opcodes: []byte{0xd7}, address: true},
	{opcodes: []byte{0xf0, 0xf1}, two: true, third: 0x38, modRM: true, rep: 0xf2},
	{opcodes: []byte{0xc8}, address: true, imm: 3, no66: true},
	{opcodes: []byte{0x0d, 0x18, 0x1f}, two: true, modRM: true},
	{opcodes: []byte{0xae}, two: true, modRM: true, memory: true, group: []byte{0, 1, 2, 3, 7}, no66: true, aligned: true},
	{opcodes: []byte{0xf0, 0xf1}, two: true, third: 0x38, modRM: true, memory: true},
	{opcodes: []byte{0xf6}, two: true, third: 0x38, modRM: true, rep: 0xf3},
	{opcodes: []byte{0xf6}, two: true, third: 0x38, modRM: true, rep: 0x66, no66: true},
	{opcodes: []byte{0xbc, 0xbd}, two: true, modRM: true, rep: 0xf3},
	{opcodes: []byte{0xf2, 0xf5, 0xf7}, modRM: true, vex: 2},
	{opcodes: []byte{0xf3}, modRM: true, vex: 2, group: []byte{1, 2, 3}},
	{opcodes: []byte{0xf7}, modRM: true, vex: 2, pp: 1},
	{opcodes: []byte{0xf5, 0xf7}, modRM: true, vex: 2, pp: 2},
	{opcodes: []byte{0xf5, 0xf6, 0xf7}, modRM: true, vex: 2, pp: 3},
	{opcodes: []byte{0xf0}, modRM: true, vex: 3, pp: 3, imm: 1},
	{opcodes: []byte{0xe8, 0xf0, 0xf8}, two: true, third: 0xae, no66: true, noREX: true},
}

func arithmeticOpcodes(from, to byte) (all []byte) {
	for op := range byte(8) {
		for b := from; b < to; b++ {
			all = append(all, op<<3|b)
		}
	}
	return all
}

func twoOpcodes(from byte, n byte) (all []byte) {
	for i := range n {
		all = append(all, from+i)
	}
	return all
}

// value is a number of those that go wrong: small ones, ends of ranges, and any.
func (g *generator) value() uint64 {
	v := g.random.Uint64()
	switch g.random.IntN(6) {
	case 0:
		return v & 3
	case 1:
		return -(v & 3)
	case 2:
		return uint64(1)<<(v&63) - v>>6&1
	case 3:
		return uint64(int64(v) >> (v & 63))
	}
	return v
}

// state makes the registers anything.
func (g *generator) state() {
	for i := range g.registers {
		g.registers[i] = g.value()
	}
	g.registers[16] = g.random.Uint64()&0x8d5 | 2
	g.extended = x86.NewExtended()
	g.extended.MXCSR |= g.random.Uint32() & 0x3f
	if g.random.IntN(2) == 0 {
		g.extended.MXCSR |= g.random.Uint32() & 0xe040
	}
	var upper [16][2]uint64
	for i := range g.extended.XMM {
		g.extended.XMM[i] = [2]uint64{g.float(), g.float()}
		upper[i] = [2]uint64{g.float(), g.float()}
	}
	if g.random.IntN(4) > 0 {
		g.extended.SetUpper(&upper)
	}
}

// fill makes memory anything, half of it floats.
func (g *generator) fill(data []byte) {
	for i := range data {
		data[i] = byte(g.random.Uint32())
	}
	for at := len(data) / 2; at < len(data); at += 8 {
		v := g.float()
		if g.random.IntN(2) == 0 {
			v &^= 0xffff << 16 // MXCSR
		}
		binary.LittleEndian.PutUint64(data[at:], v)
	}
}

// any is an instruction of any kind.
func (g *generator) any() []byte {
	switch g.random.IntN(8) {
	case 0, 1:
		return g.vector()
	case 2:
		return g.x87()
	case 3, 4, 5:
		if hostHasAVX {
			return g.avx()
		}
	}
	return g.instruction()
}

func (g *generator) instruction() []byte {
	s := shapes[g.random.IntN(len(shapes))]
	g.state()
	opcode := s.opcodes[g.random.IntN(len(s.opcodes))]
	rex, size := byte(0), 4
	g.out = nil
	if s.vex != 0 {
		return g.threeOperands(s, opcode)
	}
	if g.random.IntN(4) == 0 && !s.no66 {
		g.out = append(g.out, 0x66)
		size = 2
	}
	if s.rep != 0 {
		g.out = append(g.out, s.rep)
	}
	if g.random.IntN(3) > 0 && !s.noREX {
		rex = 0x40 | byte(g.random.IntN(16))
		if !s.modRM && !s.address { // the register of the opcode, and the size
			rex &= 0x49
		}
		if rex&8 != 0 {
			size = 8
		}
		g.out = append(g.out, rex)
	}
	if s.address {
		g.addresses()
	}
	if s.two {
		g.out = append(g.out, 0x0f)
	}
	if s.third != 0 {
		g.out = append(g.out, s.third)
	}
	g.out = append(g.out, opcode)
	if s.modRM {
		g.modRM(s, rex)
	}
	imm := s.imm
	if opcode == 0xc8 && !s.two { // ENTER reaches as far as it says
		return append(g.out, byte(g.random.IntN(64)), 0, byte(g.random.IntN(40)))
	}
	if imm == immZ {
		imm = min(size, 4)
	}
	return append(g.out, binary.LittleEndian.AppendUint64(nil, g.value())[:imm]...)
}

// threeOperands has VEX, in which a REX is upside down.
func (g *generator) threeOperands(s shape, opcode byte) []byte {
	rex := byte(g.random.IntN(16))
	second := byte(g.random.IntN(16))
	if s.vex == 3 { // has two
		second = 0
	}
	g.out = append(g.out, 0xc4, ^rex&7<<5|s.vex, rex>>3<<7|^second&15<<3|s.pp, opcode)
	g.modRM(s, rex)
	if s.imm == 1 {
		g.out = append(g.out, byte(g.value()))
	}
	return g.out
}

// addresses has the registers that instructions use without naming them point into the data.
func (g *generator) addresses() {
	for _, r := range []int{regSI, regDI, regSP, regBP, regBX} {
		g.registers[r] = dataAt + 1024 + uint64(g.random.IntN(1024))
	}
	g.registers[regCX] = uint64(g.random.IntN(40))
}

func (g *generator) modRM(s shape, rex byte) {
	reg := byte(g.random.IntN(8))
	if s.group != nil {
		reg = s.group[g.random.IntN(len(s.group))]
	}
	rm := byte(g.random.IntN(8))
	if !s.memory && g.random.IntN(2) == 0 {
		g.out = append(g.out, 0xc0|reg<<3|rm)
		return
	}
	if s.two && s.address { // the bit's number isn't in the register that the address is in
		if rm == 4 {
			rm = 5
		}
		reg = rm ^ 1
	}
	disp := int8(g.random.Uint32())
	base := rm | rex<<3&8
	at := dataAt + 2048 + uint64(g.random.IntN(512))&^15
	mod := byte(1)
	if g.random.IntN(2) == 0 {
		mod = 2
	}
	if s.aligned {
		disp &^= 15
	}
	if rm == 4 {
		g.out = append(g.out, mod<<6|reg<<3|4)
		base = byte(g.random.IntN(8)) | rex<<3&8
		index, scale := base&7^1, byte(g.random.IntN(4))
		g.out = append(g.out, scale<<6|index<<3|base&7)
		if index |= rex << 2 & 8; index != 4 {
			g.registers[index] = uint64(g.random.IntN(2) * 16)
		}
	} else {
		g.out = append(g.out, mod<<6|reg<<3|rm)
	}
	g.registers[base] = at
	if s.two && s.address { // it reaches far, and is kept near
		g.registers[reg|rex<<1&8] = uint64(int64(g.random.IntN(2048) - 1024))
	}
	if mod == 1 {
		g.out = append(g.out, byte(disp))
	} else {
		g.out = binary.LittleEndian.AppendUint32(g.out, uint32(int32(disp)))
	}
}
