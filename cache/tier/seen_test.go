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
	if s.add("a", "") || s.add("a", "de") || s.add("b", "de") || !s.add("a", "de") {
		t.Error("variants aren't told apart")
	}
}

// TestSeenForgets: what comes again after a long time is new.
func TestSeenForgets(t *testing.T) {
	s := newSeen(0)
	s.add("old", "")
	for i := range 3 * seenMin {
		s.add(key(i), "")
	}
	if s.add("old", "") {
		t.Error("a key of three generations ago is remembered")
	}
	wrong := 0
	for i := range 1000 {
		if s.add(key(1e9+i), "") {
			wrong++
		}
	}
	if wrong > 40 {
		t.Errorf("%d of 1000 new keys were taken for seen", wrong)
	}
}

func BenchmarkSeen(b *testing.B) {
	b.ReportAllocs()
	s := newSeen(100 << 30)
	for b.Loop() {
		s.add("shop http://shop.test/a/path/of/some/length.html", "")
	}
}
