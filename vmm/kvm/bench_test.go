//go:build linux && amd64

package kvm

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/wherry/wherry/internal/cputime"
	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// All figures are of this thread's CPU time, for the machine may have other things to do.
func measured(b *testing.B, what string, do func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began, rounds := cputime.Thread(), 0
	for b.Loop() {
		do()
		rounds++
	}
	b.ReportMetric(float64((cputime.Thread()-began).Nanoseconds())/float64(rounds)/1000, what)
}

func tryGuest(b *testing.B, code ...byte) *tryMachine {
	b.Helper()
	h, err := Probe()
	if err != nil {
		b.Skip(err)
	}
	t, err := newTry(h, code)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = t.Close() })
	return t
}

// BenchmarkExit is a way out of a guest and back in.
func BenchmarkExit(b *testing.B) {
	again := []byte{0xeb, 0xfc}
	for _, e := range []struct {
		name   string
		code   []byte
		budget vmm.Budget
		kind   vmm.ExitKind
	}{
		{"syscall", []byte{0x0f, 0x05}, vmm.Budget{}, vmm.ExitSyscall},
		{"syscall with a budget", []byte{0x0f, 0x05}, vmm.Budget{CPU: 1e9}, vmm.ExitSyscall},
		{"doorbell", []byte{0x90, 0xef}, vmm.Budget{}, vmm.ExitDoorbell},
		{"page fault", []byte{0x8b, 0x03}, vmm.Budget{}, vmm.ExitPageFault},
	} {
		b.Run(e.name, func(b *testing.B) {
			t := tryGuest(b, append(e.code, again...)...)
			t.vcpu.run.regs.RDX = vmm.DoorbellPort
			measured(b, "CPU-µs/exit", func() {
				if exit, err := t.vcpu.Run(e.budget); err != nil || exit.Kind != e.kind {
					b.Fatal(exit, err)
				}
			})
		})
	}
	b.Run("KVM_RUN alone", func(b *testing.B) {
		t := tryGuest(b, append([]byte{0x0f, 0x05}, again...)...)
		c := t.vcpu
		if err := c.enter(); err != nil {
			b.Fatal(err)
		}
		measured(b, "CPU-µs/exit", func() {
			if err := c.untilExit(); err != nil {
				b.Fatal(err)
			}
			c.run.regs.RIP = tryVA
			c.run.dirtyRegs = syncRegs
		})
	})
}

// BenchmarkNew is a machine of 64 MiB with a processor, to its first exit and its end.
func BenchmarkNew(b *testing.B) {
	tryGuest(b)
	measured(b, "CPU-µs/machine", func() {
		h, _ := Probe()
		t, err := newTry(h, []byte{0x0f, 0x05})
		if err != nil {
			b.Fatal(err)
		}
		if err := t.expect(vmm.ExitSyscall); err != nil {
			b.Fatal(err)
		}
		if err := t.Close(); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkReset writes pages in a guest with an image of 64 MiB, collects and restores them. The figure is of the last two.
func BenchmarkReset(b *testing.B) {
	for _, pages := range []uint64{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("%d pages", pages), func(b *testing.B) { benchmarkReset(b, pages) })
	}
}

// benchmarkReset has tables and code in an image, too, as after the start of a program.
func benchmarkReset(b *testing.B, pages uint64) {
	const size, base, at = 64 << 20, 0x10000000, 0x40000000
	scratch := tryGuest(b,
		0x88, 0x03, // 0: mov [rbx], al
		0x48, 0x01, 0xd3, // 2: add rbx, rdx
		0xff, 0xce, // 5: dec esi
		0x75, 0xf7, // 7: jne 0
		0x0f, 0x05,
	)
	if err := scratch.builder.Map(at, base, size, mmu.User|mmu.Write); err != nil {
		b.Fatal(err)
	}
	memory := phys.New(phys.Options{})
	add := func(base phys.Addr, contents []byte) *phys.Slot {
		image, err := phys.NewImage(contents)
		if err != nil {
			b.Fatal(err)
		}
		slot, err := memory.Add(phys.Spec{Base: base, Size: len(contents), Image: image})
		if err != nil {
			b.Fatal(err)
		}
		return slot
	}
	add(0, scratch.memory.Slots()[0].Bytes())
	slot, source := add(base, make([]byte, size)), make([]byte, size)
	for i := range source {
		source[i] = 1
	}
	m, err := New(memory)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Close() })
	v, err := m.NewVCPU()
	if err != nil {
		b.Fatal(err)
	}
	if err := v.SetSystem(scratch.vcpu.system); err != nil {
		b.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var reset, call, copies int64
	rounds := 0
	for b.Loop() {
		*v.Regs() = x86.Regs{RIP: tryVA, RBX: at, RDX: phys.PageSize, RSI: pages}
		began := cputime.Thread()
		if exit, err := v.Run(vmm.Budget{}); err != nil || exit.Kind != vmm.ExitSyscall {
			b.Fatal(exit, err)
		}
		middle := cputime.Thread()
		if err := m.CollectDirty(); err != nil {
			b.Fatal(err)
		}
		if n := slot.Dirty().Count(); n != int(pages) {
			b.Fatalf("%d pages are written, not %d", n, pages)
		}
		memory.Restore()
		end := cputime.Thread()
		for i := range pages { // what nothing that copies pages back can do without
			copy(slot.Bytes()[i*phys.PageSize:][:phys.PageSize], source[i*phys.PageSize:])
		}
		copies += (cputime.Thread() - end).Nanoseconds()
		reset += (end - middle).Nanoseconds()
		call += (middle - began).Nanoseconds()
		rounds++
	}
	us := func(ns int64) float64 { return float64(ns) / float64(rounds) / 1000 }
	b.ReportMetric(us(reset), "CPU-µs/reset")
	b.ReportMetric(us(copies), "CPU-µs/copies")
	b.ReportMetric(float64(memory.Metrics().Restored)/float64(rounds), "pages/reset") // with those of page tables
	b.ReportMetric(us(call), "CPU-µs/call")
}
