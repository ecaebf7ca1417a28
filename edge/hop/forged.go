package hop

import (
	"net/http"
	"net/netip"
)

// RemoveForgeries removes what proxies tell origins and clients may forge.
func RemoveForgeries(h http.Header, method string) {
	for name := range h {
		if Forged(name) || (method == http.MethodGet || method == http.MethodHead) && OverridesMethod(name) {
			delete(h, name)
		}
	}
}

// ClientAddr returns the address in an ADDRESS:PORT, without the IPv6 form of IPv4.
func ClientAddr(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
