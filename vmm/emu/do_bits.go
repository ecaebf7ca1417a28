package emu

import (
	"math/bits"

	"github.com/wherry/wherry/vmm/emu/flags"
	"github.com/wherry/wherry/vmm/emu/integer"
	"github.com/wherry/wherry/vmm/x86"
)

// count is how far to shift: 6 bits of it for 8 bytes, else 5.
func (c *VCPU) count(o *op) uint8 {
	n := uint8(c.file[o.s&regMask] + uint64(o.imm))
	if o.size == 8 {
		return n & 63
	}
	return n & 31
}

// Shifts by n bits leave the flags of the last of n shifts by one. Intel defines OF for one alone; here it has to be something.

// shifted is what shifts leave: r in d, its flags, and those of carry and overflow.
func (c *VCPU) shifted(o *op, r uint64, carry, overflow bool) {
	top := o.size*8 - 1
	c.flags.Logic(flags.Extend(r, o.size), top)
	c.flags.Carries = bit(carry)<<top | bit(carry != overflow)<<(top-1)
	c.put(o.d, r, o.size)
}

// unshifted is a shift by 0: no flags, but 4 bytes clear the upper half.
func (c *VCPU) unshifted(o *op) bool {
	c.put(o.d, c.file[o.d&regMask], o.size)
	return true
}

func doShiftLeft(c *VCPU, o *op) bool {
	n, v := c.count(o), flags.Cut(c.file[o.d&regMask], o.size)
	if n == 0 {
		return c.unshifted(o)
	}
	width := o.size * 8
	carry := n <= width && v>>(width-n)&1 != 0
	r := v << n
	c.shifted(o, r, carry, carry != (r>>(width-1)&1 != 0))
	return true
}

func doShiftRight(c *VCPU, o *op) bool {
	n, v := c.count(o), flags.Cut(c.file[o.d&regMask], o.size)
	if n == 0 {
		return c.unshifted(o)
	}
	c.shifted(o, v>>n, v>>(n-1)&1 != 0, v>>(n-1)>>(o.size*8-1) != 0)
	return true
}

func doShiftArithmetic(c *VCPU, o *op) bool {
	n, v := c.count(o), flags.Extend(c.file[o.d&regMask], o.size)
	if n == 0 {
		return c.unshifted(o)
	}
	c.shifted(o, uint64(v>>n), v>>(n-1)&1 != 0, false)
	return true
}

// byImmediate are the shifts of 4 and 8 bytes by an immediate that isn't 0, which are most.
var byImmediate = map[x86.Op][2]func(*VCPU, *op) bool{
	x86.SHL: {doShiftLeft32, doShiftLeft64}, x86.SHR: {doShiftRight32, doShiftRight64}, x86.SAR: {doShiftArithmetic32, doShiftArithmetic64},
}

func doShiftLeft64(c *VCPU, o *op) bool {
	d := &c.file[o.d&regMask]
	carry := *d >> ((64 - o.imm) & 63) & 1
	*d <<= o.imm & 63
	c.flags.Result, c.flags.Carries, c.flags.Top = int64(*d), carry<<63|*d>>63<<62, 63
	return true
}

func doShiftLeft32(c *VCPU, o *op) bool {
	d := &c.file[o.d&regMask]
	carry := *d >> ((32 - o.imm) & 31) & 1
	r := uint32(*d) << (o.imm & 31)
	*d = uint64(r)
	c.flags.Result, c.flags.Carries, c.flags.Top = int64(int32(r)), carry<<31|uint64(r>>31)<<30, 31
	return true
}

func doShiftRight64(c *VCPU, o *op) bool {
	d := &c.file[o.d&regMask]
	before := *d >> ((o.imm - 1) & 63)
	carry, top := before&1, before>>63
	*d >>= o.imm & 63
	c.flags.Result, c.flags.Carries, c.flags.Top = int64(*d), carry<<63|(carry^top)<<62, 63
	return true
}

func doShiftRight32(c *VCPU, o *op) bool {
	d := &c.file[o.d&regMask]
	v := uint64(uint32(*d))
	before := v >> ((o.imm - 1) & 31)
	carry, top := before&1, before>>31
	*d = v >> (o.imm & 31)
	c.flags.Result, c.flags.Carries, c.flags.Top = int64(int32(*d)), carry<<31|(carry^top)<<30, 31
	return true
}

func doShiftArithmetic64(c *VCPU, o *op) bool {
	d := &c.file[o.d&regMask]
	carry := *d >> ((o.imm - 1) & 63) & 1
	*d = uint64(int64(*d) >> (o.imm & 63))
	c.flags.Result, c.flags.Carries, c.flags.Top = int64(*d), carry<<63|carry<<62, 63
	return true
}

func doShiftArithmetic32(c *VCPU, o *op) bool {
	d := &c.file[o.d&regMask]
	carry := *d >> ((o.imm - 1) & 31) & 1
	r := int32(*d) >> (o.imm & 31)
	*d = uint64(uint32(r))
	c.flags.Result, c.flags.Carries, c.flags.Top = int64(r), carry<<31|carry<<30, 31
	return true
}

// rotated is what rotates leave: all but CF and OF stay.
func (c *VCPU) rotated(o *op, r uint64, carry, overflow bool) bool {
	c.flags.Change(x86.CF|x86.OF, x86.Flags(bit(carry))|x86.Flags(bit(overflow))<<11)
	c.put(o.d, r, o.size)
	return true
}

func doRotateLeft(c *VCPU, o *op) bool {
	n, v, width := c.count(o), flags.Cut(c.file[o.d&regMask], o.size), o.size*8
	if n == 0 {
		return c.unshifted(o)
	}
	n %= width
	r := flags.Cut(v<<n|v>>(width-n), o.size)
	carry := r&1 != 0
	return c.rotated(o, r, carry, carry != (r>>(width-1) != 0))
}

func doRotateRight(c *VCPU, o *op) bool {
	n, v, width := c.count(o), flags.Cut(c.file[o.d&regMask], o.size), o.size*8
	if n == 0 {
		return c.unshifted(o)
	}
	n %= width
	r := flags.Cut(v>>n|v<<(width-n), o.size)
	return c.rotated(o, r, r>>(width-1) != 0, (r>>(width-1)^r>>(width-2))&1 != 0)
}

// doRotateCarryLeft goes bit by bit: CF is one of the bits that go round, and nobody does this often.
func doRotateCarryLeft(c *VCPU, o *op) bool {
	n, v, width := c.count(o), flags.Cut(c.file[o.d&regMask], o.size), o.size*8
	if n %= width + 1; n == 0 {
		return c.unshifted(o)
	}
	carry := bit(c.flags.CF())
	for range n {
		v, carry = flags.Cut(v<<1|carry, o.size), v>>(width-1)
	}
	return c.rotated(o, v, carry != 0, carry != v>>(width-1))
}

func doRotateCarryRight(c *VCPU, o *op) bool {
	n, v, width := c.count(o), flags.Cut(c.file[o.d&regMask], o.size), o.size*8
	if n %= width + 1; n == 0 {
		return c.unshifted(o)
	}
	carry := bit(c.flags.CF())
	for range n {
		v, carry = v>>1|carry<<(width-1), v&1
	}
	return c.rotated(o, v, carry != 0, (v>>(width-1)^v>>(width-2))&1 != 0)
}

func doShiftDoubleLeft(c *VCPU, o *op) bool {
	return c.shiftDouble(o, c.file[o.s&regMask], uint64(o.imm), true)
}

func doShiftDoubleRight(c *VCPU, o *op) bool {
	return c.shiftDouble(o, c.file[o.s&regMask], uint64(o.imm), false)
}

// shiftDouble shifts bits of from into d.
func (c *VCPU) shiftDouble(o *op, from, by uint64, left bool) bool {
	n := uint8(by) & 31
	if o.size == 8 {
		n = uint8(by) & 63
	}
	if n == 0 {
		return c.unshifted(o)
	}
	r, carry, overflow := integer.ShiftDouble(flags.Cut(c.file[o.d&regMask], o.size), flags.Cut(from, o.size), n, o.size*8, left)
	c.shifted(o, flags.Cut(r, o.size), carry, overflow)
	return true
}

// bitOf is which bit of d a bit instruction is about.
func (c *VCPU) bitOf(o *op) uint64 {
	return (c.file[o.s&regMask] + uint64(o.imm)) & uint64(o.size*8-1)
}

func doBitTest(c *VCPU, o *op) bool {
	c.flags.Change(x86.CF, x86.Flags(c.file[o.d&regMask]>>c.bitOf(o)&1))
	return true
}

func doBitSet(c *VCPU, o *op) bool {
	doBitTest(c, o)
	c.put(o.d, c.file[o.d&regMask]|1<<c.bitOf(o), o.size)
	return true
}

func doBitReset(c *VCPU, o *op) bool {
	doBitTest(c, o)
	c.put(o.d, c.file[o.d&regMask]&^(1<<c.bitOf(o)), o.size)
	return true
}

func doBitComplement(c *VCPU, o *op) bool {
	doBitTest(c, o)
	c.put(o.d, c.file[o.d&regMask]^1<<c.bitOf(o), o.size)
	return true
}

// doBitAddress finds the word of memory that a bit instruction is about: its bit number is signed and not bounded by the word.
func doBitAddress(c *VCPU, o *op) bool {
	words := flags.Extend(c.file[o.s&regMask], o.size) >> (bits.Len8(o.size*8) - 1)
	seg := c.file[o.seg&regMask]
	c.file[regT2] = flags.Cut(c.ea(o)-seg+uint64(words*int64(o.size)), o.from) + seg
	return true
}

// doScanForward leaves d as it is for 0, which Intel calls undefined and AMD says.
func doScanForward(c *VCPU, o *op) bool {
	v := flags.Cut(c.file[o.s&regMask], o.size)
	return c.scanned(o, v, bits.TrailingZeros64(v))
}

func doScanReverse(c *VCPU, o *op) bool {
	v := flags.Cut(c.file[o.s&regMask], o.size)
	return c.scanned(o, v, 63-bits.LeadingZeros64(v))
}

func (c *VCPU) scanned(o *op, v uint64, at int) bool {
	if v == 0 {
		c.flags.Change(x86.ZF, x86.ZF)
		return true
	}
	c.flags.Change(x86.ZF, 0)
	c.put(o.d, uint64(at), o.size)
	return true
}
