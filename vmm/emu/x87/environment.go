package x87

import (
	"encoding/binary"

	"github.com/wherry/wherry/vmm/x86"
)

// EnvironmentWords is how many words an environment has (Intel SDM volume 1, figures 8-9 to 8-12): control, status, tags, then pointers.
const EnvironmentWords = 7

// tags is the tag word, two bits for each register: 0 valid, 1 zero, 2 special, 3 empty.
func (f *FPU) tags() (t uint16) {
	for i, r := range f.regs {
		tag := uint16(0)
		exponent := r.SignExponent & 0x7fff
		switch {
		case f.full>>i&1 == 0:
			tag = 3
		case r.IsZero():
			tag = 1
		case exponent == 0 || exponent == 0x7fff || r.Mantissa>>63 == 0:
			tag = 2
		}
		t |= tag << (2 * i)
	}
	return t
}

func (f *FPU) setTags(t uint16) {
	f.full = 0
	for i := range f.regs {
		if t>>(2*i)&3 != 3 {
			f.full |= 1 << i
		}
	}
}

// Environment is f's, in words of size bytes.
func (f *FPU) Environment(size uint8) []byte {
	words := [EnvironmentWords]uint32{uint32(f.control), uint32(f.Status()), uint32(f.tags()), uint32(f.ip), 0, uint32(f.data), 0}
	var p []byte
	if size == 2 {
		for _, w := range words {
			p = binary.LittleEndian.AppendUint16(p, uint16(w))
		}
		return p
	}
	words[4] = uint32(f.opcode) << 16
	for i, w := range words {
		if i < 3 || i == 6 {
			w |= 0xffff0000 // the upper half of words of 16 bits is reserved, and ones
		}
		p = binary.LittleEndian.AppendUint32(p, w)
	}
	return p
}

// SetEnvironment takes one.
func (f *FPU) SetEnvironment(p []byte, size uint8) {
	word := func(i int) uint32 {
		if size == 2 {
			return uint32(binary.LittleEndian.Uint16(p[2*i:]))
		}
		return binary.LittleEndian.Uint32(p[4*i:])
	}
	f.SetControl(uint16(word(0)))
	f.setStatus(uint16(word(1)))
	f.setTags(uint16(word(2)))
	f.ip, f.data, f.opcode = uint64(word(3)), uint64(word(5)), 0
	if size == 4 {
		f.opcode = uint16(word(4)>>16) & 0x7ff
	}
}

// registersSize is how long the registers are, in bytes.
const registersSize = 80

// Size is how long what FNSAVE stores is, with words of size bytes.
func Size(size uint8) int { return EnvironmentWords*int(size) + registersSize }

// State is what FNSAVE stores: the environment and the registers.
func (f *FPU) State(size uint8) []byte {
	p := f.Environment(size)
	for i := range uint8(8) {
		r := f.regs[(f.top+i)&7]
		p = binary.LittleEndian.AppendUint64(p, r.Mantissa)
		p = binary.LittleEndian.AppendUint16(p, r.SignExponent)
	}
	return p
}

// SetState is FRSTOR.
func (f *FPU) SetState(p []byte, size uint8) {
	f.SetEnvironment(p, size)
	p = p[EnvironmentWords*int(size):]
	for i := range 8 {
		r := p[10*i:]
		f.regs[(f.top+uint8(i))&7] = x86.Float80{Mantissa: binary.LittleEndian.Uint64(r), SignExponent: binary.LittleEndian.Uint16(r[8:])}
	}
}

// Clear is FNCLEX.
func (f *FPU) Clear() { f.raised = 0 }
