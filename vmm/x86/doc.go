// Package x86 is what an x86-64 processor in user mode is, without a machine around it: its registers, in the layout that KVM shares with its
// caller.
//
// It is pure: no memory, no clock, no goroutines.
package x86
