// Package x86 is what an x86-64 processor in user mode is, without a machine around it: its registers, in the layout that KVM shares with its
// caller; the decoder of its instructions; and the arithmetic of its floating-point numbers.
//
// Decode says ErrInvalid of what no processor takes, or none whose CPUID tells of what Identify does and no more; and ErrUnsupported of what it doesn't know
// itself: EVEX, and with VEX what is beyond AVX2, FMA and F16C; far jumps.
//
// FloatEnv is how floating-point operations round and which exceptions they had: of SSE's singles and doubles, and of x87's Float80.
//
// It is pure: no memory, no clock, no goroutines.
package x86
