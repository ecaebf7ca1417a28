package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	// packetMax bounds the queries that are read; none that makes sense is longer.
	packetMax = 4096
	// readFailuresMax is how many reads may fail in a row before a socket is given up.
	readFailuresMax = 100
)

// serveUDP answers pc's packets one after the other: an answer takes microseconds, so that a goroutine each would cost more
// than it brings, and the socket's buffer bounds what waits.
func (s *Server) serveUDP(ctx context.Context, pc net.PacketConn) error {
	x := &exchange{server: s}
	conn := newPacketConn(pc)
	packet := make([]byte, packetMax)
	for failures := 0; ; {
		n, from, err := conn.read(packet)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			// An ICMP error of an earlier answer may surface here; only a socket that stays broken ends the server.
			if failures++; failures > readFailuresMax || errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("read from %s: %w", pc.LocalAddr(), err)
			}
			pause(ctx, time.Duration(failures)*time.Millisecond)
			continue
		}
		failures = 0
		if msg := x.respond(packet[:n], from, false); msg != nil {
			// What can't be sent is as good as lost on the way: the asker repeats.
			if err := conn.write(msg); err != nil {
				s.metrics.dropped.WithLabelValues("unsent").Inc()
			}
		}
	}
}

// packetConn reads a packet and writes to whom the last one came from.
type packetConn interface {
	read(b []byte) (n int, from netip.Addr, err error)
	write(b []byte) error
}

func newPacketConn(pc net.PacketConn) packetConn {
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		return &anyConn{pc: pc}
	}
	c := &udpConn{conn: conn}
	if local, ok := conn.LocalAddr().(*net.UDPAddr); ok && local.IP.IsUnspecified() {
		c.oobBuf = make([]byte, 128)
		// Where one of them isn't to be had, for a socket of the other family, the kernel chooses the source address.
		_ = ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true)
		_ = ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst, true)
	}
	return c
}

// udpConn is a socket of the kernel; it allocates nothing. If it listens at all addresses, answers leave from the address that
// was asked (RFC 2181 §4.1): the control message that tells the one is of the form that sets the other.
type udpConn struct {
	conn   *net.UDPConn
	from   netip.AddrPort
	oobBuf []byte
	oob    []byte
}

func (c *udpConn) read(b []byte) (n int, from netip.Addr, err error) {
	n, oobn, _, peer, err := c.conn.ReadMsgUDPAddrPort(b, c.oobBuf)
	c.from, c.oob = peer, c.oobBuf[:oobn]
	return n, peer.Addr(), err
}

func (c *udpConn) write(b []byte) error {
	_, _, err := c.conn.WriteMsgUDPAddrPort(b, c.oob, c.from)
	return err
}

// anyConn is a network in memory.
type anyConn struct {
	pc   net.PacketConn
	from net.Addr
}

func (c *anyConn) read(b []byte) (n int, from netip.Addr, err error) {
	n, c.from, err = c.pc.ReadFrom(b)
	if err != nil {
		return 0, netip.Addr{}, err
	}
	return n, addrOf(c.from), nil
}

func (c *anyConn) write(b []byte) error {
	_, err := c.pc.WriteTo(b, c.from)
	return err
}

// addrOf returns the IP address of a, or the unspecified one if it has none.
func addrOf(a net.Addr) netip.Addr {
	if ap, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		return ap.AddrPort().Addr()
	}
	if ap, err := netip.ParseAddrPort(a.String()); err == nil {
		return ap.Addr()
	}
	return netip.IPv6Unspecified()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
