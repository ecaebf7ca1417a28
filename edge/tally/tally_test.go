package tally

import (
	"sync"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
)

func TestTally(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tally := New(func() time.Time { return at })
	shop := tally.Counts("shop")
	for i, d := range []time.Duration{-1, 0, unit - 1, unit, 2*unit - 1, 2 * unit, time.Second, time.Hour} {
		shop.Add(Answer{Failed: i == 0, Hit: i < 3, FirstByte: d})
	}
	got := tally.Read("shop")
	if got.Requests != 8 || got.Errors != 1 || got.Hits != 3 || got.Synthetic || !got.Since.Equal(at) {
		t.Errorf("%+v", got)
	}
	for i, want := range map[int]uint64{0: 3, 1: 2, 2: 1, 14: 1, Buckets - 1: 1} {
		if got.Latency[i] != want {
			t.Errorf("bucket %d has %d, want %d: %v", i, got.Latency[i], want, got.Latency)
		}
	}
	shop.AddSynthetic(Answer{Failed: true})
	if s := tally.ReadSynthetic("shop"); s.Requests != 1 || s.Errors != 1 || !s.Synthetic || tally.Read("shop").Requests != 8 {
		t.Errorf("%+v", s)
	}
	tally.Counts("idle")
	if all := tally.All(); len(all) != 2 {
		t.Errorf("%+v", all)
	}

	at = at.Add(time.Hour)
	tally.SetRevisions(map[config.SiteName]uint64{"idle": 0})
	if tally.Counts("shop") != shop {
		t.Error("the counts begin anew though the revision is the same")
	}
	tally.SetRevisions(map[config.SiteName]uint64{"shop": 2})
	if got := tally.Read("shop"); got.Requests != 0 || got.Revision != 2 || !got.Since.Equal(at) {
		t.Errorf("a new revision begins with %+v", got)
	}
	shop.Add(Answer{}) // that was under way
	if got := tally.Read("shop"); got.Requests != 0 {
		t.Error("what was under way counts for the new revision")
	}
	tally.Forget(func(name config.SiteName) bool { return name != "shop" })
	if _, there := tally.sites["shop"]; there {
		t.Error("it isn't forgotten")
	}
}

func TestTallyCountsEachOnce(t *testing.T) {
	tally := New(time.Now)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 1000 {
				tally.Counts("shop").Add(Answer{Hit: true, FirstByte: time.Millisecond})
			}
		})
	}
	group.Wait()
	if got := tally.Read("shop"); got.Requests != 8000 || got.Hits != 8000 {
		t.Errorf("%+v", got)
	}
}

func TestAddDoesNotAllocate(t *testing.T) {
	counts := New(time.Now).Counts("shop")
	counts.Add(Answer{})
	if n := testing.AllocsPerRun(100, func() { counts.Add(Answer{Hit: true, FirstByte: time.Millisecond}) }); n > 0 {
		t.Errorf("it allocates %v times", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	counts := New(time.Now).Counts("shop")
	b.ReportAllocs()
	for b.Loop() {
		counts.Add(Answer{Hit: true, FirstByte: time.Millisecond})
	}
}

func BenchmarkAddParallel(b *testing.B) {
	counts := New(time.Now).Counts("shop")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			counts.Add(Answer{Hit: true, FirstByte: time.Millisecond})
		}
	})
}
