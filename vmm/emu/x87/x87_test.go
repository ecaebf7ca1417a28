package x87

import (
	"testing"

	"github.com/wherry/wherry/vmm/x86"
)

func TestStack(t *testing.T) {
	var f FPU
	f.Init()
	for i := range 9 { // one more than there are registers
		if !f.Begin(0) {
			t.Fatalf("number %d interrupts", i)
		}
		f.Push(x86.OfInt80(int64(i)))
	}
	if s := f.Status(); s&0x7f != 0x41 || s&codeC1 == 0 {
		t.Errorf("the status of a stack that is full is %#x", s)
	}
	f.Clear()
	for range 9 {
		f.Begin(0)
		Registers[x86.FPUStore](&f, Operands{I: 0, Pops: 1})
	}
	if s := f.Status(); s&0x7f != 0x41 || s&codeC1 != 0 {
		t.Errorf("the status of a stack that is empty is %#x", s)
	}
}

// TestEnvironment has what is stored come back, and an exception that is waiting interrupt.
func TestEnvironment(t *testing.T) {
	for _, size := range []uint8{2, 4} {
		var f, g FPU
		f.Init()
		f.SetControl(ControlInit &^ 4) // division by zero isn't masked
		f.Begin(0x1234)
		f.Push(x86.Zero)
		f.Begin(0x1236)
		f.Push(x86.One)
		f.Begin(0x1238)
		Registers[x86.FPUArithmetic](&f, Operands{I: 1, Group: x86.FPUDivide})
		if f.Begin(0) || f.Float80() != x86.One {
			t.Errorf("1/0 doesn't interrupt, or is %v", f.Float80())
		}
		g.SetState(f.State(size), size)
		if g.Begin(0) || g.Status() != f.Status() || g.Control() != f.Control() || g.Float80() != x86.One {
			t.Errorf("in words of %d bytes: status %#x, want %#x", size, g.Status(), f.Status())
		}
	}
}
