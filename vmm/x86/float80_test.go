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

func env80(r Rounding) *FloatEnv { return &FloatEnv{Rounding: r, Digits: 64, Masks: FloatExceptions} }

// TestAgainstBig compares results in the middle of the range to those of math/big with 64 bits, and with 24 and 53.
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
	for range 3000 {
		a, b := number(), number()
		for r, mode := range modes {
			for _, digits := range []uint8{24, 53, 64} {
				fresh := func() *big.Float { return new(big.Float).SetPrec(uint(digits)).SetMode(mode) }
				for op, want := range []*big.Float{
					FloatAdd: fresh().Add(toBig(a), toBig(b)), FloatSubtract: fresh().Sub(toBig(a), toBig(b)),
					FloatMultiply: fresh().Mul(toBig(a), toBig(b)), FloatDivide: fresh().Quo(toBig(a), toBig(b)),
				} {
					env := env80(r)
					env.Digits = digits
					got := toBig(env.Calculate80(FloatOp(op), a, b))
					if got.Cmp(want) != 0 {
						t.Fatalf("operation %d of %x and %x, rounded %d to %d digits: %v, want %v", op, a, b, r, digits, got, want)
					}
					if inexact := env.Status&FloatInexact != 0; inexact != (want.Acc() != big.Exact) {
						t.Fatalf("operation %d of %x and %x: inexact is %v", op, a, b, inexact)
					}
				}
			}
		}
		if root, want := env80(ToNearest).Root80(a.Abs()), new(big.Float).SetPrec(64).Sqrt(toBig(a.Abs())); toBig(root).Cmp(want) != 0 {
			t.Fatalf("root of %x: %v, want %v", a, toBig(root), want)
		}
	}
}

func TestConversions(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	env := env80(ToNearest)
	for range 30_000 {
		d, s := random.Uint64(), random.Uint32()
		if f := math.Float64frombits(d); f == f && env.Store(Double, Widen(Double, d)) != d {
			t.Fatalf("%v comes back as %#x", f, env.Store(Double, Widen(Double, d)))
		}
		if f := math.Float32frombits(s); f == f && env.Store(Single, Widen(Single, uint64(s))) != uint64(s) {
			t.Fatalf("%v comes back as %#x", f, env.Store(Single, Widen(Single, uint64(s))))
		}
		if f := math.Float64frombits(d); f == f {
			want := uint64(math.Float32bits(float32(f)))
			if got := env.Store(Single, Widen(Double, d)); got != want {
				t.Fatalf("%v as a single is %#x, want %#x", f, got, want)
			}
			if got := env.Convert(Double, Single, d); got != want {
				t.Fatalf("%v as a single is %#x by SSE, want %#x", f, got, want)
			}
		}
		v := int64(d) >> (s % 64)
		if got := env.Int80(OfInt80(v), 8, ToNearest); got != v {
			t.Fatalf("%d comes back as %d", v, got)
		}
	}
	for _, c := range []struct {
		f    float64
		r    Rounding
		want int64
	}{{2.5, ToNearest, 2}, {3.5, ToNearest, 4}, {-2.5, Down, -3}, {-2.5, Up, -2}, {2.1, Up, 3}, {-0.9, ToZero, 0}, {40000, ToZero, -32768}, {-32768.4, ToZero, -32768}} {
		if got := env.Int80(Widen(Double, math.Float64bits(c.f)), 2, c.r); got != c.want {
			t.Errorf("%v rounded %d is %d, want %d", c.f, c.r, got, c.want)
		}
	}
}

// TestAgainstGo compares SSE's arithmetic, of any operands, with Go's own.
func TestAgainstGo(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	value := func() float64 {
		return math.Ldexp(random.Float64()-0.5, random.IntN(2200)-1100)
	}
	for range 20_000 {
		a, b := value(), value()
		env := FloatEnv{Masks: FloatExceptions}
		for op, want := range []float64{FloatAdd: a + b, FloatSubtract: a - b, FloatMultiply: a * b, FloatDivide: a / b, FloatRoot: math.Sqrt(b)} {
			got := math.Float64frombits(env.Calculate(Double, FloatOp(op), math.Float64bits(a), math.Float64bits(b)))
			if got != want && (got == got || want == want) {
				t.Fatalf("operation %d of %v and %v: %v, want %v", op, a, b, got, want)
			}
		}
	}
}
