package config

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// keyPartsMax bounds the headers, and the cookies, of one key: each is compared on each look-up.
const keyPartsMax = 16

// volumesMax bounds the volumes of one node.
const volumesMax = 64

func (c *checker) caching(path string, site *Site) {
	c.cache(path+".cache", site, &site.Cache, &Cache{})
	for i := range site.Rules {
		c.cache(fmt.Sprintf("%s.rules[%d].cache", path, i), site, &site.Rules[i].Cache, &site.Cache)
	}
}

// cache checks the settings that stand at path and are laid over those below.
func (c *checker) cache(path string, site *Site, own, below *Cache) {
	c.key(path+".key", site, &own.Key)
	held := Caching{}
	held.lay(below)
	held.lay(own)
	if own.DefaultTTL != nil && held.MaxTTL > 0 && held.DefaultTTL > held.MaxTTL {
		c.warn(path+".default_ttl", fmt.Sprintf("%s is more than the max_ttl of %s, which holds", held.DefaultTTL, held.MaxTTL),
			"write a default_ttl within the max_ttl")
	}
	seen := map[StatusPattern]string{}
	for i, n := range own.Negative {
		for j, status := range n.Status {
			at := fmt.Sprintf("%s.negative[%d].status[%d]", path, i, j)
			first := seen[status]
			if status != "" && status[0] == '5' && first == "" {
				first = seen["5xx"]
			}
			if first != "" {
				c.error(at, fmt.Sprintf("%s is already at %s (%s), which counts", status, first, c.at(first)),
					"leave it with one of them, and write 5xx behind single statuses")
				continue
			}
			seen[status] = at
		}
	}
}

func (c *checker) key(path string, site *Site, key *Key) {
	if key.Host != nil && !*key.Host && site.Fetch.Host == "client" {
		c.warn(path+".host", "hosts share one copy, while fetch.host lets origins see which host was asked for",
			"write fetch.host: origin, or a fixed name")
	}
	for _, parameters := range []struct {
		key   string
		given bool
	}{{"query_only", key.QueryOnly != nil}, {"query_drop", key.QueryDrop != nil}} {
		if key.Query == QueryDrop && parameters.given {
			c.warn(path+"."+parameters.key, "has no effect: query is drop", "write query: keep or query: sort")
		}
	}
	if key.QueryOnly != nil && key.QueryDrop != nil {
		c.error(path+".query_drop", fmt.Sprintf("stands beside query_only (%s), which leaves out all others already", c.at(path+".query_only")),
			"keep one of them")
	}
	c.parts(path+".headers", key.Headers)
	c.parts(path+".cookies", key.Cookies)
}

// parts checks a list of headers or cookies by which copies are told apart.
func (c *checker) parts(path string, names []string) {
	seen := map[string]string{}
	for i, name := range names {
		c.unique(seen, name, fmt.Sprintf("%s[%d]", path, i), "the name")
	}
	if len(names) > keyPartsMax {
		c.error(path, fmt.Sprintf("has %d entries", len(names)), fmt.Sprintf("write at most %d", keyPartsMax))
	}
}

// aliases reports names that aren't the site's, and such that stand for two hosts.
func (c *checker) aliases(path string, site *Site) {
	names := map[HostPattern]string{}
	for i := range site.Aliases {
		for j, name := range site.Aliases[i].Names {
			at := fmt.Sprintf("%s.aliases[%d].names[%d]", path, i, j)
			switch first, ok := names[name]; {
			case name == "":
			case ok:
				c.error(at, fmt.Sprintf("%q is already at %s (%s)", name, first, c.at(first)), "leave it with one host")
			case name != "*" && c.owner(name) != site.Name:
				c.error(at, fmt.Sprintf("%q is no host of the site %s", name, site.Name), "write it into the site's hosts too")
			default:
				names[name] = at
			}
		}
	}
	hosts := map[Host]string{}
	for i := range site.Aliases {
		host, at := site.Aliases[i].Host, fmt.Sprintf("%s.aliases[%d].host", path, i)
		switch first, ok := hosts[host]; {
		case host == "":
		case ok:
			c.error(at, fmt.Sprintf("%q is already at %s (%s)", host, first, c.at(first)), "write all its names there")
		case names[HostPattern(host)] != "":
			other := names[HostPattern(host)]
			c.error(at, fmt.Sprintf("%q is itself another host's name (%s, %s)", host, other, c.at(other)),
				"write the host that both stand for")
		case c.owner(HostPattern(host)) != site.Name:
			c.error(at, fmt.Sprintf("%q is no host of the site %s", host, site.Name), "write it into the site's hosts too")
		}
		hosts[host] = at
	}
}

// owner returns the site to which requests for a host, or for any that a pattern matches, go; empty if to none.
func (c *checker) owner(pattern HostPattern) SiteName {
	if owner, ok := c.owners[pattern]; ok {
		return owner.site
	}
	name := strings.TrimPrefix(string(pattern), "*.")
	for _, rest, more := strings.Cut(name, "."); more; _, rest, more = strings.Cut(rest, ".") {
		if owner, ok := c.owners[HostPattern("*."+rest)]; ok {
			return owner.site
		}
	}
	return c.owners["*"].site
}

// disks reports volumes that would write into each other.
func (c *checker) disks() {
	c.volumes("disk", c.n.Disk.Volumes)
	for i := range c.n.Clusters {
		for j := range c.n.Clusters[i].Nodes {
			c.volumes(fmt.Sprintf("clusters[%d].nodes[%d].disk", i, j), c.n.Clusters[i].Nodes[j].Disk.Volumes)
		}
	}
}

func (c *checker) volumes(at string, volumes []Volume) {
	dirOf := func(i int) string { return fmt.Sprintf("%s.volumes[%d].dir", at, i) }
	if len(volumes) > volumesMax {
		c.error(at+".volumes", fmt.Sprintf("has %d entries", len(volumes)), fmt.Sprintf("write at most %d", volumesMax))
		return
	}
	for i := range volumes {
		dir := volumes[i].Dir
		first := slices.IndexFunc(volumes[:i], func(v Volume) bool { return v.Dir != "" && (holds(v.Dir, dir) || holds(dir, v.Dir)) })
		if dir == "" || first < 0 {
			continue
		}
		other := volumes[first].Dir
		what := fmt.Sprintf("%s is inside %s, which is at %s (%s)", dir, other, dirOf(first), c.at(dirOf(first)))
		switch {
		case path.Clean(dir) == path.Clean(other):
			what = fmt.Sprintf("%s is already at %s (%s)", dir, dirOf(first), c.at(dirOf(first)))
		case holds(dir, other):
			what = fmt.Sprintf("%s has %s in it, which is at %s (%s)", dir, other, dirOf(first), c.at(dirOf(first)))
		}
		c.error(dirOf(i), what, "write a directory on another disk")
	}
}

// holds says whether the directory outer is inner or has it in it.
func holds(outer, inner string) bool {
	outer, inner = path.Clean(outer), path.Clean(inner)
	return outer == inner || strings.HasPrefix(inner, outer+"/")
}
