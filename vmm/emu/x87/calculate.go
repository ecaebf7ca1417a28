package x87

import "github.com/wherry/wherry/vmm/x86"

// result ends an instruction whose result goes to ST(i), and takes pops numbers off the stack.
func (f *FPU) result(i uint8, v x86.Float80, pops uint8) {
	if f.ended() {
		f.set(i, v)
		f.Pop(pops)
	}
}

// sign is an instruction that only changes ST(0)'s sign.
func sign(of func(x86.Float80) x86.Float80) func(*FPU, Operands) {
	return func(f *FPU, o Operands) {
		v := x86.Indefinite
		if !f.lacks(0) {
			v = of(f.st(0))
		}
		f.result(0, v, 0)
	}
}

// one is an instruction that makes ST(0) something of itself.
func one(of func(*x86.FloatEnv, x86.Float80) x86.Float80) func(*FPU, Operands) {
	return func(f *FPU, o Operands) {
		v := x86.Indefinite
		if !f.lacks(0) {
			v = of(&f.env, f.st(0))
		}
		f.result(0, v, 0)
	}
}

// two is an instruction that replaces ST(1) and ST(0) by what it makes of them.
func two(of func(e *x86.FloatEnv, x, y x86.Float80) x86.Float80) func(*FPU, Operands) {
	return func(f *FPU, o Operands) {
		v := x86.Indefinite
		if !f.lacks(0, 1) {
			v = of(&f.env, f.st(0), f.st(1))
		}
		f.result(1, v, 1)
	}
}

func scale(f *FPU, o Operands) {
	v := x86.Indefinite
	if !f.lacks(0, 1) {
		v = f.env.Scale80(f.st(0), f.st(1))
	}
	f.result(0, v, 0)
}

// calculate is a op b, of the group in cond.
func (f *FPU) calculate(o Operands, a, b x86.Float80) x86.Float80 {
	switch o.Group {
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

func arithmetic(f *FPU, o Operands) { f.arithmetic(o, 0) }

func to(f *FPU, o Operands) { f.arithmetic(o, o.I) }

// arithmetic makes ST(to) of ST(0) and ST(i).
func (f *FPU) arithmetic(o Operands, to uint8) {
	v := x86.Indefinite
	if !f.lacks(0, o.I) {
		v = f.calculate(o, f.st(0), f.st(o.I))
	}
	f.result(to, v, o.Pops)
}

// ArithmeticMemory makes ST(0) of itself and b from memory, where it may have been denormal in its format.
func (f *FPU) ArithmeticMemory(o Operands, b x86.Float80, denormal bool) {
	v := x86.Indefinite
	if !f.lacks(0) {
		v = f.calculate(o, f.st(0), b)
		f.denormalOperand(denormal, f.st(0))
	}
	f.result(0, v, 0)
}

// denormalOperand notes an operand in memory that was denormal in its own format, unless the operation was invalid or the other one is NaN.
func (f *FPU) denormalOperand(denormal bool, other x86.Float80) {
	if denormal && f.env.Status&(x86.FloatInvalid|x86.FloatZeroDivide) == 0 && !other.IsNaN() {
		f.env.Status |= x86.FloatDenormal
	}
}

// compared puts an order into the condition codes, whatever exceptions there were.
func (f *FPU) compared(order x86.Order, pops uint8) {
	ok := f.ended()
	f.codes = [...]uint16{x86.Less + 1: codeC0, x86.Equal + 1: codeC3, x86.Greater + 1: 0, x86.Unordered + 1: codeC0 | codeC2 | codeC3}[order+1]
	if ok {
		f.Pop(pops)
	}
}

func compare(f *FPU, o Operands) { f.compare(o, true) }

func compareQuietly(f *FPU, o Operands) { f.compare(o, false) }

func (f *FPU) compare(o Operands, loud bool) {
	i := o.I
	if o.Pops == 2 {
		i = 1
	}
	order := x86.Unordered
	if !f.lacks(0, i) {
		order = f.env.Compare80(f.st(0), f.st(i), loud)
	}
	f.compared(order, o.Pops)
}

// CompareMemory is the same as ArithmeticMemory for comparisons.
func (f *FPU) CompareMemory(o Operands, b x86.Float80, denormal bool) {
	order := x86.Unordered
	if !f.lacks(0) {
		order = f.env.Compare80(f.st(0), b, true)
		f.denormalOperand(denormal, f.st(0))
	}
	f.compared(order, o.Pops)
}

// Flags is FCOMI, and quietly FUCOMI: the order of ST(0) and ST(i), whatever exceptions there were.
func (f *FPU) Flags(o Operands, quietly bool) x86.Order {
	order := x86.Unordered
	if !f.lacks(0, o.I) {
		order = f.env.Compare80(f.st(0), f.st(o.I), !quietly)
	}
	if f.kept() {
		f.Pop(o.Pops)
	}
	return order
}

func test(f *FPU, o Operands) {
	order := x86.Unordered
	if !f.lacks(0) {
		order = f.env.Compare80(f.st(0), x86.Zero, true)
	}
	f.compared(order, 0)
}

// examine tells what ST(0) is (Intel SDM volume 2, FXAM), and its sign in C1.
func examine(f *FPU, o Operands) {
	f.ended()
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
}

func extract(f *FPU, o Operands) {
	exponent, mantissa := x86.Indefinite, x86.Indefinite
	if !f.lacks(0) {
		exponent, mantissa = f.env.Extract80(f.st(0))
	}
	f.replaceAndPush(exponent, mantissa)
}

// replaceAndPush makes ST(0) first, and pushes second.
func (f *FPU) replaceAndPush(first, second x86.Float80) {
	if f.overflows() && f.env.Status&x86.FloatStack == 0 {
		f.env.Status, f.env.Up = x86.FloatInvalid|x86.FloatStack, true
		first, second = x86.Indefinite, x86.Indefinite
	}
	if f.ended() {
		f.set(0, first)
		f.top = (f.top - 1) & 7
		f.set(0, second)
	}
}

func remainder(nearest bool) func(*FPU, Operands) {
	return func(f *FPU, o Operands) {
		v, quotient, complete := x86.Indefinite, uint64(0), true
		if !f.lacks(0, 1) {
			v, quotient, complete = f.env.Remainder80(f.st(0), f.st(1), nearest)
		}
		if v.IsNaN() { // then C0 and C3 stay
			f.codes &^= codeC2
			f.result(0, v, 0)
			return
		}
		if !f.ended() {
			f.codes &^= codeC2
			return
		}
		f.set(0, v)
		f.codes = 0
		if !complete {
			f.codes = codeC2
			return
		}
		for i, code := range [3]uint16{codeC1, codeC3, codeC0} { // the last bits of the quotient
			f.codes |= uint16(quotient>>i&1) * code
		}
	}
}

// angle is an instruction of ST(0)'s angle, which may be too large: then only C2 is set.
func angle(of func(*x86.FloatEnv, x86.Float80) (x86.Float80, bool)) func(*FPU, Operands) {
	return func(f *FPU, o Operands) {
		v, ok := x86.Indefinite, true
		if !f.lacks(0) {
			v, ok = of(&f.env, f.st(0))
		}
		if f.codes &^= codeC2; !ok {
			f.ended()
			f.codes |= codeC2
			return
		}
		f.result(0, v, 0)
	}
}

func tangent(f *FPU, o Operands) { f.pair((*x86.FloatEnv).Tangent) }

func sineCosine(f *FPU, o Operands) { f.pair((*x86.FloatEnv).SineCosine) }

// pair replaces ST(0) by two numbers.
func (f *FPU) pair(of func(*x86.FloatEnv, x86.Float80) (first, second x86.Float80, ok bool)) {
	first, second, ok := x86.Indefinite, x86.Indefinite, true
	if !f.lacks(0) {
		first, second, ok = of(&f.env, f.st(0))
	}
	if f.codes &^= codeC2; !ok && !f.overflows() {
		f.ended()
		f.codes |= codeC2
		return
	}
	f.replaceAndPush(first, second)
}
