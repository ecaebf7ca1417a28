package repair

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// As many gaps as there are parity rows are filled, wherever they are, when the rows that came follow each other.
func TestGapsAreFilled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 200).Draw(t, "size")
		n := rapid.IntRange(1, min(RowsMax*size, 5000)).Draw(t, "bytes")
		r := rapid.IntRange(1, ParityMax).Draw(t, "parity")
		seed := rapid.Uint64().Draw(t, "seed")
		dice := rand.New(rand.NewPCG(seed, 1))
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(dice.Uint32())
		}
		var parity []Row
		for i := range r {
			row := Row{i, make([]byte, size)}
			Parity(row.Bytes, want, i)
			parity = append(parity, row)
		}
		got := bytes.Clone(want)
		var gaps []Gap
		at := 0
		for range dice.IntN(r) + 1 {
			if at >= n {
				break
			}
			first := at + dice.IntN(n-at)
			end := min(first+1+dice.IntN(size), n)
			gaps = append(gaps, Gap{first, end})
			clear(got[first:end])
			at = end + 1
		}
		if !Rebuild(got, gaps, parity) {
			t.Fatalf("%d gaps with %d parity rows weren't filled", len(gaps), r)
		}
		if !bytes.Equal(got, want) {
			t.Fatal("the gaps were filled with something else")
		}
	})
}

// With too few rows nothing is changed, and with any rows nothing but what was there is put in.
func TestTooFewRowsChangeNothing(t *testing.T) {
	data := bytes.Repeat([]byte("wherry"), 100)
	row := Row{0, make([]byte, 100)}
	Parity(row.Bytes, data, 0)
	got := bytes.Clone(data)
	gaps := []Gap{{50, 100}, {150, 200}}
	for _, g := range gaps {
		clear(got[g.First:g.End])
	}
	before := bytes.Clone(got)
	if Rebuild(got, gaps, []Row{row}) || !bytes.Equal(got, before) {
		t.Error("two gaps in the same columns were filled by one row")
	}
	gaps = gaps[:1]
	copy(got[150:200], data[150:200])
	if !Rebuild(got, gaps, []Row{row}) || !bytes.Equal(got, data) {
		t.Error("one gap wasn't filled by one row")
	}
}

func BenchmarkParity(b *testing.B) {
	data, out := make([]byte, 100<<10), make([]byte, 1400)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		for i := range 4 {
			Parity(out, data, i)
		}
	}
}
