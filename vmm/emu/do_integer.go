package emu

import (
	"math/bits"

	"github.com/wherry/wherry/vmm/emu/flags"
	"github.com/wherry/wherry/vmm/emu/integer"
	"github.com/wherry/wherry/vmm/x86"
)

// handlers do what isn't in exec's switch: d is the first operand and s+imm the second.
var handlers = [256]func(*VCPU, *op) bool{
	x86.ADD: doAdd, x86.ADC: doAddCarry, x86.SUB: doSubtract, x86.SBB: doSubtractBorrow,
	x86.AND: doAnd, x86.OR: doOr, x86.XOR: doXor,
	x86.INC: doIncrement, x86.DEC: doDecrement, x86.NOT: doNot, x86.NEG: doNegate,
	x86.MUL: doMultiply, x86.IMUL1: doMultiplySigned, x86.IMUL: doProduct, x86.DIV: doDivide, x86.IDIV: doDivideSigned,
	x86.ROL: doRotateLeft, x86.ROR: doRotateRight, x86.RCL: doRotateCarryLeft, x86.RCR: doRotateCarryRight,
	x86.SHL: doShiftLeft, x86.SHR: doShiftRight, x86.SAR: doShiftArithmetic, x86.SHLD: doShiftDoubleLeft, x86.SHRD: doShiftDoubleRight,
	x86.BT: doBitTest, x86.BTS: doBitSet, x86.BTR: doBitReset, x86.BTC: doBitComplement,
	x86.BSF: doScanForward, x86.BSR: doScanReverse,
	x86.XADD: doExchangeAdd, x86.CMPXCHG: doCompareExchange,
	x86.SETCC: doSetCond, x86.CMOVCC: doMoveCond, x86.CBW: doExtendAX, x86.CWD: doExtendToDX,
	x86.LAHF: doFlagsToAH, x86.SAHF: doFlagsFromAH, x86.CLC: doClearCarry, x86.STC: doSetCarry, x86.CMC: doComplementCarry,
	x86.CLD: doClearDirection, x86.STD: doSetDirection, x86.PUSHF: doPushFlags, x86.LEAVE: doLeave,
	x86.LDMXCSR: doLoadControl, x86.STMXCSR: doStoreControl,
}

var doubleByCL = map[x86.Op]func(*VCPU, *op) bool{
	x86.SHLD: func(c *VCPU, o *op) bool { return c.shiftDouble(o, c.file[o.from], c.file[regCX], true) },
	x86.SHRD: func(c *VCPU, o *op) bool { return c.shiftDouble(o, c.file[o.from], c.file[regCX], false) },
}

// put writes the low size bytes of v to register d, as x86 does: 4 bytes clear the upper half, 1 and 2 leave the rest.
func (c *VCPU) put(d uint8, v uint64, size uint8) {
	p := &c.file[d&regMask]
	switch size {
	case 8:
		*p = v
	case 4:
		*p = uint64(uint32(v))
	case 2:
		*p = *p&^0xffff | v&0xffff
	default:
		*p = *p&^0xff | v&0xff
	}
}

// operands are d and s+imm, cut to the size.
func (c *VCPU) operands(o *op) (a, b uint64) {
	return flags.Cut(c.file[o.d&regMask], o.size), flags.Cut(c.file[o.s&regMask]+uint64(o.imm), o.size)
}

func doAdd(c *VCPU, o *op) bool { return c.addWith(o, 0) }

func doAddCarry(c *VCPU, o *op) bool { return c.addWith(o, bit(c.flags.CF())) }

func (c *VCPU) addWith(o *op, carry uint64) bool {
	a, b := c.operands(o)
	r := a + b + carry
	c.flags.Sum(a, b, r, o.size)
	c.put(o.d, r, o.size)
	return true
}

func doSubtract(c *VCPU, o *op) bool { return c.subtractWith(o, 0) }

func doSubtractBorrow(c *VCPU, o *op) bool { return c.subtractWith(o, bit(c.flags.CF())) }

func (c *VCPU) subtractWith(o *op, borrow uint64) bool {
	a, b := c.operands(o)
	r := a - b - borrow
	c.flags.Difference(a, b, r, o.size)
	c.put(o.d, r, o.size)
	return true
}

func bit(on bool) uint64 {
	if on {
		return 1
	}
	return 0
}

func doAnd(c *VCPU, o *op) bool {
	a, b := c.operands(o)
	return c.logic(o, a&b)
}

func doOr(c *VCPU, o *op) bool {
	a, b := c.operands(o)
	return c.logic(o, a|b)
}

func doXor(c *VCPU, o *op) bool {
	a, b := c.operands(o)
	return c.logic(o, a^b)
}

func (c *VCPU) logic(o *op, r uint64) bool {
	c.flags.Logic(flags.Extend(r, o.size), o.size*8-1)
	c.put(o.d, r, o.size)
	return true
}

func doIncrement(c *VCPU, o *op) bool {
	a, carry := flags.Cut(c.file[o.d&regMask], o.size), c.flags.CF()
	c.flags.Sum(a, 1, a+1, o.size)
	c.flags.KeepCF(carry)
	c.put(o.d, a+1, o.size)
	return true
}

func doDecrement(c *VCPU, o *op) bool {
	a, carry := flags.Cut(c.file[o.d&regMask], o.size), c.flags.CF()
	c.flags.Difference(a, 1, a-1, o.size)
	c.flags.KeepCF(carry)
	c.put(o.d, a-1, o.size)
	return true
}

func doNot(c *VCPU, o *op) bool {
	c.put(o.d, ^c.file[o.d&regMask], o.size)
	return true
}

func doNegate(c *VCPU, o *op) bool {
	a := flags.Cut(c.file[o.d&regMask], o.size)
	c.flags.Difference(0, a, -a, o.size)
	c.put(o.d, -a, o.size)
	return true
}

// carryAndOverflow is what products leave: both if the upper half has a part of the number. The other flags are undefined; they are of the low half, as
// on AMD's and Intel's processors, whose AF is 0.
func (c *VCPU) carryAndOverflow(low uint64, size uint8, on bool) {
	top := size*8 - 1
	c.flags.Logic(flags.Extend(low, size), top)
	if on {
		c.flags.Carries = 1 << top
	}
}

func doMultiply(c *VCPU, o *op) bool {
	a, b := flags.Cut(c.file[regAX], o.size), flags.Cut(c.file[o.d&regMask], o.size)
	high, low := bits.Mul64(a, b)
	if o.size < 8 {
		high = low >> (o.size * 8)
	}
	c.wide(o.size, high, low)
	c.carryAndOverflow(low, o.size, high != 0)
	return true
}

func doMultiplySigned(c *VCPU, o *op) bool {
	high, low := integer.SignedProduct(flags.Extend(c.file[regAX], o.size), flags.Extend(c.file[o.d&regMask], o.size))
	over := high != uint64(int64(low)>>63)
	if o.size < 8 {
		over = flags.Extend(low, o.size) != int64(low)
		high = low >> (o.size * 8)
	}
	c.wide(o.size, high, low)
	c.carryAndOverflow(low, o.size, over)
	return true
}

// wide writes RDX:RAX, DX:AX and so on; of bytes it is AX.
func (c *VCPU) wide(size uint8, high, low uint64) {
	if size == 1 {
		c.put(regAX, low&0xff|high<<8, 2)
		return
	}
	c.put(regAX, low, size)
	c.put(regDX, high, size)
}

func doProduct(c *VCPU, o *op) bool { return c.product(o, c.file[o.d&regMask], c.file[o.s&regMask]) }

func doMultiplyBy(c *VCPU, o *op) bool { return c.product(o, c.file[o.s&regMask], uint64(o.imm)) }

func (c *VCPU) product(o *op, a, b uint64) bool {
	x, y := flags.Extend(a, o.size), flags.Extend(b, o.size)
	high, low := integer.SignedProduct(x, y)
	over := high != uint64(int64(low)>>63)
	if o.size < 8 {
		over = flags.Extend(low, o.size) != int64(low)
	}
	c.carryAndOverflow(low, o.size, over)
	c.put(o.d, low, o.size)
	return true
}

// dividend is RDX:RAX and so on; of bytes AX.
func (c *VCPU) dividend(size uint8) (high, low uint64) {
	switch size {
	case 8:
		return c.file[regDX], c.file[regAX]
	case 4:
		return 0, c.file[regDX]<<32 | uint64(uint32(c.file[regAX]))
	case 2:
		return 0, c.file[regDX]&0xffff<<16 | c.file[regAX]&0xffff
	}
	return 0, c.file[regAX] & 0xffff
}

func doDivide(c *VCPU, o *op) bool {
	return c.divide(o, integer.Divide, flags.Cut(c.file[o.d&regMask], o.size))
}

func doDivideSigned(c *VCPU, o *op) bool {
	return c.divide(o, integer.DivideSigned, uint64(flags.Extend(c.file[o.d&regMask], o.size)))
}

func (c *VCPU) divide(o *op, f func(high, low, by uint64, size uint8) (q, r uint64, ok bool), by uint64) bool {
	high, low := c.dividend(o.size)
	q, r, ok := f(high, low, by, o.size)
	if !ok {
		return c.raise(x86.DivideError)
	}
	c.wide(o.size, r, q)
	return true
}

func doExchangeAdd(c *VCPU, o *op) bool {
	a, b := c.operands(o)
	c.flags.Sum(a, b, a+b, o.size)
	c.put(o.s, a, o.size) // first: if both are one register, it gets the sum
	c.put(o.d, a+b, o.size)
	return true
}

func doCompareExchange(c *VCPU, o *op) bool {
	a, b := flags.Cut(c.file[regAX], o.size), flags.Cut(c.file[o.d&regMask], o.size)
	c.flags.Difference(a, b, a-b, o.size)
	if a == b {
		c.put(o.d, c.file[o.s&regMask], o.size)
		return true
	}
	c.put(regAX, b, o.size)
	return true
}

func doCompareExchangeWide(c *VCPU, o *op) bool {
	va, half := c.ea(o), o.size/2
	if o.size == 16 && va%16 != 0 {
		return c.raise(x86.GeneralProtection)
	}
	if !c.probeRange(va, o.size) {
		return false
	}
	low, ok := c.load(va, half)
	if !ok {
		return false
	}
	high, ok := c.load(va+uint64(half), half)
	if !ok {
		return false
	}
	equal := low == flags.Cut(c.file[regAX], half) && high == flags.Cut(c.file[regDX], half)
	if equal {
		c.flags.Change(x86.ZF, x86.ZF)
		first := c.store(va, c.file[regBX], half)
		return c.store(va+uint64(half), c.file[regCX], half) && first
	}
	c.flags.Change(x86.ZF, 0)
	c.put(regAX, low, half)
	c.put(regDX, high, half)
	return true
}

func doSetCond(c *VCPU, o *op) bool {
	c.put(o.d, bit(c.flags.Cond(o.cond)), 1)
	return true
}

// doMoveCond clears the upper half also where the condition doesn't hold.
func doMoveCond(c *VCPU, o *op) bool {
	s := o.d
	if c.flags.Cond(o.cond) {
		s = o.s
	}
	c.put(o.d, c.file[s&regMask], o.size)
	return true
}

func doExtendAX(c *VCPU, o *op) bool {
	c.put(regAX, uint64(flags.Extend(c.file[regAX], o.size/2)), o.size)
	return true
}

func doExtendToDX(c *VCPU, o *op) bool {
	c.put(regDX, uint64(flags.Extend(c.file[regAX], o.size)>>63), o.size)
	return true
}
