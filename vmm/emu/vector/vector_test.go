package vector

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/wherry/wherry/vmm/x86"
)

// TestLanes compares what is done 64 bits at a time with the same number by number.
func TestLanes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	any := func() Vec {
		v := Vec{random.Uint64(), random.Uint64()}
		if random.IntN(2) == 0 { // numbers that are the same, and ends of ranges
			v = Vec{v.Lo & 0x80ff7f0001008081, v.Hi | 0xff7f80}
		}
		return v
	}
	for i, width := range []uint8{8, 16, 32} {
		n := x86.Vector(i)
		for key, want := range map[x86.Vector]Func{
			p66 | 0xfc + n: lanes(width, func(a, b uint64) uint64 { return a + b }), p66 | 0xf8 + n: lanes(width, func(a, b uint64) uint64 { return a - b }),
			p66 | 0x74 + n: lanes(width, func(a, b uint64) uint64 { return -bit(a == b) }),
			p66 | 0x64 + n: signed(width, func(a, b int64) int64 { return -int64(bit(a > b)) }),
		} {
			for range 2000 {
				a, b := any(), any()
				if got, want := Funcs[key](a, b, 0), want(a, b, 0); got != want {
					t.Fatalf("%#x of %x and %x: %x, want %x", key, a, b, got, want)
				}
			}
		}
	}
}

// TestExceptions: sticky bits are those of the operation, whichever way it was done.
func TestExceptions(t *testing.T) {
	bits := math.Float64bits
	for _, c := range []struct {
		name string
		f    func(u *Unit, a, b uint64) uint64
		a, b float64
		want uint32
	}{
		{"exact sum", Add64, 1, 2, 0},
		{"sum", Add64, 1, 1e-30, 0x20},
		{"exact product", Multiply64, 3, 0.5, 0},
		{"product", Multiply64, 0.1, 0.1, 0x20},
		{"exact quotient", Divide64, 1, 4, 0},
		{"quotient", Divide64, 1, 3, 0x20},
		{"division by zero", Divide64, 1, 0, 0x04},
		{"invalid", Subtract64, math.Inf(1), math.Inf(1), 0x01},
		{"overflow", Multiply64, 1e300, 1e300, 0x28},
		{"underflow", Multiply64, 1e-300, 1e-20, 0x30},
		{"denormal", Add64, 5e-324, 1e-300, 0x22},
	} {
		mxcsr := uint32(0x1f80)
		var u Unit
		u.Keep(&mxcsr)
		u.Load(mxcsr)
		c.f(&u, bits(c.a), bits(c.b))
		if u.Signaled() || mxcsr&0x3f != c.want {
			t.Errorf("%s: MXCSR %#x, want %#x", c.name, mxcsr&0x3f, c.want)
		}
		u.Load(0x1f80 &^ (c.want << mxcsrMasksAt))
		c.f(&u, bits(c.a), bits(c.b))
		if interrupts := u.Signaled(); interrupts != (c.want != 0) {
			t.Errorf("%s, not masked: interrupts is %v", c.name, interrupts)
		}
	}
}
