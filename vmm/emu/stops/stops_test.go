package stops

import (
	"testing"

	"github.com/wherry/wherry/vmm"
)

func TestAccessed(t *testing.T) {
	s := New(vmm.Stops{Breakpoints: []uint64{0x1000}, Watches: []vmm.Watch{{Addr: 0x2ffc, Size: 8, Write: true}, {Addr: 0x5000, Size: 4, Read: true}}})
	if !s.At(0x1000) || s.At(0x1001) || !s.Watching() {
		t.Error("a breakpoint isn't where it is")
	}
	if s.Lifted = true; s.At(0x1000) {
		t.Error("it isn't lifted")
	}
	for _, c := range []struct {
		va    uint64
		n     int
		write bool
		near  bool
		hit   uint64 // 0: none
	}{
		{0x2000, 8, true, true, 0},
		{0x2ff8, 4, true, true, 0},
		{0x2ff8, 8, true, true, 0x2ffc},
		{0x2ffc, 1, false, true, 0},
		{0x3003, 1, true, true, 0x2ffc},
		{0x3004, 8, true, true, 0},
		{0x4000, 8, true, false, 0},
		{0x5003, 1, false, true, 0x5000},
		{0x5003, 1, true, true, 0},
	} {
		near, hit := s.Accessed(c.va, c.n, c.write)
		if near != c.near || (hit == nil) != (c.hit == 0) || hit != nil && hit.Addr != c.hit {
			t.Errorf("%d bytes at %#x, write %v: %v, %v", c.n, c.va, c.write, near, hit)
		}
	}
}
