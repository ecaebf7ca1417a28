package compute

import (
	"fmt"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/file"
)

// line is the connection that an exchange has with its program.
type line struct {
	instance *instance
	conn     *file.Conn
	kept     bool   // it was open before: the program may close it without having seen the request
	sent     []byte // over it, as long as the program may not have read it
}

// open takes a connection that is open already, one that a call has left or that the program has had since its snapshot, or dials.
func (l *line) open(i *instance) error {
	for c := i.leftover(); c != nil; c = i.leftover() {
		if c.Quiet() {
			l.instance, l.conn, l.kept = i, c, true
			return nil
		}
		c.Close()
	}
	return l.dial(i)
}

// leftover is a connection that is open as far as is known, nil if there is none.
func (i *instance) leftover() *file.Conn {
	c := i.conn
	if i.conn = nil; c == nil {
		c = i.machine.Process().Files.Attach()
	}
	return c
}

func (l *line) dial(i *instance) error {
	port := i.version.port()
	conn, e := i.machine.Process().Files.Dial(port)
	if e != 0 {
		return fmt.Errorf("connecting to its port %d: %w", port, e)
	}
	*l = line{instance: i, conn: conn}
	return nil
}

// write gives the program b, or a part of it.
func (l *line) write(b []byte) (int, abi.Errno) {
	n, e := l.conn.Write(b)
	if l.kept {
		if l.sent = append(l.sent, b[:n]...); len(l.sent) > heldMax {
			l.kept, l.sent = false, nil // a socket's buffer has no room for so much: it was read
		}
	}
	return n, e
}

// unread reports whether the program has closed the connection, which was there before, and read nothing of what was sent over it.
func (l *line) unread() bool { return l.kept && l.conn.Lost() == len(l.sent) }

// close ends the exchange's use of the connection, which the instance's next one may have if it is fit for that.
func (l *line) close(fit bool) {
	switch {
	case l.conn == nil:
	case fit && l.instance.remembers() && l.conn.Quiet() && l.conn.Drained(): // so that what is lost of it later is the next request's
		l.instance.conn = l.conn
	default:
		l.conn.Close()
	}
	l.conn = nil
}
