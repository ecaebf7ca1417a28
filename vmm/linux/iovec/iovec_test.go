package iovec

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestQueue pushes and pops at random and compares with the bytes themselves.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q, copied Queue
		var want []byte
		next := byte(0)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			n := rapid.IntRange(0, 50).Draw(t, "length")
			a, b := make([]byte, n/3), make([]byte, n-n/3)
			if rapid.Bool().Draw(t, "push") {
				for _, p := range [][]byte{a, b} {
					for i := range p {
						p[i] = next
						next++
					}
				}
				most := rapid.IntRange(0, n).Draw(t, "most")
				q.PushSome([][]byte{a, b}, most)
				want = append(want, append(a, b...)[:most]...)
			} else {
				k := q.Pop([][]byte{a, b})
				if got := append(a, b...)[:k]; k != min(n, len(want)) || !bytes.Equal(got, want[:k]) {
					t.Fatalf("popped % x, want % x", got, want[:min(n, len(want))])
				}
				want = want[k:]
			}
			if copied.Set(&q); q.Len() != len(want) || !bytes.Equal(q.Bytes(), want) || !bytes.Equal(copied.Bytes(), want) {
				t.Fatalf("the queue has % x and its copy % x, want % x", q.Bytes(), copied.Bytes(), want)
			}
		}
	})
}

// TestVectors shows that bytes go over the ends of vectors, and that no call moves more than Linux lets one.
func TestVectors(t *testing.T) {
	v := [][]byte{make([]byte, 2), nil, make([]byte, 3)}
	Scatter(v, []byte("abcd"))
	p := make([]byte, 5)
	Gather(p, v)
	if string(p) != "abcd\x00" || Total(v) != 5 {
		t.Errorf("%q of %d", p, Total(v))
	}
	if large := make([]byte, 1<<20); Total(slicesOf(large, Max>>20+2)) != Max {
		t.Errorf("one call moves %d", Total(slicesOf(large, Max>>20+2)))
	}
}

func slicesOf(p []byte, n int) (v [][]byte) {
	for range n {
		v = append(v, p)
	}
	return v
}
