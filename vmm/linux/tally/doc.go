// Package tally counts what a process of vmm/linux does: system calls, exits, switches and what else its Metrics tell.
//
// It only counts; a Tally belongs to the goroutine that runs the program, and starts none.
package tally
