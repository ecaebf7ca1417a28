package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// door is one address of one node at which something listens.
type door struct {
	path string // listen.http, or clusters[0].nodes[1].listen.http
	host string // empty for all addresses of the machine
	port string
}

// anyLoopback is the host under which checker.doors has the doors at all addresses of a machine.
const anyLoopback = "loopback"

// listeners reports doors that are in each other's way, and notes where all doors are.
func (c *checker) listeners() {
	c.portal("listen.portal", c.n.Listen.Portal)
	for i := range c.n.Clusters {
		for j := range c.n.Clusters[i].Nodes {
			node := &c.n.Clusters[i].Nodes[j]
			c.portal(fmt.Sprintf("clusters[%d].nodes[%d].listen.portal", i, j), node.Listen.Portal)
			doors := c.doorsOf(node, fmt.Sprintf("clusters[%d].nodes[%d].", i, j))
			for k, d := range doors {
				c.note(node, d)
				for _, other := range doors[:k] {
					if d.port == other.port && (d.host == other.host || d.host == "" || other.host == "") {
						c.error(d.path, fmt.Sprintf("has the address of %s (%s)", other.path, c.at(other.path)),
							"write another port for one of them")
						break
					}
				}
			}
		}
	}
}

// portal warns of a status page that others than this machine can reach.
func (c *checker) portal(path string, at Address) {
	host, _, err := net.SplitHostPort(string(at))
	if err != nil {
		return // off, or not set
	}
	if addr, err := netip.ParseAddr(numeric(host)); err == nil && addr.IsLoopback() {
		return
	}
	c.warn(path, "opens the status page and /metrics to whoever reaches that address",
		"write a loopback address, such as 127.0.0.1:8088, or keep others out with a firewall")
}

// doorsOf returns the open doors of a node, which stands at path.
func (c *checker) doorsOf(node *Node, path string) []door {
	at := c.n.ListenAt(node)
	var doors []door
	for _, d := range []struct {
		key       string
		own, used Address
	}{
		{"http", node.Listen.HTTP, at.HTTP},
		{"https", node.Listen.HTTPS, at.HTTPS},
		{"dns", node.Listen.DNS, at.DNS},
		{"portal", node.Listen.Portal, at.Portal},
	} {
		host, port, err := net.SplitHostPort(string(d.used))
		if err != nil {
			continue // off
		}
		web := d.key == "http" || d.key == "https"
		c.ports[port] = c.ports[port] || web
		c.https = c.https || d.key == "https"
		if addr, err := netip.ParseAddr(host); err == nil && addr.IsUnspecified() {
			host = ""
		}
		where := "listen." + d.key
		if d.own != "" {
			where = path + where
		}
		if port != "0" { // nobody knows it yet
			doors = append(doors, door{where, host, port})
		}
	}
	return doors
}

func (c *checker) note(node *Node, d door) {
	hosts := []string{d.host}
	if d.host == "" {
		hosts = []string{anyLoopback}
		for _, addr := range node.Addresses {
			hosts = append(hosts, addr.String())
		}
	}
	for _, host := range hosts {
		key := net.JoinHostPort(numeric(host), d.port)
		if c.doors[key] == "" {
			c.doors[key] = d.path
		}
	}
}

// numeric returns the address that localhost stands for (RFC 6761 §6.3), and other hosts as they are.
func numeric(host string) string {
	if host == "localhost" {
		return "127.0.0.1"
	}
	return host
}

// ourselves returns the path of the listen address to which u leads from a node, or "".
func (c *checker) ourselves(u *url.URL) string {
	host := numeric(u.Hostname())
	if path := c.doors[net.JoinHostPort(host, portOf(u))]; path != "" {
		return path
	}
	if addr, err := netip.ParseAddr(host); err == nil && (addr.IsLoopback() || addr.IsUnspecified()) {
		return c.doors[net.JoinHostPort(anyLoopback, portOf(u))]
	}
	return ""
}

// claimant returns the path of the host pattern by which a site of ours serves u, or "": then DNS may lead back to ourselves.
func (c *checker) claimant(u *url.URL) string {
	if !c.ports[portOf(u)] {
		return ""
	}
	host := u.Hostname()
	if owner, ok := c.owners[HostPattern(host)]; ok {
		return owner.path
	}
	for _, rest, more := strings.Cut(host, "."); more; _, rest, more = strings.Cut(rest, ".") {
		if owner, ok := c.owners[HostPattern("*."+rest)]; ok {
			return owner.path
		}
	}
	return ""
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}
