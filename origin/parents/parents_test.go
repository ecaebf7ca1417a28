package parents

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wherry/wherry/config"
)

func TestChoose(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name   string
		own    time.Duration
		others []Near
		now    config.ClusterName
		want   config.ClusterName
	}{
		{"nobody else", 100 * ms, nil, "", ""},
		{"nearest of those much nearer", 100 * ms, []Near{{"a", 40 * ms, 0}, {"b", 10 * ms, 0}}, "", "b"},
		{"not much nearer", 100 * ms, []Near{{"a", 60 * ms, 0}}, "", ""},
		{"near enough oneself", 4 * ms, []Near{{"a", ms, 0}}, "", ""},
		{"not known oneself", 0, []Near{{"a", ms, 0}}, "", ""},
		{"others don't know", 100 * ms, []Near{{"a", 0, 0}}, "", ""},
		{"stays with a little nearer", 100 * ms, []Near{{"a", 20 * ms, 0}, {"b", 17 * ms, 0}}, "a", "a"},
		{"goes to the clearly nearer", 100 * ms, []Near{{"a", 20 * ms, 0}, {"b", 10 * ms, 0}}, "a", "b"},
		{"leaves who isn't nearer any more", 100 * ms, []Near{{"a", 90 * ms, 0}}, "a", ""},
		{"near it and far from here", 100 * ms, []Near{{"a", 2 * ms, 150 * ms}, {"b", 30 * ms, 80 * ms}}, "", "b"},
		{"leaves who is far from here", 100 * ms, []Near{{"a", 2 * ms, 150 * ms}}, "a", ""},
		{"equals by name", 100 * ms, []Near{{"b", 10 * ms, 0}, {"a", 10 * ms, 0}}, "", "a"},
	} {
		if got := Choose(tt.own, tt.others, tt.now); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Two clusters that know the same times never take each other for a parent.
func TestNobodyIsHisParentsParent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "a"))
		b := time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "b"))
		nowA := rapid.SampledFrom([]config.ClusterName{"", "b"}).Draw(t, "now of a")
		nowB := rapid.SampledFrom([]config.ClusterName{"", "a"}).Draw(t, "now of b")
		if Choose(a, []Near{{"b", b, 0}}, nowA) == "b" && Choose(b, []Near{{"a", a, 0}}, nowB) == "a" {
			t.Fatalf("a (%v) and b (%v) are each other's parents", a, b)
		}
	})
}

func TestRankIsFairAndMovesLittle(t *testing.T) {
	nodes := []config.NodeID{"a", "b", "c", "d"}
	count, moved := map[config.NodeID]int{}, 0
	const keys = 10_000
	for i := range keys {
		key := fmt.Sprintf("https://shop.test/%d", i)
		first := Rank(key, nodes)[0]
		count[first]++
		reversed := slices.Clone(nodes)
		slices.Reverse(reversed)
		if Rank(key, reversed)[0] != first {
			t.Fatal("the order in which nodes are named counts")
		}
		if first != "d" && Rank(key, nodes[:3])[0] != first {
			moved++
		}
	}
	for n, c := range count {
		if c < keys/5 || c > keys*3/10 {
			t.Errorf("%s has %d of %d keys", n, c, keys)
		}
	}
	if moved > 0 {
		t.Errorf("%d keys moved between nodes that stayed", moved)
	}
}
