package emu

import "github.com/wherry/wherry/vmm/x86"

// The bits of MXCSR (Intel SDM volume 1, 10.2.3).
const (
	mxcsrInexact  = 1 << 5
	mxcsrDAZ      = 1 << 6
	mxcsrMasksAt  = 7
	mxcsrMasks    = 0x3f << mxcsrMasksAt
	mxcsrNoSignal = 3 << (mxcsrMasksAt + 4) // the masks of inexact results and of underflow, which exact ones can have too
	mxcsrRoundAt  = 13
	mxcsrFTZ      = 1 << 15
	mxcsrWritable = 0xffff

	// mxcsrHow are the bits that fast paths look at, and mxcsrPlain is what they do: to nearest, denormals as they are, inexact results told of to nobody.
	mxcsrHow   = 3<<mxcsrRoundAt | mxcsrFTZ | mxcsrDAZ | mxcsrNoSignal
	mxcsrPlain = mxcsrNoSignal
)

// setMXCSR takes a control word of SSE.
func (c *VCPU) setMXCSR(v uint32) {
	c.extended.MXCSR = v
	c.sse = x86.FloatEnv{
		Rounding: x86.Rounding(v >> mxcsrRoundAt & 3), Masks: x86.FloatStatus(v>>mxcsrMasksAt) & x86.FloatExceptions,
		ZeroDenormals: v&mxcsrDAZ != 0, FlushToZero: v&mxcsrFTZ != 0 && v>>mxcsrMasksAt&uint32(x86.FloatUnderflow) != 0,
	}
}

// plain reports whether operations are as Go has them, and sure whether it is known already that a result was inexact once.
func (c *VCPU) plain() (plain, sure bool) {
	v := c.extended.MXCSR
	return v&mxcsrHow == mxcsrPlain, v&mxcsrInexact != 0
}

// signaled ends an operation of SSE with exceptions. It returns false if one of them interrupts: then there is no result.
func (c *VCPU) signaled() bool {
	status, masks := c.sse.Status, c.sse.Masks
	c.sse.Status = 0
	const before = x86.FloatInvalid | x86.FloatDenormal | x86.FloatZeroDivide
	if status&^masks&before != 0 { // then nothing was calculated (Intel SDM volume 1, 11.5.3)
		status &= before
	}
	c.extended.MXCSR |= uint32(status)
	if status&^masks != 0 {
		return c.raise(x86.SIMDFloatingPoint)
	}
	return true
}

func doLoadControl(c *VCPU, o *op) bool {
	v := uint32(c.file[o.d&regMask])
	if v&^mxcsrWritable != 0 {
		return c.raise(x86.GeneralProtection)
	}
	c.setMXCSR(v)
	return true
}

func doStoreControl(c *VCPU, o *op) bool {
	c.file[o.d&regMask] = uint64(c.extended.MXCSR)
	return true
}
