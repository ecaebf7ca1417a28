package vector

import (
	"crypto/aes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"testing"

	"github.com/wherry/wherry/vmm/x86"
)

func load(p []byte) Vec { return Vec{binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])} }

// TestAES encrypts and decrypts a block by the instructions.
func TestAES(t *testing.T) {
	key, block := []byte("sixteen bytes of"), []byte("rivers and ferry")
	keys := [11]Vec{load(key)}
	for i, constant := range []uint8{1, 2, 4, 8, 16, 32, 64, 128, 0x1b, 0x36} {
		k, assist := words(keys[i]), words(Funcs[p3A|0xdf](Vec{}, keys[i], constant))[3]
		k[0] ^= assist
		k[1] ^= k[0]
		k[2] ^= k[1]
		k[3] ^= k[2]
		keys[i+1] = vecOfWords(k)
	}
	v := xorVec(load(block), keys[0])
	for _, k := range keys[1:10] {
		v = Funcs[p38|0xdc](v, k, 0)
	}
	v = Funcs[p38|0xdd](v, keys[10], 0)
	c, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 16)
	c.Encrypt(want, block)
	if v != load(want) {
		t.Fatalf("encrypted it is %x, want %x", v, load(want))
	}
	v = xorVec(v, keys[10])
	for i := 9; i > 0; i-- {
		v = Funcs[p38|0xde](v, Funcs[p38|0xdb](Vec{}, keys[i], 0), 0)
	}
	if v = Funcs[p38|0xdf](v, keys[0], 0); v != load(block) {
		t.Errorf("decrypted again it is %x, want %x", v, load(block))
	}
}

// oneBlock is a message that with its padding (FIPS 180-4, 5.1.1) is one block, and the block's words.
func oneBlock() (message []byte, w [80]uint32) {
	message = []byte("a message of less than 56 bytes")
	block := make([]byte, 64)
	copy(block, message)
	block[len(message)] = 0x80
	binary.BigEndian.PutUint64(block[56:], uint64(len(message))*8)
	for i := range 16 {
		w[i] = binary.BigEndian.Uint32(block[4*i:])
	}
	return message, w
}

func TestSHA256(t *testing.T) {
	message, w := oneBlock()
	four := func(i int) Vec { return vecOfWords([4]uint32(w[i : i+4])) }
	for i := 16; i < 64; i += 4 {
		v := words(Funcs[x86.Vec38|0xcc](four(i-16), four(i-12), 0))
		for k := range v {
			v[k] += w[i-7+k]
		}
		next := words(Funcs[x86.Vec38|0xcd](vecOfWords(v), four(i-4), 0))
		copy(w[i:], next[:])
	}
	start := [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}
	s := start
	abef, cdgh := vecOfWords([4]uint32{s[5], s[4], s[1], s[0]}), vecOfWords([4]uint32{s[7], s[6], s[3], s[2]})
	k := cubeRoots()
	for i := 0; i < 64; i += 2 {
		abef, cdgh = ByXMM0(x86.Vec38|0xcb)(cdgh, abef, vecOfWords([4]uint32{w[i] + k[i], w[i+1] + k[i+1]})), abef
	}
	a, c := words(abef), words(cdgh)
	want := sha256.Sum256(message)
	for i, v := range [8]uint32{a[3], a[2], c[3], c[2], a[1], a[0], c[1], c[0]} {
		if got, want := v+start[i], binary.BigEndian.Uint32(want[4*i:]); got != want {
			t.Errorf("word %d is %#x, want %#x", i, got, want)
		}
	}
}

// cubeRoots are the first 32 bits behind the point of the primes' cube roots (FIPS 180-4, 4.2.2).
func cubeRoots() (k [64]uint32) {
	n := 0
	for p := uint64(2); n < len(k); p++ {
		prime := true
		for d := uint64(2); d*d <= p; d++ {
			prime = prime && p%d != 0
		}
		if !prime {
			continue
		}
		var root uint64 // of p·2⁹⁶, 35 bits of it
		for b := 35; b >= 0; b-- {
			r := root | 1<<b
			high, low := bits.Mul64(r, r)
			top, middle := bits.Mul64(low, r)
			upper, lower := bits.Mul64(high, r)
			sum, carry := bits.Add64(top, lower, 0)
			if upper+carry == 0 && (sum < p<<32 || sum == p<<32 && middle == 0) {
				root = r
			}
		}
		k[n] = uint32(root)
		n++
	}
	return k
}

func TestSHA1(t *testing.T) {
	message, w := oneBlock()
	four := func(i int) Vec { return vecOfWords([4]uint32{w[i+3], w[i+2], w[i+1], w[i]}) }
	for i := 16; i < 80; i += 4 {
		v := Funcs[x86.Vec38|0xca](xorVec(Funcs[x86.Vec38|0xc9](four(i-16), four(i-12), 0), four(i-8)), four(i-4), 0)
		next := words(v)
		for k := range next {
			w[i+k] = next[3-k]
		}
	}
	start := [5]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}
	state := vecOfWords([4]uint32{start[3], start[2], start[1], start[0]})
	before := vecOfWords([4]uint32{3: bits.RotateLeft32(start[4], -30)}) // SHA1NEXTE rotates it back
	for i := 0; i < 80; i += 4 {
		before, state = state, Funcs[x86.Vec3A|0xcc](state, Funcs[x86.Vec38|0xc8](before, four(i), 0), uint8(i/20))
	}
	s := words(state)
	want := sha1.Sum(message)
	for i, v := range [5]uint32{s[3], s[2], s[1], s[0], bits.RotateLeft32(words(before)[3], 30)} {
		if got, want := v+start[i], binary.BigEndian.Uint32(want[4*i:]); got != want {
			t.Errorf("word %d is %#x, want %#x", i, got, want)
		}
	}
}

func TestCarryless(t *testing.T) {
	for _, c := range []struct{ a, b, want Vec }{
		{Vec{Lo: 3}, Vec{Lo: 3}, Vec{Lo: 5}},
		{Vec{Lo: 1 << 63}, Vec{Lo: 1<<63 | 2}, Vec{0, 1<<62 | 1}},
	} {
		if got := carryless(c.a, c.b, 0); got != c.want {
			t.Errorf("%x by %x is %x, want %x", c.a, c.b, got, c.want)
		}
	}
}
