package simnet

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	backlogMax = 1024              // connections that wait for Accept; the next SYN is dropped, as Linux does
	synTimeout = time.Second       // RFC 6298 §2.1
	synTries   = 7                 // the first one and Linux' tcp_syn_retries
	dialMax    = 127 * time.Second // what those tries add up to
)

// listener hands out the connections that arrived. The network's lock protects it.
type listener struct {
	host    *Host
	local   netip.AddrPort
	waiting []*tcpConn
	changed *sync.Cond
	closed  bool
}

var _ net.Listener = (*listener)(nil)

// Listen opens a TCP port, as net.Listen does. An empty host means all of the host's addresses.
func (h *Host) Listen(network, address string) (net.Listener, error) {
	if !strings.HasPrefix(network, "tcp") {
		return nil, &net.OpError{Op: "listen", Net: network, Err: net.UnknownNetworkError(network)}
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	local, err := h.net.resolve(address)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	local, err = h.bind(local, func(a netip.AddrPort) bool { _, taken := h.listeners[a]; return taken })
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: net.TCPAddrFromAddrPort(local), Err: systemCall("bind", err)}
	}
	l := &listener{host: h, local: local, changed: sync.NewCond(&h.net.mu)}
	h.listeners[local] = l
	return l, nil
}

// Accept waits for a connection.
func (l *listener) Accept() (net.Conn, error) {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	for !l.closed && len(l.waiting) == 0 {
		l.changed.Wait()
	}
	if l.closed {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	c := l.waiting[0]
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
	return c, nil
}

// Close stops listening; connections that nobody accepted are reset.
func (l *listener) Close() error {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	if l.closed {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	l.close()
	return nil
}

func (l *listener) close() {
	l.closed = true
	delete(l.host.listeners, l.local)
	for _, c := range l.waiting {
		c.closed = true
		c.abort(net.ErrClosed)
	}
	l.waiting = nil
	l.changed.Broadcast()
}

// Addr returns where it listens.
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.local) }

// DialContext connects to an address, which may name a host, as net.Dialer's does: it fits http.Transport and DNS clients.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	h.net.mu.Lock()
	remote, err := h.net.resolve(address)
	h.net.mu.Unlock()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	if remote.Addr().IsUnspecified() {
		remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), remote.Port())
	}
	switch {
	case strings.HasPrefix(network, "tcp"):
		return h.dialTCP(ctx, remote)
	case strings.HasPrefix(network, "udp"):
		return h.dialUDP(remote)
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: net.UnknownNetworkError(network)}
}

// reach returns the local end for a connection to remote and the host that has it.
func (h *Host) reach(remote netip.Addr, used func(netip.AddrPort) bool) (netip.AddrPort, *Host, error) {
	addr, ok := h.source(remote)
	if !ok {
		return netip.AddrPort{}, nil, syscall.ENETUNREACH
	}
	to := h.net.route(h, remote)
	if to == nil {
		return netip.AddrPort{}, nil, syscall.EHOSTUNREACH
	}
	local, err := h.bind(netip.AddrPortFrom(addr, 0), used)
	return local, to, err
}

func (h *Host) dialTCP(ctx context.Context, remote netip.AddrPort) (net.Conn, error) {
	fault := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(remote), Err: systemCall("connect", err)}
	}
	answered := make(chan error, 1)
	h.net.mu.Lock()
	local, to, err := h.reach(remote.Addr(), func(a netip.AddrPort) bool { _, taken := h.listeners[a]; return taken })
	if err != nil {
		h.net.mu.Unlock()
		return nil, fault(err)
	}
	c := newTCPConn(h, local, remote)
	c.answer = func(err error) {
		select {
		case answered <- err:
		default: // only the first answer counts
		}
	}
	c.knock(to)
	h.net.mu.Unlock()

	silence := time.NewTimer(dialMax)
	defer silence.Stop()
	select {
	case <-silence.C:
		err = syscall.ETIMEDOUT
	case err = <-answered:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		return c, nil
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	c.closed = true
	c.abort(net.ErrClosed)
	return nil, fault(err)
}

// knock sends the SYN; c.answer hears whether the connection stands.
func (c *tcpConn) knock(to *Host) {
	n := c.net
	n.carry(segment{
		conn: c, from: c.host, to: to, sizeBytes: headerBytes, timeout: synTimeout, tries: synTries,
		fail: func() {}, // the caller gives up by itself
		arrive: func() bool {
			l, ok := find(to.listeners, c.remote)
			switch {
			case !ok:
				n.drop(to, c.host, headerBytes, func() { c.answer(syscall.ECONNREFUSED) })
				return true
			case len(l.waiting) >= backlogMax:
				return false
			}
			l.welcome(c)
			return true
		},
	})
}

// welcome makes the other end of client, sends the SYN and ACK back and queues the connection for Accept.
func (l *listener) welcome(client *tcpConn) {
	server := newTCPConn(l.host, client.remote, client.local)
	server.peer, client.peer = client, server
	l.host.net.carry(segment{
		conn: server, from: l.host, to: client.host, sizeBytes: headerBytes, timeout: synTimeout, tries: synTries,
		arrive: func() bool {
			if client.aborted {
				client.sendReset() // whoever dialled left meanwhile
			}
			client.answer(nil)
			return true
		},
		fail: func() { server.abort(syscall.ETIMEDOUT) },
	})
	l.waiting = append(l.waiting, server)
	l.changed.Broadcast()
}
