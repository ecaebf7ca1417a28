package policy

import (
	"net/netip"
	"strings"

	"github.com/wherry/wherry/config"
)

// ParseHost checks the authority that a client sent (RFC 9110 §7.2) and returns its host as config.CanonicalHost does, without
// allocating for a name in lower case. Names are the letters, digits, hyphens, underscores and dots that DNS hosts use; other
// registered names of RFC 3986 §3.2.2 lead to no site.
func ParseHost(authority string) (config.Host, bool) {
	host := authority
	if strings.HasPrefix(authority, "[") {
		end := strings.IndexByte(authority, ']')
		if end < 0 || !validPort(authority[end+1:]) || !validIPv6(authority[1:end]) {
			return "", false
		}
		return config.Host(strings.ToLower(authority[1:end])), true
	}
	if i := strings.IndexByte(authority, ':'); i >= 0 {
		if !validPort(authority[i:]) {
			return "", false
		}
		host = authority[:i]
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 || host[0] == '.' || strings.Contains(host, "..") || strings.HasSuffix(host, ".") {
		return "", false
	}
	for i := range len(host) {
		c := host[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return "", false
		}
	}
	return config.Host(strings.ToLower(host)), true
}

// validPort says whether s is empty or a colon with a port; RFC 3986 §3.2.3 allows the port to be empty.
func validPort(s string) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' || len(s) > len(":65535") {
		return false
	}
	port := 0
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return false
		}
		port = port*10 + int(c-'0')
	}
	return port <= 65535
}

// validIPv6 says whether s is an IPv6 address without a zone, which has no meaning outside of the client's machine.
func validIPv6(s string) bool {
	addr, err := netip.ParseAddr(s)
	return err == nil && addr.Is6() && addr.Zone() == ""
}

// ExampleHost returns a host that a site claims, rather one that it names than one that a pattern matches.
func ExampleHost(patterns []config.HostPattern) string {
	for _, p := range patterns {
		if !strings.Contains(string(p), "*") {
			return string(p)
		}
	}
	if len(patterns) == 0 {
		return ""
	}
	if below, ok := strings.CutPrefix(string(patterns[0]), "*."); ok {
		return "synthetic." + below
	}
	return "synthetic.invalid"
}
