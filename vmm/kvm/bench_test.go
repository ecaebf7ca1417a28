//go:build linux && amd64

package kvm

import (
	"runtime"
	"testing"

	"github.com/wherry/wherry/vmm"
)

func BenchmarkExit(b *testing.B) {
	h, err := Probe()
	if err != nil {
		b.Skip(err)
	}
	t, err := newTry(h, []byte{0x0f, 0x05, 0xeb, 0xfc})
	if err != nil {
		b.Fatal(err)
	}
	defer t.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for name, budget := range map[string]vmm.Budget{"plain": {}, "budget": {CPU: 1e9}} {
		b.Run(name, func(b *testing.B) {
			began := threadTime()
			for b.Loop() {
				if exit, err := t.vcpu.Run(budget); err != nil || exit.Kind != vmm.ExitSyscall {
					b.Fatal(exit, err)
				}
			}
			b.ReportMetric(float64((threadTime()-began).Nanoseconds())/float64(b.N), "CPU-ns/exit")
		})
	}
	b.Run("raw", func(b *testing.B) {
		began := threadTime()
		for b.Loop() {
			t.vcpu.run.dirtyRegs = 1
			t.vcpu.run.regs.RIP = tryVA
			if err := t.vcpu.untilExit(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64((threadTime()-began).Nanoseconds())/float64(b.N), "CPU-ns/exit")
	})
	b.Run("rawnosregs", func(b *testing.B) {
		t.vcpu.run.validRegs = 1
		began := threadTime()
		for b.Loop() {
			t.vcpu.run.dirtyRegs = 1
			t.vcpu.run.regs.RIP = tryVA
			if err := t.vcpu.untilExit(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64((threadTime()-began).Nanoseconds())/float64(b.N), "CPU-ns/exit")
	})
}
