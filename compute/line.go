package compute

import (
	"bytes"
	"fmt"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/file"
)

// line is how the bytes of an exchange go to its program, and come back.
type line interface {
	// open begins, on an instance that nobody else has.
	open(i *instance) error
	// write gives the program b, or a part of it. EAGAIN says that there is no room, another error that the program doesn't take more.
	write(b []byte) (int, abi.Errno)
	// read is what the program has written, up to n bytes, until the next read: EAGAIN where there is nothing, none and no error at the end.
	read(n int) ([]byte, abi.Errno)
	// expect says whether there is more to write now, or never will be.
	expect(known bool)
	// again opens the line again if the program had ended it before it read any of what was sent, which is to be sent once more then.
	again(i *instance) (sent []byte, again bool, err error)
	// close ends the exchange's use of the line. A fit one is as it was at the beginning.
	close(fit bool)
}

// connection is a line to a program that listens.
type connection struct {
	instance *instance
	conn     *file.Conn
	kept     bool   // it was open before: the program may close it without having seen the request
	sent     []byte // over it, as long as the program may not have read it
}

var _ line = (*connection)(nil)

// open takes a connection that is open already, one that a call has left or that the program has had since its snapshot, or dials.
func (l *connection) open(i *instance) error {
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

func (l *connection) dial(i *instance) error {
	port := i.version.port()
	conn, e := i.machine.Process().Files.Dial(port)
	if e != 0 {
		return fmt.Errorf("connecting to its port %d: %w", port, e)
	}
	*l = connection{instance: i, conn: conn}
	return nil
}

func (l *connection) write(b []byte) (int, abi.Errno) {
	n, e := l.conn.Write(b)
	if l.kept {
		if l.sent = append(l.sent, b[:n]...); len(l.sent) > heldMax {
			l.kept, l.sent = false, nil // a socket's buffer has no room for so much: it was read
		}
	}
	return n, e
}

func (l *connection) read(n int) ([]byte, abi.Errno) {
	b := l.instance.room()
	n, e := l.conn.Read(b[:min(n, len(b))])
	return b[:max(n, 0)], e
}

func (l *connection) expect(bool) {}

// again dials if the connection was open before and the program has closed it, and read nothing of what was sent over it.
func (l *connection) again(i *instance) (sent []byte, again bool, err error) {
	if !l.kept || l.conn.Lost() != len(l.sent) {
		return nil, false, nil
	}
	sent = l.sent
	l.close(false)
	err = l.dial(i)
	return sent, err == nil, err
}

// close leaves a fit connection to the instance's next exchange.
func (l *connection) close(fit bool) {
	switch {
	case l.conn == nil:
	case fit && l.instance.remembers() && l.conn.Quiet() && l.conn.Drained(): // so that what is lost of it later is the next request's
		l.instance.conn = l.conn
	default:
		l.conn.Close()
	}
	l.conn = nil
}

// pipes are a line to a program that reads standard input and writes standard output.
type pipes struct{ instance *instance }

var _ line = (*pipes)(nil)

func (l *pipes) open(i *instance) error {
	l.instance = i
	return nil
}

func (l *pipes) write(b []byte) (int, abi.Errno) {
	files := l.instance.machine.Process().Files
	n := files.WriteStdin(b)
	switch {
	case n > 0:
		return n, 0
	case files.Hears():
		return 0, abi.EAGAIN
	}
	return 0, abi.EPIPE
}

func (l *pipes) read(n int) ([]byte, abi.Errno) {
	out := &l.instance.out
	if out.Len() == 0 {
		return nil, abi.EAGAIN
	}
	full := out.Room() == 0
	b := out.Next(n)
	if full {
		l.instance.machine.Process().Files.Drained()
	}
	return b, 0
}

// expect has the program's next read that finds nothing end its turn, unless all that it can do now is to wait.
func (l *pipes) expect(known bool) { l.instance.machine.Process().SetBoundary(known) }

func (l *pipes) again(*instance) ([]byte, bool, error) { return nil, false, nil }

func (l *pipes) close(bool) {}

// outlet is what a program has written to standard output, up to heldMax bytes that nobody has taken yet.
type outlet struct{ bytes.Buffer }

var _ file.Outlet = (*outlet)(nil)

// Room implements file.Outlet.
func (o *outlet) Room() int { return max(heldMax-o.Len(), 0) }
