package route

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestLossThatIsExpected(t *testing.T) {
	type step struct {
		count int
		each  time.Duration
		lose  int // of each so many one; 0: none
	}
	for _, c := range []struct {
		name        string
		steps       []step
		least, most float64
	}{
		{"nothing is known", nil, 0.001, 0.01},
		{"probes for two minutes", []step{{60, 2 * time.Second, 0}}, 0, 0.003},
		{"one of them was lost", []step{{30, 2 * time.Second, 0}, {1, 2 * time.Second, 1}, {29, 2 * time.Second, 0}}, 0, 0.01},
		{"a tenth of the packets", []step{{5000, 20 * time.Millisecond, 0}, {60, 20 * time.Millisecond, 10}}, 0.05, 0.15},
		{"and none after that", []step{{5000, 20 * time.Millisecond, 10}, {150, 20 * time.Millisecond, 0}}, 0, 0.005},
		{"three of a hundred", []step{{10_000, 20 * time.Millisecond, 33}}, 0.02, 0.04},
		{"all of them", []step{{10_000, 20 * time.Millisecond, 1}}, 0.5, 1},
		{"and then it is forgotten", []step{{100, 20 * time.Millisecond, 5}, {1, 20 * time.Minute, 0}}, 0, 0.01},
	} {
		var l lossiness
		now := began
		for _, s := range c.steps {
			for i := range s.count {
				now = now.Add(s.each)
				if s.lose > 0 && i%s.lose == 0 {
					l.saw(now, 0, 1)
				} else {
					l.saw(now, 1, 0)
				}
			}
		}
		if got := l.expected(now); got < c.least || got > c.most {
			t.Errorf("%s: %.4f, want %g to %g", c.name, got, c.least, c.most)
		}
	}
	var l lossiness
	for i := range 1000 {
		l.saw(began, float64(i%2*1000), float64((i+1)%2*1000))
		if x := l.expected(began); math.IsNaN(x) || x <= 0 || x >= 1 {
			t.Fatalf("after %d batches that contradict each other: %v", i, x)
		}
	}
}

// TestGoesBackSoonAfterLoss: a path that has ceased to lose is probed more often until it is known, and no other one.
func TestGoesBackSoonAfterLoss(t *testing.T) {
	const script = `> self lisbon 38.7 -9.1
> peer delhi 28.6 77.2
> peer osaka 34.7 135.5
> link lisbon osaka 200ms
> link lisbon delhi 120ms
> link delhi osaka 110ms
> traffic osaka latency
> run 2m
> link lisbon osaka 200ms loss=0.1
> run 2m
> link lisbon osaka 200ms
> run 40s
> routes osaka latency
`
	if got := play(t, script); !strings.HasSuffix(got, "open [direct via delhi] race []\n") {
		t.Errorf("40 s after the direct path has ceased to lose:\n%s", got)
	}
}
