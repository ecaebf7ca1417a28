package x86

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// toBig is f, which is finite.
func toBig(f Float80) *big.Float {
	v := new(big.Float).SetPrec(64).SetUint64(f.Mantissa)
	v.SetMantExp(v, int(f.exponent())-bias80-63)
	if f.negative() {
		v.Neg(v)
	}
	return v
}

// TestAgainstBig compares results in the middle of the range to those of math/big with 64 bits.
func TestAgainstBig(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	modes := map[Rounding]big.RoundingMode{ToNearest: big.ToNearestEven, Down: big.ToNegativeInf, Up: big.ToPositiveInf, ToZero: big.ToZero}
	number := func() Float80 {
		m := random.Uint64() | integer
		if random.IntN(2) == 0 {
			m &= ^uint64(0) << random.IntN(64)
		}
		return Float80{m | integer, uint16(bias80-70+random.IntN(140)) | uint16(random.IntN(2))<<15}
	}
	for range 5000 {
		a, b := number(), number()
		for r, mode := range modes {
			fresh := func() *big.Float { return new(big.Float).SetPrec(64).SetMode(mode) }
			for name, pair := range map[string][2]*big.Float{
				"sum":        {toBig(a.Add(b, r)), fresh().Add(toBig(a), toBig(b))},
				"difference": {toBig(a.Sub(b, r)), fresh().Sub(toBig(a), toBig(b))},
				"product":    {toBig(a.Mul(b, r)), fresh().Mul(toBig(a), toBig(b))},
				"quotient":   {toBig(a.Div(b, r)), fresh().Quo(toBig(a), toBig(b))},
			} {
				if pair[0].Cmp(pair[1]) != 0 {
					t.Fatalf("%s of %x and %x, rounded %d: %v, want %v", name, a, b, r, pair[0], pair[1])
				}
			}
		}
		if root, want := a.Abs().Sqrt(ToNearest), new(big.Float).SetPrec(64).Sqrt(toBig(a.Abs())); toBig(root).Cmp(want) != 0 {
			t.Fatalf("root of %x: %v, want %v", a, toBig(root), want)
		}
	}
}

func TestConversions(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 30_000 {
		d, s := random.Uint64(), random.Uint32()
		if f := math.Float64frombits(d); f == f && Of64(d).Bits64(ToNearest) != d {
			t.Fatalf("%v comes back as %#x", f, Of64(d).Bits64(ToNearest))
		}
		if f := math.Float32frombits(s); f == f && Of32(s).Bits32(ToNearest) != s {
			t.Fatalf("%v comes back as %#x", f, Of32(s).Bits32(ToNearest))
		}
		if f := math.Float64frombits(d); f == f {
			if want := math.Float32bits(float32(f)); Of64(d).Bits32(ToNearest) != want {
				t.Fatalf("%v as a single is %#x, want %#x", f, Of64(d).Bits32(ToNearest), want)
			}
		}
		v := int64(d) >> (s % 64)
		if got := OfInt(v).Int(8, ToNearest); got != v {
			t.Fatalf("%d comes back as %d", v, got)
		}
	}
	for _, c := range []struct {
		f    float64
		r    Rounding
		want int64
	}{{2.5, ToNearest, 2}, {3.5, ToNearest, 4}, {-2.5, Down, -3}, {-2.5, Up, -2}, {2.1, Up, 3}, {-0.9, ToZero, 0}, {40000, ToZero, -32768}, {-32768.4, ToZero, -32768}} {
		if got := Of64(math.Float64bits(c.f)).Int(2, c.r); got != c.want {
			t.Errorf("%v rounded %d is %d, want %d", c.f, c.r, got, c.want)
		}
	}
}
