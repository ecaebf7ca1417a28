package apart

import "time"

const (
	livesMax  = 3                // short ones in a row until the next one waits
	lifeShort = 10 * time.Second // a life that counts
	waitMin   = time.Second
	waitMax   = 30 * time.Second
)

// backoff says how long the next monitor waits.
type backoff struct {
	short int // lives in a row
	wait  time.Duration
	never bool // nobody waits, in tests
}

// died is called when a monitor has ended that lived so long.
func (b *backoff) died(lived time.Duration) time.Duration {
	if lived >= lifeShort || b.never {
		b.short, b.wait = 0, 0
		return 0
	}
	if b.short++; b.short < livesMax {
		return 0
	}
	b.wait = min(max(2*b.wait, waitMin), waitMax)
	return b.wait
}
