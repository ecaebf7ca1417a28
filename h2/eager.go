package h2

import (
	"crypto/tls"
	"net"
	"os"
	"sync"
	"syscall"
)

// eager is a cleartext connection that can write without waiting.
type eager struct {
	net.Conn
	some
	rest []byte
}

var _ Eager = (*eager)(nil)

// Eagerly returns nc as one that is Eager, if socket, which it writes to as it is, is one of the system.
func Eagerly(nc, socket net.Conn) net.Conn {
	c := &eager{Conn: nc}
	if !c.init(socket) {
		return nc
	}
	return c
}

// WriteSome implements Eager.
func (c *eager) WriteSome(p []byte) (rest bool, err error) {
	n, err := c.try(p)
	c.rest = p[n:]
	return len(c.rest) > 0, err
}

// Flush implements Eager.
func (c *eager) Flush() error {
	_, err := c.Write(c.rest)
	c.rest = nil
	return err
}

// some writes to a socket what can be written without waiting.
type some struct {
	raw syscall.RawConn
	do  func(fd uintptr) bool // write
	p   []byte
	n   int
	err error
}

// init returns false if nc isn't a socket.
func (s *some) init(nc net.Conn) bool {
	socket, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	var err error
	s.raw, err = socket.SyscallConn()
	s.do = s.write
	return err == nil
}

func (s *some) write(fd uintptr) bool {
	for {
		s.n, s.err = syscall.Write(int(fd), s.p)
		if s.err != syscall.EINTR {
			return true
		}
	}
}

func (s *some) try(p []byte) (int, error) {
	s.p = p
	err := s.raw.Write(s.do)
	s.p = nil
	switch {
	case err != nil:
		return 0, err
	case s.err == syscall.EAGAIN:
		return 0, nil
	case s.err != nil:
		return 0, os.NewSyscallError("write", s.err)
	}
	return s.n, nil
}

// sealed is a TLS connection whose records of one write go out in one piece; crypto/tls writes each by itself.
type sealed struct {
	*tls.Conn
	seal *Seal
}

// Seal stands between crypto/tls and a socket. It keeps the records that belong together, so that they go out in one piece.
type Seal struct {
	socket net.Conn
	corks  *sync.Pool
	some   some

	mu   sync.Mutex // protects what follows, and the order of what is written
	cork *[]byte    // what takes the records; nil: they go out at once
	left *[]byte    // what a cork held that the system hasn't taken all of
	from int        // where in left the rest begins
}

// Write is what crypto/tls writes to.
func (s *Seal) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.cork != nil:
		*s.cork = append(*s.cork, p...)
		return len(p), nil
	case s.left != nil: // an alert, or a new key
		*s.left = append(*s.left, p...)
		return len(p), nil
	}
	return s.socket.Write(p)
}

// Seal returns a Seal above socket.
func (s *Server) Seal(socket net.Conn) *Seal { return &Seal{socket: socket, corks: &s.corks} }

// Over returns what is to be Peer.Conn of a connection t whose records are written to s. If the socket is one of the system, it is Eager.
func (s *Seal) Over(t *tls.Conn) net.Conn {
	if s.some.init(s.socket) {
		return eagerSealed{sealed{t, s}}
	}
	return sealed{t, s}
}

// pack returns p in records.
func (c sealed) pack(p []byte) (cork *[]byte, err error) {
	s := c.seal
	cork = s.corks.Get().(*[]byte)
	s.mu.Lock()
	s.cork = cork
	s.mu.Unlock()
	_, err = c.Conn.Write(p)
	return cork, err
}

// Write implements net.Conn.
func (c sealed) Write(p []byte) (int, error) {
	cork, err := c.pack(p)
	s := c.seal
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cork = nil
	if _, failed := s.socket.Write(*cork); err == nil {
		err = failed
	}
	s.putBack(cork)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *Seal) putBack(cork *[]byte) {
	if cap(*cork) <= keepBytes {
		*cork = (*cork)[:0]
		s.corks.Put(cork)
	}
}

// eagerSealed is a sealed that can write without waiting.
type eagerSealed struct{ sealed }

var _ Eager = eagerSealed{}

// WriteSome implements Eager.
func (c eagerSealed) WriteSome(p []byte) (rest bool, err error) {
	cork, err := c.pack(p)
	s := c.seal
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cork = nil
	n, failed := s.some.try(*cork)
	if err == nil {
		err = failed
	}
	if err == nil && n < len(*cork) {
		s.left, s.from = cork, n
		return true, nil
	}
	s.putBack(cork)
	return false, err
}

// Flush implements Eager.
func (c eagerSealed) Flush() error {
	s := c.seal
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.socket.Write((*s.left)[s.from:])
	s.putBack(s.left)
	s.left = nil
	return err
}
