package simnet

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	headerBytes = 40   // IPv4 and TCP without options
	payloadMax  = 1460 // what a segment carries at the usual MTU of 1,500
	dataTries   = 15   // Linux' tcp_retries2
)

// tcpConn is one end of a TCP connection. The network's lock protects all of it.
type tcpConn struct {
	net           *Network
	host          *Host
	local, remote netip.AddrPort
	peer          *tcpConn
	answer        func(error) // tells the one who dialled how it went; nil on the accepted end
	changed       *sync.Cond  // anything that a Read or Write waits for

	// Receiving: in is what Read returns next, early what arrived before something that is still missing.
	in       [][]byte
	early    map[uint64]arrival
	expected uint64 // the number of the next segment that in takes
	ended    bool   // the peer's FIN is in: after in comes io.EOF
	readShut bool   // CloseRead or Close

	// Sending: held is what was written and not yet read by the peer, at most the window.
	sent      uint64 // segments
	held      int    // bytes
	writeShut bool   // our FIN is sent

	readDeadline, writeDeadline deadline

	closed  bool  // Close was called
	aborted bool  // reset, timed out or killed: err says which
	err     error // what Read (after in) and Write return once aborted
}

// arrival is a segment's content; the last one has neither.
type arrival struct {
	data []byte
	fin  bool
}

var (
	_ net.Conn = (*tcpConn)(nil)
	_ interface {
		CloseWrite() error
		CloseRead() error
	} = (*tcpConn)(nil)
)

func newTCPConn(h *Host, local, remote netip.AddrPort) *tcpConn {
	c := &tcpConn{
		net: h.net, host: h, local: local, remote: remote,
		changed: sync.NewCond(&h.net.mu), early: map[uint64]arrival{},
	}
	h.conns[c] = struct{}{}
	return c
}

// Write puts b on its way and returns when the window has taken all of it.
func (c *tcpConn) Write(b []byte) (written int, err error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch {
		case c.closed:
			return written, c.fault("write", net.ErrClosed)
		case c.writeDeadline.passed:
			return written, c.fault("write", os.ErrDeadlineExceeded)
		case c.aborted:
			return written, c.fault("write", c.err)
		case c.writeShut:
			return written, c.fault("write", syscall.EPIPE)
		case written == len(b):
			return written, nil
		}
		room := c.net.options.WindowBytes - c.held
		if room <= 0 {
			c.changed.Wait()
			continue
		}
		part := b[written:min(len(b), written+room, written+payloadMax)]
		written += len(part)
		c.held += len(part)
		c.send(arrival{data: append([]byte(nil), part...)})
	}
}

// CloseWrite ends our direction: the peer reads io.EOF after what was written, and may go on writing.
func (c *tcpConn) CloseWrite() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	switch {
	case c.closed:
		return c.fault("close", net.ErrClosed)
	case c.aborted:
		return c.fault("close", syscall.ENOTCONN)
	}
	c.finish()
	c.changed.Broadcast()
	return nil
}

func (c *tcpConn) finish() {
	if !c.writeShut {
		c.writeShut = true
		c.send(arrival{fin: true})
	}
}

func (c *tcpConn) send(a arrival) {
	number := c.sent
	c.sent++
	c.net.carry(segment{
		conn: c, from: c.host, to: c.peer.host, sizeBytes: headerBytes + len(a.data),
		timeout: c.net.retransmission(c.host, c.peer.host), tries: dataTries,
		arrive: func() bool { c.peer.receive(number, a); return true },
		fail:   func() { c.abort(syscall.ETIMEDOUT) },
	})
}

// receive takes a segment from the path.
func (c *tcpConn) receive(number uint64, a arrival) {
	if c.aborted || c.closed {
		// RFC 9293 §3.10.7.1: what arrives at no connection is answered with a reset. A FIN for a connection that was closed
		// on this side too still finds it in one of the closing states.
		if c.aborted || !a.fin {
			c.sendReset()
		}
		return
	}
	c.early[number] = a
	for {
		next, ok := c.early[c.expected]
		if !ok {
			break
		}
		delete(c.early, c.expected)
		c.expected++
		switch {
		case next.fin:
			c.ended = true
		case c.readShut:
			c.acknowledge(len(next.data)) // shutdown(2) with SHUT_RD takes and drops
		default:
			c.in = append(c.in, next.data)
		}
	}
	c.changed.Broadcast()
}

// Read returns what has arrived.
func (c *tcpConn) Read(b []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.fault("read", net.ErrClosed)
		case c.readDeadline.passed:
			return 0, c.fault("read", os.ErrDeadlineExceeded)
		case len(b) == 0:
			return 0, nil
		case len(c.in) > 0:
			return c.take(b), nil
		case c.aborted:
			return 0, c.fault("read", c.err)
		case c.ended || c.readShut:
			return 0, io.EOF
		}
		c.changed.Wait()
	}
}

func (c *tcpConn) take(b []byte) (n int) {
	for n < len(b) && len(c.in) > 0 {
		k := copy(b[n:], c.in[0])
		n += k
		if c.in[0] = c.in[0][k:]; len(c.in[0]) == 0 {
			c.in[0] = nil
			c.in = c.in[1:]
		}
	}
	c.acknowledge(n)
	return n
}

// acknowledge opens the peer's window by n bytes.
func (c *tcpConn) acknowledge(n int) {
	if c.aborted || c.peer.aborted {
		return
	}
	sender := c.peer
	c.net.carry(segment{
		conn: sender, from: c.host, to: sender.host, sizeBytes: headerBytes, ack: true,
		timeout: c.net.retransmission(c.host, sender.host), tries: dataTries,
		arrive: func() bool { sender.held -= n; sender.changed.Broadcast(); return true },
		fail:   func() { sender.abort(syscall.ETIMEDOUT) },
	})
}

// CloseRead drops what has arrived and what will.
func (c *tcpConn) CloseRead() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.fault("close", net.ErrClosed)
	}
	c.readShut = true
	for _, data := range c.in {
		c.acknowledge(len(data))
	}
	c.in = nil
	c.changed.Broadcast()
	return nil
}

// Close ends both directions. What was written still goes out, unless something that arrived was never read: then the peer gets
// a reset (RFC 2525 §2.17).
func (c *tcpConn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.fault("close", net.ErrClosed)
	}
	c.closed = true
	switch {
	case c.aborted:
	case len(c.in) > 0:
		c.abort(net.ErrClosed)
	default:
		c.finish()
	}
	c.in, c.early = nil, nil
	c.readDeadline.stop()
	c.writeDeadline.stop()
	delete(c.host.conns, c)
	c.changed.Broadcast()
	return nil
}

// abort ends the connection on this side with err and tells the peer.
func (c *tcpConn) abort(err error) {
	if c.aborted {
		return
	}
	c.aborted, c.err = true, err
	delete(c.host.conns, c)
	c.changed.Broadcast()
	c.sendReset()
}

func (c *tcpConn) sendReset() {
	peer := c.peer
	if peer == nil {
		return
	}
	c.net.drop(c.host, peer.host, headerBytes, func() {
		if peer.aborted {
			return
		}
		peer.aborted, peer.err = true, syscall.ECONNRESET
		delete(peer.host.conns, peer)
		peer.changed.Broadcast()
		if peer.answer != nil {
			peer.answer(syscall.ECONNRESET)
		}
	})
}

// LocalAddr returns the end's own address.
func (c *tcpConn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr returns the peer's address.
func (c *tcpConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline sets both deadlines.
func (c *tcpConn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.readDeadline, &c.writeDeadline)
}

// SetReadDeadline bounds Reads, also those that wait already.
func (c *tcpConn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.readDeadline) }

// SetWriteDeadline bounds Writes, also those that wait already.
func (c *tcpConn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.writeDeadline) }

func (c *tcpConn) setDeadlines(t time.Time, which ...*deadline) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.fault("set", net.ErrClosed)
	}
	for _, d := range which {
		d.set(&c.net.mu, c.changed, t)
	}
	return nil
}

func (c *tcpConn) fault(op string, err error) error {
	return &net.OpError{
		Op: op, Net: "tcp", Source: net.TCPAddrFromAddrPort(c.local), Addr: net.TCPAddrFromAddrPort(c.remote), Err: systemCall(op, err),
	}
}

// systemCall puts the name of the call before an error number, as package net does.
func systemCall(call string, err error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		return os.NewSyscallError(call, err)
	}
	return err
}
