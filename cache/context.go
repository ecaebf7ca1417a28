package cache

import (
	"context"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/wherry/wherry/trace"
)

// fetchContext is the context of one fetch. It is what context.WithCancel, trace.With and httptrace.WithClientTrace make together,
// but in one piece, and no parent has to know of it: Cache.Run ends the fetches that run.
type fetchContext struct {
	t       *trace.Trace
	interim *interim // nil: nobody wants interim responses

	mu     sync.Mutex // protects what follows
	err    error
	done   chan struct{} // nil as long as nobody has asked
	after  []*afterFetch
	one    [1]*afterFetch  // room for after: there is mostly one
	values context.Context // with what others look for; nil as long as nobody has
}

// afterFetch is called when the fetch is cancelled.
type afterFetch struct {
	c  *fetchContext
	do func()
}

var _ context.Context = (*fetchContext)(nil)

// Deadline implements context.Context: there is none.
func (c *fetchContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (c *fetchContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

// Err implements context.Context.
func (c *fetchContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Trace is for trace.From.
func (c *fetchContext) Trace() *trace.Trace { return c.t }

// Value implements context.Context.
func (c *fetchContext) Value(key any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.values == nil {
		c.values = trace.With(context.Background(), c.t)
		if c.interim != nil {
			c.values = httptrace.WithClientTrace(c.values, &httptrace.ClientTrace{Got1xxResponse: c.interim.forward})
		}
	}
	return c.values.Value(key)
}

// AfterFunc is what package context looks for: f is called, in a goroutine of its own, when the fetch is cancelled, unless stop
// is called before.
func (c *fetchContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &afterFetch{c, f}
	if c.err != nil {
		go f()
		return a.stop // too late
	}
	if c.after == nil {
		c.after = c.one[:0]
	}
	c.after = append(c.after, a)
	return a.stop
}

func (a *afterFetch) stop() bool {
	c := a.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.after {
		if other == a {
			last := len(c.after) - 1
			c.after[i], c.after[last] = c.after[last], nil
			c.after = c.after[:last]
			return true
		}
	}
	return false
}

// cancel ends the fetch. It may be called more than once.
func (c *fetchContext) cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = context.Canceled
	if c.done != nil {
		close(c.done)
	}
	for _, a := range c.after {
		go a.do()
	}
	c.after = nil
}
