package asm

import (
	"bytes"
	"testing"

	"github.com/wherry/wherry/vmm/x86"
)

// TestEmit writes moves between all registers and addresses, and reads them with the emulator's decoder.
func TestEmit(t *testing.T) {
	var b Buffer
	for _, size := range []uint8{1, 2, 4, 8} {
		opcode := Op(0x8b)
		if size == 1 {
			opcode = Op(0x8a)
		}
		for reg := AX; reg <= R15; reg++ {
			for _, rm := range operands() {
				b.Begin(0)
				b.Emit(opcode, size, reg, rm, size == 1)
				check(t, &b, size, reg, rm)
			}
		}
	}
}

func operands() (all []Operand) {
	for r := AX; r <= R15; r++ {
		all = append(all, R(r))
		for _, disp := range []int32{0, 1, -128, 127, 128, -129, 1 << 30} {
			all = append(all, M(r, disp))
			for index := AX; index <= R15; index++ {
				if index != SP { // is no index
					all = append(all, MX(r, index, uint8(index)%4, disp), MX(None, index, 3, disp))
				}
			}
		}
	}
	return append(all, M(None, 0x1234))
}

func check(t *testing.T, b *Buffer, size uint8, reg Reg, rm Operand) {
	t.Helper()
	code, _ := b.Bytes()
	in, err := x86.Decode(code)
	if err != nil || int(in.Len) != len(code) || in.Op != x86.MOV || in.Form != x86.FormRM || in.Size != size || in.Reg != uint8(reg) || in.IsMem != rm.IsMem {
		t.Fatalf("register %d, %+v: % x is %+v (%v)", reg, rm, code, in, err)
	}
	checkOperand(t, code, in, rm)
}

func checkOperand(t *testing.T, code []byte, in x86.Inst, rm Operand) {
	t.Helper()
	if !rm.IsMem {
		if in.RM != uint8(rm.Reg) {
			t.Fatalf("% x has register %d, want %d", code, in.RM, rm.Reg)
		}
		return
	}
	want := x86.Mem{Base: uint8(rm.Base), Index: uint8(rm.Index), Shift: rm.Shift, Disp: int64(rm.Disp)}
	if in.Mem != want {
		t.Fatalf("% x has %+v, want %+v", code, in.Mem, want)
	}
}

// TestEmitWide does the same with VEX: of each table an instruction, with W and L where it has them.
func TestEmitWide(t *testing.T) {
	var b Buffer
	for i, rm := range operands() {
		for _, o := range []Opcode{{0, 0x0f58}, {0xf2, 0x0f58}, {0x66, 0x0f3898}, {0x66, 0x0f3a0f}} {
			w, l, reg, second := i&1 != 0, i&2 != 0, Reg(i*7&15), Reg(i*5&15)
			b.Begin(0)
			b.EmitWide(o, w, l, reg, second, rm, true)
			if byte(o.Bytes>>8) == 0x3a {
				b.Imm(1, 1)
			}
			code, _ := b.Bytes()
			in, err := x86.Decode(code)
			if err != nil || int(in.Len) != len(code) || in.Op != x86.AVX || in.Reg != uint8(reg) || in.V != uint8(second) || in.IsMem != rm.IsMem ||
				in.From == 8 != w || in.Wide != (l && o.Prefix != 0xf2) || byte(in.Vec) != byte(o.Bytes) {
				t.Fatalf("%+v of %d, %d, %+v: % x is %+v (%v)", o, reg, second, rm, code, in, err)
			}
			checkOperand(t, code, in, rm)
		}
	}
}

func TestConstant(t *testing.T) {
	var b Buffer
	for reg := AX; reg <= R15; reg++ {
		for _, v := range []uint64{0, 1, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1 << 63, ^uint64(0), 0xffffffff80000000, 0xffffffff7fffffff} {
			b.Begin(0)
			b.Constant(reg, v)
			code, _ := b.Bytes()
			in, err := x86.Decode(code)
			r, imm := in.Reg, uint64(in.Imm)
			if in.Form == x86.FormMI {
				r = in.RM
			}
			if in.Size == 4 {
				imm = uint64(uint32(imm))
			}
			if err != nil || int(in.Len) != len(code) || in.Op != x86.MOV || r != uint8(reg) || imm != v {
				t.Errorf("register %d, %#x: % x is %+v (%v)", reg, v, code, in, err)
			}
		}
	}
}

// TestLabels has jumps forwards and backwards, in one piece and between two.
func TestLabels(t *testing.T) {
	var b Buffer
	var start, far Label
	b.Begin(0x1000)
	b.Bind(&start)
	b.JumpIf(4, &far)
	b.Jump(&start)
	b.JumpTo(0x900)
	b.Address(R9, &far)
	b.Continue(0x2000)
	b.Align(4)
	b.Raw(0x90)
	b.Align(4)
	b.Bind(&far)
	b.Jump(&start)
	here, there := b.Bytes()
	wantHere := []byte{
		0x0f, 0x84, 0xfe, 0x0f, 0, 0, // 1000: je 2004
		0xe9, 0xf5, 0xff, 0xff, 0xff, // 1006: jmp 1000
		0xe9, 0xf0, 0xf8, 0xff, 0xff, // 100b: jmp 900
		0x4c, 0x8d, 0x0d, 0xed, 0x0f, 0, 0, // 1010: lea r9, [2004]
	}
	wantThere := []byte{0x90, 0xcc, 0xcc, 0xcc, 0xe9, 0xf7, 0xef, 0xff, 0xff} // 2004: jmp 1000
	if !bytes.Equal(here, wantHere) || !bytes.Equal(there, wantThere) || b.Err() != nil || b.Len() != len(there) {
		t.Errorf("% x and % x (%v)", here, there, b.Err())
	}
}

func TestMistakesAreTold(t *testing.T) {
	var b Buffer
	var l Label
	b.Begin(0)
	b.Jump(&l)
	if b.Err() == nil {
		t.Error("a label that isn't bound wasn't told of")
	}
	b.Begin(0)
	b.JumpTo(1 << 40)
	if b.Err() == nil {
		t.Error("a jump that is too far wasn't told of")
	}
	if b.Begin(0); b.Err() != nil {
		t.Error("what was wrong stays so")
	}
}
