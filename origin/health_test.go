package origin

import (
	"testing"
	"time"
)

// TestHealthScript plays what requests and checks say to one origin and looks at what becomes of it.
//
//	f failed   s succeeded   t it's picked for a trial   F the trial failed   S it succeeded   A it was abandoned
//	- a bad check   + a good check   1 one second passes   . half a second passes
func TestHealthScript(t *testing.T) {
	tests := []struct {
		name, script       string
		healthy, available bool
	}{
		{"new", "", true, true},
		{"two failures are not enough", "ff", true, true},
		{"three in a row are", "fff", false, false},
		{"a success between them counts anew", "ffsff", true, true},
		{"no trial before the back-off", "fff.", false, false},
		{"a trial after it", "fff1", false, true},
		{"one trial at a time", "fff1t", false, false},
		{"a good trial brings it back", "fff1tS", true, true},
		{"and it starts from none", "fff1tSff", true, true},
		{"a bad trial doubles the back-off", "fff1tF1", false, false},
		{"which then ends", "fff1tF11", false, true},
		{"an abandoned trial leaves room for the next", "fff1tA", false, true},
		{"stragglers don't prolong", "fff.ff.", false, true},
		{"one bad check is not enough", "-", true, true},
		{"two are", "--", false, false},
		{"a good one between them counts anew", "-+-", true, true},
		{"one good check is not enough", "--+", false, false},
		{"two bring it back", "--++", true, true},
		{"requests don't overrule checks", "--s", false, false},
		{"checks don't overrule requests", "fff++", false, false},
		{"but serve as their trial", "fff1+", true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h health
			now := epoch
			for _, c := range tt.script {
				switch c {
				case 'f', 'F':
					h.failed(now, c == 'F', "refused")
				case 's', 'S':
					h.succeeded()
				case 't':
					h.trial = true
				case 'A':
					h.abandoned(true)
				case '-':
					h.checked(now, "status 500")
				case '+':
					h.checked(now, "")
				case '1':
					now = now.Add(time.Second)
				case '.':
					now = now.Add(time.Second / 2)
				}
			}
			if h.healthy() != tt.healthy || h.available(now) != tt.available {
				t.Errorf("healthy %v, available %v; want %v, %v", h.healthy(), h.available(now), tt.healthy, tt.available)
			}
		})
	}
}

func TestBackoffIsBounded(t *testing.T) {
	var h health
	now := epoch
	for range failuresMax {
		h.failed(now, false, "refused")
	}
	for range 20 {
		if wait := h.until.Sub(now); wait < backoffMin || wait > backoffMax {
			t.Fatalf("back-off %v is out of bounds", wait)
		}
		now = h.until
		h.trial = true
		h.failed(now, true, "refused")
	}
	if wait := h.until.Sub(now); wait != backoffMax {
		t.Errorf("back-off ends at %v, want %v", wait, backoffMax)
	}
}
