//go:build linux && amd64

package emu

import (
	"testing"

	"github.com/wherry/wherry/vmm/phys"
	"golang.org/x/sys/unix"
)

// BenchmarkSum counts this process's CPU time, for the machine may have other things to do.
func BenchmarkSum(b *testing.B) {
	_, c := newGuest(b, sum, phys.Options{})
	before, start := c.Instructions(), cpuTime(b)
	for b.Loop() {
		c.regs.RIP, c.regs.RAX, c.regs.RCX = codeAt, 0, 100_000
		run(b, c, 0)
	}
	b.ReportMetric(float64(cpuTime(b)-start)/float64(c.Instructions()-before), "CPU-ns/instruction")
}

func cpuTime(b testing.TB) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return t.Nano()
}
