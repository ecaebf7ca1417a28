package socket

import (
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/ledger"
)

// Conn is the outside's end of a connection: to what listens in the guest, or from the guest to the gate. Nothing blocks: EAGAIN when there's nothing to read or no room.
type Conn struct {
	t    *Net // nil when it was closed
	s    *Socket
	born ledger.Mark
	one  [1][]byte
}

// Dial connects to the guest's listening TCP socket: ECONNREFUSED when nobody listens on port, EAGAIN when its queue is full.
func (t *Net) Dial(port int) (*Conn, abi.Errno) {
	i := t.listening(port)
	if i < 0 {
		return nil, abi.ECONNREFUSED
	}
	l := t.now.bound[i]
	s := t.newSocket(l.family)
	s.outside = true
	s.now.local.setLoopback()
	s.now.local.port = portFirst
	to := l.now.local
	if e := t.offer(l, s, to); e != 0 {
		return nil, e
	}
	return t.outside(s), 0
}

// outside is the host's end of a connection, s.
func (t *Net) outside(s *Socket) *Conn {
	c := &Conn{t: t, s: s, born: t.ledger.Made()}
	t.outer = append(t.outer, c)
	return c
}

// Leave leaves the connection open for who attaches it, here or where the state is restored.
func (c *Conn) Leave() {
	if t := c.t; t != nil && c.s.now.status == connected {
		c.t = nil
		t.outer = slices.DeleteFunc(t.outer, func(o *Conn) bool { return o == c })
		t.ledger.Keep(&t.kept, t)
		t.now.left = append(t.now.left, c.s)
	}
}

// Attach is a connection that was left, and whose end the guest has left open, too; nil if there is none but those that are attached. As what is
// dialled, it ends when the guest is restored to a time before: attach it again.
func (t *Net) Attach() *Conn {
	for _, s := range t.now.left {
		if s.now.peer != nil && !slices.ContainsFunc(t.outer, func(c *Conn) bool { return c.s == s }) {
			return t.outside(s)
		}
	}
	return nil
}

// Port is that of the TCP socket that was bound first of those which listen, 0 when none does.
func (t *Net) Port() int {
	for _, s := range t.now.bound {
		if s.now.status == listening && s.family != abi.AF_UNIX {
			return int(s.now.local.port)
		}
	}
	return 0
}

// Listening says whether something listens on the TCP port.
func (t *Net) Listening(port int) bool { return t.listening(port) >= 0 }

func (t *Net) listening(port int) int {
	return slices.IndexFunc(t.now.bound, func(s *Socket) bool {
		return s.now.status == listening && s.family != abi.AF_UNIX && int(s.now.local.port) == port
	})
}

// Read is 0 at the end; ECONNRESET when the guest went without reading all, or was restored to a time before the connection.
func (c *Conn) Read(p []byte) (int, abi.Errno) {
	if c.t == nil {
		return 0, abi.ECONNRESET
	}
	c.one[0] = p
	return c.t.receive(c.s, c.one[:], 0)
}

// Spoke reports, once, whether the guest has sent something to the outside, or ended a connection with it.
func (t *Net) Spoke() bool {
	spoke := t.spoke
	t.spoke = false
	return spoke
}

// Lost is how many bytes of what was written the guest hadn't read when it closed its end.
func (c *Conn) Lost() int { return c.s.now.lost }

// Accepted says whether the guest has taken the connection from its listener's queue, and both sides have left it open.
func (c *Conn) Accepted() bool {
	if c.t == nil || c.s.now.peer == nil {
		return false
	}
	return !slices.ContainsFunc(c.t.now.bound, func(l *Socket) bool { return slices.Contains(l.now.pending, c.s.now.peer) })
}

// Drained says whether the guest has read all that was written.
func (c *Conn) Drained() bool {
	return c.t != nil && c.s.now.peer != nil && c.s.now.peer.now.buffer.Len() == 0
}

// Quiet says whether there is nothing to read, and no end.
func (c *Conn) Quiet() bool {
	return c.t != nil && c.s.now.buffer.Len() == 0 && !c.s.now.ended && !c.s.now.reset && c.s.now.peer != nil
}

// Write is EPIPE when the guest doesn't read any more.
func (c *Conn) Write(p []byte) (int, abi.Errno) {
	if c.t == nil {
		return 0, abi.ECONNRESET
	}
	c.one[0] = p
	return c.t.send(c.s, c.one[:])
}

// CloseWrite tells the guest that nothing more comes.
func (c *Conn) CloseWrite() {
	if c.t != nil && c.s.now.status == connected {
		c.t.shutdown(c.s, abi.SHUT_WR)
	}
}

// Close ends the connection both ways.
func (c *Conn) Close() {
	if c.t == nil {
		return
	}
	t := c.t
	c.t = nil
	t.outer = slices.DeleteFunc(t.outer, func(o *Conn) bool { return o == c })
	if c.s.now.status == connected {
		t.Close(c.s)
	}
}
