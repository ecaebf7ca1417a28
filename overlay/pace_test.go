package overlay

import (
	"testing"
	"time"

	"github.com/wherry/wherry/overlay/congest"
	"github.com/wherry/wherry/overlay/loss"
)

// steadyRate is a controller that only says how fast packets may leave.
type steadyRate struct {
	congest.Controller
	rate float64 // bytes a second
}

func (s steadyRate) Rate() float64 { return s.rate }

// TestLateTimersAreMadeUpFor: a path whose timer comes late each time sends at its rate all the same, and never more than a few packets at once.
func TestLateTimersAreMadeUpFor(t *testing.T) {
	const size, rate = 1200, 500_000.0 // bytes, bytes a second
	now := time.Unix(1_800_000_000, 0)
	p := &path{controller: steadyRate{rate: rate}, track: loss.New[cargo](ackDelayMax)}
	p.size.Size = size
	p.track.RTT.Add(now, 100*time.Millisecond, 0)
	sent, most := 0, 0
	const rounds, late = 200, 5 * time.Millisecond
	for range rounds {
		now = now.Add(late)
		n := 0
		for !now.Before(p.pace) {
			p.left(now, size)
			n++
		}
		sent, most = sent+n, max(most, n)
	}
	if want := rate * (rounds * late).Seconds() / size; float64(sent) < 0.98*want || float64(sent) > 1.02*want+paceCatchUp {
		t.Errorf("%d packets, the rate allows %.0f", sent, want)
	}
	now = now.Add(time.Second)
	n := 0
	for ; !now.Before(p.pace); n++ {
		p.left(now, size)
	}
	if n > paceCatchUp+1 {
		t.Errorf("%d packets at once after a second", n)
	}
}
