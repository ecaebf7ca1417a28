package ring

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
)

// ErrClosed says that no more comes, or that nobody takes what would be sent.
var ErrClosed = errors.New("ring: closed; stop sending to it, or receiving from it")

// ErrBroken says that the other side wrote what no honest side writes. The end that found it stays broken.
var ErrBroken = errors.New("ring: the other side broke the rules; drop it, and its memory")

// header is what doc.go draws: the words of a ring in the order of their bytes. A line of the processor's cache has one writer at a time.
type header struct {
	magic    uint32
	version  uint32
	capacity uint64
	_        [48]byte
	sides    [2]side
}

// side is what the senders share among themselves and tell the receivers, or the other way round.
type side struct {
	own  own
	_    [40]byte
	post post
	_    [56]byte
}

// own belongs to whoever holds its lock, and to no one else: one side's.
type own struct {
	lock Lock
	// moved is how many units this side has moved, ever: the lecture's in or out.
	moved uint64
	// limit is what moved may reach, by what the other side last told: senders may be one capacity ahead of out, receivers stop at in.
	limit uint64
}

// post is what the other side reads.
type post struct {
	moved  atomic.Uint64
	closed atomic.Uint32
	_      [52]byte
	cond   Cond // this side waits here until the other has moved
}

// end is one side's view of a ring: the algorithm that Buffer, Sender and Receiver share.
type end struct {
	own        *own           // in the ring, or private where the other side isn't trusted
	turn       *atomic.Uint32 // mine.cond.turn, or private for the same reason
	mine, peer *post
	ahead      uint64 // how far before the other's counter this side may be: capacity, or 0
	capacity   uint64
	bell       Doorbell // where this side sleeps
	other      Bell     // what wakes the other
	broken     error    // under the lock: what ended it
}

// reserve acquires the lock and returns where the next n units begin, once there are so many. Without an error the caller copies its units
// and calls publish.
func (e *end) reserve(ctx context.Context, n uint64) (at uint64, err error) {
	if own := e.own; own.lock.TryAcquire() {
		if own.limit-own.moved >= n {
			return own.moved, nil
		}
	} else {
		own.lock.Acquire(e.bell)
	}
	return e.reserveSlowly(ctx, n)
}

// reserveSlowly is reserve with the lock acquired.
func (e *end) reserveSlowly(ctx context.Context, n uint64) (at uint64, err error) {
	if e.own.limit-e.own.moved < n {
		if err := e.await(ctx, n); err != nil {
			e.own.lock.Release(e.bell)
			return 0, err
		}
	}
	return e.own.moved, nil
}

// tryReserve is reserve that doesn't wait.
func (e *end) tryReserve(n uint64) (at uint64, ok bool, err error) {
	e.own.lock.Acquire(e.bell)
	if e.own.limit-e.own.moved < n {
		if ok, err := e.look(n); !ok {
			e.own.lock.Release(e.bell)
			return 0, false, err
		}
	}
	return e.own.moved, true, nil
}

// publish tells that n units were moved, releases the lock, and wakes up to n of the other side.
func (e *end) publish(n uint64) {
	own := e.own
	own.moved += n
	e.mine.moved.Store(own.moved)
	own.lock.Release(e.bell)
	// After the store: a waiter announces itself first and then looks at moved once more.
	if e.peer.cond.waiting.Load() != 0 {
		e.peer.cond.Notify(e.other, uint32(n))
	}
}

// look reads what the other side has moved and reports whether there are n units now. The caller owns the lock.
func (e *end) look(n uint64) (bool, error) {
	if e.broken != nil {
		return false, e.broken
	}
	if e.mine.closed.Load() != 0 {
		return false, ErrClosed
	}
	gone := e.peer.closed.Load() != 0 // read before moved: what was sent before closing is received
	limit := e.peer.moved.Load() + e.ahead
	// Counters go up, and never by more than there was room for: both subtractions wrap around and are huge where that isn't so.
	if limit-e.own.limit > e.capacity || limit-e.own.moved > e.capacity {
		return false, e.fail("its counter went from %d to %d in a ring of %d", e.own.limit-e.ahead, limit-e.ahead, e.capacity)
	}
	e.own.limit = limit
	if gone && (e.ahead > 0 || limit-e.own.moved < n) {
		return false, ErrClosed
	}
	return limit-e.own.moved >= n, nil
}

// await returns when there are n units. The caller owns the lock before and after.
func (e *end) await(ctx context.Context, n uint64) error {
	for range yieldsMax {
		if ok, err := e.look(n); ok || err != nil {
			return err
		}
		e.own.lock.Release(e.bell)
		runtime.Gosched()
		e.own.lock.Acquire(e.bell)
	}
	for {
		ticket := e.mine.cond.announce(e.turn)
		if ok, err := e.look(n); ok || err != nil {
			return err
		}
		e.own.lock.Release(e.bell)
		err := e.bell.Wait(ctx, e.turn, ticket)
		e.own.lock.Acquire(e.bell)
		if err != nil {
			return err
		}
	}
}

// close ends this side: its own calls fail from now on, and the other side's when nothing is left.
func (e *end) close() {
	e.own.lock.Acquire(e.bell)
	e.mine.closed.Store(1)
	e.own.limit = e.own.moved // the next reserve looks, and finds that it is closed
	e.own.lock.Release(e.bell)
	e.ring()
	e.peer.cond.turn.Add(1)
	e.other.Notify(&e.peer.cond.turn, everybody)
}

// ring wakes all who wait at this end.
func (e *end) ring() {
	e.turn.Add(1)
	e.bell.Notify(e.turn, everybody)
}

// everybody is more than can sleep.
const everybody = 1<<31 - 1

// fail makes the end broken. The caller owns the lock.
func (e *end) fail(format string, args ...any) error {
	e.broken = fmt.Errorf("%w: %s", ErrBroken, fmt.Sprintf(format, args...))
	e.own.limit = e.own.moved // the next reserve looks, and finds it
	return e.broken
}

// view is the end of h's senders (0) or receivers (1).
func (h *header) view(which int, capacity uint64) end {
	mine, peer := &h.sides[which], &h.sides[1-which]
	e := end{own: &mine.own, turn: &mine.post.cond.turn, mine: &mine.post, peer: &peer.post, capacity: capacity}
	if which == 0 {
		e.ahead = capacity
	}
	return e
}
