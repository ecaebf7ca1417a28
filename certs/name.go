package certs

import (
	"strings"

	"github.com/wherry/wherry/config"
)

// isHostName says whether s can be a host in a server_name extension: letters, digits, hyphens and underscores in labels (RFC
// 1123 §2.1; the underscore because people use it), and not an IP address, which has no place there (RFC 6066 §3).
func isHostName(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != ""
}

// leafName returns the name in the leaf for host, claimed by pattern, and whether the configuration knows that name. All hosts
// one label below a wildcard share a leaf, unless that would be one for a whole top-level domain, which clients refuse.
func leafName(host config.Host, pattern config.HostPattern) (name string, named bool) {
	suffix, wild := strings.CutPrefix(string(pattern), "*.")
	if !wild {
		return string(host), pattern == config.HostPattern(host)
	}
	if _, parent, _ := strings.Cut(string(host), "."); parent == suffix && strings.Contains(suffix, ".") {
		return string(pattern), true
	}
	return string(host), false
}

// leafNames returns the names that the configuration knows.
func leafNames(snap *config.Snapshot) map[string]bool {
	names := map[string]bool{}
	for i := range snap.Sites {
		for _, p := range snap.Sites[i].Hosts {
			names[string(p)] = true
		}
	}
	return names
}
