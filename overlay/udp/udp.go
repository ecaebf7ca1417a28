package udp

import (
	"errors"
	"net"
	"net/netip"
)

const (
	// BatchMax is the most that one Write takes, in bytes.
	BatchMax = 65000
	// SegmentsMax is the most datagrams that one Write takes.
	SegmentsMax = 64
	// DatagramMax is the largest datagram that IPv4 carries.
	DatagramMax = 65507
)

// ErrTooLarge says that a datagram is larger than the network device takes in one piece.
var ErrTooLarge = errors.New("datagram is larger than the path takes")

// Message is what was read at once: one datagram, or several of one sender, each Segment bytes long but the last.
type Message struct {
	Data    []byte
	Segment int
	From    netip.AddrPort
}

// Socket is a UDP socket. Make one with New.
type Socket struct {
	conn net.PacketConn
	sys  system // how this operating system does it; nil where it has nothing better than net.PacketConn

	messages []Message // of the last Read
	buffer   []byte
}

// system is batched input and output.
type system interface {
	read() ([]Message, error)
	write(b []byte, segment int, to netip.AddrPort) error
}

// New takes conn over: nobody else may read from it. Its buffers are made larger as far as the system lets us.
func New(conn net.PacketConn) *Socket {
	s := &Socket{conn: conn}
	if u, ok := conn.(*net.UDPConn); ok {
		s.sys = newSystem(u)
	}
	if s.sys == nil {
		s.buffer = make([]byte, DatagramMax)
		s.messages = make([]Message, 1)
	}
	return s
}

// Addr is where the socket listens.
func (s *Socket) Addr() netip.AddrPort { return addrOf(s.conn.LocalAddr()) }

// Close ends Read.
func (s *Socket) Close() error { return s.conn.Close() }

// Read waits for datagrams. What it returns counts until the next Read.
func (s *Socket) Read() ([]Message, error) {
	if s.sys != nil {
		return s.sys.read()
	}
	n, from, err := s.conn.ReadFrom(s.buffer)
	if err != nil {
		return nil, err
	}
	s.messages[0] = Message{s.buffer[:n], n, addrOf(from)}
	return s.messages, nil
}

// Write sends b as datagrams of segment bytes each, the last one shorter or as long; at most BatchMax bytes and SegmentsMax datagrams.
// A datagram that the system has no room for is lost, as on any network; errors are of the socket or of the address.
func (s *Socket) Write(b []byte, segment int, to netip.AddrPort) error {
	if s.sys != nil {
		return s.sys.write(b, segment, to)
	}
	addr := net.UDPAddrFromAddrPort(to)
	for len(b) > 0 {
		n := min(segment, len(b))
		if _, err := s.conn.WriteTo(b[:n], addr); err != nil {
			return tooLarge(err)
		}
		b = b[n:]
	}
	return nil
}

func addrOf(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := u.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
