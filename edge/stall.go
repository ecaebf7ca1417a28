package edge

import (
	"net/http"
	"sync"
	"time"
)

// How long one side may be silent is bounded in two ways. On HTTP/1 by deadlines that are set ahead and put off now and then:
// one that passes while nobody reads or writes does no harm. On HTTP/2 (and whatever multiplexes after it) the server resets the
// stream when a deadline passes, even if the silence is the origin's; so a watch runs there, only during the call.

// renewal is how often deadlines of a limit are put off. It is added to the deadline, so that no silence shorter than the limit
// is cut.
func renewal(limit time.Duration) time.Duration { return limit / 8 }

// watch breaks a call that takes longer than limit.
type watch struct {
	limit  time.Duration
	expire func() // makes the call fail

	mu    sync.Mutex // protects what follows; held while expire runs
	timer *time.Timer
	armed bool
}

// enter begins to watch a call.
func (w *watch) enter() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(w.limit, w.fire)
	} else {
		w.timer.Reset(w.limit)
	}
}

// leave ends it: expire isn't called from now on and doesn't run any more.
func (w *watch) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	w.timer.Stop()
}

func (w *watch) fire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.armed {
		w.expire()
	}
}

// longAgo returns a deadline that has passed.
func longAgo() time.Time { return time.Unix(1, 0) }

// multiplexed says whether deadlines are those of a stream.
func multiplexed(r *http.Request) bool { return r.ProtoMajor >= 2 }
