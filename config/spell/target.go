package spell

import (
	"net/netip"
	"strconv"
	"strings"
)

// Target is a set of targets of connections, at one port: an address, a prefix of addresses, or a name of a host.
type Target struct {
	Prefix netip.Prefix // zero: it is a name
	Name   string
	Port   string
}

// ParseTarget reads ADDRESS:PORT, PREFIX:PORT or NAME:PORT. Addresses of IPv6 stand in brackets, with the length of a prefix behind them. wrong is what
// can't be read; whether a name can be one it doesn't know.
func ParseTarget(text string) (t Target, wrong string) {
	i := strings.LastIndexByte(text, ':')
	host := text[:max(i, 0)]
	t.Port = text[i+1:]
	if n, err := strconv.ParseUint(t.Port, 10, 16); i < 0 || err != nil || n == 0 || strconv.FormatUint(n, 10) != t.Port {
		return t, "has no port number"
	}
	rest, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		inside, length, closed := strings.Cut(rest, "]")
		if host = inside + length; !closed {
			return t, "has a bracket that isn't closed"
		}
	}
	if p, err := netip.ParsePrefix(host); err == nil && bracketed == p.Addr().Is6() {
		t.Prefix = p
		return t, ""
	}
	if a, err := netip.ParseAddr(host); err == nil && bracketed == a.Is6() {
		t.Prefix = netip.PrefixFrom(a, a.BitLen())
		return t, ""
	}
	if t.Name = host; bracketed || host == "" || strings.ContainsAny(host, "/:") {
		return t, "has no address, prefix or name"
	}
	return t, ""
}

// Has says whether a host, by its name or address, at a port is among them.
func (t *Target) Has(host, port string) bool {
	if port != t.Port {
		return false
	}
	if at, err := netip.ParseAddr(host); err == nil {
		return t.Prefix.IsValid() && t.Prefix.Contains(at.Unmap())
	}
	return t.Name != "" && strings.EqualFold(strings.TrimSuffix(host, "."), strings.TrimSuffix(t.Name, "."))
}
