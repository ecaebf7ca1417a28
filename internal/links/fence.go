package links

import (
	"net"
	"net/netip"
	"sync/atomic"
)

// Fence is a UDP socket of a lab: it loses what goes to some addresses and comes from them, as a network does whose line is cut.
type Fence struct {
	net.PacketConn
	cut atomic.Pointer[fenced] // nil: all passes
}

// fenced is what doesn't pass.
type fenced struct {
	all   bool
	these map[netip.AddrPort]bool
}

// NewFence puts a fence before a socket. Nothing is cut yet.
func NewFence(conn net.PacketConn) *Fence { return &Fence{PacketConn: conn} }

// Cut loses all packets, or those of some addresses. What was cut before and isn't named is healed.
func (f *Fence) Cut(all bool, these []netip.AddrPort) {
	if !all && len(these) == 0 {
		f.cut.Store(nil)
		return
	}
	c := &fenced{all: all, these: map[netip.AddrPort]bool{}}
	for _, at := range these {
		c.these[at] = true
	}
	f.cut.Store(c)
}

func (f *Fence) loses(at net.Addr) bool {
	c := f.cut.Load()
	if c == nil || c.all {
		return c != nil
	}
	u, ok := at.(*net.UDPAddr)
	if !ok {
		return false
	}
	ap := u.AddrPort()
	return c.these[netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())]
}

// ReadFrom implements net.PacketConn.
func (f *Fence) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := f.PacketConn.ReadFrom(p)
		if err != nil || !f.loses(from) {
			return n, from, err
		}
	}
}

// WriteTo implements net.PacketConn.
func (f *Fence) WriteTo(p []byte, to net.Addr) (int, error) {
	if f.loses(to) {
		return len(p), nil // it is lost on its way
	}
	return f.PacketConn.WriteTo(p, to)
}
