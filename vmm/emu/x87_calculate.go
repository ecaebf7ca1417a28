package emu

import (
	"github.com/wherry/wherry/vmm/emu/vector"
	"github.com/wherry/wherry/vmm/x86"
)

// result ends an instruction whose result goes to ST(i), and takes pops numbers off the stack.
func (c *VCPU) result(o *op, i uint8, v x86.Float80, pops uint8) bool {
	if c.ended(o) {
		c.fpu.set(i, v)
		c.fpu.pop(pops)
	}
	return true
}

// sign is an instruction that only changes ST(0)'s sign.
func sign(f func(x86.Float80) x86.Float80) func(*VCPU, *op) bool {
	return func(c *VCPU, o *op) bool {
		if !c.begin(o) {
			return false
		}
		v := x86.Indefinite
		if !c.fpu.lacks(0) {
			v = f(c.fpu.st(0))
		}
		return c.result(o, 0, v, 0)
	}
}

// one is an instruction that makes ST(0) something of itself.
func one(f func(*x86.FloatEnv, x86.Float80) x86.Float80) func(*VCPU, *op) bool {
	return func(c *VCPU, o *op) bool {
		if !c.begin(o) {
			return false
		}
		v := x86.Indefinite
		if !c.fpu.lacks(0) {
			v = f(&c.fpu.env, c.fpu.st(0))
		}
		return c.result(o, 0, v, 0)
	}
}

// two is an instruction that replaces ST(1) and ST(0) by what it makes of them.
func two(f func(e *x86.FloatEnv, x, y x86.Float80) x86.Float80) func(*VCPU, *op) bool {
	return func(c *VCPU, o *op) bool {
		if !c.begin(o) {
			return false
		}
		v := x86.Indefinite
		if !c.fpu.lacks(0, 1) {
			v = f(&c.fpu.env, c.fpu.st(0), c.fpu.st(1))
		}
		return c.result(o, 1, v, 1)
	}
}

func doFPUScale(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	v := x86.Indefinite
	if !c.fpu.lacks(0, 1) {
		v = c.fpu.env.Scale80(c.fpu.st(0), c.fpu.st(1))
	}
	return c.result(o, 0, v, 0)
}

// calculate is a op b, of the group in cond.
func (f *fpu) calculate(o *op, a, b x86.Float80) x86.Float80 {
	switch o.cond {
	case x86.FPUAdd:
		return f.env.Calculate80(x86.FloatAdd, a, b)
	case x86.FPUMultiply:
		return f.env.Calculate80(x86.FloatMultiply, a, b)
	case x86.FPUSubtract:
		return f.env.Calculate80(x86.FloatSubtract, a, b)
	case x86.FPUSubtractReverse:
		return f.env.Calculate80(x86.FloatSubtract, b, a)
	case x86.FPUDivide:
		return f.env.Calculate80(x86.FloatDivide, a, b)
	}
	return f.env.Calculate80(x86.FloatDivide, b, a)
}

func doFPUArithmetic(c *VCPU, o *op) bool { return c.arithmetic80(o, 0) }

func doFPUTo(c *VCPU, o *op) bool { return c.arithmetic80(o, o.s) }

// arithmetic80 makes ST(to) of ST(0) and ST(i).
func (c *VCPU) arithmetic80(o *op, to uint8) bool {
	if !c.begin(o) {
		return false
	}
	f := &c.fpu
	v := x86.Indefinite
	if !f.lacks(0, o.s) {
		v = f.calculate(o, f.st(0), f.st(o.s))
	}
	return c.result(o, to, v, o.from)
}

func doFPUArithmeticMemory(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	b, denormal, ok := c.loadFloat(o)
	if !ok {
		return false
	}
	f := &c.fpu
	v := x86.Indefinite
	if !f.lacks(0) {
		v = f.calculate(o, f.st(0), b)
		f.denormalOperand(denormal, f.st(0))
	}
	return c.result(o, 0, v, 0)
}

// denormalOperand notes an operand in memory that was denormal in its own format, unless the operation was invalid or the other one is NaN.
func (f *fpu) denormalOperand(denormal bool, other x86.Float80) {
	if denormal && f.env.Status&(x86.FloatInvalid|x86.FloatZeroDivide) == 0 && !other.IsNaN() {
		f.env.Status |= x86.FloatDenormal
	}
}

// compared puts an order into the condition codes, whatever exceptions there were.
func (c *VCPU) compared(o *op, order x86.Order, pops uint8) bool {
	f := &c.fpu
	ok := c.ended(o)
	f.codes = [...]uint16{x86.Less + 1: codeC0, x86.Equal + 1: codeC3, x86.Greater + 1: 0, x86.Unordered + 1: codeC0 | codeC2 | codeC3}[order+1]
	if ok {
		f.pop(pops)
	}
	return true
}

func doFPUCompare(c *VCPU, o *op) bool { return c.compare80(o, true) }

func doFPUCompareQuietly(c *VCPU, o *op) bool { return c.compare80(o, false) }

func (c *VCPU) compare80(o *op, loud bool) bool {
	if !c.begin(o) {
		return false
	}
	f := &c.fpu
	i := o.s
	if o.from == 2 {
		i = 1
	}
	order := x86.Unordered
	if !f.lacks(0, i) {
		order = f.env.Compare80(f.st(0), f.st(i), loud)
	}
	return c.compared(o, order, o.from)
}

func doFPUCompareMemory(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	b, denormal, ok := c.loadFloat(o)
	if !ok {
		return false
	}
	f := &c.fpu
	order := x86.Unordered
	if !f.lacks(0) {
		order = f.env.Compare80(f.st(0), b, true)
		f.denormalOperand(denormal, f.st(0))
	}
	return c.compared(o, order, o.from)
}

// doFPUFlags is FCOMI and, with d, FUCOMI.
func doFPUFlags(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	f := &c.fpu
	order := x86.Unordered
	if !f.lacks(0, o.s) {
		order = f.env.Compare80(f.st(0), f.st(o.s), o.d == 0)
	}
	ok := c.kept(o)
	c.flags.set(vector.OrderFlags(order)) // whatever exceptions there were
	if ok {
		f.pop(o.from)
	}
	return true
}

func doFPUTest(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	order := x86.Unordered
	if !c.fpu.lacks(0) {
		order = c.fpu.env.Compare80(c.fpu.st(0), x86.Zero, true)
	}
	return c.compared(o, order, 0)
}

// doFPUExamine tells what ST(0) is (Intel SDM volume 2, FXAM), and its sign in C1.
func doFPUExamine(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	c.ended(o)
	f := &c.fpu
	r := f.regs[f.top]
	exponent := r.SignExponent & 0x7fff
	switch {
	case f.full>>f.top&1 == 0:
		f.codes = codeC3 | codeC0
	case exponent != 0 && r.Mantissa>>63 == 0: // unsupported
		f.codes = 0
	case r.IsNaN():
		f.codes = codeC0
	case r.IsInf():
		f.codes = codeC2 | codeC0
	case r.IsZero():
		f.codes = codeC3
	case exponent == 0:
		f.codes = codeC3 | codeC2
	default:
		f.codes = codeC2
	}
	if r.SignExponent>>15 != 0 {
		f.codes |= codeC1
	}
	return true
}

func doFPUExtract(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	f := &c.fpu
	exponent, mantissa := x86.Indefinite, x86.Indefinite
	if !f.lacks(0) {
		exponent, mantissa = f.env.Extract80(f.st(0))
	}
	return c.replaceAndPush(o, exponent, mantissa)
}

// replaceAndPush makes ST(0) first, and pushes second.
func (c *VCPU) replaceAndPush(o *op, first, second x86.Float80) bool {
	f := &c.fpu
	if f.full>>((f.top-1)&7)&1 != 0 && f.env.Status&x86.FloatStack == 0 {
		f.env.Status, f.env.Up = x86.FloatInvalid|x86.FloatStack, true
		first, second = x86.Indefinite, x86.Indefinite
	}
	if c.ended(o) {
		f.set(0, first)
		f.top = (f.top - 1) & 7
		f.set(0, second)
	}
	return true
}

func doFPURemainder(nearest bool) func(*VCPU, *op) bool {
	return func(c *VCPU, o *op) bool {
		if !c.begin(o) {
			return false
		}
		f := &c.fpu
		v, quotient, complete := x86.Indefinite, uint64(0), true
		if !f.lacks(0, 1) {
			v, quotient, complete = f.env.Remainder80(f.st(0), f.st(1), nearest)
		}
		if v.IsNaN() { // then C0 and C3 stay
			f.codes &^= codeC2
			return c.result(o, 0, v, 0)
		}
		if !c.ended(o) {
			f.codes &^= codeC2
			return true
		}
		f.set(0, v)
		f.codes = 0
		if !complete {
			f.codes = codeC2
			return true
		}
		for i, code := range [3]uint16{codeC1, codeC3, codeC0} { // the last bits of the quotient
			f.codes |= uint16(quotient>>i&1) * code
		}
		return true
	}
}

// angle is an instruction of ST(0)'s angle, which may be too large: then only C2 is set.
func angle(f func(*x86.FloatEnv, x86.Float80) (x86.Float80, bool)) func(*VCPU, *op) bool {
	return func(c *VCPU, o *op) bool {
		if !c.begin(o) {
			return false
		}
		v, ok := x86.Indefinite, true
		if !c.fpu.lacks(0) {
			v, ok = f(&c.fpu.env, c.fpu.st(0))
		}
		if c.fpu.codes &^= codeC2; !ok {
			c.ended(o)
			c.fpu.codes |= codeC2
			return true
		}
		return c.result(o, 0, v, 0)
	}
}

func doFPUTangent(c *VCPU, o *op) bool { return c.pair(o, (*x86.FloatEnv).Tangent) }

func doFPUSineCosine(c *VCPU, o *op) bool { return c.pair(o, (*x86.FloatEnv).SineCosine) }

// pair replaces ST(0) by two numbers.
func (c *VCPU) pair(o *op, of func(*x86.FloatEnv, x86.Float80) (first, second x86.Float80, ok bool)) bool {
	if !c.begin(o) {
		return false
	}
	f := &c.fpu
	first, second, ok := x86.Indefinite, x86.Indefinite, true
	if !f.lacks(0) {
		first, second, ok = of(&f.env, f.st(0))
	}
	if f.codes &^= codeC2; !ok && f.full>>((f.top-1)&7)&1 == 0 {
		c.ended(o)
		f.codes |= codeC2
		return true
	}
	return c.replaceAndPush(o, first, second)
}
