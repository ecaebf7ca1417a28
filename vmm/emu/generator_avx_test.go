package emu

import (
	"github.com/wherry/wherry/vmm/x86"
	"golang.org/x/sys/cpu"
)

// hostHasAVX says that the host's processor does what the emulator does with VEX.
var hostHasAVX = cpu.X86.HasAVX2 && cpu.X86.HasFMA

// avxCode is an opcode with VEX.
type avxCode struct{ table, prefix, opcode, w, l byte }

// inst is one of its instructions.
func (c avxCode) inst() (in x86.Inst, ok bool) {
	for _, try := range [][]byte{c.bytes(0, 0, 0x10), c.bytes(0, 0, 0xd0), c.bytes(0, 3, 0x14)} {
		if in, err := x86.Decode(try); err == nil && in.Op == x86.AVX {
			return in, true
		}
	}
	return in, false
}

// bytes is an instruction. REX and V are as they mean.
func (c avxCode) bytes(rex, v, modRM byte) []byte {
	return []byte{0xc4, ^rex&7<<5 | c.table, c.w<<7 | ^v&15<<3 | c.l<<2 | c.prefix, c.opcode, modRM, 0, 0, 0, 0, 0}
}

// avxCodes are all there are.
var avxCodes = func() (all []avxCode) {
	for i := range 3 * 4 * 256 * 4 {
		c := avxCode{byte(1 + i>>12), byte(i >> 2 & 3), byte(i >> 4), byte(i & 1), byte(i >> 1 & 1)}
		if _, ok := c.inst(); ok {
			all = append(all, c)
		}
	}
	return all
}()

// avx makes an instruction of AVX, AVX2, FMA or F16C, in the short form where it has one.
func (g *generator) avx() []byte {
	for {
		g.state()
		c := avxCodes[g.random.IntN(len(avxCodes))]
		rex, v := byte(g.random.IntN(8)), byte(g.random.IntN(16))
		if g.random.IntN(4) == 0 { // where there is no V
			v = 0
		}
		g.addresses()
		g.registers[regCX] = g.value()
		if g.random.IntN(2) == 0 { // lengths of strings
			g.registers[regAX], g.registers[regDX] = uint64(g.random.IntN(40)-20), uint64(g.random.IntN(40)-20)
		}
		g.out = c.bytes(rex, v, 0)[:4]
		if c.table == 1 && c.w == 0 && rex&3 == 0 && g.random.IntN(2) == 0 {
			g.out = []byte{0xc5, g.out[1]&0x80 | g.out[2]&0x7f, c.opcode}
		}
		g.modRM(shape{two: true, group: []byte{byte(g.random.IntN(8))}, aligned: true}, rex)
		inst := append(g.out, byte(g.random.Uint32()))
		in, err := x86.Decode(inst)
		if err != nil || in.Op != x86.AVX {
			continue
		}
		switch in.VecShape {
		case x86.VecMask:
			g.registers[regDI] = dataAt + 1024
		case x86.VecGather:
			upper := g.extended.Upper()
			for _, half := range []*[2]uint64{&g.extended.XMM[in.RM], &upper[in.RM]} {
				for i := range half {
					if half[i] = uint64(g.random.IntN(128) - 64); in.Vec&1 == 0 {
						half[i] = half[i]<<32 | uint64(uint32(g.random.IntN(128)-64))
					}
				}
			}
			g.extended.SetUpper(&upper)
		}
		return inst[:in.Len]
	}
}
