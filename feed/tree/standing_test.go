package tree

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/feed"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func names(all []Candidate) string {
	var n []string
	for _, c := range all {
		n = append(n, c.Address)
	}
	return strings.Join(n, " ")
}

func TestStandings(t *testing.T) {
	abc := []Candidate{{Address: "a"}, {Address: "b"}, {Address: "c"}}
	for _, c := range []struct {
		what         string
		do           func(standings)
		after        time.Duration
		ready, later string
	}{
		{"nothing is known", func(standings) {}, 0, "a b c", ""},
		{"one failed", func(s standings) { s.failed("a", noon) }, 50 * time.Millisecond, "b c", "a"},
		{"one failed a while ago", func(s standings) { s.failed("a", noon) }, 101 * time.Millisecond, "a b c", ""},
		{"one failed often", func(s standings) {
			for range 20 {
				s.failed("a", noon)
			}
		}, 4900 * time.Millisecond, "b c", "a"},
		{"one failed often, a while ago", func(s standings) {
			for range 20 {
				s.failed("a", noon)
			}
		}, 5 * time.Second, "a b c", ""},
		{"one failed and works again", func(s standings) { s.failed("b", noon); s.worked("b") }, 0, "a b c", ""},
		{"one is full", func(s standings) { s.refused("b", noon) }, time.Second, "a c", "b"},
		{"one forged", func(s standings) { s.ban("b", penaltyTime, noon) }, time.Minute, "a c", ""},
		{"all forged", func(s standings) {
			for _, a := range "abc" {
				s.ban(string(a), penaltyTime, noon)
			}
		}, time.Minute, "", ""},
		{"one forged long ago", func(s standings) { s.ban("b", penaltyTime, noon) }, penaltyTime, "a b c", ""},
	} {
		s := standings{}
		c.do(s)
		ready, later := s.order(abc, noon.Add(c.after))
		if names(ready) != c.ready || names(later) != c.later {
			t.Errorf("%s: %q now and %q later, want %q and %q", c.what, names(ready), names(later), c.ready, c.later)
		}
	}
}

func TestStandingsAreBounded(t *testing.T) {
	s := standings{}
	for i := range 3 * standingsMax {
		s.failed(fmt.Sprint(i), noon.Add(time.Duration(i)*time.Millisecond))
	}
	if len(s) > standingsMax {
		t.Errorf("%d are remembered, want at most %d", len(s), standingsMax)
	}
}

func TestBackoff(t *testing.T) {
	for n := range 100 {
		if d := jitter(backoff(n)); d < retryMin/2 || d > retryMax {
			t.Errorf("after %d failures it waits %v", n, d)
		}
	}
}

func TestClaim(t *testing.T) {
	at := func(seq uint64) feed.Position { return feed.Position{Epoch: 1, Seq: seq} }
	a, b := Candidate{Address: "a"}, Candidate{Address: "b"}
	var d claim
	if d = d.hear(a, at(5), at(5), noon); d.overdue(at(5), noon.Add(time.Hour)) {
		t.Error("somebody who has the same is ahead")
	}
	d = d.hear(a, at(7), at(5), noon)
	if d.overdue(at(5), noon.Add(withholdMax-1)) || !d.overdue(at(6), noon.Add(withholdMax)) || d.overdue(at(7), noon.Add(time.Hour)) {
		t.Error("a claim isn't overdue when it should be")
	}
	if d = d.hear(b, at(9), at(6), noon.Add(time.Second)); d.by != a || d.since != noon {
		t.Error("a later claim hides one that wasn't met")
	}
	if d = d.hear(b, at(9), at(7), noon.Add(time.Minute)); d.by != b || d.overdue(at(7), noon.Add(time.Minute)) {
		t.Error("a claim that was met stays")
	}
	if d = (claim{}).hear(a, feed.Position{Epoch: 2}, at(7), noon); !d.overdue(at(7), noon.Add(withholdMax)) {
		t.Error("a later epoch isn't later")
	}
}

func TestAskEvery(t *testing.T) {
	for _, c := range []struct {
		nodes int
		want  time.Duration
	}{{0, 5 * time.Second}, {50, 5 * time.Second}, {5000, 100 * time.Second}} {
		if got := askEvery(c.nodes); got != c.want {
			t.Errorf("%d nodes: %v, want %v", c.nodes, got, c.want)
		}
	}
}
