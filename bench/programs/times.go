package main

import (
	"slices"

	"golang.org/x/sys/unix"
)

// times are CPU times in nanoseconds.
type times []int64

// quantile is t's q-quantile in microseconds, 0 <= q < 1.
func (t times) quantile(q float64) float64 {
	if len(t) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(t))
	return float64(sorted[int(q*float64(len(sorted)))]) / 1e3
}

// threadTime is what this thread has used of the processor, in nanoseconds.
func threadTime() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // Linux has this clock
	}
	return t.Nano()
}
