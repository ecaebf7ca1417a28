package vector

import (
	"math/bits"

	"github.com/wherry/wherry/vmm/x86"
)

// crypto are AES, carry-less products, and SHA but for SHA256RNDS2, which is ByXMM0's.
func crypto(t *[x86.Vectors]Func) {
	t[p38|0xdb] = func(_, s Vec, _ uint8) Vec { return mixColumns(s, &unmix) }
	t[p38|0xdc] = func(d, s Vec, _ uint8) Vec { return xorVec(mixColumns(substitute(d, &sBox, 5), &mix), s) }
	t[p38|0xdd] = func(d, s Vec, _ uint8) Vec { return xorVec(substitute(d, &sBox, 5), s) }
	t[p38|0xde] = func(d, s Vec, _ uint8) Vec { return xorVec(mixColumns(substitute(d, &sBoxBack, 13), &unmix), s) }
	t[p38|0xdf] = func(d, s Vec, _ uint8) Vec { return xorVec(substitute(d, &sBoxBack, 13), s) }
	t[p3A|0xdf] = keyAssist
	t[p3A|0x44] = carryless
	t[x86.Vec3A|0xcc], t[x86.Vec38|0xc8], t[x86.Vec38|0xc9], t[x86.Vec38|0xca] = sha1Rounds, sha1Next, sha1Message1, sha1Message2
	t[x86.Vec38|0xcc], t[x86.Vec38|0xcd] = sha256Message1, sha256Message2
}

func xorVec(a, b Vec) Vec { return Vec{a.Lo ^ b.Lo, a.Hi ^ b.Hi} }

// AES's S-box and the way back (FIPS 197, 5.1.1), and the columns' factors, to the row that they begin in.
var (
	sBox, sBoxBack = sBoxes()
	mix, unmix     = [4]byte{2, 3, 1, 1}, [4]byte{14, 11, 13, 9}
)

// product8 is a product in AES's field, modulo x⁸+x⁴+x³+x+1.
func product8(a, b byte) (r byte) {
	for ; b != 0; b >>= 1 {
		r ^= a & -(b & 1)
		a = a<<1 ^ 0x1b&-(a>>7)
	}
	return r
}

func sBoxes() (box, back [256]byte) {
	for i := range 256 {
		inverse := byte(1)
		for range 254 {
			inverse = product8(inverse, byte(i))
		}
		r := bits.RotateLeft8
		v := inverse ^ r(inverse, 1) ^ r(inverse, 2) ^ r(inverse, 3) ^ r(inverse, 4) ^ 0x63
		box[i], back[v] = v, byte(i)
	}
	return box, back
}

// substitute replaces bytes by those of box, and shifts rows: byte i comes from step·i, 5 forwards and 13 back.
func substitute(v Vec, box *[256]byte, step int) Vec {
	p := BytesOf(v)
	var r [16]byte
	for i := range r {
		r[i] = box[p[step*i&15]]
	}
	return vecOf(r)
}

func mixColumns(v Vec, factors *[4]byte) Vec {
	p := BytesOf(v)
	var r [16]byte
	for i := range r {
		for k, f := range factors {
			r[i] ^= product8(p[i&^3|(i+k)&3], f)
		}
	}
	return vecOf(r)
}

// keyAssist is AESKEYGENASSIST.
func keyAssist(_, s Vec, imm uint8) Vec {
	half := func(a uint64) uint64 {
		var w uint32
		for i := range 4 {
			w |= uint32(sBox[byte(a>>(32+8*i))]) << (8 * i)
		}
		return uint64(w) | uint64(bits.RotateLeft32(w, -8)^uint32(imm))<<32
	}
	return Vec{half(s.Lo), half(s.Hi)}
}

// carryless is PCLMULQDQ: a product of polynomials over GF(2).
func carryless(d, s Vec, imm uint8) (r Vec) {
	a, b := d.Lo, s.Lo
	if imm&1 != 0 {
		a = d.Hi
	}
	if imm&0x10 != 0 {
		b = s.Hi
	}
	for i := range 64 {
		mask := -(b >> i & 1)
		r.Lo ^= a << i & mask
		r.Hi ^= a >> 1 >> (63 - i) & mask
	}
	return r
}

// words are v's, the lowest first.
func words(v Vec) [4]uint32 {
	return [4]uint32{uint32(v.Lo), uint32(v.Lo >> 32), uint32(v.Hi), uint32(v.Hi >> 32)}
}

func vecOfWords(w [4]uint32) Vec {
	return Vec{uint64(w[0]) | uint64(w[1])<<32, uint64(w[2]) | uint64(w[3])<<32}
}

// sha1Rounds is SHA1RNDS4: four rounds of a kind (FIPS 180-4, 6.1.2). Words stand from the highest on.
func sha1Rounds(d, s Vec, imm uint8) Vec {
	v, w := words(d), words(s)
	a, b, c, e := v[3], v[2], v[1], uint32(0) // E is in the first word of w
	dd := v[0]
	for i := range 4 {
		f := b ^ c ^ dd
		switch imm & 3 {
		case 0:
			f = b&c ^ ^b&dd
		case 2:
			f = b&c ^ b&dd ^ c&dd
		}
		k := [4]uint32{0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6}[imm&3]
		a, b, c, dd, e = f+bits.RotateLeft32(a, 5)+w[3-i]+e+k, a, bits.RotateLeft32(b, 30), c, dd
	}
	return vecOfWords([4]uint32{dd, c, b, a})
}

func sha1Next(d, s Vec, _ uint8) Vec {
	w := words(s)
	w[3] += bits.RotateLeft32(words(d)[3], 30)
	return vecOfWords(w)
}

func sha1Message1(d, s Vec, _ uint8) Vec { return xorVec(d, Vec{s.Hi, d.Lo}) }

func sha1Message2(d, s Vec, _ uint8) Vec {
	v, w := words(d), words(s)
	r := [4]uint32{3: bits.RotateLeft32(v[3]^w[2], 1), 2: bits.RotateLeft32(v[2]^w[1], 1), 1: bits.RotateLeft32(v[1]^w[0], 1)}
	r[0] = bits.RotateLeft32(v[0]^r[3], 1)
	return vecOfWords(r)
}

// sha256Rounds is SHA256RNDS2: two rounds, with the words and constants in XMM0 (FIPS 180-4, 6.2.2).
func sha256Rounds(x, s, words0 Vec) Vec {
	v, w, k := words(x), words(s), words(words0)
	a, b, c, d, e, f, g, h := w[3], w[2], v[3], v[2], w[1], w[0], v[1], v[0]
	for i := range 2 {
		t := h + k[i] + (e&f ^ ^e&g) + (bits.RotateLeft32(e, -6) ^ bits.RotateLeft32(e, -11) ^ bits.RotateLeft32(e, -25))
		u := (a&b ^ a&c ^ b&c) + (bits.RotateLeft32(a, -2) ^ bits.RotateLeft32(a, -13) ^ bits.RotateLeft32(a, -22))
		a, b, c, d, e, f, g, h = t+u, a, b, c, d+t, e, f, g
	}
	return vecOfWords([4]uint32{f, e, b, a})
}

func sigma(v uint32, a, b, shift int) uint32 {
	return bits.RotateLeft32(v, -a) ^ bits.RotateLeft32(v, -b) ^ v>>shift
}

func sha256Message1(d, s Vec, _ uint8) Vec {
	v, next := words(d), uint32(s.Lo)
	for i := range v {
		following := next
		if i < 3 {
			following = v[i+1]
		}
		v[i] += sigma(following, 7, 18, 3)
	}
	return vecOfWords(v)
}

func sha256Message2(d, s Vec, _ uint8) Vec {
	v, w := words(d), words(s)
	v[0] += sigma(w[2], 17, 19, 10)
	v[1] += sigma(w[3], 17, 19, 10)
	v[2] += sigma(v[0], 17, 19, 10)
	v[3] += sigma(v[1], 17, 19, 10)
	return vecOfWords(v)
}
