package ring

import (
	"context"
	"runtime"
	"sync/atomic"
)

const (
	// pauseMin and pauseMax are how many turns of an empty loop pass between two looks at a lock that is held: a microsecond and some. A
	// critical section of this room is a few nanoseconds, so its owner gets through a hundred of them, and the line stays where it is.
	pauseMin, pauseMax = 1024, 8192
	// yieldsMax is how often the processor is given away before sleeping for the other side, which costs both more than all of these.
	yieldsMax = 8
)

// Lock is a lock on one atomic exchange. Its zero value is free, in whatever memory it lies: it has no pointers.
//
// Who finds it held spins and yields, then sleeps by the doorbell on held; sleepers tells who releases whether to ring.
type Lock struct {
	held     atomic.Uint32 // 1 while somebody owns it
	sleepers atomic.Uint32 // how many sleep, or are about to
}

// Acquire returns when the caller owns l.
func (l *Lock) Acquire(bell Doorbell) {
	if l.held.Swap(1) != 0 {
		_ = l.acquireSlowly(context.Background(), bell) // this context doesn't end
	}
}

// AcquireContext is Acquire that gives up with ctx, for locks whose owner may never release them.
func (l *Lock) AcquireContext(ctx context.Context, bell Doorbell) error {
	if l.held.Swap(1) == 0 {
		return nil
	}
	return l.acquireSlowly(ctx, bell)
}

// TryAcquire reports whether the caller now owns l.
func (l *Lock) TryAcquire() bool { return l.held.Swap(1) == 0 }

func (l *Lock) acquireSlowly(ctx context.Context, bell Doorbell) error {
	for pause := pauseMin; pause <= pauseMax; pause *= 2 {
		for range pause {
		}
		if l.held.Load() == 0 && l.held.Swap(1) == 0 {
			return nil
		}
		runtime.Gosched()
	}
	// Announced before the exchange that fails: who releases after it sees the announcement.
	l.sleepers.Add(1)
	defer l.sleepers.Add(^uint32(0))
	for l.held.Swap(1) != 0 {
		if err := bell.Wait(ctx, &l.held, 1); err != nil {
			return err
		}
	}
	return nil
}

// Release gives l up, and wakes one of those who sleep.
func (l *Lock) Release(bell Doorbell) {
	l.held.Store(0)
	if l.sleepers.Load() != 0 {
		bell.Notify(&l.held, 1)
	}
}

// Cond is a condition variable without pointers. Its zero value has no waiters.
//
// A waiter takes turn's value, announces itself in waiting, and sleeps while turn has that value. Only who notifies counts waiting down,
// before it changes turn: so waiting is never less than those who sleep, and a waiter that left early costs one needless ring.
type Cond struct {
	turn    atomic.Uint32
	waiting atomic.Uint32
}

// Wait releases l and sleeps in one step: a Notify by whoever acquires l after that wakes it. It owns l again when it returns, also with the
// error of ctx. It may return without a Notify: the caller looks at its condition again.
func (c *Cond) Wait(ctx context.Context, l *Lock, bell Doorbell) error {
	ticket := c.announce(&c.turn)
	l.Release(bell)
	err := bell.Wait(ctx, &c.turn, ticket)
	l.Acquire(bell)
	return err
}

// Notify wakes n of those who wait, or all if they are fewer.
func (c *Cond) Notify(bell Bell, n uint32) {
	waiting := c.waiting.Load()
	if waiting == 0 {
		return
	}
	n = min(n, waiting)
	// One attempt: in memory shared with a hostile side it could fail for ever, and too high a count loses nobody.
	c.waiting.CompareAndSwap(waiting, waiting-n)
	c.turn.Add(1)
	bell.Notify(&c.turn, n)
}

// announce returns the ticket to sleep with. The ticket is taken first: a Notify that counts this waiter then changes turn after it, and the
// waiter doesn't sleep.
func (c *Cond) announce(turn *atomic.Uint32) (ticket uint32) {
	ticket = turn.Load()
	c.waiting.Add(1)
	return ticket
}
