// Package program is what `wherry program` does: it runs a customer's program in a machine on this host, traces it, and measures it.
//
//	Run     one program to its end, or on one input: exit status, output, what went wrong
//	Bench   many calls, with the machine taken back to its snapshot after each, connection, or never
//	Freeze  a program that waits for input, as a file
//
// It starts no goroutines but the one that copies standard input, which ends with it or with the process.
package program
