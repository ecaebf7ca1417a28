package vector

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/wherry/wherry/vmm/x86"
)

func plainUnit() *Unit {
	mxcsr := uint32(0x1f80)
	u := new(Unit)
	u.Keep(&mxcsr)
	u.Load(mxcsr)
	return u
}

// TestFused compares products with sums with Go's own.
func TestFused(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	any := func() float64 {
		f := math.Ldexp(random.Float64()-0.5, random.IntN(120)-60)
		if random.IntN(4) == 0 {
			f = float64(random.IntN(64) - 32)
		}
		return f
	}
	u := plainUnit()
	for range 100_000 {
		x, y, z := any(), any(), any()
		if random.IntN(3) == 0 { // the sum is near nothing
			z = -x * y
		}
		got := math.Float64frombits(u.Fused(x86.Double, math.Float64bits(x), math.Float64bits(y), math.Float64bits(z), false, false))
		if want := math.FMA(x, y, z); got != want {
			t.Fatalf("%v·%v + %v is %v, want %v", x, y, z, got, want)
		}
		if minus := math.Float64frombits(u.Fused(x86.Double, math.Float64bits(x), math.Float64bits(y), math.Float64bits(z), true, true)); minus != -got {
			t.Fatalf("with signs turned %v·%v + %v is %v, want %v", x, y, z, minus, -got)
		}
	}
}

// TestHalves: each half is a single, and that again the half.
func TestHalves(t *testing.T) {
	u := plainUnit()
	for h := range uint64(1 << 16) {
		f := u.OfHalf(h)
		if back := u.ToHalf(f, x86.ToNearest); back != h && h&0x7fff <= 0x7c00 {
			t.Fatalf("%#x becomes %#x, and that %#x", h, f, back)
		}
	}
	for _, c := range []struct {
		f    float32
		want uint64
	}{{1, 0x3c00}, {-2, 0xc000}, {65504, 0x7bff}, {65520, 0x7c00}, {1.0 / (1 << 24), 1}, {1.0 / (1 << 26), 0}} {
		if got := u.ToHalf(uint64(math.Float32bits(c.f)), x86.ToNearest); got != c.want {
			t.Errorf("%v is %#x, want %#x", c.f, got, c.want)
		}
	}
}

// TestPredicates: each of VCMPPD's 32 says what its name does (Intel SDM volume 2, CMPPD).
func TestPredicates(t *testing.T) {
	names := []string{"eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord", "eq_u", "nge", "ngt", "false", "neq_o", "ge", "gt", "true"}
	for p := range uint8(32) {
		for _, c := range [][2]float64{{1, 2}, {2, 1}, {1, 1}, {math.NaN(), 1}, {1, math.NaN()}} {
			x, y := c[0], c[1]
			unordered := x != x || y != y
			want := map[string]bool{
				"eq": x == y, "lt": x < y, "le": x <= y, "unord": unordered, "neq": x != y, "nlt": !(x < y), "nle": !(x <= y), "ord": !unordered,
				"eq_u": x == y || unordered, "nge": !(x >= y), "ngt": !(x > y), "false": false, "neq_o": x < y || x > y, "ge": x >= y, "gt": x > y, "true": true,
			}[names[p&15]]
			u := plainUnit()
			got := widePredicates[pF2|0xc2](u, Vec{Lo: math.Float64bits(x)}, Vec{Lo: math.Float64bits(y)}, p).Lo
			if got != -bit(want) {
				t.Errorf("%s (%d) of %v and %v is %#x", names[p&15], p, x, y, got)
			}
			if invalid := u.Status&x86.FloatInvalid != 0; invalid != (unordered && loud(p)) {
				t.Errorf("%s (%d) of %v and %v: invalid is %v", names[p&15], p, x, y, invalid)
			}
		}
	}
}
