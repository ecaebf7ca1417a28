package tier

import (
	"strconv"
	"testing"

	"github.com/wherry/wherry/cache/store"
)

func key(i int) store.Key { return store.Key("shop http://shop.test/" + strconv.Itoa(i)) }

func TestSeen(t *testing.T) {
	s := newSeen(0)
	wrong := 0
	for i := range seenMin {
		if s.add(key(i), "") {
			wrong++
		}
	}
	if wrong > seenMin/100 {
		t.Errorf("%d of %d new keys were taken for seen", wrong, seenMin)
	}
	for i := range seenMin {
		if !s.add(key(i), "") {
			t.Fatalf("key %d is forgotten", i)
		}
	}
}

// TestSeenTellsVariantsApart: what was asked for in one variant is new in another one.
func TestSeenTellsVariantsApart(t *testing.T) {
	s := newSeen(0)
	const few = 1000
	wrong := 0
	for i := range few {
		s.add(key(i), "")
		if s.add(key(i), "de") {
			wrong++
		}
		if !s.add(key(i), "de") {
			t.Fatalf("a variant of key %d is forgotten", i)
		}
	}
	if wrong > few*4/100 {
		t.Errorf("%d of %d variants were taken for seen", wrong, few)
	}
}

// TestSeenForgets: what comes again after a long time is new, but for the few that a Bloom filter is wrong about.
func TestSeenForgets(t *testing.T) {
	s := newSeen(0)
	const few = 1000
	for i := range few {
		s.add(key(-1-i), "")
	}
	for i := range 3 * seenMin {
		s.add(key(i), "")
	}
	for what, first := range map[string]int{"of three generations ago": -few, "new": 1e9} {
		wrong := 0
		for i := range few {
			if s.add(key(first+i), "") {
				wrong++
			}
		}
		if wrong > few*4/100 {
			t.Errorf("%d of %d keys %s were taken for seen", wrong, few, what)
		}
	}
}

func BenchmarkSeen(b *testing.B) {
	b.ReportAllocs()
	s := newSeen(100 << 30)
	for b.Loop() {
		s.add("shop http://shop.test/a/path/of/some/length.html", "")
	}
}
