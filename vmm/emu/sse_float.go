package emu

import (
	"math"

	"github.com/wherry/wherry/vmm/x86"
)

// What an invalid operation gives (Intel SDM volume 1, 4.8.3.7): Go's own arithmetic promises only some NaN.
const (
	indefinite32 = 0xffc00000
	indefinite64 = 0xfff8000000000000
	quiet32      = 1 << 22
	quiet64      = 1 << 51
)

func isNaN32(a uint32) bool { return a&0x7fffffff > 0x7f800000 }

func isNaN64(a uint64) bool { return a&^(1<<63) > 0x7ff0000000000000 }

// float32s and float64s are an operation on two numbers by their bits.
type (
	float32s func(a, b uint32) uint32
	float64s func(a, b uint64) uint64
)

// arithmetic32 is f with the processor's NaNs: the first operand's, else the second's (Intel SDM volume 1, table 4-7).
func arithmetic32(f func(a, b float32) float32) float32s {
	return func(a, b uint32) uint32 {
		switch {
		case isNaN32(a):
			return a | quiet32
		case isNaN32(b):
			return b | quiet32
		}
		r := math.Float32bits(f(math.Float32frombits(a), math.Float32frombits(b)))
		if isNaN32(r) {
			return indefinite32
		}
		return r
	}
}

func arithmetic64(f func(a, b float64) float64) float64s {
	return func(a, b uint64) uint64 {
		switch {
		case isNaN64(a):
			return a | quiet64
		case isNaN64(b):
			return b | quiet64
		}
		r := math.Float64bits(f(math.Float64frombits(a), math.Float64frombits(b)))
		if isNaN64(r) {
			return indefinite64
		}
		return r
	}
}

// least32 and the like are not symmetric: of equal ones, and if one is NaN, it is the second (Intel SDM volume 2, MINPS).
func least32(a, b uint32) uint32 {
	if math.Float32frombits(a) < math.Float32frombits(b) {
		return a
	}
	return b
}

func least64(a, b uint64) uint64 {
	if math.Float64frombits(a) < math.Float64frombits(b) {
		return a
	}
	return b
}

func greatest32(a, b uint32) uint32 {
	if math.Float32frombits(a) > math.Float32frombits(b) {
		return a
	}
	return b
}

func greatest64(a, b uint64) uint64 {
	if math.Float64frombits(a) > math.Float64frombits(b) {
		return a
	}
	return b
}

// root32 takes the second operand's alone.
func root32(_, b uint32) uint32 {
	return arithmetic32(func(_, b float32) float32 { return float32(math.Sqrt(float64(b))) })(0, b)
}

func root64(_, b uint64) uint64 {
	return arithmetic64(func(_, b float64) float64 { return math.Sqrt(b) })(0, b)
}

func packed32(f float32s) vecFunc {
	half := func(a, b uint64) uint64 {
		return uint64(f(uint32(a), uint32(b))) | uint64(f(uint32(a>>32), uint32(b>>32)))<<32
	}
	return func(d, s vec, _ uint8) vec { return vec{half(d.lo, s.lo), half(d.hi, s.hi)} }
}

func scalar32(f float32s) vecFunc {
	return func(d, s vec, _ uint8) vec {
		return vec{d.lo&^math.MaxUint32 | uint64(f(uint32(d.lo), uint32(s.lo))), d.hi}
	}
}

func packed64(f float64s) vecFunc {
	return func(d, s vec, _ uint8) vec { return vec{f(d.lo, s.lo), f(d.hi, s.hi)} }
}

func scalar64(f float64s) vecFunc {
	return func(d, s vec, _ uint8) vec { return vec{f(d.lo, s.lo), d.hi} }
}

// holds reports whether predicate p of CMPPS and the like holds; order is as of compareFloats.
func holds(p uint8, order int) bool {
	on := false
	switch p & 3 {
	case 0:
		on = order == 0
	case 1:
		on = order == -1
	case 2:
		on = order == 0 || order == -1
	case 3:
		on = order == unordered
	}
	return on != (p&4 != 0)
}

const unordered = 2

// compareFloats is -1, 0 or 1, or unordered if one is NaN.
func compareFloats(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	case a == b:
		return 0
	}
	return unordered
}

func order32(a, b uint32) int {
	return compareFloats(float64(math.Float32frombits(a)), float64(math.Float32frombits(b)))
}

func order64(a, b uint64) int { return compareFloats(math.Float64frombits(a), math.Float64frombits(b)) }

// predicate makes an operation of a comparison by its immediate.
func predicate(make32 func(float32s) vecFunc, make64 func(float64s) vecFunc) vecFunc {
	var all [8]vecFunc
	for p := range uint8(8) {
		if make32 != nil {
			all[p] = make32(func(a, b uint32) uint32 { return -uint32(bit(holds(p, order32(a, b)))) })
		} else {
			all[p] = make64(func(a, b uint64) uint64 { return -bit(holds(p, order64(a, b))) })
		}
	}
	return func(d, s vec, imm uint8) vec { return all[imm&7](d, s, 0) }
}

// comparison is the flags of UCOMISS and the like.
func comparison(a, b uint64, size uint8) x86.Flags {
	order := 0
	if size == 4 {
		order = order32(uint32(a), uint32(b))
	} else {
		order = order64(a, b)
	}
	switch order {
	case -1:
		return x86.CF
	case 0:
		return x86.ZF
	case 1:
		return 0
	}
	return x86.ZF | x86.PF | x86.CF
}

// toInt makes a whole number of f, of 4 or 8 bytes; what doesn't fit is the lowest one.
func toInt(f float64, size uint8, truncate bool) uint64 {
	if truncate {
		f = math.Trunc(f)
	} else {
		f = math.RoundToEven(f)
	}
	if size == 4 {
		if f >= math.MinInt32 && f <= math.MaxInt32 {
			return uint64(uint32(int32(f)))
		}
		return 1 << 31
	}
	if f >= -1<<63 && f < 1<<63 {
		return uint64(int64(f))
	}
	return 1 << 63
}

func widen(a uint32) uint64 {
	if isNaN32(a) {
		return uint64(a)>>31<<63 | 0x7ff<<52 | uint64(a&0x7fffff)<<29 | quiet64
	}
	return math.Float64bits(float64(math.Float32frombits(a)))
}

func narrow(a uint64) uint32 {
	if isNaN64(a) {
		return uint32(a>>63)<<31 | 0xff<<23 | uint32(a>>29)&0x7fffff | quiet32
	}
	return math.Float32bits(float32(math.Float64frombits(a)))
}

func float32Of(a uint32) float64 { return float64(math.Float32frombits(a)) }

// ints32 makes four whole numbers of four floats.
func ints32(truncate bool) vecFunc {
	return packed32(func(_, b uint32) uint32 { return uint32(toInt(float32Of(b), 4, truncate)) })
}

// ints64 makes two whole numbers of two doubles, and zeros.
func ints64(truncate bool) vecFunc {
	return func(_, s vec, _ uint8) vec {
		a, b := toInt(math.Float64frombits(s.lo), 4, truncate), toInt(math.Float64frombits(s.hi), 4, truncate)
		return vec{lo: a | b<<32}
	}
}

func ofInt(v vec) int64 { return extend(v.lo, uint8(v.hi)) }
