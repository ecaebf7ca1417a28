package config

import (
	"net/netip"
	"strings"
)

func forwardForm() Form {
	return Form{
		Name: "where to connect to", Text: "`ADDRESS:PORT`, `PREFIX:PORT` or `NAME:PORT`", Example: "10.0.0.0/8:5432",
		JSON: []string{"string"}, Pattern: `^.+:[0-9]{1,5}$`,
		parse: func(text string) (any, *mistake) {
			host, port, ok := cutTarget(text)
			if !ok || !isPort(port) || port == "0" {
				return nil, &mistake{quoted(text) + " has no port number", "write HOST:PORT with a port from 1 to 65535, such as 10.0.0.0/8:5432"}
			}
			if _, err := netip.ParsePrefix(host); err == nil {
				return text, nil
			}
			if _, err := netip.ParseAddr(host); err == nil {
				return text, nil
			}
			if strings.Contains(host, "/") {
				return nil, &mistake{quoted(host) + " is no prefix", "write one such as 10.0.0.0/8 or [2001:db8::]/32"}
			}
			if m := wrongHost(host, false); m != nil {
				return nil, m
			}
			return text, nil
		},
	}
}

// cutTarget takes a target apart; addresses of IPv6 stand in brackets, with the length of a prefix behind them.
func cutTarget(text string) (host, port string, ok bool) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return "", "", false
	}
	host, port = text[:i], text[i+1:]
	if rest, found := strings.CutPrefix(host, "["); found {
		inside, after, closed := strings.Cut(rest, "]")
		return inside + after, port, closed
	}
	return host, port, !strings.Contains(host, ":")
}

// Forwards says whether the node may connect to a host, by its name or address, at a port.
func (o *Overlay) Forwards(host, port string) bool {
	at, err := netip.ParseAddr(host)
	for _, target := range o.Forward {
		allowed, atPort, _ := cutTarget(string(target))
		if atPort != port {
			continue
		}
		if err != nil {
			if strings.EqualFold(strings.TrimSuffix(host, "."), strings.TrimSuffix(allowed, ".")) {
				return true
			}
			continue
		}
		if p, bad := netip.ParsePrefix(allowed); bad == nil && p.Contains(at.Unmap()) {
			return true
		}
		if a, bad := netip.ParseAddr(allowed); bad == nil && a.Unmap() == at.Unmap() {
			return true
		}
	}
	return false
}
