package spans

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// A Set has the same bytes as a table of all of them, whatever is done to it.
func TestASetIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 60
		var s Set
		var want [size]bool
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			a := uint64(rapid.IntRange(0, size-1).Draw(t, "a"))
			b := uint64(rapid.IntRange(int(a), size).Draw(t, "b"))
			add := rapid.Bool().Draw(t, "add")
			if add {
				s.Add(a, b)
			} else {
				s.Remove(a, b)
			}
			for i := a; i < b; i++ {
				want[i] = add
			}
			var got [size]bool
			for k, x := range s {
				if x.Start >= x.End || k > 0 && s[k-1].End >= x.Start {
					t.Fatalf("%v", s)
				}
				for i := x.Start; i < x.End; i++ {
					got[i] = true
				}
			}
			if got != want {
				t.Fatalf("%v", s)
			}
		}
	})
}

func TestBlocksKeepWhatIsWritten(t *testing.T) {
	var b Blocks
	want := bytes.Repeat([]byte("0123456789"), 10_000)
	b.Write(50_000, want[50_000:])
	b.Write(0, want[:50_000])
	b.Drop(40_000)
	got := make([]byte, 60_000)
	b.Read(40_000, got)
	if !bytes.Equal(got, want[40_000:]) || b.First() > 40_000 || b.First() < 40_000-blockSize {
		t.Errorf("first %d", b.First())
	}
}

func TestPiecesComeInOrderAndOnce(t *testing.T) {
	var p Pieces
	var got []byte
	for _, c := range []struct {
		at int
		b  string
	}{{3, "de"}, {0, "abc"}, {0, "abc"}, {3, "de"}, {5, "f"}} {
		ready, err := p.Add(uint64(c.at), []byte(c.b))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, bytes.Join(ready, nil)...)
	}
	if string(got) != "abcdef" {
		t.Errorf("%q", got)
	}
	if _, err := p.Add(1<<40, []byte("x")); err == nil {
		t.Error("a piece far ahead was taken")
	}
}
