// Package debug runs a program as a debugger wants it: by steps, to breakpoints and watched memory, forward and back.
//
//	vmm/gdb ──Order──▶ Session ──▶ linux.Process.Run ──▶ linux.Debugger: before each turn, after it, before each signal
//	                     │ marks: snapshots along the way, few where it is long ago
//	                     └ events: what came from outside, with the number of the instruction before which it came
//
// A program's place is the number of instructions it has executed. Time is virtual and the machine counts instructions, so a program that is started from a
// mark and given the events again does the same again: going back is starting from the mark before and going forward. What the program writes the second
// time is not shown. Whoever changes registers or memory in the past makes another future: the old one is forgotten.
//
// It needs a machine that is a vmm.Stopper. One that isn't deterministic, KVM where single steps come to the monitor, goes forward alone: there are no marks and no events, and a step is one of the processor's. Marks are bounded in number and bytes, events in bytes; where they are used up
// history begins later.
//
// A Session belongs to one goroutine. It starts none.
package debug
