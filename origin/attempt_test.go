package origin

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A clock that runs out while the attempt goes on to its next phase waits for the lock, and mustn't hold against the attempt what
// has begun since.
func TestLateClock(t *testing.T) {
	for _, c := range []struct {
		name  string
		since func(a *attempt) // what happened while the clock waited
		want  error
	}{
		{"nothing", func(*attempt) {}, errHeaderTimeout},
		{"the header came", func(a *attempt) { a.enter(phaseRead, 0) }, nil},
		{"the body is being read", func(a *attempt) {
			a.enter(phaseRead, 0)
			a.arm(time.Minute)
		}, nil},
		{"the transport looks for another connection", func(a *attempt) { a.enter(phaseWait, time.Minute) }, nil},
		{"it opens one", func(a *attempt) { a.enter(phaseDial, 0) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var a attempt
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				a.cancel = cancel
				a.timer = time.AfterFunc(time.Hour, func() {}) // expire is called below, as late as it may be
				defer a.timer.Stop()
				a.enter(phaseAwait, time.Second)
				time.Sleep(time.Second)
				c.since(&a)
				a.expire()
				if got := context.Cause(ctx); got != c.want {
					t.Errorf("the attempt ends with %v, want %v", got, c.want)
				}
			})
		})
	}
}
