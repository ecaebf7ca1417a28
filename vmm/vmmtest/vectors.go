package vmmtest

import (
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// testVectors has XMM registers survive exits of all kinds, and be what SetExtended makes them.
func testVectors(t *testing.T, open Open) {
	g := NewGuest(t, open, []byte{
		0x66, 0x0f, 0xfe, 0xc1, // paddd xmm0, xmm1
		0x0f, 0x05,
		0x66, 0x0f, 0xfe, 0xc1,
		0x48, 0x8b, 0x03, // mov rax, [rbx]
		0x66, 0x0f, 0xfe, 0xc1,
		0x0f, 0x05,
	})
	e := x86.NewExtended()
	for i := range e.XMM {
		e.XMM[i] = [2]uint64{uint64(i) << 32, uint64(i)}
	}
	e.XMM[1] = [2]uint64{1<<32 | 1, 1<<32 | 1}
	must(t, g.SetExtended(&e))
	g.Regs().RBX = SpareAt
	g.Call()
	g.Want(vmm.ExitPageFault)
	must(t, g.Tables.Map(SpareAt, SparePhys, phys.PageSize, mmu.User))
	g.Want(vmm.ExitSyscall)
	want := e.XMM
	want[0] = [2]uint64{3<<32 | 3, 3<<32 | 3}
	got, err := g.Extended()
	if must(t, err); got.XMM != want || got.MXCSR&^0x3f != 0x1f80 || got.FCW != 0x37f {
		t.Errorf("XMM %x, want %x; MXCSR %#x, FCW %#x", got.XMM, want, got.MXCSR, got.FCW)
	}
	// What was taken comes back, with what the back end has beyond.
	e.XMM[0] = [2]uint64{9, 9}
	must(t, g.SetExtended(&e))
	must(t, g.SetExtended(&got))
	g.Call()
	if again, err := g.Extended(); err != nil || again.XMM[0] != [2]uint64{4<<32 | 4, 4<<32 | 4} || again.XMM[15] != want[15] {
		t.Errorf("after SetExtended: %x (%v)", again.XMM, err)
	}
}

func testX87(t *testing.T, open Open) {
	g := NewGuest(t, open, []byte{
		0xd9, 0xe8, // fld1
		0xd9, 0xeb, // fldpi
		0x0f, 0x05,
		0xde, 0xc1, // faddp
		0xdd, 0x1b, // fstp qword [rbx]
		0x0f, 0x05,
	})
	e := x86.NewExtended()
	must(t, g.SetExtended(&e))
	g.Regs().RBX = DataAt
	g.Call()
	got, err := g.Extended()
	pi := x86.Slot80{Mantissa: 0xc90fdaa22168c235, SignExponent: 0x4000}
	if must(t, err); got.ST[0] != pi || got.ST[1] != (x86.Slot80{Mantissa: 1 << 63, SignExponent: 0x3fff}) || got.FSW>>11&7 != 6 || got.FTW != 0xc0 {
		t.Errorf("x87 has %+v", got.ST)
	}
	must(t, g.SetExtended(&e))
	must(t, g.SetExtended(&got))
	g.Want(vmm.ExitSyscall)
	if v, err := g.Machine.Phys().Uint64(DataPhys); err != nil || v != 0x401090fdaa22168c {
		t.Errorf("1 + π is %#x (%v)", v, err)
	}
}

// testWideVectors has the upper halves of YMM registers survive exits of all kinds, and be what SetExtended makes them, where CPUID tells of AVX.
func testWideVectors(t *testing.T, open Open) {
	g := NewGuest(t, open, []byte{
		0x0f, 0xa2, // cpuid
		0x89, 0xce, // mov esi, ecx
		0x0f, 0x05,
		0xc5, 0xfd, 0xfe, 0xc1, // vpaddd ymm0, ymm0, ymm1
		0x0f, 0x05,
		0xc5, 0xfd, 0xfe, 0xc1,
		0x48, 0x8b, 0x03, // mov rax, [rbx]
		0xc5, 0xfd, 0xfe, 0xc1,
		0x0f, 0x05,
		0x66, 0x0f, 0xfe, 0xc1, // paddd xmm0, xmm1: leaves the upper half
		0x0f, 0x05,
		0xc5, 0xf9, 0xfe, 0xc1, // vpaddd xmm0, xmm0, xmm1: clears it
		0x0f, 0x05,
	})
	const avx, osxsave = 1 << 28, 1 << 27
	g.Regs().RAX = 1
	if g.Call(); g.Regs().RSI&avx == 0 || g.Regs().RSI&osxsave == 0 {
		if g.Machine.Caps().Deterministic {
			t.Error("CPUID doesn't tell of AVX")
		}
		t.Skip("there is no AVX here")
	}
	one := [2]uint64{1<<32 | 1, 1<<32 | 1}
	e := x86.NewExtended()
	var upper [16][2]uint64
	for i := range upper {
		e.XMM[i], upper[i] = [2]uint64{uint64(i) << 32, uint64(i)}, [2]uint64{uint64(i) << 48, uint64(i) << 16}
	}
	e.XMM[1], upper[1] = one, one
	e.SetUpper(&upper)
	times := func(n uint64) [2]uint64 { return [2]uint64{n * one[0], n * one[1]} }
	has := func(what string, xmm, up [2]uint64) (got x86.Extended) {
		t.Helper()
		got, err := g.Extended()
		must(t, err)
		want := upper
		want[0] = up
		if got.XMM[0] != xmm || got.Upper() != want {
			t.Errorf("%s: XMM0 is %x, want %x; upper halves %x, want %x", what, got.XMM[0], xmm, got.Upper(), want)
		}
		return got
	}
	must(t, g.SetExtended(&e))
	has("set", times(0), times(0))
	g.Regs().RBX = SpareAt
	g.Want(vmm.ExitSyscall)
	taken := has("after a call", times(1), times(1))
	g.Want(vmm.ExitPageFault)
	has("at a fault", times(2), times(2))
	must(t, g.Tables.Map(SpareAt, SparePhys, phys.PageSize, mmu.User))
	g.Want(vmm.ExitSyscall)
	has("behind it", times(3), times(3))
	g.Want(vmm.ExitSyscall)
	has("SSE", times(4), times(3))
	at := g.Regs().RIP
	g.Want(vmm.ExitSyscall)
	has("128 bits", times(5), [2]uint64{})
	// What was taken comes back; and without what is beyond it, the upper halves are 0.
	must(t, g.SetExtended(&taken))
	g.Regs().RIP = at - 6
	g.Want(vmm.ExitSyscall)
	has("taken back", times(2), times(1))
	taken.Beyond = nil
	must(t, g.SetExtended(&taken))
	g.Regs().RIP, upper = at-6, [16][2]uint64{}
	g.Want(vmm.ExitSyscall)
	has("without upper halves", times(2), [2]uint64{})
}
