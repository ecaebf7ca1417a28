package emu

import (
	"math/bits"

	"github.com/wherry/wherry/vmm/emu/flags"
	"github.com/wherry/wherry/vmm/x86"
)

// What BMI1, BMI2, ADX, LZCNT and MOVBE have. Instructions with three operands have the register of VEX.vvvv in op.from. Of flags that Intel calls undefined,
// AF is 0 and PF and SF are as of the result.

// fields are v and what VEX.vvvv has, cut to the size.
func (c *VCPU) fields(o *op) (v, by uint64) {
	return flags.Cut(c.file[o.s&regMask], o.size), flags.Cut(c.file[o.from&regMask], o.size)
}

// carried is logic with a CF.
func (c *VCPU) carried(o *op, r uint64, carry bool) bool {
	c.logic(o, r)
	c.flags.Change(x86.CF, x86.Flags(bit(carry)))
	return true
}

func doAndNot(c *VCPU, o *op) bool {
	v, by := c.fields(o)
	return c.logic(o, v&^by)
}

func doLowestReset(c *VCPU, o *op) bool {
	v, _ := c.fields(o)
	return c.carried(o, v&(v-1), v == 0)
}

func doLowestMask(c *VCPU, o *op) bool {
	v, _ := c.fields(o)
	return c.carried(o, flags.Cut(v^(v-1), o.size), v == 0)
}

func doLowestIsolate(c *VCPU, o *op) bool {
	v, _ := c.fields(o)
	return c.carried(o, v&-v, v != 0)
}

// low is v's low n bits.
func low(v, n uint64) uint64 {
	if n < 64 {
		v &= 1<<n - 1
	}
	return v
}

func doHighZero(c *VCPU, o *op) bool {
	v, by := c.fields(o)
	n := by & 0xff
	return c.carried(o, low(v, n), n >= uint64(o.size)*8)
}

func doExtract(c *VCPU, o *op) bool {
	v, by := c.fields(o)
	return c.logic(o, low(v>>(by&0xff), by>>8&0xff))
}

func doGather(c *VCPU, o *op) bool {
	mask, v := c.fields(o)
	var r uint64
	for i := 0; mask != 0; i++ {
		r |= v >> bits.TrailingZeros64(mask) & 1 << i
		mask &= mask - 1
	}
	c.put(o.d, r, o.size)
	return true
}

func doScatter(c *VCPU, o *op) bool {
	mask, v := c.fields(o)
	var r uint64
	for ; mask != 0; v >>= 1 {
		r |= v & 1 << bits.TrailingZeros64(mask)
		mask &= mask - 1
	}
	c.put(o.d, r, o.size)
	return true
}

// doMultiplyPlain is MULX: the upper half goes to d, after the lower one to VEX.vvvv.
func doMultiplyPlain(c *VCPU, o *op) bool {
	v, _ := c.fields(o)
	high, low := bits.Mul64(v, flags.Cut(c.file[regDX], o.size))
	if o.size == 4 {
		high = low >> 32
	}
	c.put(o.from, low, o.size)
	c.put(o.d, high, o.size)
	return true
}

func doShiftLeftBy(c *VCPU, o *op) bool {
	v, by := c.fields(o)
	c.put(o.d, v<<(by&uint64(o.size*8-1)), o.size)
	return true
}

func doShiftRightBy(c *VCPU, o *op) bool {
	v, by := c.fields(o)
	c.put(o.d, v>>(by&uint64(o.size*8-1)), o.size)
	return true
}

func doShiftArithmeticBy(c *VCPU, o *op) bool {
	v, by := c.fields(o)
	c.put(o.d, uint64(flags.Extend(v, o.size)>>(by&uint64(o.size*8-1))), o.size)
	return true
}

func doRotatePlain(c *VCPU, o *op) bool {
	v, _ := c.fields(o)
	width := uint64(o.size) * 8
	n := uint64(o.imm) & (width - 1)
	c.put(o.d, v>>n|v<<(width-n), o.size)
	return true
}

func doTrailingZeros(c *VCPU, o *op) bool {
	v, _ := c.fields(o)
	return c.zeros(o, v, bits.TrailingZeros64(v))
}

func doLeadingZeros(c *VCPU, o *op) bool {
	v, _ := c.fields(o)
	return c.zeros(o, v, bits.LeadingZeros64(v)-64+int(o.size)*8)
}

// zeros leaves a count of zeros: as many as there are bits, if there is nothing else.
func (c *VCPU) zeros(o *op, v uint64, n int) bool {
	n = min(n, int(o.size)*8)
	c.put(o.d, uint64(n), o.size)
	c.flags.Change(x86.CF|x86.ZF, x86.Flags(bit(v == 0))|x86.Flags(bit(n == 0))<<6)
	return true
}

func doAddCarryAlone(c *VCPU, o *op) bool { return c.addAlone(o, x86.CF, 0) }

func doAddOverflowAlone(c *VCPU, o *op) bool { return c.addAlone(o, x86.OF, 11) }

// addAlone adds with flag as the carry, in and out.
func (c *VCPU) addAlone(o *op, flag x86.Flags, shift uint8) bool {
	a, b := c.operands(o)
	r, carry := bits.Add64(a, b, uint64(c.flags.Arithmetic()&flag>>shift))
	if o.size == 4 {
		carry = r >> 32
	}
	c.put(o.d, r, o.size)
	c.flags.Change(flag, x86.Flags(carry)<<shift)
	return true
}

// doMoveSwapped is MOVBE, between registers: what is in memory is read before, or written behind.
func doMoveSwapped(c *VCPU, o *op) bool {
	c.put(o.d, bits.ReverseBytes64(c.file[o.s&regMask])>>(64-o.size*8), o.size)
	return true
}

// moveSwapped makes MOVBE's steps.
func (t *translator) moveSwapped() {
	in := t.in
	if in.Form == x86.FormRM {
		t.read(regT0, in.Size)
		t.do(doMoveSwapped, op{d: in.Reg, s: regT0, size: in.Size})
		return
	}
	t.do(doMoveSwapped, op{d: regT0, s: in.Reg, size: in.Size})
	t.write(regT0, in.Size)
}
