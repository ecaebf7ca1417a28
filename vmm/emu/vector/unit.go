package vector

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

	// Writable are the bits of MXCSR that there are.
	Writable = 0xffff

	// mxcsrHow are the bits that fast paths look at, and mxcsrPlain is what they do: to nearest, denormals as they are, inexact results told of to nobody.
	mxcsrHow   = 3<<mxcsrRoundAt | mxcsrFTZ | mxcsrDAZ | mxcsrNoSignal
	mxcsrPlain = mxcsrNoSignal
)

// Unit is what operations on floats look at, and where they leave their exceptions: in Status, until Signaled.
type Unit struct {
	x86.FloatEnv                 // what MXCSR says
	mxcsr        *uint32         // where it is kept
	earlier      x86.FloatStatus // exceptions of the stages that an operation has behind it
}

// Keep has MXCSR kept at p. What is there is taken by Load.
func (u *Unit) Keep(p *uint32) { u.mxcsr = p }

// Load takes a control word.
func (u *Unit) Load(v uint32) {
	*u.mxcsr = v
	u.FloatEnv = x86.FloatEnv{
		Rounding: x86.Rounding(v >> mxcsrRoundAt & 3), Masks: x86.FloatStatus(v>>mxcsrMasksAt) & x86.FloatExceptions,
		ZeroDenormals: v&mxcsrDAZ != 0, FlushToZero: v&mxcsrFTZ != 0 && v>>mxcsrMasksAt&uint32(x86.FloatUnderflow) != 0,
	}
}

// plain reports whether operations are as Go has them, and sure whether it is known already that a result was inexact once.
func (u *Unit) plain() (plain, sure bool) {
	v := *u.mxcsr
	return v&mxcsrHow == mxcsrPlain, v&mxcsrInexact != 0
}

// Noted reports whether there is something for Signaled.
func (u *Unit) Noted() bool { return u.Status|u.earlier != 0 }

// Forget has an operation not have happened.
func (u *Unit) Forget() { u.Status, u.earlier = 0, 0 }

// Signaled ends an operation with exceptions. It returns true if one of them interrupts: then there is no result.
func (u *Unit) Signaled() bool {
	status, earlier := u.Status, u.earlier
	u.Status, u.earlier = 0, 0
	const before = x86.FloatInvalid | x86.FloatDenormal | x86.FloatZeroDivide
	if status&^u.Masks&before != 0 { // then nothing was calculated (Intel SDM volume 1, 11.5.3)
		status &= before
	}
	*u.mxcsr |= uint32(status | earlier)
	return status&^u.Masks != 0
}
