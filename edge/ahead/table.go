package ahead

import (
	"sync"
	"sync/atomic"
	"time"
)

// table is what was fetched ahead and is waited for, and what isn't worth it.
type table struct {
	metrics *Metrics
	waiting atomic.Int64 // len(tracked)

	mu      sync.Mutex // protects what follows
	tracked map[string]*tracked
	left    map[string]time.Time // until when it isn't asked for ahead again
}

// tracked is an object that is being fetched, or was.
type tracked struct {
	underway bool
	used     bool
	until    time.Time // somebody has to ask
}

func (t *table) init(m *Metrics) {
	t.metrics, t.tracked, t.left = m, map[string]*tracked{}, map[string]time.Time{}
}

// begin says whether something is to be fetched, and takes note that it is.
func (t *table) begin(key string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tracked[key] != nil || now.Before(t.left[key]) || len(t.tracked) >= trackedMax {
		return false
	}
	t.tracked[key] = &tracked{underway: true}
	t.waiting.Add(1)
	return true
}

// end takes note of what became of it.
func (t *table) end(key string, r Result, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.tracked[key]
	if len(t.left) >= leftMax {
		clear(t.left)
	}
	t.left[key] = now.Add([...]time.Duration{Stored: thereFor, There: thereFor, Unfit: unfitFor, Failed: failedFor}[r])
	if x.underway, x.until = false, now.Add(usedWithin); r != Stored || x.used {
		t.drop(key)
	}
}

// use takes note that a client has asked for it.
func (t *table) use(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.tracked[key]
	if x == nil || x.used {
		return false
	}
	t.metrics.used.Inc()
	if x.used = true; !x.underway {
		t.drop(key)
	}
	return true
}

// drop forgets one. The caller holds mu.
func (t *table) drop(key string) {
	delete(t.tracked, key)
	t.waiting.Add(-1)
}

// prune counts as wasted what nobody has asked for.
func (t *table) prune(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, x := range t.tracked {
		if !x.underway && now.After(x.until) {
			t.metrics.wasted.Inc()
			t.drop(key)
		}
	}
	for key, until := range t.left {
		if now.After(until) {
			delete(t.left, key)
		}
	}
}
