package linux

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/wherry/wherry/vmm/linux/clock"
)

// BenchmarkRestore is what taking a small process back costs after a request, without its memory.
func BenchmarkRestore(b *testing.B) {
	benchmark(b, func(b *testing.B, p *Process, s *State) {
		p.WriteStdin([]byte("{}\n"))
		if _, err := p.Run(context.Background()); err != nil { // it has a processor from now on
			b.Fatal(err)
		}
		reset(b, p, s)
		for b.Loop() {
			p.tasks[0].ran = true
			if err := p.Restore(s); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRequest is a request to a small process with all that takes it back.
func BenchmarkRequest(b *testing.B) {
	benchmark(b, func(b *testing.B, p *Process, s *State) {
		for b.Loop() {
			p.WriteStdin([]byte("{}\n"))
			if stop, err := p.Run(context.Background()); err != nil || stop.Kind != WantsInput {
				b.Fatal(stop, err)
			}
			reset(b, p, s)
		}
	})
}

func benchmark(b *testing.B, f func(b *testing.B, p *Process, s *State)) {
	file := buildC(b, "musl-gcc", "answer")
	for name, make := range backends {
		b.Run(name, func(b *testing.B) {
			first, err := make()
			if err != nil {
				b.Skip(err)
			}
			defer first.Close()
			s, images := snapshot(b, first, file)
			m, err := make()
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			p := resume(b, m, s, images, io.Discard)
			b.ReportAllocs()
			f(b, p, s)
		})
	}
}

// BenchmarkClock is what a program pays to read a clock (clock_gettime twice, gettimeofday, time), by the vDSO and by system calls.
func BenchmarkClock(b *testing.B) {
	file := buildC(b, "musl-gcc", "clock")
	for name, byCalls := range map[string]bool{"vdso": false, "calls": true} {
		b.Run(name, func(b *testing.B) {
			m, err := backends["kvm"]()
			if err != nil {
				b.Skip(err)
			}
			defer m.Close()
			p, err := Load(m, read(b, file), Options{Args: []string{"clock", fmt.Sprint(b.N)}})
			if err != nil {
				b.Fatal(err)
			}
			if byCalls {
				p.clock.Counter = clock.Unrelated
			}
			if stop, err := p.Run(context.Background()); err != nil || stop.Kind != Exited || stop.Status != 0 {
				b.Fatal(stop, err)
			}
			b.ReportMetric(float64(p.CPU().Nanoseconds())/float64(clockReads*b.N), "cpu-ns/read")
		})
	}
}

// clockReads is how often the program reads a clock in a round.
const clockReads = 4
