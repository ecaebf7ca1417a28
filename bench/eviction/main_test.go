package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

const testRequests = 20_000

func TestEveryRunIsTheSame(t *testing.T) {
	var tables [2]bytes.Buffer
	for i := range tables {
		cs := contenders()
		table(&tables[i], cs, measure(traces(testRequests)[3:5], cs), func(r ratios) float64 { return r.bytes })
	}
	if tables[0].String() != tables[1].String() {
		t.Errorf("two runs:\n%s\n%s", tables[0].String(), tables[1].String())
	}
	if n := strings.Count(tables[0].String(), "\n"); n != 2+2*len(parts)+2 {
		t.Errorf("%d lines", n)
	}
}

// TestMemoryIsTheModel: store.Memory hits exactly where the model of its policy does.
func TestMemoryIsTheModel(t *testing.T) {
	cs := contenders()
	at := func(name string) int {
		return slices.IndexFunc(cs, func(c contender) bool { return c.name == name })
	}
	for _, r := range measure(traces(testRequests), cs) {
		if got, want := r.of[at("store.Memory")], r.of[at("S3 √size")]; got != want {
			t.Errorf("%s, %g: store.Memory hits %+v, the model %+v", r.trace, r.part, got, want)
		}
		for i, c := range cs {
			if got := r.of[i]; got.objects < 0 || got.objects > 100 || got.bytes < 0 || got.bytes > 100 {
				t.Errorf("%s, %g: %s hits %+v", r.trace, r.part, c.name, got)
			}
		}
		if got, lru := r.of[at("store.Memory")], r.of[at("LRU")]; got.objects < lru.objects || got.bytes < lru.bytes-10 {
			t.Errorf("%s, %g: store.Memory hits %+v, LRU %+v", r.trace, r.part, got, lru)
		}
	}
}

// TestTraces: each trace is what its name says.
func TestTraces(t *testing.T) {
	for _, tr := range traces(testRequests) {
		if n := len(tr.requests); n < testRequests || n > testRequests*11/10 {
			t.Errorf("%s: %d requests", tr.name, n)
		}
		for _, size := range tr.sizes {
			if size < sizeMin || size > sizeMax {
				t.Fatalf("%s: an object of %d bytes", tr.name, size)
			}
		}
		asked := map[int32]int{}
		for _, o := range tr.requests {
			asked[o]++
		}
		once := 0
		for _, n := range asked {
			if n == 1 {
				once++
			}
		}
		if share := float64(once) / float64(len(asked)); tr.name == "75 % asked for once" && (share < 0.75 || share > 0.9) {
			t.Errorf("%s: %.2f", tr.name, share)
		}
	}
}

func TestLRU(t *testing.T) {
	expect(t, newLRU([]int64{1, 1, 1, 2, 9}, 3), []int32{0, 1, 2, 0, 3, 0, 1, 4, 4, 1}, "...+.+...+")
}

func TestSieve(t *testing.T) {
	// 0 is visited, so the hand drops 1 and then 2.
	expect(t, newSieve([]int64{1, 1, 1, 1, 1}, 3), []int32{0, 1, 2, 0, 3, 0, 4, 0, 1}, "...+.+.+.")
}

func TestS3FIFO(t *testing.T) {
	// 0 goes to the main queue, 1 and 2 leave the small one for 3 and 4; 1 comes back by the ghost queue.
	expect(t, newS3FIFO(0)([]int64{1, 1, 1, 1, 1}, 3), []int32{0, 0, 1, 2, 3, 0, 4, 0, 2, 2}, ".+...+.+.+")
}

func TestGDSF(t *testing.T) {
	// 1 is as large as three others and leaves first; 0, asked for twice, outlasts 2.
	expect(t, newGDSF(1)([]int64{1, 3, 1, 1, 1}, 4), []int32{0, 1, 2, 0, 1, 3, 4, 0, 2}, "...+...+.")
}

// expect checks which requests hit.
func expect(t *testing.T, p policy, requests []int32, want string) {
	t.Helper()
	got := ""
	for _, o := range requests {
		got += map[bool]string{true: "+", false: "."}[p.request(o)]
	}
	if got != want {
		t.Errorf("hits %s, want %s", got, want)
	}
}
