package x86

import (
	"errors"
	"slices"
	"testing"
	"unsafe"
)

func TestDecode(t *testing.T) {
	none := Mem{Base: NoReg, Index: NoReg}
	for _, c := range []struct {
		code []byte
		want Inst
	}{
		{[]byte{0x48, 0x8b, 0x44, 0xb3, 0xf0}, Inst{Op: MOV, Form: FormRM, Len: 5, Size: 8, RM: 0, IsMem: true, Mem: Mem{Base: 3, Index: 6, Shift: 2, Disp: -16}}},
		{[]byte{0x65, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0}, Inst{Op: MOV, Form: FormRM, Len: 9, Size: 8, IsMem: true, Mem: Mem{Base: NoReg, Index: NoReg, Seg: GS, Disp: 40}}},
		{[]byte{0x8d, 0x05, 1, 0, 0, 0}, Inst{Op: LEA, Form: FormRM, Len: 6, Size: 4, IsMem: true, Mem: Mem{Base: NoReg, Index: NoReg, RIP: true, Disp: 1}}},
		{[]byte{0x49, 0xbf, 1, 2, 3, 4, 5, 6, 7, 0x88}, Inst{Op: MOV, Form: FormRI, Len: 10, Size: 8, Reg: 15, Imm: -0x77f8f9fafbfcfdff}},
		{[]byte{0x88, 0xe0}, Inst{Op: MOV, Form: FormMR, Len: 2, Size: 1, Reg: HighByte}},            // mov al, ah
		{[]byte{0x40, 0x88, 0xe0}, Inst{Op: MOV, Form: FormMR, Len: 3, Size: 1, Reg: 4}},             // mov al, spl
		{[]byte{0x48, 0x66, 0x89, 0xc3}, Inst{Op: MOV, Form: FormMR, Len: 4, Size: 2, RM: 3}},        // a REX that doesn't count
		{[]byte{0xf3, 0x90}, Inst{Op: NOP, Len: 2, Size: 4}},                                         // pause
		{[]byte{0xf3, 0x0f, 0x1e, 0xfa}, Inst{Op: NOP, Form: FormM, Len: 4, Size: 4, Reg: 7, RM: 2}}, // endbr64
		{[]byte{0xf0, 0x0f, 0xb1, 0x0b}, Inst{Op: CMPXCHG, Form: FormMR, Len: 4, Size: 4, Reg: 1, IsMem: true, Lock: true, Mem: Mem{Base: 3, Index: NoReg}}},
		{[]byte{0x0f, 0x84, 0xff, 0xff, 0xff, 0xff}, Inst{Op: JCC, Form: FormI, Len: 6, Size: 8, Cond: CondE, Imm: -1}},
	} {
		got, err := Decode(c.code)
		if !c.want.IsMem {
			c.want.Mem, got.Mem = none, none
		}
		if err != nil || got != c.want {
			t.Errorf("% x:\n got %+v, %v\nwant %+v", c.code, got, err, c.want)
		}
		for n := range c.code {
			if _, err := Decode(c.code[:n]); !errors.Is(err, ErrShort) {
				t.Errorf("% x, cut to %d bytes: %v", c.code, n, err)
			}
		}
	}
	for code, want := range map[string]error{
		"\x06": ErrInvalid, "\xc5\xf8\x77": ErrUnsupported, "\xf0\x90": ErrInvalid, "\x0f\x38\xdc\xc0": ErrUnsupported, "\xd9\xd1": ErrInvalid, "\x0f\xc7\xf0": ErrInvalid, "\x8d\xc0": ErrInvalid,
		"\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90": ErrInvalid, // 16 bytes
	} {
		if _, err := Decode([]byte(code)); !errors.Is(err, want) {
			t.Errorf("% x: %v, want %v", code, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{0x48, 0x8b, 0x44, 0xb3, 0xf0})
	f.Add([]byte{0x66, 0xf3, 0x45, 0x0f, 0xb8, 0x04, 0x25, 1, 2, 3, 4})
	f.Add([]byte{0xf6, 0x05, 1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, code []byte) {
		in, err := Decode(code)
		if err != nil {
			return
		}
		if in.Len == 0 || int(in.Len) > min(len(code), InstMax) {
			t.Fatalf("% x: %d bytes", code, in.Len)
		}
		if again, err := Decode(slices.Clone(code[:in.Len])); err != nil || again != in {
			t.Fatalf("% x: what follows an instruction changes it: %+v, %v; %+v", code, again, err, in)
		}
	})
}

// TestLayouts holds the registers to what the kernel and FXSAVE have.
func TestLayouts(t *testing.T) {
	var r Regs
	var e Extended
	for name, at := range map[string][2]uintptr{
		"kvm_regs":        {unsafe.Sizeof(r), 18 * 8},
		"kvm_regs.rip":    {unsafe.Offsetof(r.RIP), 16 * 8},
		"FXSAVE MXCSR":    {unsafe.Offsetof(e.MXCSR), 24},
		"FXSAVE ST0":      {unsafe.Offsetof(e.ST), 32},
		"FXSAVE XMM0":     {unsafe.Offsetof(e.XMM), 160},
		"FXSAVE's length": {unsafe.Offsetof(e.Beyond), 512},
	} {
		if at[0] != at[1] {
			t.Errorf("%s: %d, want %d", name, at[0], at[1])
		}
	}
}
