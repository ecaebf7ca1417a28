package config

import "net/netip"

// complete fills in the defaults that depend on other values of the file; the comments in the model name them.
func complete(n *Network) {
	if n.Clusters == nil {
		n.Clusters = []Cluster{{
			Name:  "local",
			Nodes: []Node{{Name: "local-1", Addresses: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}}},
		}}
	}
	if n.DNS.Contact == "" {
		n.DNS.Contact = "hostmaster@" + string(n.Zone)
	}
	if n.DNS.Nameservers == nil {
		server := Nameserver{Name: "ns1." + n.Zone}
		if c := n.Clusters; len(c) > 0 && len(c[0].Nodes) > 0 {
			server.Addresses = c[0].Nodes[0].Addresses
		}
		n.DNS.Nameservers = []Nameserver{server}
	}
}
