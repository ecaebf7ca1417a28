// Package x86 is what an x86-64 processor in user mode is, without a machine around it: its registers, in the layout that KVM shares with its
// caller; the decoder of its instructions; and x87's 80-bit arithmetic.
//
// Decode says ErrInvalid of what no processor takes, and ErrUnsupported of what it doesn't know itself: general instructions, SSE and SSE2, and x87
// without its environments and transcendental functions are known; MMX, VEX and EVEX aren't.
//
// It is pure: no memory, no clock, no goroutines.
package x86
