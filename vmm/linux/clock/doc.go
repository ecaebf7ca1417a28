// Package clock is a Linux program's time: what CLOCK_MONOTONIC and CLOCK_REALTIME say, for the monitor and, by the data page of vmm/linux/vdso, for the
// program itself.
//
// Time is the host's, or virtual: then it passes with what the program executes. It moves in Tick and Pass alone, between runs of tasks, and never goes back; Tick
// looks at what the program may have read since from the data page, so that the program never sees a call say less than it has read.
//
// The data page follows the host's clock by the time-stamp counter, of a machine whose guests read the host's, from tick to tick. Rate is measured once a
// process. It doesn't do clocks of CPU time. A Clock belongs to the goroutine that runs the program. It starts no goroutines.
package clock
