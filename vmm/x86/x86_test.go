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
		"\x06": ErrInvalid, "\xc5\xf8\x77": nil, "\xc4\xe2\x79\xcf\xc0": ErrUnsupported, "\xc5\xf0\x77": ErrInvalid, "\xf0\x90": ErrInvalid, "\x0f\x38\xdc\xc0": ErrUnsupported, "\xd9\xd1": ErrInvalid, "\x0f\xc7\xf0": ErrInvalid, "\x8d\xc0": ErrInvalid,
		"\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90": ErrInvalid, // 16 bytes
	} {
		if _, err := Decode([]byte(code)); !errors.Is(err, want) {
			t.Errorf("% x: %v, want %v", code, err, want)
		}
	}
}

// TestIdentify: what CPUID tells of is decoded, and what it doesn't tell of isn't.
func TestIdentify(t *testing.T) {
	for _, c := range []struct {
		name           string
		leaf, register uint32 // of EAX, EBX, ECX, EDX
		bit            uint
		code           string
	}{
		{"SSE4.2", 1, 2, 20, "\x66\x0f\x38\x37\xc0"},
		{"PCLMULQDQ", 1, 2, 1, "\x66\x0f\x3a\x44\xc1\x10"},
		{"FMA", 1, 2, 12, "\xc4\xe2\xf1\x98\xc2"},
		{"MOVBE", 1, 2, 22, "\x0f\x38\xf0\x00"},
		{"AES", 1, 2, 25, "\x66\x0f\x38\xdc\xc0"},
		{"OSXSAVE", 1, 2, 27, "\x0f\x01\xd0"},
		{"AVX", 1, 2, 28, "\xc5\xf8\x77"},
		{"F16C", 1, 2, 29, "\xc4\xe2\x79\x13\xc0"},
		{"RDRAND", 1, 2, 30, "\x0f\xc7\xf0"},
		{"BMI1", 7, 1, 3, "\xc4\xe2\x70\xf2\xc2"},
		{"AVX2", 7, 1, 5, "\xc5\xfd\xfe\xc0"},
		{"BMI2", 7, 1, 8, "\xc4\xe3\xfb\xf0\xc1\x07"},
		{"AVX-512", 7, 1, 16, "\x62\xf1\x7d\x48\xfe\xc0"},
		{"ADX", 7, 1, 19, "\x66\x0f\x38\xf6\xc1"},
		{"SHA", 7, 1, 29, "\x0f\x38\xcb\xc1"},
		{"GFNI", 7, 2, 8, "\x66\x0f\x38\xcf\xc0"},
		{"LZCNT", 0x80000001, 2, 5, "\xf3\x0f\xbd\xc1"},
	} {
		in, err := Decode([]byte(c.code))
		told, known := Identify(c.leaf, 0)[c.register]>>c.bit&1 != 0, err == nil && in.Op != BSR
		if told != known {
			t.Errorf("%s: CPUID tells of it: %v; it is decoded: %v (%v)", c.name, told, known, err)
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
