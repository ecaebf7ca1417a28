package dns

import (
	"encoding/binary"
	"net/netip"

	miekg "github.com/miekg/dns"
)

// subnet is an EDNS Client Subnet option (RFC 7871 §6):
//
//	FAMILY (2) | SOURCE PREFIX-LENGTH (1) | SCOPE PREFIX-LENGTH (1) | ADDRESS (as many octets as the source needs)
type subnet struct {
	raw    [4 + 16]byte // as it came, to be given back
	size   int
	prefix netip.Prefix // the client's network; invalid if the resolver keeps it to itself
}

const (
	familyIPv4 = 1
	familyIPv6 = 2
)

// parse reads the option of a query; false means FORMERR.
func (s *subnet) parse(b []byte) bool {
	if len(b) < 4 || len(b) > len(s.raw) {
		return false
	}
	s.size = copy(s.raw[:], b)
	s.prefix = netip.Prefix{}
	bits := int(b[2])
	if b[3] != 0 {
		return false // §6: the scope is 0 in queries
	}
	var addr netip.Addr
	switch binary.BigEndian.Uint16(b) {
	case 0: // what dig +subnet=0 sends
		return bits == 0 && len(b) == 4
	case familyIPv4:
		if bits > 32 || len(b) > 4+4 {
			return false
		}
		addr = netip.AddrFrom4([4]byte(s.padded(len(b))[:4]))
	case familyIPv6:
		if bits > 128 {
			return false
		}
		addr = netip.AddrFrom16([16]byte(s.padded(len(b))))
	default:
		return false
	}
	if len(b) != 4+(bits+7)/8 {
		return false // §6: as many octets as the length needs, no more
	}
	p := netip.PrefixFrom(addr, bits)
	if p.Masked() != p {
		return false // §6: no bits behind the length
	}
	if bits > 0 {
		s.prefix = p // §7.1.2: a length of 0 means that the client's address is not to be used
	}
	return true
}

// padded returns the address with zeros behind the option's size octets.
func (s *subnet) padded(size int) []byte {
	clear(s.raw[size:])
	return s.raw[4:]
}

// append appends the option for an answer: all as it came (§11.2), but with the scope.
func (s *subnet) append(b []byte, scope int) []byte {
	b = binary.BigEndian.AppendUint16(b, miekg.EDNS0SUBNET)
	b = binary.BigEndian.AppendUint16(b, uint16(s.size))
	at := len(b)
	b = append(b, s.raw[:s.size]...)
	b[at+3] = byte(scope)
	return b
}
