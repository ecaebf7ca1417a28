package store

import "sync/atomic"

// Generation tells what a cache knew of purges when it asked for a response: one that came later may be about this response.
type Generation struct {
	Seq  uint64 // of the last purge in the network's feed that the cache had applied; 0: none
	Boot uint64 // names the process; 0: it isn't known
	Tick uint64 // of that process's own count of purges
}

// Checks is up to which tick of this process it is known that no purge is about a response. It goes with the response through all its
// copies.
type Checks struct{ tick atomic.Uint64 }

// gone is a tick that never comes: the response was purged for good.
const gone = 1<<64 - 1

// Checked returns up to which tick r is known not to have been purged; dead that it was, for good.
func (r *Response) Checked() (tick uint64, dead bool) {
	if r.Checks == nil {
		return 0, false
	}
	tick = r.Checks.tick.Load()
	return tick, tick == gone
}

// SetChecked says that nothing is about r up to tick. Who is late with it makes the next one look again.
func (r *Response) SetChecked(tick uint64) {
	if r.Checks != nil {
		r.Checks.tick.Store(tick)
	}
}

// SetDead says that r was purged for good.
func (r *Response) SetDead() { r.SetChecked(gone) }

// SetBorn gives r its generation. Nobody else may know r yet.
func (r *Response) SetBorn(g Generation) {
	r.Born = g
	r.SetChecked(g.Tick)
}
