package disk

import (
	"testing"

	"pgregory.net/rapid"
)

func TestTable(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var keys []uint64
		keyAt := func(slot int32) uint64 { return keys[slot] }
		tab := table{seed: rapid.Uint64().Draw(r, "seed")}
		want := map[uint64]int32{}
		for range rapid.IntRange(1, 400).Draw(r, "operations") {
			key := rapid.Uint64Range(0, 99).Draw(r, "key")
			_, ok := want[key]
			switch {
			case ok && rapid.Bool().Draw(r, "delete"):
				tab.delete(key, keyAt)
				delete(want, key)
			case !ok:
				slot := int32(len(keys))
				keys = append(keys, key)
				tab.set(key, slot, keyAt)
				want[key] = slot
			}
			if tab.used != len(want) {
				r.Fatalf("%d used, want %d", tab.used, len(want))
			}
		}
		for key := range uint64(100) {
			got, ok := tab.get(key, keyAt)
			slot, wanted := want[key]
			if ok != wanted || ok && got != slot {
				r.Fatalf("%d: slot %d, %v, want %d, %v", key, got, ok, slot, wanted)
			}
		}
	})
}
