package tsc

import "testing"

func TestTheCounterGoesOn(t *testing.T) {
	if !Steady() {
		t.Skip("Linux doesn't keep time by the counter here")
	}
	last := Read()
	for range 1000 {
		now := Read()
		if now <= last {
			t.Fatalf("%d after %d", now, last)
		}
		last = now
	}
}
