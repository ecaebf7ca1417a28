package dns

import (
	"net/netip"

	"github.com/wherry/wherry/mapper"
)

// client is who a query is answered for.
type client struct {
	mapper.Client
	resolver netip.Addr
	// private is the length of the private block that the client subnet lies in, if it was ignored for that; else 0.
	private int
	// declared is the scope within which that block has no declared prefix.
	declared int
}

// place decides whose address counts: the client subnet's if there is one (RFC 7871 §7.2.1), else the resolver's.
func (x *exchange) place(from netip.Addr) {
	from = from.Unmap().WithZone("")
	c := client{resolver: from, Client: mapper.Client{Prefix: netip.PrefixFrom(from, from.BitLen())}}
	if x.query.hasSubnet && x.query.subnet.prefix.IsValid() {
		network := x.query.subnet.prefix
		c.private = privateBits(network)
		if c.private > 0 {
			var declared bool
			if _, _, c.declared, declared = x.view.m.Declared(network); declared {
				c.private = 0
			}
		}
		if c.private == 0 {
			c.Prefix = network
		}
	}
	if locate := x.server.options.Locate; locate != nil {
		// Where a declared prefix decides, nobody needs to know the place.
		if _, _, _, ok := x.view.m.Declared(c.Prefix); !ok {
			c.Location, c.Located = locate(c.Prefix.Addr().Unmap())
		}
	}
	x.client = c
}

// setScope says to which part of the client's network an answer by r applies (RFC 7871 §7.2.1).
func (x *exchange) setScope(r *mapper.Ranking) {
	s := &x.query.subnet
	if !x.query.hasSubnet || !s.prefix.IsValid() || r.Scope == 0 {
		return // an answer that is the same for all, or for all who tell nothing
	}
	scope := r.Scope
	if x.client.private > 0 {
		scope = max(x.client.private, x.client.declared)
	} else if s.prefix.Addr().Is4In6() && s.prefix.Bits() >= 96 {
		scope += 96 // mapper took it for the IPv4 network that it is
	}
	x.reply.scope = scope
}

// privateBits returns the length of the block of private addresses that network lies in, or 0. Such a subnet says nothing to a
// server on the public Internet (RFC 7871 §10), unless its operator has declared it.
func privateBits(network netip.Prefix) int {
	a := network.Addr()
	bits := 0
	switch {
	case a.Is4() && a.IsLoopback():
		bits = 8 // RFC 6890 §2.2.2
	case a.Is4() && a.IsLinkLocalUnicast():
		bits = 16 // RFC 3927 §2.1
	case a.Is4() && a.IsPrivate():
		switch a.As4()[0] { // RFC 1918 §3
		case 10:
			bits = 8
		case 172:
			bits = 12
		default:
			bits = 16
		}
	case a.Is6() && a.IsPrivate():
		bits = 7 // RFC 4193 §3.1
	case a.Is6() && a.IsLinkLocalUnicast():
		bits = 10 // RFC 4291 §2.4
	case a.Is6() && a.IsLoopback():
		bits = 128
	}
	if bits > network.Bits() {
		return 0 // wider than the block
	}
	return bits
}
