package compute

import (
	"context"
	"sync/atomic"
)

// Connection is a client's, for programs whose isolation is PerConnection. Its zero value is one that is open. It is told by its address.
type Connection struct {
	closed atomic.Bool
	after  atomic.Pointer[func()]
}

// Close tells that no request comes over c any more: what its requests left in a program is forgotten.
func (c *Connection) Close() {
	c.closed.Store(true)
	if after := c.after.Swap(nil); after != nil {
		(*after)()
	}
}

// AfterClose has f called once c is closed, at once if it is. It takes the place of one that was given before.
func (c *Connection) AfterClose(f func()) {
	c.after.Store(&f)
	if c.closed.Load() && c.after.CompareAndSwap(&f, nil) {
		f()
	}
}

type connectionKey struct{}

// WithConnection says over which connection the requests with the context come. A request without one is as alone as with PerRequest.
func WithConnection(ctx context.Context, c *Connection) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// ConnectionOf is the open connection of a context, nil if there is none.
func ConnectionOf(ctx context.Context) *Connection { return connectionOf(ctx) }

func connectionOf(ctx context.Context) *Connection {
	c, _ := ctx.Value(connectionKey{}).(*Connection)
	if c == nil || c.closed.Load() {
		return nil
	}
	return c
}

// open reports whether more requests may come.
func (c *Connection) open() bool { return c != nil && !c.closed.Load() }

// pick takes a ready instance of v for a request over c out of its list: the one that c's requests had, one that is nobody's, or, where there can't be another,
// the one that others haven't used for longest, which is forgotten.
func (v *version) pick(c *Connection, full bool) *instance {
	for _, fits := range []func(*instance) bool{
		func(i *instance) bool { return i.connection == c },
		func(i *instance) bool { return !i.connection.open() },
	} {
		for at := len(v.ready) - 1; at >= 0; at-- {
			if fits(v.ready[at]) {
				return v.unready(at)
			}
		}
	}
	if full && len(v.ready) > 0 {
		return v.unready(0)
	}
	return nil
}

func (v *version) unready(at int) *instance {
	i := v.ready[at]
	v.ready = append(v.ready[:at], v.ready[at+1:]...)
	return i
}

// has reports whether c's instance is busy: its next request waits for it.
func (v *version) has(c *Connection) (busy bool) {
	if c == nil {
		return false
	}
	for i := range v.instances {
		if i.connection == c && i.busy {
			return true
		}
	}
	return false
}
