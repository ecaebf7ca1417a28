package simnet

import (
	"sync"
	"time"
)

// deadline wakes those who wait on a condition variable when its time has come. The network's lock protects it.
type deadline struct {
	timer  *time.Timer
	passed bool
}

// set moves the deadline to t, or takes it away for the zero time (net.Conn's SetDeadline).
func (d *deadline) set(mu *sync.Mutex, waiters *sync.Cond, t time.Time) {
	d.stop()
	d.passed = false
	wait := time.Until(t)
	switch {
	case t.IsZero():
	case wait <= 0:
		d.passed = true
	default:
		var timer *time.Timer
		timer = time.AfterFunc(wait, func() {
			mu.Lock()
			defer mu.Unlock()
			if d.timer == timer {
				d.passed = true
				waiters.Broadcast()
			}
		})
		d.timer = timer
	}
	waiters.Broadcast()
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
