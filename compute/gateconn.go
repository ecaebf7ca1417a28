package compute

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/file"
)

// gateConn is a connection from a program to the gate, of which the server has this end. The worker of the call moves its bytes, heldMax each way.
type gateConn struct {
	gate *gate
	conn *file.Conn // the worker's

	mu      sync.Mutex // guards what follows
	changed *sync.Cond
	in      []byte // from the program
	inEnd   error  // nothing comes behind in: io.EOF, or why
	out     []byte // to the program
	outEnd  error  // the program doesn't take more
	closed  bool   // by the server
	reading deadline
	writing deadline
}

var _ net.Conn = (*gateConn)(nil)

func newGateConn(g *gate, c *file.Conn) *gateConn {
	n := &gateConn{gate: g, conn: c}
	n.changed = sync.NewCond(&n.mu)
	return n
}

var errCallOver = errors.New("the call that asked is over")

// move moves bytes both ways, as far as there is room, and reports whether there were any, and whether the connection is over. It is the worker's.
func (c *gateConn) move(scratch []byte) (moved, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed && c.inEnd == nil && len(c.in) < heldMax {
		n, e := c.conn.Read(scratch[:min(len(scratch), heldMax-len(c.in))])
		if e == abi.EAGAIN {
			break
		}
		moved = true
		switch {
		case e != 0:
			c.inEnd = e
		case n == 0:
			c.inEnd = io.EOF
		}
		c.in = append(c.in, scratch[:n]...)
	}
	if len(c.out) > 0 {
		n, e := c.conn.Write(c.out)
		switch {
		case e == 0:
			moved = true
			c.out = c.out[:copy(c.out, c.out[n:])]
		case e != abi.EAGAIN:
			moved = true
			c.out, c.outEnd = nil, e
		}
	}
	if moved {
		c.changed.Broadcast()
	}
	return moved, c.closed && len(c.out) == 0
}

// abort ends it at once, with the call.
func (c *gateConn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in, c.out, c.inEnd, c.outEnd = nil, nil, errCallOver, errCallOver
	c.changed.Broadcast()
}

// Read implements net.Conn.
func (c *gateConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) > 0 && len(c.in) == 0 {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.reading.passed():
			return 0, os.ErrDeadlineExceeded
		case c.inEnd != nil:
			return 0, c.inEnd
		}
		c.changed.Wait()
	}
	full := len(c.in) >= heldMax
	n := copy(p, c.in)
	c.in = c.in[:copy(c.in, c.in[n:])]
	if full && n > 0 {
		c.gate.job.wake()
	}
	return n, nil
}

// Write implements net.Conn. What is written beyond the call's limit of output breaks the connection off.
func (c *gateConn) Write(p []byte) (n int, err error) {
	if c.gate.sent.Add(int64(len(p))) > c.gate.limits.Output {
		_ = c.Close()
		return 0, &LimitError{"output"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) > 0 {
		switch room := heldMax - len(c.out); {
		case c.closed:
			return n, net.ErrClosed
		case c.outEnd != nil:
			return n, c.outEnd
		case c.writing.passed():
			return n, os.ErrDeadlineExceeded
		case room > 0:
			k := min(room, len(p))
			first := len(c.out) == 0
			c.out = append(c.out, p[:k]...)
			n, p = n+k, p[k:]
			if first { // with more in it, it is the program that has no room
				c.gate.job.wake()
			}
		default:
			c.changed.Wait()
		}
	}
	return n, nil
}

// Close implements net.Conn: what was written goes to the program yet.
func (c *gateConn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.reading.stop()
	c.writing.stop()
	c.changed.Broadcast()
	c.mu.Unlock()
	c.gate.job.wake()
	return nil
}

// LocalAddr implements net.Conn.
func (c *gateConn) LocalAddr() net.Addr { return gateAddr{} }

// RemoteAddr implements net.Conn.
func (c *gateConn) RemoteAddr() net.Addr { return gateAddr{} }

// SetDeadline implements net.Conn.
func (c *gateConn) SetDeadline(at time.Time) error {
	return errors.Join(c.SetReadDeadline(at), c.SetWriteDeadline(at))
}

// SetReadDeadline implements net.Conn.
func (c *gateConn) SetReadDeadline(at time.Time) error { return c.set(&c.reading, at) }

// SetWriteDeadline implements net.Conn.
func (c *gateConn) SetWriteDeadline(at time.Time) error { return c.set(&c.writing, at) }

func (c *gateConn) set(d *deadline, at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	d.stop()
	switch d.at = at; {
	case d.passed():
		c.changed.Broadcast()
	case !at.IsZero():
		d.timer = time.AfterFunc(time.Until(at), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.changed.Broadcast()
		})
	}
	return nil
}

// deadline is when a read or write ends.
type deadline struct {
	at    time.Time // zero is never
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}
