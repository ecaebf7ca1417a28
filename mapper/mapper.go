package mapper

import (
	"fmt"
	"net/netip"

	"github.com/wherry/wherry/config"
)

// Client is who asks, as far as it is known.
type Client struct {
	// Prefix is the client's network: its subnet, or the address of its resolver.
	Prefix netip.Prefix
	// Location is where it is; nil if nobody knows.
	Location *config.Location
	// Located is the network for which Location holds; the zero Prefix means Client.Prefix.
	Located netip.Prefix
}

// Map holds the tables for one snapshot. It is immutable and safe for use by many goroutines.
type Map struct {
	clusters []place
	prefixes [2]prefixTable // IPv4, IPv6
	located  bool           // some cluster has a location
	allUp    *Reports
}

// place is a cluster as the map sees it.
type place struct {
	cluster *config.Cluster
	at      vector
	located bool
	seed    uint64
	nodes   []member
}

type member struct {
	node  *config.Node
	seed  uint64
	first int // index of the node's first address in Reports.up
}

// New builds the map of s.
func New(s *config.Snapshot) *Map {
	m := &Map{clusters: make([]place, len(s.Clusters))}
	var declared [2][]declaredPrefix
	first := 0
	for i := range s.Clusters {
		c := &s.Clusters[i]
		p := place{cluster: c, seed: uint64(KeyOf(c.Name)), nodes: make([]member, len(c.Nodes))}
		if c.Location != nil {
			p.at, p.located, m.located = vectorOf(*c.Location), true, true
		}
		for j := range c.Nodes {
			n := &c.Nodes[j]
			p.nodes[j] = member{node: n, seed: uint64(KeyOf(n.Name)), first: first}
			first += len(n.Addresses)
		}
		for _, prefix := range c.Prefixes {
			prefix = unmap(prefix)
			declared[family(prefix.Addr())] = append(declared[family(prefix.Addr())], declaredPrefix{prefix: prefix, cluster: i})
		}
		m.clusters[i] = p
	}
	m.prefixes[0] = newPrefixTable(netip.IPv4Unspecified(), declared[0])
	m.prefixes[1] = newPrefixTable(netip.IPv6Unspecified(), declared[1])
	m.allUp = m.Reports(func(Endpoint) bool { return true })
	return m
}

// Declared returns the longest declared prefix that covers the whole of network, and its cluster; ok is false if there is
// none. Every network inside the first scope bits of network's address has the same declared prefix.
func (m *Map) Declared(network netip.Prefix) (prefix netip.Prefix, cluster *config.Cluster, scope int, ok bool) {
	network = unmap(network)
	t := &m.prefixes[family(network.Addr())]
	i, scope := t.lookup(network)
	if i < 0 {
		return netip.Prefix{}, nil, scope, false
	}
	return t.declared[i].prefix, m.clusters[t.declared[i].cluster].cluster, scope, true
}

// Rank orders the nodes for a client that asks for what key names. A nil reports means that all nodes are up.
func (m *Map) Rank(c Client, key Key, reports *Reports) Ranking {
	r := Ranking{m: m, reports: m.usable(reports), key: key, home: -1, only: -1}
	r.AllDown = r.reports != reports && reports != nil
	if !c.Prefix.IsValid() {
		return r
	}
	network := unmap(c.Prefix)
	t := &m.prefixes[family(network.Addr())]
	i, scope := t.lookup(network)
	// The network by which clusters without a place are spread is never narrower than the scope, or the scope would lie.
	switch {
	case i >= 0:
		r.prefix, r.home = t.declared[i].prefix, t.declared[i].cluster
		r.network = r.prefix
		home := &m.clusters[r.home]
		r.anchor, r.anchored = home.at, home.located
	case c.Location != nil && m.located:
		r.anchor, r.anchored = vectorOf(*c.Location), true
		r.network = network
		if c.Located.IsValid() {
			r.network = unmap(c.Located)
		}
		scope = max(scope, r.network.Bits())
	default:
		r.network = netip.PrefixFrom(network.Addr(), min(network.Bits(), spreadBits(network.Addr()))).Masked()
		scope = max(scope, r.network.Bits())
	}
	r.spread = uint64(keyOfPrefix(r.network))
	if len(m.clusters) > 1 {
		r.Scope = scope
	}
	return r
}

// Within orders the nodes of one cluster only; ok is false if there is no such cluster.
func (m *Map) Within(name config.ClusterName, key Key, reports *Reports) (r Ranking, ok bool) {
	for i := range m.clusters {
		if m.clusters[i].cluster.Name != name {
			continue
		}
		if reports == nil {
			reports = m.allUp
		}
		r = Ranking{m: m, reports: reports, key: key, home: -1, only: i}
		if !reports.clusters[i] {
			r.reports, r.AllDown = m.allUp, true
		}
		return r, true
	}
	return Ranking{}, false
}

// usable returns reports, or those that say that all are up if there are none or no node is up at all.
func (m *Map) usable(reports *Reports) *Reports {
	if reports == nil {
		return m.allUp
	}
	if reports.of != m {
		panic("BUG: reports of another map")
	}
	if !reports.any {
		return m.allUp
	}
	return reports
}

// Ranking is an order of nodes. It works it out while it is read.
type Ranking struct {
	// Scope is the length of the client's network to which the order of clusters applies; 0 if it is the same for everybody.
	Scope int
	// AllDown says that no node is up and that they are ranked as if all were.
	AllDown bool

	m        *Map
	reports  *Reports
	key      Key
	prefix   netip.Prefix // the declared prefix that matched
	home     int          // the cluster of prefix, or -1
	only     int          // the one cluster to rank, or -1
	anchor   vector       // from where distances count, if anchored
	anchored bool
	network  netip.Prefix // around the client, as far as it counts for spreading
	spread   uint64       // hash of network
}

// Choice is one node of a ranking.
type Choice struct {
	Cluster *config.Cluster
	Node    *config.Node

	reports *Reports
	first   int
}

// Up says whether the node answers at Node.Addresses[i].
func (c Choice) Up(i int) bool { return c.reports.up[c.first+i] }

// Each calls yield for each node, best first, until yield returns false. It is an iter.Seq.
func (r *Ranking) Each(yield func(Choice) bool) {
	for i := r.nextCluster(-1, r.reports); i >= 0; i = r.nextCluster(i, r.reports) {
		p := &r.m.clusters[i]
		for j := r.nextNode(p, -1); j >= 0; j = r.nextNode(p, j) {
			n := &p.nodes[j]
			if !yield(Choice{Cluster: p.cluster, Node: n.node, reports: r.reports, first: n.first}) {
				return
			}
		}
	}
}

// nextCluster returns the cluster that comes after the one at index last, or the first if last is -1; -1 if there is no more.
// Scanning for each next one costs nothing while the first one serves, which is nearly always.
func (r *Ranking) nextCluster(last int, reports *Reports) int {
	if r.only >= 0 {
		if last < 0 {
			return r.only
		}
		return -1
	}
	var bound, best order
	if last >= 0 {
		bound = r.order(last)
	}
	next := -1
	for i := range r.m.clusters {
		if !reports.clusters[i] {
			continue
		}
		o := r.order(i)
		if (last < 0 || bound.before(o)) && (next < 0 || o.before(best)) {
			next, best = i, o
		}
	}
	return next
}

// order is a cluster's place in a ranking.
type order struct {
	class  int     // 0 the prefix's own cluster, 1 with a distance, 2 without
	near   float64 // cosine of the angle to the anchor
	weight uint64
	index  int
}

func (r *Ranking) order(i int) order {
	p := &r.m.clusters[i]
	switch {
	case i == r.home:
		return order{class: 0, index: i}
	case r.anchored && p.located:
		return order{class: 1, near: r.anchor.dot(p.at), index: i}
	}
	return order{class: 2, weight: mix(r.spread, p.seed), index: i}
}

func (o order) before(b order) bool {
	switch {
	case o.class != b.class:
		return o.class < b.class
	case o.near != b.near:
		return o.near > b.near
	case o.weight != b.weight:
		return o.weight > b.weight
	}
	return o.index < b.index
}

// nextNode returns the node of p that comes after the one at index last, as nextCluster does for clusters.
func (r *Ranking) nextNode(p *place, last int) int {
	var bound, best uint64
	if last >= 0 {
		bound = mix(uint64(r.key), p.nodes[last].seed)
	}
	next := -1
	for j := range p.nodes {
		n := &p.nodes[j]
		if !r.reports.nodeUp(n) {
			continue
		}
		w := mix(uint64(r.key), n.seed)
		if last >= 0 && (w > bound || w == bound && j <= last) {
			continue
		}
		if next < 0 || w > best {
			next, best = j, w
		}
	}
	return next
}

// Why tells in words how the first cluster was found.
func (r *Ranking) Why() string {
	chosen, wanted := r.nextCluster(-1, r.reports), r.nextCluster(-1, r.m.allUp)
	if chosen < 0 {
		return "the network has no nodes"
	}
	why := r.reason(wanted)
	if chosen != wanted {
		why += fmt.Sprintf("; no node of %s is up, next: %s", r.m.clusters[wanted].cluster.Name, r.m.clusters[chosen].cluster.Name)
		if km, ok := r.distance(chosen); ok {
			why += fmt.Sprintf(", %.0f km", km)
		}
	}
	if r.AllDown {
		why += "; no node is up, ranked as if all were"
	}
	return why
}

func (r *Ranking) reason(i int) string {
	name := r.m.clusters[i].cluster.Name
	switch km, near := r.distance(i); {
	case r.only >= 0:
		return fmt.Sprintf("named: %s", name)
	case r.home >= 0:
		return fmt.Sprintf("prefix %s of %s", r.prefix, name)
	case near:
		return fmt.Sprintf("nearest: %s, %.0f km", name, km)
	case len(r.m.clusters) == 1:
		return fmt.Sprintf("all: %s is the only cluster", name)
	case !r.network.IsValid():
		return fmt.Sprintf("all: %s", name)
	default:
		return fmt.Sprintf("all: %s for %s", name, r.network)
	}
}

// distance returns how far the cluster is from the anchor, if that is known.
func (r *Ranking) distance(i int) (km float64, ok bool) {
	p := &r.m.clusters[i]
	if !r.anchored || !p.located {
		return 0, false
	}
	return r.anchor.kilometres(p.at), true
}
