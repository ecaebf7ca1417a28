//go:build linux && amd64

package kvm

import (
	"bytes"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/vmmtest"
	"github.com/wherry/wherry/vmm/x86"
)

// sample is a state that no processor begins with.
func sample() x86.Extended {
	e := x86.NewExtended()
	e.XMM[3], e.MXCSR = [2]uint64{0x1234, 0x5678}, 0x1f80|1<<13
	return e
}

// storeXMM3 stores XMM3 where RBX points to.
var storeXMM3 = []byte{
	0xf3, 0x0f, 0x7f, 0x1b, // movdqu [rbx], xmm3
	0x0f, 0x05,
}

func opened(t *testing.T, code []byte) (*vmmtest.Guest, *VCPU) {
	t.Helper()
	g := vmmtest.NewGuest(t, open, code)
	c := g.VCPU.(*VCPU)
	if e := x86.NewExtended(); !c.loadsItself(&e) {
		t.Skip("guests have no XRSTOR here")
	}
	return g, c
}

func TestProcessorLoadsItsStateOnTheWay(t *testing.T) {
	g, c := opened(t, storeXMM3)
	want := sample()
	if err := g.SetExtended(&want); err != nil {
		t.Fatal(err)
	}
	r := g.Regs()
	r.RBX, r.RAX, r.RDX = vmmtest.DataAt, 77, 78
	before := *r
	g.Kick()
	if exit := g.Exit(); exit.Kind != vmm.ExitKicked || *r != before {
		t.Errorf("kicked before it began: %+v, %+v instead of %+v", exit, *r, before)
	}
	if got, err := g.Extended(); err != nil || got.XMM != want.XMM || got.MXCSR != want.MXCSR {
		t.Errorf("before it runs the state is %+v (%v)", got, err)
	}
	g.Want(vmm.ExitSyscall)
	if r.RAX != 77 || r.RDX != 78 || r.RBX != vmmtest.DataAt || r.RSP != before.RSP {
		t.Errorf("registers on the way: %+v", *r)
	}
	for i, w := range want.XMM[3] {
		if v, err := g.Machine.Phys().Uint64(vmmtest.DataPhys + 8*phys.Addr(i)); v != w || err != nil {
			t.Errorf("half %d of XMM3 is %#x, not %#x (%v)", i, v, w, err)
		}
	}
	if got, err := g.Extended(); err != nil || got.XMM != want.XMM || got.MXCSR != want.MXCSR {
		t.Errorf("after it ran the state is %+v (%v)", got, err)
	}
	if page := c.detour[:detourCode]; !bytes.Equal(page, make([]byte, len(page))) {
		t.Error("a state stays where the next program could read it")
	}
}

// TestInterruptedOnTheWay has the processor come back from each place of its detour.
func TestInterruptedOnTheWay(t *testing.T) {
	g, c := opened(t, storeXMM3)
	r := g.Regs()
	for _, at := range []uint64{0, 8, 15, 22} {
		state := sample()
		if err := g.SetExtended(&state); err != nil {
			t.Fatal(err)
		}
		before := *r
		if err := c.leave(); err != nil {
			t.Fatal(err)
		}
		if *r == before {
			t.Fatal("it takes no detour")
		}
		r.RIP = c.detourAt() + at
		c.arrive()
		if *r != before || !c.pending {
			t.Errorf("at %d: %+v instead of %+v", at, *r, before)
		}
	}
}

func TestStepsAreTheProgramsOwn(t *testing.T) {
	g, _ := opened(t, []byte{0x90, 0x90, 0x0f, 0x05})
	state := sample()
	if err := g.SetExtended(&state); err != nil {
		t.Fatal(err)
	}
	g.Regs().RFLAGS |= x86.TF
	if exit := g.Exit(); exit.Kind == vmm.ExitDebug && g.Regs().RIP != vmmtest.CodeAt+1 {
		t.Errorf("a step ends at %#x", g.Regs().RIP)
	}
	if got, err := g.Extended(); err != nil || got.XMM != state.XMM {
		t.Errorf("the state is %+v (%v)", got, err)
	}
}

// TestStatesFromFiles has the kernel say no to states that a processor wouldn't load.
func TestStatesFromFiles(t *testing.T) {
	g, _ := opened(t, storeXMM3)
	good, err := g.Extended()
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{7, 8, 15, 16, 63} { // of the header: a part that isn't there, the compact form, and what is reserved
		bad := good
		bad.Beyond = bytes.Clone(good.Beyond)
		bad.Beyond[at] |= 0x80
		if err := g.SetExtended(&bad); err == nil {
			t.Errorf("byte %d of the header is taken", at)
		}
	}
	g.Regs().RBX = vmmtest.DataAt
	g.Want(vmm.ExitSyscall)
}
