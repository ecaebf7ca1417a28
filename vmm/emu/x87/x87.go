package x87

import (
	"github.com/wherry/wherry/vmm/x86"
)

// FPU is x87's registers. Between an instruction's beginning and its end, env has its exceptions.
type FPU struct {
	regs    [8]x86.Float80 // by physical number
	top     uint8          // which of them is ST(0)
	full    uint8          // a bit for each that isn't empty
	control uint16
	codes   uint16          // C0 to C3, where the status word has them
	raised  x86.FloatStatus // exceptions, since they were cleared
	env     x86.FloatEnv    // what control says
	// The last instruction that wasn't about control, and its operand where it raised an exception that isn't masked.
	ip, data uint64
	at       uint64 // of the instruction that has begun
	before   pointers
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

	controlKnown     = 0x1f3f
	controlFixed     = 1 << 6
	controlPrecision = 8
	controlRounding  = 10

	// ControlInit is the control word after FNINIT.
	ControlInit = 0x37f
)

// pointers are what an instruction changes before it writes to memory.
type pointers struct {
	codes  uint16
	raised x86.FloatStatus
	ip     uint64
}

// Init is FNINIT.
func (f *FPU) Init() {
	f.top, f.full, f.codes, f.raised = 0, 0, 0, 0
	f.ip, f.data, f.opcode = 0, 0, 0
	f.SetControl(ControlInit)
}

// SetControl takes a control word.
func (f *FPU) SetControl(v uint16) {
	f.control = v&controlKnown | controlFixed
	f.env = x86.FloatEnv{
		Rounding: x86.Rounding(v >> controlRounding & 3), Masks: x86.FloatStatus(v) & x86.FloatExceptions,
		Digits: [4]uint8{24, 53, 53, 64}[v>>controlPrecision&3], // 1 is reserved
	}
}

// Status is the status word.
func (f *FPU) Status() uint16 {
	s := f.codes | uint16(f.top)<<statusTop | uint16(f.raised)
	if f.Waiting() {
		s |= statusBusy
	}
	return s
}

func (f *FPU) setStatus(v uint16) {
	f.codes, f.top, f.raised = v&codes, uint8(v>>statusTop&7), x86.FloatStatus(v&0x7f)
}

// Waiting says that an exception isn't masked: the next instruction but for a few interrupts.
func (f *FPU) Waiting() bool { return f.raised&^f.env.Masks&x86.FloatExceptions != 0 }

// Begin is the beginning of an instruction at ip that isn't about control. It returns false if an exception waits: then the instruction interrupts.
func (f *FPU) Begin(ip uint64) bool {
	if f.Waiting() {
		return false
	}
	f.env.Status, f.env.Up, f.at = 0, false, ip
	return true
}

// kept is ended of an instruction that leaves C1 as it is, unless a register was empty.
func (f *FPU) kept() bool {
	c1 := f.codes & codeC1
	ok := f.ended()
	if f.env.Status&x86.FloatStack == 0 {
		f.codes |= c1
	}
	return ok
}

// ended has the exceptions of an instruction in the status word. It returns false if one of them keeps the result from being stored.
func (f *FPU) ended() bool {
	f.ip = f.at
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
func (f *FPU) note(status x86.FloatStatus) bool {
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

func (f *FPU) isEmpty(i uint8) bool { return f.full>>((f.top+i)&7)&1 == 0 }

// st is ST(i). An empty one is an exception, and what a processor makes of it.
func (f *FPU) st(i uint8) x86.Float80 {
	r := (f.top + i) & 7
	if f.full>>r&1 == 0 {
		f.env.Status |= x86.FloatInvalid | x86.FloatStack
		return x86.Indefinite
	}
	return f.regs[r]
}

func (f *FPU) set(i uint8, v x86.Float80) {
	r := (f.top + i) & 7
	f.regs[r] = v
	f.full |= 1 << r
}

// lacks says that one of the registers that an instruction takes is empty: then the result is Indefinite, whatever the others are.
func (f *FPU) lacks(i ...uint8) bool {
	for _, i := range i {
		if f.isEmpty(i) {
			f.env.Status, f.env.Up = x86.FloatInvalid|x86.FloatStack, false
			return true
		}
	}
	return false
}

// push makes v the new ST(0).
func (f *FPU) push(v x86.Float80) {
	if f.overflows() {
		f.env.Status, f.env.Up = x86.FloatInvalid|x86.FloatStack, true // C1 says that it was full
		v = x86.Indefinite
	}
	if f.ended() {
		f.top = (f.top - 1) & 7
		f.set(0, v)
	}
}

// overflows says that there is no register to push to.
func (f *FPU) overflows() bool { return f.full>>((f.top-1)&7)&1 != 0 }

// Pop takes n numbers off the stack.
func (f *FPU) Pop(n uint8) {
	for range n {
		f.full &^= 1 << f.top
		f.top = (f.top + 1) & 7
	}
}

// Load takes the state of an FXSAVE area, and Save puts it there.
func (f *FPU) Load(e *x86.Extended) {
	f.SetControl(e.FCW)
	f.setStatus(e.FSW)
	f.full, f.ip, f.data, f.opcode = e.FTW, e.FIP, e.FDP, e.FOP&0x7ff
	for i, s := range e.ST {
		f.regs[(f.top+uint8(i))&7] = x86.Float80{Mantissa: s.Mantissa, SignExponent: s.SignExponent}
	}
}

// Save puts the state into an FXSAVE area.
func (f *FPU) Save(e *x86.Extended) {
	e.FSW, e.FTW, e.FCW = f.Status(), f.full, f.control
	e.FIP, e.FDP, e.FOP = f.ip, f.data, f.opcode
	for i := range e.ST {
		r := f.regs[(f.top+uint8(i))&7]
		e.ST[i] = x86.Slot80{Mantissa: r.Mantissa, SignExponent: r.SignExponent}
	}
}

// Control is the control word.
func (f *FPU) Control() uint16 { return f.control }

// MM is an MMX register, and SetMM writes it.
func (f *FPU) MM(r uint8) uint64 { return f.regs[r&7].Mantissa }

// SetMM writes an MMX register. The rest of its x87 register is ones.
func (f *FPU) SetMM(r uint8, v uint64) {
	f.regs[r&7] = x86.Float80{Mantissa: v, SignExponent: 0xffff}
}

// BeginMMX is what MMX's instructions do first: no register is empty, and ST(0) is the first (Intel SDM volume 1, 9.5.1).
func (f *FPU) BeginMMX() { f.top, f.full = 0, 0xff }

// EndMMX is EMMS.
func (f *FPU) EndMMX() { f.top, f.full = 0, 0 }
