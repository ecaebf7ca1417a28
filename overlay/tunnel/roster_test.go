package tunnel

import (
	"errors"
	"testing"
	"time"
)

// TestRosterPauses shows when a node is dialed that never answers.
func TestRosterPauses(t *testing.T) {
	r, now := roster{want: 1}, time.Unix(0, 0)
	var pauses []time.Duration
	for range 9 {
		name, wait := r.next([]string{"lisbon"}, now)
		if name == "" {
			now = now.Add(wait)
			name, _ = r.next([]string{"lisbon"}, now)
		}
		if name != "lisbon" {
			t.Fatalf("%q is dialed", name)
		}
		r.ended(name, now, errors.New("no answer"), false, 1)
		_, wait = r.next([]string{"lisbon"}, now)
		pauses = append(pauses, wait)
	}
	want := []time.Duration{
		500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, pauseMax, pauseMax, pauseMax,
	}
	for i := range want {
		if pauses[i] != want[i] {
			t.Fatalf("pauses %v, want %v", pauses, want)
		}
	}
	r.next([]string{"lisbon"}, now.Add(pauseMax))
	r.up("lisbon", now)
	r.ended("lisbon", now.Add(time.Hour), errors.New("lost"), false, 0)
	if _, wait := r.next([]string{"lisbon"}, now.Add(time.Hour)); wait != pauseMin/2 {
		t.Errorf("after an hour without trouble the pause is %v", wait)
	}
}

func TestRosterTakesTheBestAndLeavesNobodyOut(t *testing.T) {
	r, now, names := roster{want: 2}, time.Unix(0, 0), []string{"a", "b", "c"}
	dial := func() string {
		name, _ := r.next(names, now)
		return name
	}
	if got := dial() + dial() + dial(); got != "ab" {
		t.Errorf("dialed are %q", got)
	}
	r.up("a", now)
	r.up("b", now)
	r.leaving("a")
	if got := dial() + dial(); got != "c" {
		t.Errorf("for one that leaves %q is dialed", got)
	}
	names = []string{"b", "d"}
	r.ended("a", now, nil, false, 0)
	r.ended("c", now, errors.New("refused"), true, 0)
	now = now.Add(time.Hour)
	if got := dial() + dial(); got != "d" || len(r.nodes) != 2 {
		t.Errorf("after others were named %q is dialed, of %d", got, len(r.nodes))
	}
}
