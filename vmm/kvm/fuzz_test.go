//go:build linux && amd64

package kvm

import (
	"testing"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/vmmtest"
)

// FuzzGuest runs any bytes as a program, also with its own page tables and the monitor's pages mapped for it: whatever it does to itself, Run has an exit
// and no error, and another machine works as before.
func FuzzGuest(f *testing.F) {
	f.Add([]byte{0x0f, 0x05}, false)
	f.Add([]byte{0x88, 0x03, 0x48, 0x81, 0xc3, 0x08, 0, 0, 0, 0xeb, 0xf5}, true)                 // all of it zeros
	f.Add([]byte{0xe6, stubPort, 0xef, 0xed, 0x6c, 0x6e, 0xcc, 0xf1, 0xf4}, true)                // ports, strings of them
	f.Add([]byte{0x9c, 0x48, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x0f, 0x05, 0x0f, 0x0b}, false) // TF over a system call
	f.Add([]byte{0xff, 0x23, 0x0f, 0x01, 0xd0, 0xcd, 0x80, 0xcd, 0x0e, 0x48, 0xcf}, true)
	f.Fuzz(func(t *testing.T, code []byte, tables bool) {
		if len(code) > phys.PageSize {
			return
		}
		g := vmmtest.NewGuest(t, open, code)
		if tables {
			const at = 0x6000000000
			if err := g.Tables.Map(at, 0x100000, 0x40000, mmu.User|mmu.Write); err != nil {
				t.Fatal(err)
			}
			monitor := g.Machine.(*Machine).base
			if err := g.Tables.Map(at+0x40000, monitor, 16<<phys.PageShift, mmu.User|mmu.Write); err != nil {
				t.Fatal(err)
			}
			g.Regs().RBX = at
		}
		for range 20 {
			exit, err := g.Run(vmm.Budget{CPU: 2 * time.Millisecond})
			if err != nil {
				t.Fatalf("%v after % x", err, code)
			}
			if exit.Kind == vmm.ExitException || exit.Kind == vmm.ExitPageFault {
				g.Regs().RIP++
			}
			if g.Regs().RFLAGS&^visibleFlags != 0 {
				t.Fatalf("flags %#x", g.Regs().RFLAGS)
			}
		}
		other := vmmtest.NewGuest(t, open, []byte{0x0f, 0x05})
		if other.Call(); other.Regs().RIP != vmmtest.CodeAt+2 {
			t.Fatalf("another machine is at %#x", other.Regs().RIP)
		}
	})
}
