package simnet

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Options shape a Network. The zero value is a perfect network: no latency, no loss, unlimited rate.
type Options struct {
	// Seed makes the chances of loss and jitter repeatable.
	Seed uint64
	// Link is between any two hosts for which SetLink says nothing else.
	Link Link
	// WindowBytes is how much one direction of a TCP connection may hold that its reader hasn't read. default: 256 KiB
	WindowBytes int
}

// Network is a set of hosts that reach each other. Make it in the synctest bubble that uses it.
type Network struct {
	options Options

	mu     sync.Mutex // protects everything that follows, and all that hosts, sockets and paths hold
	agenda agenda
	hosts  map[string]*Host
	owners map[netip.Addr]*Host
	paths  map[[2]*Host]*path
}

// New returns a network without hosts.
func New(o Options) *Network {
	if o.WindowBytes == 0 {
		o.WindowBytes = 256 << 10
	}
	return &Network{options: o, hosts: map[string]*Host{}, owners: map[netip.Addr]*Host{}, paths: map[[2]*Host]*path{}}
}

// Host adds a machine called name that has the addresses; without any it gets the next of 10.0.0.0/8. A name resolves to its
// host's addresses. It panics if the name or an address is taken, because then the test is wrong.
func (n *Network) Host(name string, addrs ...netip.Addr) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts[name] != nil {
		panic("BUG: simnet: two hosts are called " + name)
	}
	if len(addrs) == 0 {
		i := len(n.hosts) + 1
		addrs = []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}
	}
	h := &Host{
		name: name, net: n, nextPort: firstEphemeralPort,
		listeners: map[netip.AddrPort]*listener{}, datagrams: map[netip.AddrPort]*udpConn{}, conns: map[*tcpConn]struct{}{},
	}
	for _, a := range addrs {
		a = a.Unmap()
		if n.owners[a] != nil {
			panic(fmt.Sprintf("BUG: simnet: %s and %s both have the address %s", n.owners[a].name, name, a))
		}
		n.owners[a] = h
		h.addrs = append(h.addrs, a)
	}
	n.hosts[name] = h
	return h
}

// SetLink puts l between a and b, in both directions, from now on; what is under way arrives as it would have.
func (n *Network) SetLink(a, b *Host, l Link) {
	n.SetPath(a, b, l)
	n.SetPath(b, a, l)
}

// SetPath is SetLink for one direction.
func (n *Network) SetPath(from, to *Host, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.path(from, to).link = l
}

// Cut drops everything between a and b until Heal. TCP goes on trying and finds the way again after a Heal.
func (n *Network) Cut(a, b *Host) { n.setCut(a, b, true) }

// Heal undoes Cut.
func (n *Network) Heal(a, b *Host) { n.setCut(a, b, false) }

func (n *Network) setCut(a, b *Host, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.path(a, b).cut, n.path(b, a).cut = cut, cut
}

// route returns the host that gets a packet which from sends to dst, or nil. Loopback addresses that nobody was given are each
// host's own.
func (n *Network) route(from *Host, dst netip.Addr) *Host {
	if h := n.owners[dst]; h != nil {
		return h
	}
	if dst.IsLoopback() {
		return from
	}
	return nil
}

// resolve reads HOST:PORT, where HOST is an address, a host's name or empty for the unspecified address.
func (n *Network) resolve(address string) (netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return netip.AddrPort{}, &net.AddrError{Err: "invalid port", Addr: address}
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case host == "":
		addr = netip.IPv6Unspecified()
	case err == nil:
	case n.hosts[host] != nil:
		addr = n.hosts[host].addrs[0]
	case host == "localhost":
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		return netip.AddrPort{}, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}

// Host is one machine with a process on it.
type Host struct {
	name  string
	net   *Network
	addrs []netip.Addr

	// What follows is protected by net.mu.
	listeners  map[netip.AddrPort]*listener
	datagrams  map[netip.AddrPort]*udpConn
	conns      map[*tcpConn]struct{} // not yet closed or reset
	nextPort   uint16
	dead       bool // the process was killed: it can open nothing
	blackholed bool
}

const firstEphemeralPort = 49152 // RFC 6335 §6

// Name returns what the host is called.
func (h *Host) Name() string { return h.name }

// Addrs returns a copy of the host's addresses.
func (h *Host) Addrs() []netip.Addr { return append([]netip.Addr(nil), h.addrs...) }

// Kill ends the host's process as SIGKILL does: its sockets are gone, its connections are reset, its ports refuse. Goroutines of
// the test that belong to the process find their sockets closed and can open none until Restart.
func (h *Host) Kill() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.dead = true
	for _, l := range h.listeners {
		l.close()
	}
	for _, u := range h.datagrams {
		u.close()
	}
	// In one order, because each reset draws from its path's chances.
	byPorts := func(a, b *tcpConn) int { return cmp.Or(a.local.Compare(b.local), a.remote.Compare(b.remote)) }
	for _, c := range slices.SortedFunc(maps.Keys(h.conns), byPorts) {
		c.closed = true
		c.abort(net.ErrClosed)
	}
}

// Restart lets the process of a killed host open sockets again.
func (h *Host) Restart() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.dead = false
}

// Blackhole drops everything between the host and all others, as if its cable were pulled: nobody gets an answer, not even a
// refusal. The process on it lives on.
func (h *Host) Blackhole() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.blackholed = true
}

// Heal undoes Blackhole.
func (h *Host) Heal() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.blackholed = false
}

// bind checks that the process may use local and fills in an ephemeral port for port 0. used says which are taken.
func (h *Host) bind(local netip.AddrPort, used func(netip.AddrPort) bool) (netip.AddrPort, error) {
	if h.dead {
		return local, net.ErrClosed
	}
	if addr := local.Addr(); !addr.IsUnspecified() && h.net.route(h, addr) != h {
		return local, syscall.EADDRNOTAVAIL
	}
	if local.Port() != 0 {
		if used(local) {
			return local, syscall.EADDRINUSE
		}
		return local, nil
	}
	for range 1<<16 - firstEphemeralPort {
		candidate := netip.AddrPortFrom(local.Addr(), h.nextPort)
		if h.nextPort++; h.nextPort < firstEphemeralPort {
			h.nextPort = firstEphemeralPort
		}
		if !used(candidate) {
			return candidate, nil
		}
	}
	return local, syscall.EADDRNOTAVAIL
}

// source returns the address from which the host sends to dst: dst itself for its own ones, else the first of the same family.
func (h *Host) source(dst netip.Addr) (netip.Addr, bool) {
	if h.net.route(h, dst) == h {
		return dst, true
	}
	for _, a := range h.addrs {
		if a.Is4() == dst.Is4() {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// find returns the socket at dst: one bound to the very address, else one bound to all addresses.
func find[S any](sockets map[netip.AddrPort]S, dst netip.AddrPort) (S, bool) {
	for _, a := range []netip.Addr{dst.Addr(), netip.IPv6Unspecified(), netip.IPv4Unspecified()} {
		if s, ok := sockets[netip.AddrPortFrom(a, dst.Port())]; ok && (a != netip.IPv4Unspecified() || dst.Addr().Is4()) {
			return s, true
		}
	}
	var none S
	return none, false
}

// after runs do, with mu held, when d has passed; at once if d is 0.
func (n *Network) after(d time.Duration, do func()) {
	if d <= 0 {
		do()
		return
	}
	n.agenda.add(time.Now().Add(d), do)
	n.arm()
}
