package spell

import (
	"fmt"
	"net/netip"
	"strings"
)

// NameMax is the length of the longest name of DNS (RFC 1035 §2.3.4), without the length octets of its ends.
const NameMax = 253

// WrongDomain says what is wrong with a DNS name, and what to write; nothing if it is right.
func WrongDomain(name string, underscore bool) (what, instead string) {
	const example = "such as shop.test"
	switch {
	case name == "":
		return "is empty", "write a name " + example
	case strings.Contains(name, "://"):
		return Quoted(name) + " is a URL", "write only its host, " + example
	case strings.Contains(name, "/"):
		return Quoted(name) + " has a slash", "write only the host, " + example
	case strings.Contains(name, ":"):
		return Quoted(name) + " has a port", "write only the host, " + example
	case strings.HasSuffix(name, ".") && len(name) > 1:
		return Quoted(name) + " ends with a dot", writeDomain(strings.TrimRight(name, "."), underscore)
	case len(name) > NameMax:
		return Quoted(name) + fmt.Sprintf(" is longer than %d characters", NameMax), "write a shorter name"
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		switch what := WrongLabel(label, underscore); what {
		case "":
		case "has upper-case letters":
			return Quoted(name) + " " + what, writeDomain(name, underscore)
		case "has letters outside ASCII":
			return Quoted(name) + " " + what, "write its ASCII form, whose labels begin with xn-- (`idn2 NAME` prints it)"
		default:
			return Quoted(name) + " " + what, "write a name " + example
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		// Clients take such a name for an IPv4 address, so it could never be asked for.
		return Quoted(name) + " ends in a number but is no IP address", "write a name " + example
	}
	return "", ""
}

// writeDomain says to write name in lower case, or what else to do if that isn't right either.
func writeDomain(name string, underscore bool) string {
	name = strings.ToLower(name)
	if what, instead := WrongDomain(name, underscore); what != "" {
		return instead
	}
	return "write " + name
}

// WrongHost says what is wrong with a DNS name or IP address as CanonicalHost returns them, and what to write; nothing if it is right.
func WrongHost(host string, underscore bool) (what, instead string) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	switch {
	case err != nil:
		if addr, err := netip.ParseAddr(strings.TrimRight(host, ".")); err == nil {
			return Quoted(host) + " ends with a dot", "write " + addr.String()
		}
		return WrongDomain(host, underscore)
	case addr.Zone() != "":
		return Quoted(host) + " has a zone, which only one machine understands", "write an address without %"
	case addr.String() != host:
		return Quoted(host) + " is not how this address is usually written", "write " + addr.String()
	}
	return "", ""
}
