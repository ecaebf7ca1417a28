package emu

import (
	"encoding/binary"

	"github.com/wherry/wherry/vmm/emu/flags"

	"github.com/wherry/wherry/vmm/emu/vector"
	"github.com/wherry/wherry/vmm/emu/x87"
	"github.com/wherry/wherry/vmm/x86"
)

// waitFPU interrupts if an exception waits.
func (c *VCPU) waitFPU() bool {
	if c.fpu.Waiting() {
		return c.raise(x86.FloatingPoint)
	}
	return true
}

// begin is the beginning of an instruction that isn't about control.
func (c *VCPU) begin(o *op) bool {
	if !c.fpu.Begin(c.running.va + uint64(o.off)) {
		return c.raise(x86.FloatingPoint)
	}
	return true
}

// x87 makes the step of an x87 instruction.
func (t *translator) x87() {
	in := t.in
	o := op{base: regZero, index: regZero, seg: regZero}
	if in.IsMem {
		o = t.address()
	}
	o.size, o.s, o.from, o.cond, o.d, o.to = in.Size, in.RM, in.From, in.Cond, in.Reg, uint64(in.Imm)
	if o.do = fpuMemory[in.Vec]; !in.IsMem {
		o.do = fpuRegisters[in.Vec]
	}
	t.add(o)
}

func operands(o *op) x87.Operands {
	return x87.Operands{I: o.s, Pops: o.from, Group: o.cond, Which: int(o.to), Whole: o.d != 0}
}

// fpuRegisters are the steps of instructions between registers, and of those about control.
var fpuRegisters = func() (all [x86.FPUs]func(*VCPU, *op) bool) {
	for i, f := range x87.Registers {
		if f != nil {
			all[i] = func(c *VCPU, o *op) bool {
				if !c.begin(o) {
					return false
				}
				f(&c.fpu, operands(o))
				return true
			}
		}
	}
	for i, f := range map[x86.FPU]func(*VCPU, *op) bool{
		x86.FPUFlags: doFPUFlags, x86.FPUMove: doFPUMove, x86.FPUInit: doFPUInit, x86.FPUClear: doFPUClear, x86.FPUStoreStatus: doFPUStatus,
		x86.FPUNothing: func(*VCPU, *op) bool { return true }, x86.FPUWait: func(c *VCPU, _ *op) bool { return c.waitFPU() },
	} {
		all[i] = f
	}
	return all
}()

// fpuMemory are the steps of instructions with memory.
var fpuMemory = [x86.FPUs]func(*VCPU, *op) bool{
	x86.FPULoad: doFPULoad, x86.FPUStore: doFPUStore, x86.FPUTruncate: doFPUStore, x86.FPULoadBCD: doFPULoadBCD, x86.FPUStoreBCD: doFPUStoreBCD,
	x86.FPUArithmetic: doFPUArithmetic, x86.FPUCompare: doFPUCompare,
	x86.FPULoadControl: doFPULoadControl, x86.FPUStoreControl: doFPUStoreControl, x86.FPUStoreStatus: doFPUStoreStatus,
	x86.FPULoadEnvironment: doFPULoadEnvironment, x86.FPUStoreEnvironment: doFPUStoreEnvironment, x86.FPURestore: doFPURestore, x86.FPUSave: doFPUSave,
}

// doFPUFlags is FCOMI and, with d, FUCOMI.
func doFPUFlags(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	c.flags.Set(vector.OrderFlags(c.fpu.Flags(operands(o), o.d != 0)))
	return true
}

func doFPUMove(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	c.fpu.Move(o.s, c.flags.Cond(o.cond))
	return true
}

func layout(size uint8) *x86.Layout {
	if size == 4 {
		return x86.Single
	}
	return x86.Double
}

func doFPULoad(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	if o.d != 0 || o.size == 10 {
		v, _, ok := c.loadFloat(o)
		if ok {
			c.fpu.Push(v)
		}
		return ok
	}
	m, ok := c.load(c.ea(o), o.size)
	if ok {
		c.fpu.PushBits(layout(o.size), m)
	}
	return ok
}

// loadFloat reads a number in memory: a float of 4, 8 or 10 bytes, or a whole one (d is 1) of 2, 4 or 8. denormal says that it is one in its format.
func (c *VCPU) loadFloat(o *op) (v x86.Float80, denormal, ok bool) {
	va := c.ea(o)
	m, ok := c.load(va, min(o.size, 8))
	switch {
	case !ok:
		return x86.Float80{}, false, false
	case o.d == 1:
		return x86.OfInt80(flags.Extend(m, o.size)), false, true
	case o.size <= 8:
		l := layout(o.size)
		return x86.Widen(l, m), x86.IsDenormal(l, m), true
	}
	top, ok := c.load(va+8, 2)
	return x86.Float80{Mantissa: m, SignExponent: uint16(top)}, false, ok
}

func doFPUArithmetic(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	b, denormal, ok := c.loadFloat(o)
	if ok {
		c.fpu.ArithmeticMemory(operands(o), b, denormal)
	}
	return ok
}

func doFPUCompare(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	b, denormal, ok := c.loadFloat(o)
	if ok {
		c.fpu.CompareMemory(operands(o), b, denormal)
	}
	return ok
}

// doFPUStore is FST, FIST and, with to, FISTTP.
func doFPUStore(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	switch {
	case o.d == 1:
		return c.storeFloat(o, c.fpu.Whole(o.size, o.to != 0), 0)
	case o.size < 10:
		return c.storeFloat(o, c.fpu.Bits(layout(o.size)), 0)
	}
	v := c.fpu.Float80()
	return c.storeFloat(o, v.Mantissa, v.SignExponent)
}

// storeFloat writes an instruction's result to memory, of 10 bytes the last ones are high.
func (c *VCPU) storeFloat(o *op, low uint64, high uint16) bool {
	if !c.fpu.Stores() {
		return true
	}
	var ok bool
	if va := c.ea(o); o.size <= 8 {
		ok = c.store(va, low, o.size)
	} else {
		p := binary.LittleEndian.AppendUint64(make([]byte, 0, 16), low)
		ok = c.storeSlowly(va, binary.LittleEndian.AppendUint16(p, high))
	}
	if !ok && !c.changed {
		c.fpu.Undo()
		return false
	}
	c.fpu.Pop(o.from)
	return ok
}

func doFPULoadBCD(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	var b x86.BCD
	ok := c.loadBytes(c.ea(o), b[:])
	if ok {
		c.fpu.Push(x86.OfBCD(b))
	}
	return ok
}

func doFPUStoreBCD(c *VCPU, o *op) bool {
	if !c.begin(o) {
		return false
	}
	b := c.fpu.BCD()
	return c.storeFloat(o, binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint16(b[8:]))
}
