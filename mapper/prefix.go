package mapper

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// prefixTable finds the longest declared prefix of an address. The address space is cut into stretches inside which the
// longest prefix is the same:
//
//	declared    |---------- 10.0.0.0/8 ----------|
//	                  |- 10.1.0.0/16 -|
//	starts   0  10.0  10.1            10.2        11.0
//	owner    -   /8    /16             /8          -
//
// A look-up is one binary search; the stretch's neighbours bound the network that shares the answer.
type prefixTable struct {
	starts   []netip.Addr // sorted; the first is the family's lowest address
	owner    []int        // index in declared, or -1
	declared []declaredPrefix
}

type declaredPrefix struct {
	prefix  netip.Prefix
	cluster int
	parent  int // the next shorter declared prefix around it, or -1
}

func newPrefixTable(lowest netip.Addr, declared []declaredPrefix) prefixTable {
	slices.SortStableFunc(declared, func(a, b declaredPrefix) int {
		if c := a.prefix.Addr().Compare(b.prefix.Addr()); c != 0 {
			return c
		}
		return a.prefix.Bits() - b.prefix.Bits()
	})
	// The configuration refuses a prefix that two clusters declare; should one come by, the first counts.
	declared = slices.CompactFunc(declared, func(a, b declaredPrefix) bool { return a.prefix == b.prefix })
	t := prefixTable{declared: declared}
	t.cut(lowest, -1)
	var open []int // the prefixes around the current address, outermost first
	closeLast := func() {
		last := open[len(open)-1]
		open = open[:len(open)-1]
		if next := lastAddr(declared[last].prefix).Next(); next.IsValid() {
			t.cut(next, declared[last].parent)
		}
	}
	for i := range declared {
		for len(open) > 0 && !declared[open[len(open)-1]].prefix.Contains(declared[i].prefix.Addr()) {
			closeLast()
		}
		declared[i].parent = -1
		if len(open) > 0 {
			declared[i].parent = open[len(open)-1]
		}
		t.cut(declared[i].prefix.Addr(), i)
		open = append(open, i)
	}
	for len(open) > 0 {
		closeLast()
	}
	return t
}

// cut begins a stretch. One that begins where the last one did replaces it: it is the longer prefix there, or what follows
// several prefixes that end together.
func (t *prefixTable) cut(start netip.Addr, owner int) {
	if n := len(t.starts); n > 0 && t.starts[n-1] == start {
		t.owner[n-1] = owner
		return
	}
	t.starts = append(t.starts, start)
	t.owner = append(t.owner, owner)
}

// lookup returns the longest declared prefix that covers the whole of network, or -1, and the shortest length of a network
// around its first address inside which this holds for every address (RFC 7871 §7.2.1: overlapping prefixes must be taken
// apart, or a resolver would give the answer for the shorter to clients of the longer).
func (t *prefixTable) lookup(network netip.Prefix) (owner, scope int) {
	addr := network.Addr()
	i, found := slices.BinarySearchFunc(t.starts, addr, netip.Addr.Compare)
	if !found {
		i--
	}
	if i > 0 {
		scope = commonBits(addr, t.starts[i].Prev()) + 1
	}
	if i+1 < len(t.starts) {
		scope = max(scope, commonBits(addr, t.starts[i+1])+1)
	}
	owner = t.owner[i]
	for owner >= 0 && t.declared[owner].prefix.Bits() > network.Bits() {
		owner = t.declared[owner].parent
	}
	return owner, scope
}

// commonBits returns how many leading bits a and b, of one family, share.
func commonBits(a, b netip.Addr) int {
	if a.Is4() {
		a4, b4 := a.As4(), b.As4()
		return bits.LeadingZeros32(binary.BigEndian.Uint32(a4[:]) ^ binary.BigEndian.Uint32(b4[:]))
	}
	a16, b16 := a.As16(), b.As16()
	if n := bits.LeadingZeros64(binary.BigEndian.Uint64(a16[:8]) ^ binary.BigEndian.Uint64(b16[:8])); n < 64 {
		return n
	}
	return 64 + bits.LeadingZeros64(binary.BigEndian.Uint64(a16[8:])^binary.BigEndian.Uint64(b16[8:]))
}

// lastAddr returns the highest address of p.
func lastAddr(p netip.Prefix) netip.Addr {
	raw := p.Addr().AsSlice()
	for i := p.Bits(); i < len(raw)*8; i++ {
		raw[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(raw)
	return last
}

// unmap returns p masked, and as IPv4 if it lies inside ::ffff:0:0/96.
func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// family returns 0 for IPv4 and 1 for IPv6.
func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// spreadBits is how much of a client's address counts when nothing else is known of it: as much as resolvers pass on by
// default (RFC 7871 §11.1).
func spreadBits(a netip.Addr) int {
	if a.Is4() {
		return 24
	}
	return 56
}
