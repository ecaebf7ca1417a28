package origin

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// conns counts the connections to one origin, keeps the idle ones that are wires, and says who is next where there may be no more
// of them. The transports' own limit hands a connection that becomes free to who waits, but it knows neither upgraded connections
// nor HTTP/2 ones that are full of streams, nor wires: so each connection that a transport opens takes a slot here too.
type conns struct {
	slotsMax int // 0: no limit
	idleMax  int

	mu      sync.Mutex // protects what follows; lost with the process
	open    int        // slots taken
	idle    []*wire    // the one that was used last at the end
	waiting []*waiter  // who came first is first; only while no slot is free and no wire idle
	sweeper *time.Timer
	sweeps  bool // sweeper is set
}

// waiter waits for a wire, or for a slot to open a connection with.
type waiter struct {
	slotOnly bool
	turn     chan *wire // of 1; nil: a slot
}

func newConns(limit int) *conns {
	return &conns{slotsMax: limit, idleMax: max(limit, http.DefaultMaxIdleConnsPerHost)}
}

// take returns an idle wire, or nil and with it the slot for a new connection, which is given back by release. It calls full before it
// waits, and waits for at most patience, or as long as ctx lasts if that is 0.
func (c *conns) take(ctx context.Context, slotOnly bool, patience time.Duration, full func()) (*wire, error) {
	c.mu.Lock()
	switch n := len(c.idle); {
	case n > 0 && !slotOnly:
		w := c.idle[n-1]
		c.idle = slices.Delete(c.idle, n-1, n)
		c.mu.Unlock()
		return w, nil
	case c.slotsMax == 0 || c.open < c.slotsMax:
		c.open++
		c.mu.Unlock()
		return nil, nil
	case n > 0:
		w := c.idle[0]
		c.idle = slices.Delete(c.idle, 0, 1)
		c.mu.Unlock()
		w.shut()
		return nil, nil // its slot passes on
	}
	me := &waiter{slotOnly: slotOnly, turn: make(chan *wire, 1)}
	c.waiting = append(c.waiting, me)
	c.mu.Unlock()
	full()
	return c.await(ctx, me, patience)
}

func (c *conns) await(ctx context.Context, me *waiter, patience time.Duration) (*wire, error) {
	var timeout <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case w := <-me.turn:
		return w, nil
	case <-timeout:
	case <-ctx.Done():
	}
	c.mu.Lock()
	at := slices.Index(c.waiting, me)
	if at >= 0 {
		c.waiting = slices.Delete(c.waiting, at, at+1)
	}
	c.mu.Unlock()
	if at < 0 { // its turn came just now
		if w := <-me.turn; w != nil {
			c.put(w)
		} else {
			c.release()
		}
	}
	return nil, errConnectionLimit
}

// release gives a slot back: a connection is closed, or couldn't be opened.
func (c *conns) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.released()
}

// released is release for who holds mu.
func (c *conns) released() {
	if next := c.next(); next != nil {
		next.turn <- nil
		return
	}
	c.open--
}

// next takes the first waiter from its queue. mu is held.
func (c *conns) next() *waiter {
	if len(c.waiting) == 0 {
		return nil
	}
	next := c.waiting[0]
	c.waiting = slices.Delete(c.waiting, 0, 1)
	return next
}

// put takes back a wire on which nothing is under way.
func (c *conns) put(w *wire) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.next()
	switch {
	case next != nil && next.slotOnly:
		w.shut()
		next.turn <- nil
	case next != nil:
		next.turn <- w
	case len(c.idle) >= c.idleMax:
		w.shut()
		c.open--
	default:
		w.idleSince = time.Now()
		c.idle = append(c.idle, w)
		c.sweepLater(idleTimeout)
	}
}

// wanted says whether anybody waits.
func (c *conns) wanted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting) > 0
}

// sweepLater sets the sweeper, unless it is set. mu is held.
func (c *conns) sweepLater(after time.Duration) {
	if c.sweeps {
		return
	}
	c.sweeps = true
	if c.sweeper == nil {
		c.sweeper = time.AfterFunc(after, c.sweep)
		return
	}
	c.sweeper.Reset(after)
}

// sweep closes the wires that have been idle for too long.
func (c *conns) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweeps = false
	now, old := time.Now(), 0
	for old < len(c.idle) && now.Sub(c.idle[old].idleSince) >= idleTimeout {
		old++
	}
	c.drop(old)
	if len(c.idle) > 0 {
		c.sweepLater(idleTimeout - now.Sub(c.idle[0].idleSince))
	}
}

// closeIdle closes the wires that are idle.
func (c *conns) closeIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(len(c.idle))
	if c.sweeper != nil {
		c.sweeper.Stop()
		c.sweeps = false
	}
}

// drop closes the first n idle wires. mu is held.
func (c *conns) drop(n int) {
	for _, w := range c.idle[:n] {
		w.shut()
		c.released()
	}
	c.idle = slices.Delete(c.idle, 0, n)
}
