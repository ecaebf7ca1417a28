//go:build linux && amd64

package kvm

import (
	"sync"
	"time"
)

const (
	// lookMin and lookMax are how long nobody looks whose budget is over.
	lookMin = 200 * time.Microsecond
	lookMax = 2 * time.Millisecond
	// looksMax is how often somebody looks while nobody runs, until nobody does.
	looksMax = 50
)

// alarms interrupt processors whose budget is over. A timer of the system for each would cost two system calls a run, so one goroutine looks at all that run, as long
// as there are any.
type alarms struct {
	mu      sync.Mutex
	due     map[*VCPU]time.Time // of those that run
	looking bool
}

var alarm = alarms{due: map[*VCPU]time.Time{}}

// set has c interrupted once d has passed, again and again until clear.
func (a *alarms) set(c *VCPU, d time.Duration) {
	due := time.Now().Add(d)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due[c] = due
	if !a.looking {
		a.looking = true
		go a.look()
	}
}

// clear ends what set began: c isn't touched any more.
func (a *alarms) clear(c *VCPU) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.due, c)
}

// look interrupts, until nobody has run for a while.
func (a *alarms) look() {
	for looks, wait := 0, lookMin; ; {
		time.Sleep(wait)
		a.mu.Lock()
		if wait = a.ring(time.Now()); len(a.due) > 0 {
			looks = 0
		} else if looks++; looks > looksMax {
			a.looking = false
			a.mu.Unlock()
			return
		}
		a.mu.Unlock()
	}
}

// ring interrupts those who are due, and returns when to look again. The caller holds mu.
func (a *alarms) ring(now time.Time) time.Duration {
	next := lookMax
	for c, due := range a.due {
		left := due.Sub(now)
		if left <= 0 {
			c.interrupt()
		}
		next = min(next, left)
	}
	return max(next, lookMin)
}
