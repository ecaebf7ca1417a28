package snap_test

import (
	"context"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/backend"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/snap"
)

// prepared is a snapshot of testdata/counter on the back end kind.
func prepared(b *testing.B, kind backend.Kind) (*snap.Snapshot, snap.Maker) {
	b.Helper()
	program, err := counter()
	if err != nil {
		b.Fatal(err)
	}
	makeIt := func(m *phys.Memory) (vmm.Machine, error) { return backend.New(kind, m) }
	m, err := makeIt(phys.New(phys.Options{}))
	if err != nil {
		b.Skip(err)
	}
	p, err := snap.Boot(context.Background(), m, program, linux.Options{Env: environment, Memory: 128 << 20})
	if err != nil {
		b.Fatal(err)
	}
	s, err := snap.Take(m, p)
	if err != nil {
		b.Fatal(err)
	}
	if err := m.Close(); err != nil {
		b.Fatal(err)
	}
	return s, makeIt
}

func BenchmarkStart(b *testing.B) {
	for _, kind := range []backend.Kind{"kvm", "emulator"} {
		b.Run(string(kind), func(b *testing.B) {
			s, makeIt := prepared(b, kind)
			for b.Loop() {
				i, err := s.Start(makeIt, linux.Options{})
				if err != nil {
					b.Fatal(err)
				}
				if err := i.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCallAndReset(b *testing.B) {
	for _, kind := range []backend.Kind{"kvm", "emulator"} {
		b.Run(string(kind), func(b *testing.B) {
			s, makeIt := prepared(b, kind)
			i, err := s.Start(makeIt, linux.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if c, err := i.Call(context.Background(), []byte("one\n")); err != nil || !c.Answered() {
					b.Fatal(c.Stop, err)
				}
				if _, err := i.Reset(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
