package emu

import (
	"math"

	"github.com/wherry/wherry/vmm/x86"
)

// float is the bits of a double or of two singles: plain ones, whole numbers, ends of ranges, zeros, infinities, NaNs, denormals; or any bits.
func (g *generator) float() uint64 {
	switch g.random.IntN(8) {
	case 0, 1:
		return g.value()
	case 2: // near the ends of the exponents
		return g.random.Uint64()&^(0x7f8<<52) | uint64(g.random.IntN(2)*0x7f8)<<52
	case 3:
		return g.nearSingle() | g.nearSingle()<<32
	}
	plain := (g.random.Float64() - 0.5) * math.Exp2(float64(g.random.IntN(140)-70))
	if g.random.IntN(3) == 0 {
		plain = math.Round(plain)
	}
	all := []float64{
		plain, plain, plain, 0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), 0.5, 1.5, 2.5, math.MaxInt32, math.MinInt32, 1 << 63, -1 << 63,
		math.SmallestNonzeroFloat64 * 3, math.SmallestNonzeroFloat32 * 5, math.MaxFloat64, math.MaxFloat32,
	}
	a, b := all[g.random.IntN(len(all))], all[g.random.IntN(len(all))]
	if g.random.IntN(2) == 0 {
		return math.Float64bits(a)
	}
	return uint64(math.Float32bits(float32(a))) | uint64(math.Float32bits(float32(b)))<<32
}

// nearSingle is a single near the ends of the exponents.
func (g *generator) nearSingle() uint64 {
	return uint64(g.random.Uint32()&^(0x7e<<23) | uint32(g.random.IntN(2)*0x7e)<<23)
}

// x87 makes an x87 instruction, with numbers on the stack, mostly as many as it takes.
func (g *generator) x87() []byte {
	for {
		g.state()
		depth := 2 + g.random.IntN(7)
		if g.random.IntN(8) == 0 {
			depth = g.random.IntN(3)
		}
		g.extended.FCW = 0x7f | uint16(g.random.IntN(4))<<10
		switch g.random.IntN(4) {
		case 0:
			g.extended.FCW |= 2 << 8
		case 1:
			g.extended.FCW |= 0 << 8
		default:
			g.extended.FCW |= 3 << 8
		}
		top := g.random.IntN(8)
		g.extended.FSW = uint16(top)<<11 | uint16(g.random.Uint32())&0x477f
		for i := range depth {
			g.extended.FTW |= 1 << ((top + i) & 7)
		}
		for i := range g.extended.ST {
			f := g.float80()
			g.extended.ST[i] = x86.Slot80{Mantissa: f.Mantissa, SignExponent: f.SignExponent}
		}
		rex := byte(0)
		g.out = nil
		if g.random.IntN(4) == 0 {
			rex = 0x41
			g.out = append(g.out, rex)
		}
		g.out = append(g.out, 0xd8|byte(g.random.IntN(8)))
		g.modRM(shape{}, rex)
		if _, err := x86.Decode(g.out); err != nil {
			continue
		}
		return g.out
	}
}

// float80 is one of all kinds, often near another.
func (g *generator) float80() x86.Float80 {
	m := g.random.Uint64() | 1<<63
	if g.random.IntN(3) == 0 {
		m = g.value() | 1<<63
	}
	sign := uint16(g.random.IntN(2)) << 15
	switch g.random.IntN(16) {
	case 0:
		return x86.Float80{Mantissa: 0, SignExponent: sign}
	case 1:
		return x86.Float80{Mantissa: 1 << 63, SignExponent: sign | 0x7fff}
	case 2: // NaNs
		return x86.Float80{Mantissa: m, SignExponent: sign | 0x7fff}
	case 3: // denormals, and meaningless ones
		return x86.Float80{Mantissa: m >> g.random.IntN(64) & (1<<63 - 1), SignExponent: sign | uint16(g.random.IntN(2)*g.random.IntN(20000))}
	case 4: // ends
		return x86.Float80{Mantissa: m, SignExponent: sign | uint16(g.random.IntN(4)*0x1fff+1+g.random.IntN(80))}
	case 5: // as doubles and singles have them
		return x86.Widen(x86.Double, g.float())
	case 6: // whole numbers and halves
		f := x86.OfInt80(int64(g.value()) >> g.random.IntN(64))
		if f.SignExponent&0x7fff != 0 {
			f.SignExponent -= uint16(g.random.IntN(3))
		}
		return f
	case 7, 8: // of transcendental functions
		return x86.Float80{Mantissa: m, SignExponent: sign | uint16(16383-4+g.random.IntN(6))}
	}
	return x86.Float80{Mantissa: m, SignExponent: sign | uint16(16383-70+g.random.IntN(140))}
}

// vectorCodes are all opcodes of MMX and SSE: a prefix, 0f 38 or 0f 3a, and the opcode.
var vectorCodes = func() (all [][]byte) {
	for _, prefix := range []string{"", "\x66", "\xf3", "\xf2"} {
		for _, table := range []string{"\x0f", "\x0f\x38", "\x0f\x3a"} {
			for opcode := range 256 {
				if table == "\x0f" && (opcode == 0x38 || opcode == 0x3a) {
					continue
				}
				code := append([]byte(prefix+table), byte(opcode))
				for _, modRM := range []byte{0x10, 0xd0} {
					in, err := x86.Decode(append(code[:len(code):len(code)], modRM, 0, 0, 0, 0, 0))
					if err == nil && in.Op == x86.SSE {
						all = append(all, code)
						break
					}
				}
			}
		}
	}
	return all
}()

// vector makes an MMX or SSE instruction.
func (g *generator) vector() []byte {
	for {
		g.state()
		g.out = nil
		for i := range g.extended.ST {
			g.extended.ST[i] = x86.Slot80{Mantissa: g.float(), SignExponent: uint16(g.random.Uint32())}
		}
		g.extended.FSW, g.extended.FTW = uint16(g.random.IntN(8))<<11, uint8(g.random.Uint32())
		code := vectorCodes[g.random.IntN(len(vectorCodes))]
		if code[0] != 0x0f {
			g.out = append(g.out, code[0])
			code = code[1:]
		}
		rex := byte(0)
		if g.random.IntN(2) == 0 {
			rex = 0x40 | byte(g.random.IntN(16))
			g.out = append(g.out, rex)
		}
		g.out = append(g.out, code...)
		switch g.random.IntN(3) {
		case 0:
			g.addresses()
		case 1: // lengths of strings
			g.registers[regAX], g.registers[regDX] = uint64(g.random.IntN(40)-20), uint64(g.random.IntN(40)-20)
		}
		g.modRM(shape{two: true, group: []byte{byte(g.random.IntN(8))}, aligned: true}, rex)
		inst := append(g.out, byte(g.random.Uint32()))
		in, err := x86.Decode(inst)
		if err != nil || in.Op != x86.SSE {
			continue
		}
		if in.VecShape == x86.VecMask || in.VecShape == x86.MMXMask {
			g.registers[regDI] = dataAt + 1024
		}
		return inst[:in.Len]
	}
}
