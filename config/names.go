package config

import (
	"fmt"
	"net/mail"
	"net/netip"
	"regexp"
	"strings"

	"github.com/wherry/wherry/config/spell"
)

// The longest names of DNS (RFC 1035 §2.3.4), the latter without the length octets of its ends.
const (
	labelMax = 63
	nameMax  = 253
)

func labelForm() Form {
	foreign := regexp.MustCompile(`[^a-z0-9]+`)
	return Form{
		Name: "a DNS label", Text: "1 to 63 of a–z, 0–9 and inner hyphens", Example: "shop", JSON: []string{"string"},
		Pattern: `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`,
		parse: func(text string) (any, *mistake) {
			if what := spell.WrongLabel(text, false); what != "" {
				instead := "write lower-case letters, digits and inner hyphens, such as shop"
				fixed := strings.Trim(foreign.ReplaceAllString(strings.ToLower(text), "-"), "-")
				if fixed != "" && len(fixed) <= labelMax {
					instead = "write a DNS label such as " + fixed
				}
				return nil, &mistake{quoted(text) + " " + what, instead}
			}
			return text, nil
		},
	}
}

// wrongDomain says what is wrong with a DNS name, or returns nil.
func wrongDomain(name string, underscore bool) *mistake {
	const example = "such as shop.test"
	switch {
	case name == "":
		return &mistake{"is empty", "write a name " + example}
	case strings.Contains(name, "://"):
		return &mistake{quoted(name) + " is a URL", "write only its host, " + example}
	case strings.Contains(name, "/"):
		return &mistake{quoted(name) + " has a slash", "write only the host, " + example}
	case strings.Contains(name, ":"):
		return &mistake{quoted(name) + " has a port", "write only the host, " + example}
	case strings.HasSuffix(name, ".") && len(name) > 1:
		return &mistake{quoted(name) + " ends with a dot", writeDomain(strings.TrimRight(name, "."), underscore)}
	case len(name) > nameMax:
		return &mistake{quoted(name) + fmt.Sprintf(" is longer than %d characters", nameMax), "write a shorter name"}
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		switch what := spell.WrongLabel(label, underscore); what {
		case "":
		case "has upper-case letters":
			return &mistake{quoted(name) + " " + what, writeDomain(name, underscore)}
		case "has letters outside ASCII":
			return &mistake{quoted(name) + " " + what, "write its ASCII form, whose labels begin with xn-- (`idn2 NAME` prints it)"}
		default:
			return &mistake{quoted(name) + " " + what, "write a name " + example}
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		// Clients take such a name for an IPv4 address, so it could never be asked for.
		return &mistake{quoted(name) + " ends in a number but is no IP address", "write a name " + example}
	}
	return nil
}

// writeDomain says to write name in lower case, or what else to do if that isn't right either.
func writeDomain(name string, underscore bool) string {
	name = strings.ToLower(name)
	if m := wrongDomain(name, underscore); m != nil {
		return m.instead
	}
	return "write " + name
}

func domainForm() Form {
	return Form{
		Name: "a DNS name", Text: "in lower case, without the final dot; international names in their xn-- form",
		Example: "shop.test", JSON: []string{"string"}, Pattern: `^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`,
		parse: func(text string) (any, *mistake) {
			if _, err := netip.ParseAddr(text); err == nil {
				return nil, &mistake{quoted(text) + " is an IP address, not a DNS name", "write a name such as shop.test"}
			}
			if m := wrongDomain(text, false); m != nil {
				return nil, m
			}
			return text, nil
		},
	}
}

// wrongHost says what is wrong with a DNS name or IP address as CanonicalHost returns them, or returns nil.
func wrongHost(host string, underscore bool) *mistake {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	switch {
	case err != nil:
		if addr, err := netip.ParseAddr(strings.TrimRight(host, ".")); err == nil {
			return &mistake{quoted(host) + " ends with a dot", "write " + addr.String()}
		}
		return wrongDomain(host, underscore)
	case addr.Zone() != "":
		return &mistake{quoted(host) + " has a zone, which only one machine understands", "write an address without %"}
	case addr.String() != host:
		return &mistake{quoted(host) + " is not how this address is usually written", "write " + addr.String()}
	}
	return nil
}

func hostPatternForm() Form {
	return Form{
		Name: "a host pattern", Text: "a host (`shop.test`, `192.0.2.1`), all names below one (`*.shop.test`), or `*`",
		Example: "shop.test", JSON: []string{"string"}, Pattern: `^(\*|\*\.[a-z0-9][a-z0-9.-]*|[a-z0-9:][a-z0-9.:-]*)$`,
		parse: func(text string) (any, *mistake) {
			if text == "*" {
				return text, nil
			}
			suffix, wild := strings.CutPrefix(text, "*.")
			if wild && suffix == "" {
				return nil, &mistake{quoted(text) + " has no name behind *.", "write one such as *.shop.test, or * for every host"}
			}
			if strings.Contains(suffix, "*") {
				return nil, &mistake{
					quoted(text) + " has a * inside", "write * only as the whole first label, such as *.shop.test, or alone",
				}
			}
			if !wild {
				if m := wrongHost(text, false); m != nil {
					return nil, m
				}
				return text, nil
			}
			if _, err := netip.ParseAddr(suffix); err == nil {
				return nil, &mistake{quoted(text) + " has an IP address behind *.", "write the address alone"}
			}
			if m := wrongDomain(suffix, false); m != nil {
				return nil, m.around("*.", "")
			}
			return text, nil
		},
	}
}

func upstreamHostForm() Form {
	return Form{
		Name: "a Host", Text: "`origin`, `client` or a host name", Example: "origin", JSON: []string{"string"},
		Pattern: `^[a-z0-9_:][a-z0-9_.:-]*$`,
		parse: func(text string) (any, *mistake) {
			if m := wrongHost(text, true); m != nil {
				return nil, &mistake{m.what, m.instead + ", or origin, or client"}
			}
			return text, nil
		},
	}
}

func mailboxForm() Form {
	return Form{
		Name: "a mail address", Text: "`local-part@domain`", Example: "hostmaster@shop.test", JSON: []string{"string"},
		Pattern: `^[^@\s]+@[^@\s]+$`,
		parse: func(text string) (any, *mistake) {
			wrong := &mistake{quoted(text) + " is not a mail address", "write one such as hostmaster@shop.test"}
			local, domain, ok := strings.Cut(text, "@")
			addr, err := mail.ParseAddress(text)
			if !ok || err != nil || addr.Address != text || addr.Name != "" || len(local) > labelMax {
				return nil, wrong // the local part becomes one label of the SOA RNAME (RFC 1035 §8)
			}
			if m := wrongDomain(domain, false); m != nil {
				return nil, m.around(local+"@", "")
			}
			return text, nil
		},
	}
}

// IsLabel says whether text is a DNS label, as names of sites, clusters and nodes are.
func IsLabel(text string) bool { return spell.WrongLabel(text, false) == "" }
