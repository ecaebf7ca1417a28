package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/overlay/exchange"
)

// Watch is told of connections, for metrics and logs. Its functions may be nil, and must not block.
type Watch struct {
	// Opened is called when a connection has been joined; what is its site or target.
	Opened func(what string)
	// Closed is called at its end; err is nil if both sides have closed.
	Closed func(what string, sentBytes, receivedBytes int64, err error)
	// Refused is called for a connection that couldn't be made.
	Refused func(what string, err error)
}

func (w *Watch) opened(what string) {
	if w.Opened != nil {
		w.Opened(what)
	}
}

func (w *Watch) closed(what string, sent, received int64, err error) {
	if w.Closed != nil {
		w.Closed(what, sent, received, err)
	}
}

func (w *Watch) refused(what string, err error) {
	if w.Refused != nil {
		w.Refused(what, err)
	}
}

// duplex is a connection whose directions end one by one.
type duplex interface {
	net.Conn
	CloseWrite() error
}

// breakOff ends both directions of c so that the other side doesn't take what it got for the whole.
func breakOff(c net.Conn) {
	switch c := c.(type) {
	case interface{ SetLinger(seconds int) error }:
		_ = c.SetLinger(0) // Close sends RST then
	case interface{ Reset(code exchange.Code) }:
		c.Reset(exchange.CodeCancelled)
	}
	_ = c.Close()
}

var errIdle = errors.New("nothing moved either way")

// The sizes of what is copied at once. Most connections of many are idle, and wait with the small one.
const (
	waitBytes = 4 << 10
	copyBytes = 32 << 10
)

var waitBufs, copyBufs = bufsOf(waitBytes), bufsOf(copyBytes)

func bufsOf(size int) *sync.Pool {
	return &sync.Pool{New: func() any { b := make([]byte, size); return &b }}
}

// joint carries bytes between two connections.
type joint struct {
	near, far      duplex
	idle           time.Duration
	sent, received atomic.Int64 // from near to far, and back

	began time.Time
	moved atomic.Int64 // nanoseconds since began when something was last carried

	failed sync.Once
	err    error // why it was broken off

	mu    sync.Mutex // protects what follows
	timer *time.Timer
	over  bool
}

// join carries bytes both ways until both sides have ended, one has failed, ctx ends, or nothing has moved for idle. Both
// connections are closed then.
func join(ctx context.Context, near, far duplex, idle time.Duration) (sent, received int64, err error) {
	j := &joint{near: near, far: far, idle: idle, began: time.Now()}
	stop := context.AfterFunc(ctx, func() { j.fail(context.Cause(ctx)) })
	defer stop()
	j.mu.Lock()
	j.timer = time.AfterFunc(idle, j.check)
	j.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() { j.carry(near, far, &j.received) })
	j.carry(far, near, &j.sent)
	back.Wait()
	j.mu.Lock()
	j.over = true
	j.timer.Stop()
	j.mu.Unlock()
	j.failed.Do(func() {
		_ = near.Close()
		_ = far.Close()
	})
	return j.sent.Load(), j.received.Load(), j.err
}

// check breaks off what is idle.
func (j *joint) check() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.over {
		return
	}
	left := j.idle - (time.Since(j.began) - time.Duration(j.moved.Load()))
	if left > 0 {
		j.timer.Reset(left)
		return
	}
	j.fail(fmt.Errorf("%w for %v", errIdle, j.idle))
}

// fail breaks off both sides.
func (j *joint) fail(err error) {
	j.failed.Do(func() {
		j.err = err
		breakOff(j.near)
		breakOff(j.far)
	})
}

// carry copies from one side to the other up to the end.
func (j *joint) carry(to, from duplex, count *atomic.Int64) {
	pool := waitBufs
	buf := pool.Get().(*[]byte)
	defer func() { pool.Put(buf) }()
	for {
		n, err := from.Read(*buf)
		if n > 0 {
			j.moved.Store(int64(time.Since(j.began)))
			if _, err := to.Write((*buf)[:n]); err != nil {
				j.fail(fmt.Errorf("write: %w", err))
				return
			}
			count.Add(int64(n))
			j.moved.Store(int64(time.Since(j.began)))
		}
		switch {
		case errors.Is(err, io.EOF):
			if err := to.CloseWrite(); err != nil {
				j.fail(fmt.Errorf("close: %w", err))
			}
			return
		case err != nil:
			j.fail(fmt.Errorf("read: %w", err))
			return
		case n == len(*buf) && n == waitBytes:
			pool.Put(buf)
			pool = copyBufs
			buf = pool.Get().(*[]byte)
		}
	}
}
