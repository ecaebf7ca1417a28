package simnet

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	datagramMax      = 65507     // 65,535 less the IPv4 and UDP headers
	receiveBytesMax  = 208 << 10 // Linux' rmem_default; what arrives at a full socket is dropped
	datagramOverhead = 64        // what the queue charges for a datagram besides its content
)

// udpConn is a UDP socket: unconnected for ReadFrom and WriteTo, connected for Read and Write as well. The network's lock
// protects it.
type udpConn struct {
	host    *Host
	local   netip.AddrPort
	remote  netip.AddrPort // zero if unconnected
	changed *sync.Cond

	queue       []datagram
	queuedBytes int
	refused     bool // the port of remote is closed; the next call says so

	readDeadline, writeDeadline deadline

	closed bool
}

type datagram struct {
	from netip.AddrPort
	data []byte
}

var (
	_ net.PacketConn = (*udpConn)(nil)
	_ net.Conn       = (*udpConn)(nil)
)

// ListenPacket opens a UDP port, as net.ListenPacket does.
func (h *Host) ListenPacket(network, address string) (net.PacketConn, error) {
	if !strings.HasPrefix(network, "udp") {
		return nil, &net.OpError{Op: "listen", Net: network, Err: net.UnknownNetworkError(network)}
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	local, err := h.net.resolve(address)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	local, err = h.bind(local, h.datagramPortUsed)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: net.UDPAddrFromAddrPort(local), Err: systemCall("bind", err)}
	}
	return h.openUDP(local, netip.AddrPort{}), nil
}

func (h *Host) dialUDP(remote netip.AddrPort) (net.Conn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	local, _, err := h.reach(remote.Addr(), h.datagramPortUsed)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "udp", Addr: net.UDPAddrFromAddrPort(remote), Err: systemCall("connect", err)}
	}
	return h.openUDP(local, remote), nil
}

func (h *Host) datagramPortUsed(a netip.AddrPort) bool {
	_, taken := h.datagrams[a]
	return taken
}

func (h *Host) openUDP(local, remote netip.AddrPort) *udpConn {
	u := &udpConn{host: h, local: local, remote: remote, changed: sync.NewCond(&h.net.mu)}
	h.datagrams[local] = u
	return u
}

// WriteTo sends b to addr. That nil is returned says nothing about arrival.
func (u *udpConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if u.remote.IsValid() {
		return 0, u.fault("write", net.ErrWriteToConnected)
	}
	var to netip.AddrPort
	if a, ok := addr.(*net.UDPAddr); ok {
		to = a.AddrPort()
	} else {
		var err error
		if to, err = netip.ParseAddrPort(addr.String()); err != nil {
			return 0, u.fault("write", &net.AddrError{Err: "not an address and port", Addr: addr.String()})
		}
	}
	return u.send(b, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
}

// Write sends b to the address that was dialled.
func (u *udpConn) Write(b []byte) (int, error) {
	if !u.remote.IsValid() {
		return 0, u.fault("write", syscall.EDESTADDRREQ)
	}
	return u.send(b, u.remote)
}

func (u *udpConn) send(b []byte, to netip.AddrPort) (int, error) {
	h, n := u.host, u.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	source := netip.AddrPortFrom(u.local.Addr(), u.local.Port())
	if source.Addr().IsUnspecified() {
		addr, ok := h.source(to.Addr())
		if !ok {
			return 0, u.fault("write", syscall.ENETUNREACH)
		}
		source = netip.AddrPortFrom(addr, source.Port())
	}
	switch {
	case u.closed:
		return 0, u.fault("write", net.ErrClosed)
	case u.writeDeadline.passed:
		return 0, u.fault("write", os.ErrDeadlineExceeded)
	case u.refused:
		u.refused = false
		return 0, u.fault("write", syscall.ECONNREFUSED)
	case len(b) > datagramMax:
		return 0, u.fault("write", syscall.EMSGSIZE)
	}
	host := n.route(h, to.Addr())
	if host == nil {
		return 0, u.fault("write", syscall.EHOSTUNREACH)
	}
	sizeBytes := len(b) + 28 // IPv4 and UDP headers
	if to.Addr().Is6() {
		sizeBytes += 20
	}
	p := n.path(h, host)
	queueMax := p.link.QueueBytes
	if queueMax == 0 {
		queueMax = 256 << 10
	}
	if mtu := p.link.MTUBytes; mtu > 0 && sizeBytes > mtu || p.backlog(time.Now())+int64(sizeBytes) > queueMax {
		return len(b), nil
	}
	d := datagram{from: source, data: append([]byte(nil), b...)}
	n.drop(h, host, sizeBytes, func() { host.receive(to, d) })
	return len(b), nil
}

// receive takes a datagram from the path.
func (h *Host) receive(to netip.AddrPort, d datagram) {
	u, ok := find(h.datagrams, to)
	if !ok {
		h.unreachable(to, d.from)
		return
	}
	charge := len(d.data) + datagramOverhead
	if u.remote.IsValid() && u.remote != d.from || u.queuedBytes+charge > receiveBytesMax {
		return
	}
	u.queue = append(u.queue, d)
	u.queuedBytes += charge
	u.changed.Broadcast()
}

// unreachable tells a connected sender that nobody is at the port (RFC 1122 §4.1.3.1, ICMP port unreachable).
func (h *Host) unreachable(port, sender netip.AddrPort) {
	back := h.net.route(h, sender.Addr())
	if back == nil {
		return
	}
	h.net.drop(h, back, 56, func() {
		if u, ok := back.datagrams[sender]; ok && u.remote == port {
			u.refused = true
			u.changed.Broadcast()
		}
	})
}

// ReadFrom returns the next datagram; what doesn't fit in b is lost.
func (u *udpConn) ReadFrom(b []byte) (int, net.Addr, error) {
	mu := &u.host.net.mu
	mu.Lock()
	defer mu.Unlock()
	for {
		switch {
		case u.closed:
			return 0, nil, u.fault("read", net.ErrClosed)
		case u.readDeadline.passed:
			return 0, nil, u.fault("read", os.ErrDeadlineExceeded)
		case u.refused:
			u.refused = false
			return 0, nil, u.fault("read", syscall.ECONNREFUSED)
		case len(u.queue) > 0:
			d := u.queue[0]
			u.queue[0] = datagram{}
			u.queue = u.queue[1:]
			u.queuedBytes -= len(d.data) + datagramOverhead
			return copy(b, d.data), net.UDPAddrFromAddrPort(d.from), nil
		}
		u.changed.Wait()
	}
}

// Read is ReadFrom without the sender.
func (u *udpConn) Read(b []byte) (int, error) {
	n, _, err := u.ReadFrom(b)
	return n, err
}

// Close frees the port; what is under way to it is lost.
func (u *udpConn) Close() error {
	u.host.net.mu.Lock()
	defer u.host.net.mu.Unlock()
	if u.closed {
		return u.fault("close", net.ErrClosed)
	}
	u.close()
	return nil
}

func (u *udpConn) close() {
	u.closed = true
	u.queue = nil
	delete(u.host.datagrams, u.local)
	u.readDeadline.stop()
	u.writeDeadline.stop()
	u.changed.Broadcast()
}

// LocalAddr returns the socket's own address.
func (u *udpConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(u.local) }

// RemoteAddr returns the address that was dialled, or nil.
func (u *udpConn) RemoteAddr() net.Addr {
	if !u.remote.IsValid() {
		return nil
	}
	return net.UDPAddrFromAddrPort(u.remote)
}

// SetDeadline sets both deadlines.
func (u *udpConn) SetDeadline(t time.Time) error {
	return u.setDeadlines(t, &u.readDeadline, &u.writeDeadline)
}

// SetReadDeadline bounds reads, also those that wait already.
func (u *udpConn) SetReadDeadline(t time.Time) error { return u.setDeadlines(t, &u.readDeadline) }

// SetWriteDeadline bounds writes; they never wait, so that only one in the past has an effect.
func (u *udpConn) SetWriteDeadline(t time.Time) error { return u.setDeadlines(t, &u.writeDeadline) }

func (u *udpConn) setDeadlines(t time.Time, which ...*deadline) error {
	mu := &u.host.net.mu
	mu.Lock()
	defer mu.Unlock()
	if u.closed {
		return u.fault("set", net.ErrClosed)
	}
	for _, d := range which {
		d.set(mu, u.changed, t)
	}
	return nil
}

func (u *udpConn) fault(op string, err error) error {
	e := &net.OpError{Op: op, Net: "udp", Source: net.UDPAddrFromAddrPort(u.local), Err: systemCall(op, err)}
	if u.remote.IsValid() {
		e.Addr = net.UDPAddrFromAddrPort(u.remote)
	}
	return e
}
