package mapper

import (
	"net/netip"

	"github.com/wherry/wherry/config"
)

// Endpoint is one address of one node: what a health check asks.
type Endpoint struct {
	Node config.NodeID
	Addr netip.Addr
}

// Reports says which endpoints of one Map are up. It is immutable.
type Reports struct {
	of       *Map
	up       []bool // by endpoint: member.first and the address's index
	clusters []bool // by cluster: some node is up
	any      bool
}

// Reports asks up about each endpoint of the map once.
func (m *Map) Reports(up func(Endpoint) bool) *Reports {
	r := &Reports{of: m, clusters: make([]bool, len(m.clusters))}
	for i := range m.clusters {
		for j := range m.clusters[i].nodes {
			n := m.clusters[i].nodes[j].node
			for _, addr := range n.Addresses {
				ok := up(Endpoint{Node: n.Name, Addr: addr})
				r.up = append(r.up, ok)
				r.clusters[i] = r.clusters[i] || ok
				r.any = r.any || ok
			}
		}
	}
	return r
}

// nodeUp says whether the node answers at one of its addresses.
func (r *Reports) nodeUp(n *member) bool {
	for i := range n.node.Addresses {
		if r.up[n.first+i] {
			return true
		}
	}
	return false
}
