package socket

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// The ports that sockets get which don't ask for one (net.ipv4.ip_local_port_range).
const (
	portFirst = 32768
	portLast  = 60999
)

// address is a socket's: a path, or an address and a port.
type address struct {
	family uint16
	port   uint16
	ip     [16]byte // of AF_INET the first four
	path   string   // of AF_UNIX; one that begins with a 0 is abstract, an empty one is no name
}

const (
	unixPathMax  = 108 // sun_path
	sockaddr4    = 16
	sockaddr6    = 28
	sockaddrUnix = 2
)

// parseAddress reads a struct sockaddr.
func parseAddress(b []byte) (a address, e abi.Errno) {
	if len(b) < 2 {
		return a, abi.EINVAL
	}
	a.family = binary.LittleEndian.Uint16(b)
	switch a.family {
	case abi.AF_UNIX:
		if len(b) > sockaddrUnix+unixPathMax {
			return a, abi.EINVAL
		}
		a.path = string(b[sockaddrUnix:])
		if a.path != "" && a.path[0] != 0 {
			a.path, _, _ = strings.Cut(a.path, "\x00")
		}
	case abi.AF_INET:
		if len(b) < sockaddr4 {
			return a, abi.EINVAL
		}
		a.port = binary.BigEndian.Uint16(b[2:])
		copy(a.ip[:4], b[4:])
	case abi.AF_INET6:
		if len(b) < sockaddr6-4 { // without the scope (RFC 2133's form)
			return a, abi.EINVAL
		}
		a.port = binary.BigEndian.Uint16(b[2:])
		copy(a.ip[:], b[8:24])
	default:
		return a, abi.EAFNOSUPPORT
	}
	return a, 0
}

// bytes makes a struct sockaddr.
func (a *address) bytes() []byte {
	b := binary.LittleEndian.AppendUint16(nil, a.family)
	switch a.family {
	case abi.AF_UNIX:
		b = append(b, a.path...)
		if a.path != "" && a.path[0] != 0 {
			b = append(b, 0)
		}
	case abi.AF_INET:
		b = append(binary.BigEndian.AppendUint16(b, a.port), a.ip[:4]...)
		b = append(b, make([]byte, sockaddr4-len(b))...)
	default:
		b = append(binary.BigEndian.AppendUint16(b, a.port), 0, 0, 0, 0)
		b = append(append(b, a.ip[:]...), 0, 0, 0, 0)
	}
	return b
}

// addr is the IP address; one of IPv4 that is written as IPv6 is IPv4.
func (a *address) addr() netip.Addr {
	if a.family == abi.AF_INET {
		return netip.AddrFrom4([4]byte(a.ip[:4]))
	}
	return netip.AddrFrom16(a.ip).Unmap()
}

// as is the same address in the words of another family.
func (a *address) as(family uint16) address {
	b := *a
	if a.family == abi.AF_INET && family == abi.AF_INET6 {
		b.family, b.ip = family, netip.AddrFrom4([4]byte(a.ip[:4])).As16()
	}
	return b
}

func (a *address) any() bool      { return a.addr().IsUnspecified() }
func (a *address) loopback() bool { return a.addr().IsLoopback() }

func (a *address) setLoopback() {
	if a.ip = [16]byte{127, 0, 0, 1}; a.family == abi.AF_INET6 {
		a.ip = netip.IPv6Loopback().As16()
	}
}

// setAddr has it be an address of IPv4, in the words of its family.
func (a *address) setAddr(ip netip.Addr) {
	if a.ip = ip.As16(); a.family == abi.AF_INET {
		a.ip = [16]byte{}
		copy(a.ip[:], ip.AsSlice())
	}
}

// overlaps says whether two sockets that are bound to one port stand in each other's way.
func (a *address) overlaps(only6 bool, b *address, bOnly6 bool) bool {
	if a.family != b.family && (only6 || bOnly6) {
		return false
	}
	return a.any() || b.any() || a.addr() == b.addr()
}

// reaches says whether who connects to a gets to who listens at b.
func (a *address) reaches(b *address, only6 bool) bool {
	switch {
	case a.family == abi.AF_UNIX:
		return a.path != "" && a.path == b.path
	case a.port != b.port:
		return false
	case a.any() || a.loopback() && b.any():
		return a.addr().Is6() == b.addr().Is6() || b.family == abi.AF_INET6 && !only6 && b.any()
	}
	return a.addr() == b.addr()
}

// hex5 is the name that Linux gives to a socket which binds to none.
func hex5(n uint64) string {
	const digits = "0123456789abcdef"
	b := make([]byte, 5)
	for i := range b {
		b[i] = digits[n>>(4*(4-i))&15]
	}
	return string(b)
}
