package file

import (
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// Conn is a connection from outside to what listens in the guest. Nothing blocks: EAGAIN when there's nothing to read or no room.
type Conn struct {
	t    *Table
	s    *socket
	born uint64 // the Table's generation
	one  [1][]byte
}

// Dial connects to the guest's listening TCP socket: ECONNREFUSED when nobody listens on port, EAGAIN when its queue is full.
func (t *Table) Dial(port int) (*Conn, abi.Errno) {
	i := t.listening(port)
	if i < 0 {
		return nil, abi.ECONNREFUSED
	}
	l := t.bound[i]
	s := t.newSocket(l.family)
	s.outside = true
	s.now.local.setLoopback()
	s.now.local.port = portFirst
	to := l.now.local
	if e := t.offer(l, s, to); e != 0 {
		return nil, e
	}
	c := &Conn{t: t, s: s, born: t.generation}
	t.outer = append(t.outer, c)
	return c, 0
}

// Listening says whether something listens on the TCP port.
func (t *Table) Listening(port int) bool { return t.listening(port) >= 0 }

func (t *Table) listening(port int) int {
	return slices.IndexFunc(t.bound, func(s *socket) bool {
		return s.now.status == socketListening && s.family != abi.AF_UNIX && int(s.now.local.port) == port
	})
}

// Read is 0 at the end; ECONNRESET when the guest went without reading all, or was restored to a time before the connection.
func (c *Conn) Read(p []byte) (int, abi.Errno) {
	if c.t == nil {
		return 0, abi.ECONNRESET
	}
	c.one[0] = p
	return c.s.receive(c.t, c.one[:], 0)
}

// Write is EPIPE when the guest doesn't read any more.
func (c *Conn) Write(p []byte) (int, abi.Errno) {
	if c.t == nil {
		return 0, abi.ECONNRESET
	}
	c.one[0] = p
	return c.s.send(c.t, c.one[:])
}

// CloseWrite tells the guest that nothing more comes.
func (c *Conn) CloseWrite() {
	if c.t != nil && c.s.now.status == socketConnected {
		c.s.shutdown(c.t, abi.SHUT_WR)
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
	if c.s.now.status == socketConnected {
		c.s.closed(t, nil)
	}
}
