package config

import (
	"net/mail"
	"net/netip"
	"regexp"
	"strings"

	"github.com/wherry/wherry/config/spell"
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
				if fixed != "" && len(fixed) <= spell.LabelMax {
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
	return mistaken(spell.WrongDomain(name, underscore))
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
	return mistaken(spell.WrongHost(host, underscore))
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
			if !ok || err != nil || addr.Address != text || addr.Name != "" || len(local) > spell.LabelMax {
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
