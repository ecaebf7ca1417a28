package config

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

func addressForm() Form {
	return Form{
		Name: "a listen address", Text: "`HOST:PORT`, `:PORT` (all addresses of the machine) or `off`; port 0 picks a free one",
		Example: ":8080", JSON: []string{"string"}, Pattern: `^(off|.*:[0-9]{1,5})$`,
		parse: func(text string) (any, *mistake) {
			if Address(text) == Off {
				return text, nil
			}
			if _, err := strconv.ParseUint(text, 10, 16); err == nil {
				return nil, &mistake{quoted(text) + " has no colon", `write ":` + text + `"`}
			}
			if addr, err := netip.ParseAddr(text); err == nil {
				return nil, withoutPort(text, addr)
			}
			host, port, err := net.SplitHostPort(text)
			if err != nil {
				return nil, &mistake{quoted(text) + " is not a listen address", "write HOST:PORT, :PORT or off, such as :8080"}
			}
			if !isPort(port) {
				return nil, &mistake{quoted(text) + " has no port number", "write a port from 0 to 65535, such as :8080"}
			}
			if host == "*" {
				return nil, &mistake{quoted(text) + " has a *", `write ":` + port + `" for all addresses`}
			}
			if addr, err := netip.ParseAddr(host); err == nil && !addr.Is4In6() || host == "" {
				return text, nil // a zone is right here: this machine knows its interfaces
			}
			if m := wrongHost(host, true); m != nil {
				return nil, m
			}
			return text, nil
		},
	}
}

// withoutPort is the mistake of an address alone. The end of an IPv6 address may have been meant as a port: the brackets are what
// people forget (RFC 3986 §3.2.2).
func withoutPort(text string, addr netip.Addr) *mistake {
	if i := strings.LastIndexByte(text, ':'); i >= 0 && len(text)-i > 2 && isPort(text[i+1:]) {
		if front, err := netip.ParseAddr(text[:i]); err == nil {
			return &mistake{quoted(text) + " has no brackets", "write " + strconv.Quote(net.JoinHostPort(front.String(), text[i+1:]))}
		}
	}
	return &mistake{quoted(text) + " has no port", "write " + strconv.Quote(netip.AddrPortFrom(addr, 8080).String())}
}

// isPort says whether port is a decimal port number without signs and leading zeros.
func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == port
}

func addrForm() Form {
	return Form{
		Name: "an IP address", Text: "IPv4 or IPv6, without a prefix length", Example: "192.0.2.1", JSON: []string{"string"},
		Pattern: `^[0-9A-Fa-f.:]+$`,
		parse: func(text string) (any, *mistake) {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				if p, err := netip.ParsePrefix(text); err == nil {
					return nil, &mistake{quoted(text) + " is a network", "write one address, such as " + p.Addr().String()}
				}
				if ap, err := netip.ParseAddrPort(text); err == nil {
					return nil, &mistake{quoted(text) + " has a port", "write " + ap.Addr().String() + "; ports stand in listen"}
				}
				return nil, &mistake{quoted(text) + " is not an IP address", "write one such as 192.0.2.1 or 2001:db8::1"}
			}
			switch {
			case addr.Zone() != "":
				return nil, &mistake{quoted(text) + " has a zone, which only one machine knows", "write an address without %"}
			case addr.Is4In6():
				return nil, &mistake{quoted(text) + " is an IPv4 address in IPv6 form", "write " + addr.Unmap().String()}
			case addr.IsUnspecified(), addr.IsMulticast():
				return nil, &mistake{quoted(text) + " is not the address of one machine", "write the address that clients connect to"}
			}
			return addr, nil
		},
	}
}

func prefixForm() Form {
	return Form{
		Name: "a prefix", Text: "a network in CIDR form with no bits behind its length", Example: "192.0.2.0/24",
		JSON: []string{"string"}, Pattern: `^[0-9A-Fa-f.:]+/[0-9]{1,3}$`,
		parse: func(text string) (any, *mistake) {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
					addr = addr.Unmap()
					whole := netip.PrefixFrom(addr, addr.BitLen())
					return nil, &mistake{quoted(text) + " has no prefix length", "write " + whole.String()}
				}
				return nil, &mistake{quoted(text) + " is not a prefix", "write one such as 192.0.2.0/24 or 2001:db8::/32"}
			}
			if p.Addr().Is4In6() {
				return nil, &mistake{quoted(text) + " is an IPv4 network in IPv6 form", "write it in IPv4 form, such as 192.0.2.0/24"}
			}
			if p != p.Masked() {
				return nil, &mistake{quoted(text) + " has bits behind its length", "write " + p.Masked().String()}
			}
			return p, nil
		},
	}
}

func urlForm() Form {
	return Form{
		Name: "a URL", Text: "`http://` or `https://`, a host, optional port and path, no user, query or fragment; or `tunnel://` and a name",
		Example: "http://127.0.0.1:9000", JSON: []string{"string"},
		Pattern: `^([Hh][Tt][Tt][Pp][Ss]?://[^/?#@\s]+(/[^?#\s]*)?|[Tt][Uu][Nn][Nn][Ee][Ll]://[^/?#@:\s]+)$`,
		parse: func(text string) (any, *mistake) {
			scheme, rest, ok := strings.Cut(text, "://")
			authority, _, _ := strings.Cut(rest, "/")
			switch {
			case !ok && !strings.ContainsAny(text, "@ "):
				return nil, &mistake{quoted(text) + " has no scheme", "write http:// or https:// before it"}
			case strings.Contains(authority, "@") || !ok:
				// The password is kept out of the message: it would end up in terminals and logs.
				return nil, &mistake{"the URL has a user name or password", "leave it out: origins are asked without"}
			}
			u, err := url.Parse(text)
			if err != nil {
				return nil, &mistake{quoted(text) + " is not a URL", "write one such as http://127.0.0.1:9000"}
			}
			switch {
			case u.Scheme == SchemeTunnel && !IsLabel(u.Host) || u.Scheme == SchemeTunnel && strings.ContainsAny(rest, "/?#"):
				return nil, &mistake{quoted(text) + " doesn't name a tunnel", "write tunnel:// and what is behind --site of wherry tunnel, such as tunnel://shop"}
			case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != SchemeTunnel:
				return nil, &mistake{quoted(text) + " has the scheme " + quoted(scheme), "write http:// or https://, or tunnel:// for what wherry tunnel offers"}
			}
			if m := wrongURL(u, text); m != nil {
				return nil, m
			}
			return *u, nil
		},
	}
}

func wrongURL(u *url.URL, text string) *mistake {
	port := u.Port()
	switch {
	case strings.Contains(text, "#"):
		return &mistake{quoted(text) + " has a fragment", "leave out # and what follows"}
	case strings.Contains(text, "?"):
		return &mistake{quoted(text) + " has a query", "leave out ? and what follows; the query of each request is kept"}
	case u.Hostname() == "":
		return &mistake{quoted(text) + " has no host", "write one such as http://127.0.0.1:9000"}
	case strings.HasSuffix(u.Host, ":") || port != "" && (!isPort(port) || port == "0"):
		return &mistake{quoted(text) + " has no right port", "write a port from 1 to 65535, or none"}
	case strings.ContainsAny(u.Path, " \t\r\n"):
		return &mistake{quoted(text) + " has white space in its path", "write %20 for a space"}
	}
	m := wrongHost(u.Hostname(), true)
	if m == nil {
		return nil
	}
	scheme, rest, _ := strings.Cut(text, "://")
	if front, back, ok := strings.Cut(rest, u.Hostname()); ok {
		return m.around(scheme+"://"+front, back)
	}
	return m
}
