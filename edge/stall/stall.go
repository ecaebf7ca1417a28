package stall

import (
	"sync"
	"time"
)

// Renewal is how often deadlines of a limit are put off. It is added to the deadline, so that no silence shorter than the limit
// is cut.
func Renewal(limit time.Duration) time.Duration { return limit / 8 }

// Watch breaks a call that takes longer than Limit.
type Watch struct {
	Limit  time.Duration
	Expire func() // makes the call fail

	mu    sync.Mutex // protects what follows; held while Expire runs
	timer *time.Timer
	armed bool
}

// Enter begins to watch a call.
func (w *Watch) Enter() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(w.Limit, w.fire)
	} else {
		w.timer.Reset(w.Limit)
	}
}

// Leave ends it: Expire isn't called from now on and doesn't run any more.
func (w *Watch) Leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	w.timer.Stop()
}

func (w *Watch) fire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.armed {
		w.Expire()
	}
}

// LongAgo returns a deadline that has passed.
func LongAgo() time.Time { return time.Unix(1, 0) }
