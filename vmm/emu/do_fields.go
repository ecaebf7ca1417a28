package emu

import (
	"math/bits"

	"github.com/wherry/wherry/vmm/emu/flags"
	"github.com/wherry/wherry/vmm/emu/integer"
	"github.com/wherry/wherry/vmm/x86"
)

// fieldStep is the step of an instruction of integer.FieldFuncs. op.from has the register of VEX.vvvv.
func fieldStep(f func(*integer.Fields), wide bool) func(*VCPU, *op) bool {
	return func(c *VCPU, o *op) bool {
		d := o.d
		if wide { // MULX
			d = regDX
		}
		x := integer.Fields{Size: o.size, Imm: uint8(o.imm), Flags: c.flags.Arithmetic()}
		x.V, x.By, x.D = flags.Cut(c.file[o.s&regMask], o.size), flags.Cut(c.file[o.from&regMask], o.size), flags.Cut(c.file[d&regMask], o.size)
		f(&x)
		if wide {
			c.put(o.from, x.Lower, o.size)
		}
		c.put(o.d, x.R, o.size)
		c.flags.Set(x.Flags)
		return true
	}
}

// moveSwapped makes MOVBE's steps.
func (t *translator) moveSwapped() {
	swap := op{d: t.in.Reg, s: regT0, size: t.in.Size}
	if t.in.Form == x86.FormRM {
		t.read(regT0, t.in.Size)
		t.do(doMoveSwapped, swap)
		return
	}
	swap.d, swap.s = swap.s, swap.d
	t.do(doMoveSwapped, swap)
	t.write(regT0, t.in.Size)
}

func doMoveSwapped(c *VCPU, o *op) bool {
	c.put(o.d, bits.ReverseBytes64(c.file[o.s&regMask])>>(64-o.size*8), o.size)
	return true
}

func doCRC32(c *VCPU, o *op) bool {
	c.put(o.d, uint64(integer.CRC32C(uint32(c.file[o.d&regMask]), c.file[o.s&regMask], o.from)), 8)
	return true
}
