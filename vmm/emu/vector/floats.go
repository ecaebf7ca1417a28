package vector

import (
	"math"

	"github.com/wherry/wherry/vmm/x86"
)

// FloatFunc is a Func that looks at MXCSR. Exceptions are in u.Status.
type FloatFunc func(u *Unit, d, s Vec, imm uint8) Vec

// float32s and float64s are an operation on two numbers by their bits.
type (
	float32s func(u *Unit, a, b uint32) uint32
	float64s func(u *Unit, a, b uint64) uint64
)

func packed32(f float32s) FloatFunc {
	return func(u *Unit, d, s Vec, _ uint8) Vec {
		return Vec{
			uint64(f(u, uint32(d.Lo), uint32(s.Lo))) | uint64(f(u, uint32(d.Lo>>32), uint32(s.Lo>>32)))<<32,
			uint64(f(u, uint32(d.Hi), uint32(s.Hi))) | uint64(f(u, uint32(d.Hi>>32), uint32(s.Hi>>32)))<<32,
		}
	}
}

func scalar32(f float32s) FloatFunc {
	return func(u *Unit, d, s Vec, _ uint8) Vec {
		return Vec{d.Lo&^math.MaxUint32 | uint64(f(u, uint32(d.Lo), uint32(s.Lo))), d.Hi}
	}
}

func packed64(f float64s) FloatFunc {
	return func(u *Unit, d, s Vec, _ uint8) Vec { return Vec{f(u, d.Lo, s.Lo), f(u, d.Hi, s.Hi)} }
}

func scalar64(f float64s) FloatFunc {
	return func(u *Unit, d, s Vec, _ uint8) Vec { return Vec{f(u, d.Lo, s.Lo), d.Hi} }
}

// Numbers that fast paths take: finite ones that aren't denormal, and where a product's or quotient's error can be computed, not near the lowest ones either.
const (
	normal32 = 0x00800000
	normal64 = 0x0010000000000000
	inf32    = 0x7f800000
	inf64    = 0x7ff0000000000000
	far64    = 110 << 52 // twice the digits, and some
)

func abs32(a uint32) uint32 { return a &^ (1 << 31) }

func abs64(a uint64) uint64 { return a &^ (1 << 63) }

// fit32 says that a is 0 or normal; 0-1 is more than any.
func fit32(a uint32) bool { return abs32(a)-1 >= normal32-1 }

func fit64(a uint64) bool { return abs64(a)-1 >= normal64-1 }

// exact notes whether an operation's error is 0, unless sure.
func (u *Unit) exact(ok bool) {
	if !ok {
		u.Status |= x86.FloatInexact
	}
}

func Add64(u *Unit, a, b uint64) uint64 {
	if plain, sure := u.plain(); plain && fit64(a) && fit64(b) {
		x, y := math.Float64frombits(a), math.Float64frombits(b)
		r := x + y
		if bits := math.Float64bits(r); abs64(bits) < inf64 {
			if !sure {
				back := r - x
				u.exact((x-(r-back))+(y-back) == 0)
			}
			return bits
		}
	}
	return u.Calculate(x86.Double, x86.FloatAdd, a, b)
}

func Subtract64(u *Unit, a, b uint64) uint64 {
	if plain, _ := u.plain(); plain && fit64(a) && fit64(b) && abs64(b) < inf64 {
		return Add64(u, a, b^1<<63)
	}
	return u.Calculate(x86.Double, x86.FloatSubtract, a, b)
}

func Multiply64(u *Unit, a, b uint64) uint64 {
	if plain, sure := u.plain(); plain && fit64(a) && fit64(b) {
		x, y := math.Float64frombits(a), math.Float64frombits(b)
		r := x * y
		if bits := math.Float64bits(r); abs64(bits)-far64 < inf64-far64 {
			if !sure {
				u.exact(math.FMA(x, y, -r) == 0)
			}
			return bits
		} else if abs64(bits) == 0 && (abs64(a) == 0 || abs64(b) == 0) {
			return bits
		}
	}
	return u.Calculate(x86.Double, x86.FloatMultiply, a, b)
}

func Divide64(u *Unit, a, b uint64) uint64 {
	if plain, sure := u.plain(); plain && fit64(b) && abs64(a)-far64 < inf64-far64 && abs64(b) < inf64 {
		x, y := math.Float64frombits(a), math.Float64frombits(b)
		r := x / y
		if bits := math.Float64bits(r); abs64(bits)-far64 < inf64-far64 {
			if !sure {
				u.exact(math.FMA(r, y, -x) == 0)
			}
			return bits
		}
	}
	return u.Calculate(x86.Double, x86.FloatDivide, a, b)
}

// root64 takes the second operand's alone.
func root64(u *Unit, _, b uint64) uint64 {
	if plain, sure := u.plain(); plain && b-far64 < inf64-far64 {
		y := math.Float64frombits(b)
		r := math.Sqrt(y)
		if !sure {
			u.exact(math.FMA(r, r, -y) == 0)
		}
		return math.Float64bits(r)
	}
	return u.Calculate(x86.Double, x86.FloatRoot, b, b)
}

// arithmetic32 is an operation on singles in doubles, which are so much wider that the result is the same (Figueroa, "When is double rounding innocuous?"). exact says
// whether the double is the whole result.
func arithmetic32(op x86.FloatOp, f func(x, y float64) (r float64, exact bool)) float32s {
	return func(u *Unit, a, b uint32) uint32 {
		if plain, sure := u.plain(); plain && fit32(a) && fit32(b) && abs32(a) < inf32 && abs32(b) < inf32 {
			r, exact := f(float64(math.Float32frombits(a)), float64(math.Float32frombits(b)))
			single := float32(r)
			if bits := math.Float32bits(single); abs32(bits)-2*normal32 < inf32-2*normal32 || r == 0 {
				if !sure {
					u.exact(exact && float64(single) == r)
				}
				return bits
			}
		}
		return uint32(u.Calculate(x86.Single, op, uint64(a), uint64(b)))
	}
}

var (
	divide32 = arithmetic32(x86.FloatDivide, func(x, y float64) (float64, bool) {
		r := x / y
		return r, y != 0 && math.FMA(r, y, -x) == 0
	})
	rootOf32 = arithmetic32(x86.FloatRoot, func(_, y float64) (float64, bool) {
		r := math.Sqrt(y)
		return r, math.FMA(r, r, -y) == 0
	})
)

// add32, subtract32 and multiply32 are what programs do most with singles: the same without a call for the operation.
func add32(u *Unit, a, b uint32) uint32 {
	if plain, sure := u.plain(); plain && fit32(a) && fit32(b) && abs32(a) < inf32 && abs32(b) < inf32 {
		x, y := float64(math.Float32frombits(a)), float64(math.Float32frombits(b))
		r := x + y
		single := float32(r)
		if bits := math.Float32bits(single); abs32(bits)-2*normal32 < inf32-2*normal32 || r == 0 {
			if !sure {
				back := r - x
				u.exact((x-(r-back))+(y-back) == 0 && float64(single) == r)
			}
			return bits
		}
	}
	return uint32(u.Calculate(x86.Single, x86.FloatAdd, uint64(a), uint64(b)))
}

func subtract32(u *Unit, a, b uint32) uint32 {
	if plain, _ := u.plain(); plain && fit32(a) && fit32(b) && abs32(b) < inf32 {
		return add32(u, a, b^1<<31)
	}
	return uint32(u.Calculate(x86.Single, x86.FloatSubtract, uint64(a), uint64(b)))
}

// multiply32's products are exact in doubles.
func multiply32(u *Unit, a, b uint32) uint32 {
	if plain, sure := u.plain(); plain && fit32(a) && fit32(b) && abs32(a) < inf32 && abs32(b) < inf32 {
		r := float64(math.Float32frombits(a)) * float64(math.Float32frombits(b))
		single := float32(r)
		if bits := math.Float32bits(single); abs32(bits)-2*normal32 < inf32-2*normal32 || r == 0 {
			if !sure {
				u.exact(float64(single) == r)
			}
			return bits
		}
	}
	return uint32(u.Calculate(x86.Single, x86.FloatMultiply, uint64(a), uint64(b)))
}

// root32 takes the second operand's alone.
func root32(u *Unit, _, b uint32) uint32 { return rootOf32(u, b, b) }

// extreme is MINPS or MAXPS and the like. They are not symmetric: of equal ones, and if one is NaN, it is the second (Intel SDM volume 2, MINPS).
func (u *Unit) extreme(l *x86.Layout, a, b uint64, want x86.Order) uint64 {
	if u.ZeroDenormals {
		a, b = zeroed(l, a), zeroed(l, b)
	}
	if u.Compare(l, a, b, true) == want {
		return a
	}
	return b
}

// zeroed is a, or 0 with its sign if it is denormal.
func zeroed(l *x86.Layout, a uint64) uint64 {
	if x86.IsDenormal(l, a) {
		return a & l.Sign()
	}
	return a
}

func extreme32(want x86.Order) float32s {
	return func(u *Unit, a, b uint32) uint32 { return uint32(u.extreme(x86.Single, uint64(a), uint64(b), want)) }
}

func extreme64(want x86.Order) float64s {
	return func(u *Unit, a, b uint64) uint64 {
		x, y := math.Float64frombits(a), math.Float64frombits(b)
		if fit64(a) && fit64(b) && x-x == 0 && y-y == 0 {
			if x < y && want == x86.Less || x > y && want == x86.Greater {
				return a
			}
			return b
		}
		return u.extreme(x86.Double, a, b, want)
	}
}

// relations are the predicates of CMPPS and the like, as bits by the order of which they hold: eight, and with VEX eight more (Intel SDM volume 2, CMPPD).
var relations = func() (all [16]uint8) {
	const equal, less, greater, unordered = 1 << (x86.Equal + 1), 1 << (x86.Less + 1), 1 << (x86.Greater + 1), 1 << (x86.Unordered + 1)
	for i, of := range []uint8{equal, less, less | equal, unordered, equal | unordered, less | unordered, less | equal | unordered, 0} {
		const any = equal | less | greater | unordered
		all[i&3|i>>2<<3] = of
		all[i&3|i>>2<<3|4] = any &^ of
	}
	return all
}()

// holds reports whether predicate p holds. Those from 16 on are the same.
func holds(p uint8, order x86.Order) bool { return relations[p&15]>>(order+1)&1 != 0 }

// loud are the predicates that are invalid for any NaN; those from 16 on are the other way round.
func loud(p uint8) bool { return (p&3 == 1 || p&3 == 2) != (p&16 != 0) }

func order64(u *Unit, a, b uint64, loud bool) x86.Order {
	if fit64(a) && fit64(b) {
		x, y := math.Float64frombits(a), math.Float64frombits(b)
		switch {
		case x < y:
			return x86.Less
		case x > y:
			return x86.Greater
		case x == y:
			return x86.Equal
		}
	}
	return u.Compare(x86.Double, a, b, loud)
}

func order32(u *Unit, a, b uint32, loud bool) x86.Order {
	return u.Compare(x86.Single, uint64(a), uint64(b), loud)
}

// predicate makes an operation of a comparison by its immediate, of n predicates.
func predicate(n uint8, make32 func(float32s) FloatFunc, make64 func(float64s) FloatFunc) FloatFunc {
	var all [32]FloatFunc
	for p := range n {
		if make32 != nil {
			all[p] = make32(func(u *Unit, a, b uint32) uint32 { return -uint32(bit(holds(p, order32(u, a, b, loud(p))))) })
		} else {
			all[p] = make64(func(u *Unit, a, b uint64) uint64 { return -bit(holds(p, order64(u, a, b, loud(p)))) })
		}
	}
	return func(u *Unit, d, s Vec, imm uint8) Vec { return all[imm&(n-1)](u, d, s, 0) }
}

// comparison is the flags of UCOMISS, and of COMISS, which is loud, and the like.
func comparison(size uint8, loud bool) func(u *Unit, d, s Vec) x86.Flags {
	return func(u *Unit, d, s Vec) x86.Flags {
		var order x86.Order
		if size == 4 {
			order = order32(u, uint32(d.Lo), uint32(s.Lo), loud)
		} else {
			order = order64(u, d.Lo, s.Lo, loud)
		}
		return OrderFlags(order)
	}
}

func OrderFlags(order x86.Order) x86.Flags {
	switch order {
	case x86.Less:
		return x86.CF
	case x86.Equal:
		return x86.ZF
	case x86.Greater:
		return 0
	}
	return x86.ZF | x86.PF | x86.CF
}
