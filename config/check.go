package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// checker looks for what is wrong between values that are each right. It works on what could be decoded, so it takes empty
// values for absent ones, and says nothing about a value that is already known to be wrong.
type checker struct {
	n      *Network
	places map[string]place
	report *collector

	owners map[HostPattern]claimed // who claims a pattern first
	doors  map[string]string       // HOST:PORT to the path of the listen address to which it leads
	ports  map[string]bool         // of HTTP and HTTPS
	https  bool                    // some node listens for HTTPS
	effort int                     // comparisons of patterns so far
}

// effortMax bounds the search for rules that never apply: it compares all patterns of a site with each other.
const effortMax = 20_000_000

// claimed is where a host pattern stands.
type claimed struct {
	site SiteName
	path string
}

func check(n *Network, places map[string]place, report *collector) {
	c := newChecker(n, places, report)
	c.names()
	c.hosts()
	c.zone()
	c.clusters()
	c.limits()
	c.disks()
	c.listeners()
	for i := range n.Sites {
		c.site(i)
	}
	c.programs()
}

func newChecker(n *Network, places map[string]place, report *collector) *checker {
	return &checker{
		n: n, places: places, report: report,
		owners: map[HostPattern]claimed{}, doors: map[string]string{}, ports: map[string]bool{},
	}
}

// site looks at one site; hosts and listeners must have looked at all.
func (c *checker) site(i int) {
	site, path := &c.n.Sites[i], fmt.Sprintf("sites[%d]", i)
	c.aliases(path, site)
	c.origins(path, site)
	c.fetch(path, site)
	c.caching(path, site)
	c.rules(path, site)
	c.tls(path, site)
}

// where names a place for a message.
func (c *checker) where(path string) string {
	if c.places == nil {
		return path
	}
	return fmt.Sprintf("%s (%s)", path, c.at(path))
}

func (c *checker) error(path, what, instead string) {
	if !c.report.failed[path] {
		c.report.error(c.at(path), path, mistake{what, instead})
	}
}

func (c *checker) warn(path, what, instead string) {
	if !c.report.failed[path] {
		c.report.warn(c.at(path), path, mistake{what, instead})
	}
}

// at returns where the value of path stands or, if it is a default, what stands around it.
func (c *checker) at(path string) place {
	for {
		if at, ok := c.places[path]; ok {
			return at
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return place{1, 1}
		}
		path = path[:i]
	}
}

// unique reports the second value of the same kind.
func (c *checker) unique(seen map[string]string, value, path, what string) {
	if value == "" {
		return
	}
	if first, ok := seen[value]; ok {
		c.error(path, fmt.Sprintf("%s %s is already at %s", what, value, c.where(first)), "write a name that is used once")
		return
	}
	seen[value] = path
}

func (c *checker) names() {
	sites, clusters, nodes := map[string]string{}, map[string]string{}, map[string]string{}
	for i := range c.n.Sites {
		site, path := &c.n.Sites[i], fmt.Sprintf("sites[%d]", i)
		c.unique(sites, string(site.Name), path+".name", "the site")
		rules := map[string]string{}
		for j := range site.Rules {
			c.unique(rules, site.Rules[j].Name, fmt.Sprintf("%s.rules[%d].name", path, j), "the rule")
		}
	}
	for i := range c.n.Clusters {
		cluster, path := &c.n.Clusters[i], fmt.Sprintf("clusters[%d]", i)
		c.unique(clusters, string(cluster.Name), path+".name", "the cluster")
		for j := range cluster.Nodes {
			c.unique(nodes, string(cluster.Nodes[j].Name), fmt.Sprintf("%s.nodes[%d].name", path, j), "the node")
		}
	}
}

func (c *checker) hosts() {
	for i := range c.n.Sites {
		site := &c.n.Sites[i]
		for j, pattern := range site.Hosts {
			path := fmt.Sprintf("sites[%d].hosts[%d]", i, j)
			if pattern == "" {
				continue
			}
			first, ok := c.owners[pattern]
			if !ok {
				c.owners[pattern] = claimed{site.Name, path}
				continue
			}
			what := fmt.Sprintf("%q is already claimed at %s", pattern, c.where(first.path))
			if first.site != "" {
				what += " by the site " + string(first.site)
			}
			instead := "leave it with one of them"
			if pattern == "*" {
				instead = "write * in one site; the others need the names of their hosts"
			}
			c.error(path, what, instead)
		}
	}
}

func (c *checker) zone() {
	names := map[string]string{}
	for i, ns := range c.n.DNS.Nameservers {
		path := fmt.Sprintf("dns.nameservers[%d]", i)
		c.unique(names, string(ns.Name), path+".name", "the name server")
		if _, given := c.places[path]; given && inside(ns.Name, c.n.Zone) && len(ns.Addresses) == 0 {
			// RFC 1034 §4.2.1: nobody could find a server whose name only it can resolve.
			c.error(path+".addresses", fmt.Sprintf("%s is in the zone %s and has no addresses", ns.Name, c.n.Zone),
				"write its addresses")
		}
	}
	for i := range c.n.Sites {
		for j, pattern := range c.n.Sites[i].Hosts {
			host := Host(strings.TrimPrefix(string(pattern), "*."))
			path := fmt.Sprintf("sites[%d].hosts[%d]", i, j)
			switch first, ok := names[string(pattern)]; {
			case slices.ContainsFunc(ownNames, func(own Host) bool { return inside(host, own+"."+c.n.Zone) }):
				c.error(path, fmt.Sprintf("%q is a name of the network itself", pattern),
					"write a host outside nodes., clusters., sites. and whoami. of "+string(c.n.Zone))
			case ok:
				c.error(path, fmt.Sprintf("%q is the name server at %s", pattern, c.where(first)), "write another host")
			}
		}
	}
}

// ownNames are what dns answers below the network's zone by itself.
var ownNames = []Host{"nodes", "clusters", "sites", "whoami"}

// inside says whether name is zone or below it.
func inside(name, zone Host) bool {
	return zone != "" && (name == zone || strings.HasSuffix(string(name), "."+string(zone)))
}

func (c *checker) clusters() {
	prefixes := map[netip.Prefix]string{}
	addresses := map[netip.Addr]string{}
	for i := range c.n.Clusters {
		cluster, path := &c.n.Clusters[i], fmt.Sprintf("clusters[%d]", i)
		if len(c.n.Clusters) > 1 && len(cluster.Prefixes) == 0 && cluster.Location == nil {
			c.warn(path, fmt.Sprintf("the cluster %s has neither location nor prefixes, so it is never the nearest", cluster.Name),
				"write its location")
		}
		for j, p := range cluster.Prefixes {
			at := fmt.Sprintf("%s.prefixes[%d]", path, j)
			if first, ok := prefixes[p]; ok && p.IsValid() {
				c.error(at, fmt.Sprintf("%s is already at %s", p, c.where(first)),
					"leave it with one cluster, or split it into longer prefixes")
				continue
			}
			prefixes[p] = at
		}
		for j := range cluster.Nodes {
			for k, addr := range cluster.Nodes[j].Addresses {
				at := fmt.Sprintf("%s.nodes[%d].addresses[%d]", path, j, k)
				if first, ok := addresses[addr]; ok && addr.IsValid() {
					c.warn(at, fmt.Sprintf("%s is already at %s", addr, c.where(first)),
						"give each node an address of its own")
					continue
				}
				addresses[addr] = at
			}
		}
	}
}

func (c *checker) limits() {
	if m := c.n.Memory; m.Object > m.Cache && !c.report.failed["memory.cache"] {
		path, object := "memory.object", m.Object.String()
		if _, given := c.places[path]; !given {
			path, object = "memory.cache", object+" by default"
		}
		c.error(path, fmt.Sprintf("memory.object (%s) is more than memory.cache (%s)", object, m.Cache),
			"write sizes of which the cache's is the larger")
	}
}
