package emu

import (
	"github.com/wherry/wherry/vmm/x86"
)

// fpu is x87's registers. Between an instruction's beginning and its end, env has its exceptions.
type fpu struct {
	regs    [8]x86.Float80 // by physical number
	top     uint8          // which of them is ST(0)
	full    uint8          // a bit for each that isn't empty
	control uint16
	codes   uint16          // C0 to C3, where the status word has them
	raised  x86.FloatStatus // exceptions, since they were cleared
	env     x86.FloatEnv    // what control says
	// The last instruction that wasn't about control, and its operand where it raised an exception that isn't masked.
	ip, data uint64
	opcode   uint16
}

// The bits of the status word (Intel SDM volume 1, figure 8-4), and of the control word.
const (
	codeC0     = 1 << 8
	codeC1     = 1 << 9
	codeC2     = 1 << 10
	codeC3     = 1 << 14
	codes      = codeC0 | codeC1 | codeC2 | codeC3
	statusTop  = 11
	statusBusy = 1<<7 | 1<<15 // an exception waits: ES, and B, which is the same

	controlInit      = 0x37f
	controlKnown     = 0x1f3f
	controlFixed     = 1 << 6
	controlPrecision = 8
	controlRounding  = 10
)

func (f *fpu) init() {
	f.top, f.full, f.codes, f.raised = 0, 0, 0, 0
	f.ip, f.data, f.opcode = 0, 0, 0
	f.setControl(controlInit)
}

func (f *fpu) setControl(v uint16) {
	f.control = v&controlKnown | controlFixed
	f.env = x86.FloatEnv{
		Rounding: x86.Rounding(v >> controlRounding & 3), Masks: x86.FloatStatus(v) & x86.FloatExceptions,
		Digits: [4]uint8{24, 53, 53, 64}[v>>controlPrecision&3], // 1 is reserved
	}
}

func (f *fpu) status() uint16 {
	s := f.codes | uint16(f.top)<<statusTop | uint16(f.raised)
	if f.waiting() {
		s |= statusBusy
	}
	return s
}

func (f *fpu) setStatus(v uint16) {
	f.codes, f.top, f.raised = v&codes, uint8(v>>statusTop&7), x86.FloatStatus(v&0x7f)
}

// waiting says that an exception isn't masked: the next instruction but for a few interrupts.
func (f *fpu) waiting() bool { return f.raised&^f.env.Masks&x86.FloatExceptions != 0 }

// waitFPU interrupts if an exception waits.
func (c *VCPU) waitFPU() bool {
	if c.fpu.waiting() {
		return c.raise(x86.FloatingPoint)
	}
	return true
}

// begin is the beginning of an instruction that isn't about control.
func (c *VCPU) begin(o *op) bool {
	f := &c.fpu
	if f.raised&^f.env.Masks&x86.FloatExceptions != 0 {
		return c.raise(x86.FloatingPoint)
	}
	f.env.Status, f.env.Up = 0, false
	return true
}

// kept is ended of an instruction that leaves C1 as it is, unless a register was empty.
func (c *VCPU) kept(o *op) bool {
	c1 := c.fpu.codes & codeC1
	ok := c.ended(o)
	if c.fpu.env.Status&x86.FloatStack == 0 {
		c.fpu.codes |= c1
	}
	return ok
}

// ended has the exceptions of an instruction in the status word. It returns false if one of them keeps the result from being stored.
func (c *VCPU) ended(o *op) bool {
	f := &c.fpu
	f.ip = c.running.va + uint64(o.off)
	f.codes &^= codeC1
	if f.env.Up {
		f.codes |= codeC1
	}
	status := f.env.Status
	if status == 0 {
		return true
	}
	return f.note(status)
}

// note adds exceptions to the status word. It returns false if they keep the result from being stored.
func (f *fpu) note(status x86.FloatStatus) bool {
	const before = x86.FloatInvalid | x86.FloatDenormal | x86.FloatZeroDivide
	stop := status&^f.env.Masks&before != 0
	if stop {
		status &= before | x86.FloatStack
		if f.codes &^= codeC1; status&x86.FloatStack != 0 && f.env.Up {
			f.codes |= codeC1
		}
	}
	f.raised |= status
	return !stop
}

func (f *fpu) isEmpty(i uint8) bool { return f.full>>((f.top+i)&7)&1 == 0 }

// st is ST(i). An empty one is an exception, and what a processor makes of it.
func (f *fpu) st(i uint8) x86.Float80 {
	r := (f.top + i) & 7
	if f.full>>r&1 == 0 {
		f.env.Status |= x86.FloatInvalid | x86.FloatStack
		return x86.Indefinite
	}
	return f.regs[r]
}

func (f *fpu) set(i uint8, v x86.Float80) {
	r := (f.top + i) & 7
	f.regs[r] = v
	f.full |= 1 << r
}

// lacks says that one of the registers that an instruction takes is empty: then the result is Indefinite, whatever the others are.
func (f *fpu) lacks(i ...uint8) bool {
	for _, i := range i {
		if f.isEmpty(i) {
			f.env.Status, f.env.Up = x86.FloatInvalid|x86.FloatStack, false
			return true
		}
	}
	return false
}

// push makes v the new ST(0).
func (c *VCPU) push80(o *op, v x86.Float80) bool {
	f := &c.fpu
	if f.full>>((f.top-1)&7)&1 != 0 {
		f.env.Status, f.env.Up = x86.FloatInvalid|x86.FloatStack, true // C1 says that it was full
		v = x86.Indefinite
	}
	if c.ended(o) {
		f.top = (f.top - 1) & 7
		f.set(0, v)
	}
	return true
}

func (f *fpu) pop(n uint8) {
	for range n {
		f.full &^= 1 << f.top
		f.top = (f.top + 1) & 7
	}
}

// load takes the state of an FXSAVE area, and save puts it there.
func (f *fpu) load(e *x86.Extended) {
	f.setControl(e.FCW)
	f.setStatus(e.FSW)
	f.full, f.ip, f.data, f.opcode = e.FTW, e.FIP, e.FDP, e.FOP&0x7ff
	for i, s := range e.ST {
		f.regs[(f.top+uint8(i))&7] = x86.Float80{Mantissa: s.Mantissa, SignExponent: s.SignExponent}
	}
}

func (f *fpu) save(e *x86.Extended) {
	e.FSW, e.FTW, e.FCW = f.status(), f.full, f.control
	e.FIP, e.FDP, e.FOP = f.ip, f.data, f.opcode
	for i := range e.ST {
		r := f.regs[(f.top+uint8(i))&7]
		e.ST[i] = x86.Slot80{Mantissa: r.Mantissa, SignExponent: r.SignExponent}
	}
}

// x87 makes the step of an x87 instruction.
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
	x86.FPULoad:             {doFPULoad, doFPULoadMemory},
	x86.FPUStore:            {doFPUStore, doFPUStoreMemory},
	x86.FPUArithmetic:       {doFPUArithmetic, doFPUArithmeticMemory},
	x86.FPUTo:               {doFPUTo, nil},
	x86.FPUCompare:          {doFPUCompare, doFPUCompareMemory},
	x86.FPUCompareQuietly:   {doFPUCompareQuietly, nil},
	x86.FPUFlags:            {doFPUFlags, nil},
	x86.FPUExchange:         {doFPUExchange, nil},
	x86.FPUNegate:           {sign(x86.Float80.Neg), nil},
	x86.FPUAbsolute:         {sign(x86.Float80.Abs), nil},
	x86.FPUTest:             {doFPUTest, nil},
	x86.FPUExamine:          {doFPUExamine, nil},
	x86.FPUConstant:         {doFPUConstant, nil},
	x86.FPURoot:             {one((*x86.FloatEnv).Root80), nil},
	x86.FPURound:            {one((*x86.FloatEnv).Round80), nil},
	x86.FPUScale:            {doFPUScale, nil},
	x86.FPUTurnDown:         {doFPUTurn(7), nil},
	x86.FPUTurnUp:           {doFPUTurn(1), nil},
	x86.FPUFree:             {doFPUFree, nil},
	x86.FPUInit:             {doFPUInit, nil},
	x86.FPUNothing:          {func(*VCPU, *op) bool { return true }, nil},
	x86.FPULoadControl:      {nil, doFPULoadControl},
	x86.FPUStoreControl:     {nil, doFPUStoreControl},
	x86.FPUStoreStatus:      {doFPUStatus, doFPUStoreStatus},
	x86.FPUMove:             {doFPUMove, nil},
	x86.FPUWait:             {doFPUWait, nil},
	x86.FPUClear:            {doFPUClear, nil},
	x86.FPULoadEnvironment:  {nil, doFPULoadEnvironment},
	x86.FPUStoreEnvironment: {nil, doFPUStoreEnvironment},
	x86.FPURestore:          {nil, doFPURestore},
	x86.FPUSave:             {nil, doFPUSave},
	x86.FPULoadBCD:          {nil, doFPULoadBCD},
	x86.FPUStoreBCD:         {nil, doFPUStoreBCD},
	x86.FPUTruncate:         {nil, doFPUTruncate},
	x86.FPUExtract:          {doFPUExtract, nil},
	x86.FPURemainder:        {doFPURemainder(false), nil},
	x86.FPURemainderNearest: {doFPURemainder(true), nil},
	x86.FPUPower:            {one((*x86.FloatEnv).Power), nil},
	x86.FPULogarithm:        {two((*x86.FloatEnv).Logarithm), nil},
	x86.FPULogarithm1:       {two((*x86.FloatEnv).LogarithmOfMore), nil},
	x86.FPUTangent:          {doFPUTangent, nil},
	x86.FPUArcTangent:       {two((*x86.FloatEnv).ArcTangent), nil},
	x86.FPUSine:             {angle((*x86.FloatEnv).Sine), nil},
	x86.FPUCosine:           {angle((*x86.FloatEnv).Cosine), nil},
	x86.FPUSineCosine:       {doFPUSineCosine, nil},
}

// doFPUWait is FWAIT and, with d, FNOP.
func doFPUWait(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	if o.d != 0 {
		c.fpu.ip = c.running.va + uint64(o.off)
	}
	return true
}
