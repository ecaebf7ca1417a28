// Package x87 is the floating-point unit that stands beside SSE's: eight registers in a stack, control and status words, and what its instructions do
// with them. Memory is its caller's.
//
// An instruction that isn't about control has a Begin, which returns false where an exception waits, and then one of Registers or a method. Exceptions that aren't
// masked keep a result from being stored; they interrupt at the next Begin.
//
// It is pure: no memory, no clock, no goroutines.
package x87
