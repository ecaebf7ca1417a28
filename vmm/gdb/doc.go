// Package gdb lets a real gdb attach to a program in a machine: the stub of GDB's remote serial protocol (appendix E of its manual).
//
//	gdb ──TCP──▶ packets ──▶ conn.handle (a table by first letters) ──▶ Target: vmm/debug.Session
//	                                                                      threads, registers, memory, breakpoints, forward and back
//
// Serve answers one gdb at a time. What gdb sends is foreign: every number and length in it is checked, packets are bounded, and an answer is E or empty
// where a request makes no sense, or the machine can't do it: who wants to go back on KVM is told what to do. gdb finds the program's file, thread names and auxiliary vector through the connection; it needs no path.
//
// Serve starts a goroutine for a connection, that reads it, and ends it before it returns.
package gdb
