package emu

import (
	"encoding/binary"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/x86"
)

// fpu is x87's registers. Exceptions' flags aren't kept.
type fpu struct {
	regs    [8]x86.Float80 // by physical number
	top     uint8          // which of them is ST(0)
	full    uint8          // a bit for each that isn't empty
	control uint16
	codes   uint16 // C0, C2 and C3, where the status word has them
}

// The condition codes in the status word (Intel SDM volume 1, figure 8-4).
const (
	codeC0 = 1 << 8
	codeC1 = 1 << 9
	codeC2 = 1 << 10
	codeC3 = 1 << 14

	controlInit      = 0x37f
	controlMasks     = 0x3f
	controlPrecision = 0x300 // all bits of it: 64 bits
)

func (f *fpu) init() { *f = fpu{control: controlInit} }

func (f *fpu) status() uint16 { return f.codes | uint16(f.top)<<11 }

func (f *fpu) rounding() x86.Rounding { return x86.Rounding(f.control >> 10 & 3) }

// st is ST(i); of an empty register what a processor makes of it.
func (f *fpu) st(i uint8) x86.Float80 {
	r := (f.top + i) & 7
	if f.full>>r&1 == 0 {
		return x86.Indefinite
	}
	return f.regs[r]
}

func (f *fpu) set(i uint8, v x86.Float80) {
	r := (f.top + i) & 7
	f.regs[r] = v
	f.full |= 1 << r
}

func (f *fpu) push(v x86.Float80) {
	f.top = (f.top - 1) & 7
	if f.full>>f.top&1 != 0 {
		v = x86.Indefinite
	}
	f.set(0, v)
}

func (f *fpu) pop(n uint8) {
	for range n {
		f.full &^= 1 << f.top
		f.top = (f.top + 1) & 7
	}
}

// load takes the state of an FXSAVE area, and save puts it there.
func (f *fpu) load(e *x86.Extended) {
	*f = fpu{top: uint8(e.FSW >> 11 & 7), full: e.FTW, control: e.FCW, codes: e.FSW & (codeC0 | codeC1 | codeC2 | codeC3)}
	for i, s := range e.ST {
		f.regs[(f.top+uint8(i))&7] = x86.Float80{Mantissa: s.Mantissa, SignExponent: s.SignExponent}
	}
}

func (f *fpu) save(e *x86.Extended) {
	e.FSW, e.FTW, e.FCW = f.status(), f.full, f.control
	for i := range e.ST {
		r := f.regs[(f.top+uint8(i))&7]
		e.ST[i] = x86.Slot80{Mantissa: r.Mantissa, SignExponent: r.SignExponent}
	}
}

// x87 makes the step of an x87 instruction. Memory is read by doFPULoad's like and written by doFPUStore's.
func (t *translator) x87() {
	in := t.in
	o := op{base: regZero, index: regZero, seg: regZero}
	if in.IsMem {
		o = t.address()
	}
	o.size, o.s, o.from, o.cond, o.d, o.to = in.Size, in.RM, in.From, in.Cond, in.Reg, uint64(in.Imm)
	o.do = fpuSteps[in.Vec][bit(in.IsMem)]
	t.add(o)
}

// fpuSteps has the step of each x87 instruction with registers, and with memory.
var fpuSteps = [...][2]func(*VCPU, *op) bool{
	x86.FPULoad:         {doFPULoad, doFPULoadMemory},
	x86.FPUStore:        {doFPUStore, doFPUStoreMemory},
	x86.FPUArithmetic:   {doFPUArithmetic, doFPUArithmeticMemory},
	x86.FPUTo:           {doFPUTo, nil},
	x86.FPUCompare:      {doFPUCompare, doFPUCompareMemory},
	x86.FPUFlags:        {doFPUFlags, nil},
	x86.FPUExchange:     {doFPUExchange, nil},
	x86.FPUNegate:       {one(func(_ *fpu, v x86.Float80) x86.Float80 { return v.Neg() }), nil},
	x86.FPUAbsolute:     {one(func(_ *fpu, v x86.Float80) x86.Float80 { return v.Abs() }), nil},
	x86.FPUTest:         {doFPUTest, nil},
	x86.FPUExamine:      {doFPUExamine, nil},
	x86.FPUConstant:     {doFPUConstant, nil},
	x86.FPURoot:         {one(func(f *fpu, v x86.Float80) x86.Float80 { return v.Sqrt(f.rounding()) }), nil},
	x86.FPURound:        {one(func(f *fpu, v x86.Float80) x86.Float80 { return v.Round(f.rounding()) }), nil},
	x86.FPUScale:        {one(func(f *fpu, v x86.Float80) x86.Float80 { return v.Scale(f.st(1), f.rounding()) }), nil},
	x86.FPUTurnDown:     {doFPUTurn(7), nil},
	x86.FPUTurnUp:       {doFPUTurn(1), nil},
	x86.FPUFree:         {doFPUFree, nil},
	x86.FPUInit:         {doFPUInit, nil},
	x86.FPUNothing:      {func(*VCPU, *op) bool { return true }, nil},
	x86.FPULoadControl:  {nil, doFPULoadControl},
	x86.FPUStoreControl: {nil, doFPUStoreControl},
	x86.FPUStoreStatus:  {doFPUStatus, doFPUStoreStatus},
	x86.FPUMove:         {doFPUMove, nil},
}

// one is an instruction that makes ST(0) something of itself.
func one(f func(*fpu, x86.Float80) x86.Float80) func(*VCPU, *op) bool {
	return func(c *VCPU, _ *op) bool {
		c.fpu.set(0, f(&c.fpu, c.fpu.st(0)))
		return true
	}
}

func doFPULoad(c *VCPU, o *op) bool {
	c.fpu.push(c.fpu.st(o.s))
	return true
}

func doFPULoadMemory(c *VCPU, o *op) bool {
	v, ok := c.loadFloat(o)
	if ok && o.size < 10 && v.IsNaN() {
		v = v.Quiet()
	}
	if ok {
		c.fpu.push(v)
	}
	return ok
}

// loadFloat reads a number in memory: a float of 4, 8 or 10 bytes, or a whole one (d is 1) of 2, 4 or 8.
func (c *VCPU) loadFloat(o *op) (x86.Float80, bool) {
	va := c.ea(o)
	m, ok := c.load(va, min(o.size, 8))
	if !ok {
		return x86.Float80{}, false
	}
	switch {
	case o.d == 1:
		return x86.OfInt(extend(m, o.size)), true
	case o.size == 4:
		return x86.Of32(uint32(m)), true
	case o.size == 8:
		return x86.Of64(m), true
	}
	top, ok := c.load(va+8, 2)
	return x86.Float80{Mantissa: m, SignExponent: uint16(top)}, ok
}

func doFPUStore(c *VCPU, o *op) bool {
	c.fpu.set(o.s, c.fpu.st(0))
	c.fpu.pop(o.from)
	return true
}

func doFPUStoreMemory(c *VCPU, o *op) bool {
	v, r := c.fpu.st(0), c.fpu.rounding()
	var p [16]byte
	switch {
	case o.d == 1:
		binary.LittleEndian.PutUint64(p[:], uint64(v.Int(o.size, r)))
	case o.size == 4:
		binary.LittleEndian.PutUint32(p[:], v.Bits32(r))
	case o.size == 8:
		binary.LittleEndian.PutUint64(p[:], v.Bits64(r))
	default:
		binary.LittleEndian.PutUint64(p[:], v.Mantissa)
		binary.LittleEndian.PutUint16(p[8:], v.SignExponent)
	}
	ok := c.storeSlowly(c.ea(o), p[:o.size])
	if ok || c.changed {
		c.fpu.pop(o.from)
	}
	return ok
}

// calculate is a op b, of the group in cond.
func (f *fpu) calculate(o *op, a, b x86.Float80) x86.Float80 {
	r := f.rounding()
	switch o.cond {
	case x86.FPUAdd:
		return a.Add(b, r)
	case x86.FPUMultiply:
		return a.Mul(b, r)
	case x86.FPUSubtract:
		return a.Sub(b, r)
	case x86.FPUSubtractReverse:
		return b.Sub(a, r)
	case x86.FPUDivide:
		return a.Div(b, r)
	}
	return b.Div(a, r)
}

func doFPUArithmetic(c *VCPU, o *op) bool {
	f := &c.fpu
	f.set(0, f.calculate(o, f.st(0), f.st(o.s)))
	return true
}

func doFPUArithmeticMemory(c *VCPU, o *op) bool {
	v, ok := c.loadFloat(o)
	if ok {
		c.fpu.set(0, c.fpu.calculate(o, c.fpu.st(0), v))
	}
	return ok
}

func doFPUTo(c *VCPU, o *op) bool {
	f := &c.fpu
	f.set(o.s, f.calculate(o, f.st(0), f.st(o.s)))
	f.pop(o.from)
	return true
}

// compared puts an order into the condition codes.
func (f *fpu) compared(order x86.Order) {
	f.codes = map[x86.Order]uint16{x86.Less: codeC0, x86.Equal: codeC3, x86.Greater: 0, x86.Unordered: codeC0 | codeC2 | codeC3}[order]
}

func doFPUCompare(c *VCPU, o *op) bool {
	f := &c.fpu
	i := o.s
	if o.from == 2 {
		i = 1
	}
	f.compared(f.st(0).Compare(f.st(i)))
	f.pop(o.from)
	return true
}

func doFPUCompareMemory(c *VCPU, o *op) bool {
	v, ok := c.loadFloat(o)
	if ok {
		c.fpu.compared(c.fpu.st(0).Compare(v))
		c.fpu.pop(o.from)
	}
	return ok
}

func doFPUFlags(c *VCPU, o *op) bool {
	f := &c.fpu
	c.flags.set(map[x86.Order]x86.Flags{x86.Less: x86.CF, x86.Equal: x86.ZF, x86.Greater: 0, x86.Unordered: x86.CF | x86.PF | x86.ZF}[f.st(0).Compare(f.st(o.s))])
	f.pop(o.from)
	return true
}

func doFPUExchange(c *VCPU, o *op) bool {
	a, b := c.fpu.st(0), c.fpu.st(o.s)
	c.fpu.set(0, b)
	c.fpu.set(o.s, a)
	return true
}

func doFPUTest(c *VCPU, _ *op) bool {
	c.fpu.compared(c.fpu.st(0).Compare(x86.Zero))
	return true
}

// doFPUExamine tells what ST(0) is (Intel SDM volume 2, FXAM), and its sign in C1.
func doFPUExamine(c *VCPU, _ *op) bool {
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

func doFPUConstant(c *VCPU, o *op) bool {
	all := [...]x86.Float80{x86.One, x86.Log2Of10, x86.Log2OfE, x86.Pi, x86.Log10Of2, x86.LogEOf2, x86.Zero}
	v := all[o.to]
	// Those that aren't exact are rounded as the control word says: one less in the last place where the next bit is on the other side.
	if r := c.fpu.rounding(); r == x86.Down || r == x86.ToZero {
		switch v {
		case x86.Log2OfE, x86.Pi, x86.Log10Of2, x86.LogEOf2:
			v.Mantissa--
		}
	} else if r == x86.Up && v == x86.Log2Of10 {
		v.Mantissa++
	}
	c.fpu.push(v)
	return true
}

func doFPUTurn(by uint8) func(*VCPU, *op) bool {
	return func(c *VCPU, _ *op) bool {
		c.fpu.top = (c.fpu.top + by) & 7
		return true
	}
}

func doFPUFree(c *VCPU, o *op) bool {
	c.fpu.full &^= 1 << ((c.fpu.top + o.s) & 7)
	return true
}

func doFPUInit(c *VCPU, _ *op) bool {
	c.fpu = fpu{regs: c.fpu.regs, control: controlInit}
	return true
}

// doFPULoadControl takes what the arithmetic here does: 64 bits, no exceptions.
func doFPULoadControl(c *VCPU, o *op) bool {
	v, ok := c.load(c.ea(o), 2)
	if !ok {
		return false
	}
	if v&controlMasks != controlMasks || v&controlPrecision != controlPrecision {
		c.exit = vmm.Exit{Kind: vmm.ExitUnsupported}
		return false
	}
	c.fpu.control = uint16(v)&0x1f3f | 1<<6
	return true
}

func doFPUStoreControl(c *VCPU, o *op) bool { return c.store(c.ea(o), uint64(c.fpu.control), 2) }

func doFPUStoreStatus(c *VCPU, o *op) bool { return c.store(c.ea(o), uint64(c.fpu.status()), 2) }

func doFPUStatus(c *VCPU, _ *op) bool {
	c.put(regAX, uint64(c.fpu.status()), 2)
	return true
}

func doFPUMove(c *VCPU, o *op) bool {
	if c.flags.cond(o.cond) {
		c.fpu.set(0, c.fpu.st(o.s))
	}
	return true
}
