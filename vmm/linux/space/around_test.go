package space

import (
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/phys"
)

// bare is a machine whose processors nobody asks for.
type bare struct {
	vmm.Machine
	memory *phys.Memory
}

func (b bare) Phys() *phys.Memory            { return b.memory }
func (b bare) Flush(phys.Addr, uint64) error { return nil }

const readWrite = abi.PROT_READ | abi.PROT_WRITE

func newSpace(t *testing.T, memory int64) *Space {
	t.Helper()
	m := bare{memory: phys.New(phys.Options{})}
	t.Cleanup(func() { _ = m.memory.Close() })
	s, err := New(m, memory, 64)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// touch has the program write to each page of size bytes from va on, in steps, and returns how many faults that took.
func touch(t *testing.T, s *Space, va, size, step uint64) int {
	t.Helper()
	faults := 0
	for at := va; at < va+size; at += step {
		page, err := s.tables.Lookup(at)
		if err != nil {
			t.Fatal(err)
		}
		if page.Entry != 0 {
			continue
		}
		faults++
		if outcome, err := s.Fault(at, abi.PROT_WRITE); outcome != Done || err != nil {
			t.Fatalf("at %#x: %v, %v", at, outcome, err)
		}
	}
	return faults
}

func TestFaultsPerMiB(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		what               string
		area, touched      uint64
		step               uint64
		mostFaults, memory int
	}{
		{"a heap of 32 MiB from its beginning to its end", 32 * mib, 32 * mib, PageSize, 20, 256},
		{"spans of 8 KiB, of which each begins somewhere in its first page", 64 * mib, 16 * mib, 2*PageSize + 0xf00, 12, 256},
		{"a table of 1 MiB", mib, mib, PageSize, 3, 256},
		{"a small area", mib / 4, mib / 4, PageSize, 3, 256},
		{"a program that has little memory", 8 * mib, 8 * mib, PageSize, 200, 9},
	} {
		s := newSpace(t, int64(c.memory)*mib)
		va, e := s.Map(0, c.area, readWrite, abi.MAP_PRIVATE|abi.MAP_ANONYMOUS, 0, nil)
		if e != 0 {
			t.Fatal(e)
		}
		if n := touch(t, s, va, c.touched, c.step); n > c.mostFaults {
			t.Errorf("%s: %d faults, more than %d", c.what, n, c.mostFaults)
		}
	}
}

func TestPagesAheadAreBounded(t *testing.T) {
	const mib = 1 << 20
	s := newSpace(t, 64*mib)
	va, e := s.Map(0, 32*mib, readWrite, abi.MAP_PRIVATE|abi.MAP_ANONYMOUS, 0, nil)
	if e != 0 {
		t.Fatal(e)
	}
	// A program that touches a page here and there gets no more than the first window for each.
	for i := range uint64(8) {
		touch(t, s, va+i*4*mib, PageSize, PageSize)
	}
	if s.Pages() > 8*aroundLarge {
		t.Errorf("eight pages far from each other took %d", s.Pages())
	}
	touch(t, s, va, 32*mib, PageSize)
	if got := s.Pages(); got != 32*mib/PageSize {
		t.Errorf("32 MiB took %d pages", got)
	}
	written := 0
	for _, slot := range s.machine.Phys().Slots() {
		if !slot.Kept {
			written += slot.Dirty().Count()
		}
	}
	if written != 0 {
		t.Errorf("%d pages that are only mapped count as written", written)
	}
}
