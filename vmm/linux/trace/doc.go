// Package trace says what happens to a program, an event each: system calls with their arguments and results, faults, signals, the end. String is a line as strace
// writes it. It is pure: no goroutines.
package trace
