package config

import (
	"cmp"
	"slices"
	"strings"

	"github.com/wherry/wherry/config/spell"
)

// Snapshot is one checked, immutable configuration with its defaults filled in. Nodes swap the whole of it; nobody changes one.
type Snapshot struct {
	Network

	// Revision names the content: the first 12 hex digits of the SHA-256 of the file.
	Revision string

	claims map[Host]claim                 // by exact host
	below  map[Host]claim                 // by the part behind "*."
	rest   *Site                          // the site of "*", or nil
	others map[*Site]map[HostPattern]Host // of sites with aliases: the host that each name stands for
	files  []FileRef
}

// claim is a site and the pattern by which it claims a host.
type claim struct {
	site    *Site
	pattern HostPattern
}

// index builds the look-up tables. The network is checked: no host is claimed twice.
func (s *Snapshot) index() {
	s.claims, s.below, s.others = map[Host]claim{}, map[Host]claim{}, map[*Site]map[HostPattern]Host{}
	for i := range s.Sites {
		site := &s.Sites[i]
		for _, p := range site.Hosts {
			switch suffix, wild := strings.CutPrefix(string(p), "*."); {
			case p == "*":
				s.rest = site
			case wild:
				s.below[Host(suffix)] = claim{site, p}
			default:
				s.claims[Host(p)] = claim{site, p}
			}
		}
		for _, alias := range site.Aliases {
			if s.others[site] == nil {
				s.others[site] = map[HostPattern]Host{}
			}
			for _, name := range alias.Names {
				s.others[site][name] = alias.Host
			}
			s.others[site][HostPattern(alias.Host)] = alias.Host // no pattern of its own names makes another host of it
		}
	}
}

// CanonicalHost returns the host of a Host field or URL authority in lower case, without port, brackets and final dot.
func CanonicalHost(authority string) Host {
	host := authority
	if i := strings.LastIndexByte(host, ':'); i >= 0 && (i == strings.IndexByte(host, ':') || i > 0 && host[i-1] == ']') {
		host = host[:i]
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	return Host(strings.ToLower(strings.TrimSuffix(host, ".")))
}

// Site returns the site that claims host (as CanonicalHost returns it) and the pattern by which it does: the exact one, else
// the longest *. suffix, else "*". It returns nil if no site claims it.
func (s *Snapshot) Site(host Host) (*Site, HostPattern) {
	if c, ok := s.claims[host]; ok {
		return c.site, c.pattern
	}
	for rest := string(host); ; {
		_, suffix, more := strings.Cut(rest, ".")
		if !more {
			break
		}
		if c, ok := s.below[Host(suffix)]; ok {
			return c.site, c.pattern
		}
		rest = suffix
	}
	if s.rest != nil {
		return s.rest, "*"
	}
	return nil, ""
}

// StandsFor returns the host that host, which site claims, is another name of; host itself if it is none. It doesn't allocate.
func (s *Snapshot) StandsFor(site *Site, host Host) Host {
	names := s.others[site]
	if names == nil {
		return host
	}
	if as, ok := names[HostPattern(host)]; ok {
		return as
	}
	for i := range len(host) {
		if host[i] != '.' || i == 0 {
			continue
		}
		var room [spell.NameMax + 1]byte
		if as, ok := names[HostPattern(append(append(room[:0], '*'), host[i:]...))]; ok {
			return as
		}
	}
	if as, ok := names["*"]; ok {
		return as
	}
	return host
}

// Matches says whether the pattern is host's own name or a suffix of it. "*" matches no name by itself: it takes what is left.
func (p HostPattern) Matches(host Host) bool {
	suffix, wild := strings.CutPrefix(string(p), "*")
	return string(p) == string(host) || wild && suffix != "" && strings.HasSuffix(string(host), suffix)
}

// Node returns the node called id and its cluster, or nils.
func (s *Snapshot) Node(id NodeID) (*Node, *Cluster) {
	for i := range s.Clusters {
		c := &s.Clusters[i]
		for j := range c.Nodes {
			if c.Nodes[j].Name == id {
				return &c.Nodes[j], c
			}
		}
	}
	return nil, nil
}

// ListenAt returns where a node listens: its own addresses laid over those of the network.
func (n *Network) ListenAt(node *Node) Listen {
	return Listen{
		HTTP:   cmp.Or(node.Listen.HTTP, n.Listen.HTTP),
		HTTPS:  cmp.Or(node.Listen.HTTPS, n.Listen.HTTPS),
		HTTP3:  cmp.Or(node.Listen.HTTP3, n.Listen.HTTP3),
		DNS:    cmp.Or(node.Listen.DNS, n.Listen.DNS),
		Portal: cmp.Or(node.Listen.Portal, n.Listen.Portal),
	}
}

// HasHTTP3 says whether there is HTTP/3 beside HTTPS.
func (l Listen) HasHTTP3() bool { return l.HTTPS != Off && l.HTTP3 != ToggleOff }

// DiskAt returns the volumes of a node: its own, or those of the network.
func (n *Network) DiskAt(node *Node) []Volume {
	if node.Disk.Volumes != nil {
		return node.Disk.Volumes
	}
	return n.Disk.Volumes
}

// Rule returns the first rule that matches a request, or nil. The path is as in the request line, without the query; its
// spell.NormalPath is matched, because the origin may take all its spellings for one.
func (s *Site) Rule(method, path string) *Rule {
	if len(s.Rules) == 0 {
		return nil
	}
	path = spell.NormalPath(path)
	for i := range s.Rules {
		if s.Rules[i].Match.matches(method, path) {
			return &s.Rules[i]
		}
	}
	return nil
}

func (m *Match) matches(method, path string) bool {
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, method) {
		return false
	}
	return len(m.Paths) == 0 || slices.ContainsFunc(m.Paths, func(p PathPattern) bool { return p.Matches(path) })
}

// Matches says whether path is the pattern's: equal to it, below its `/*`, or ending in its `*.ext`.
func (p PathPattern) Matches(path string) bool {
	if ext, ok := strings.CutPrefix(string(p), "*"); ok {
		return strings.HasSuffix(path, ext)
	}
	if dir, ok := strings.CutSuffix(string(p), "*"); ok {
		return strings.HasPrefix(path, dir)
	}
	return path == string(p)
}
