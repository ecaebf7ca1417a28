package tree

import (
	"cmp"
	"hash/fnv"
	"math/bits"
	"slices"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

const (
	// branching is how many nodes of a level a node of the level above is meant for. Parents take more than that (Options.ChildrenMax).
	branching = 32
	// headsMin and headsMax bound how many nodes of a cluster follow control itself.
	headsMin, headsMax = 2, 8
	// rackHeads is how many nodes of a rack the others of the rack follow.
	rackHeads = 2
	// candidatesMax bounds the list; it has some of each tier.
	candidatesMax = 64
	perTierMax    = 12
	nameMax       = 253
)

// Tier says why a node is a candidate; a lower one is better.
type Tier int

// The tiers.
const (
	TierRack    Tier = iota // it is in the same rack
	TierAbove               // it is of the level above in the same cluster
	TierRoot                // it is control
	TierCluster             // it is anywhere above in the same cluster
	TierOther               // it is a head of another cluster, for when control is out of reach
	TierBelow               // it is meant to be below; its path tells whether it is
)

var tierNames = [...]string{"rack", "above", "root", "cluster", "other", "below"}

func (t Tier) String() string { return tierNames[t] }

// Candidate is a node that may be the parent.
type Candidate struct {
	Node    config.NodeID // empty: an address of control whose node isn't known
	Address string        // HOST:PORT
	Tier    Tier
}

// Candidates orders who may be the parent of self, best first: a function of who there is, so that all agree without talking.
//
// The nodes of a cluster are ranked by a hash. The first few, its heads, follow control; the next 32 for each of them follow a head, and so
// on. A node's first choices all have a better rank than itself, so that the choices make no loop. In a rack the others follow the
// rack's best.
func Candidates(self feed.NodeRecord, nodes []feed.NodeRecord, control []string) []Candidate {
	p := newPlan(self, nodes)
	var all []Candidate
	add := func(t Tier, from []feed.NodeRecord) {
		from = p.nearest(from)
		for _, n := range from[:min(len(from), perTierMax)] {
			all = append(all, Candidate{n.Name, n.Mesh, t})
		}
	}
	roots := p.roots(control)
	if p.rank < p.heads {
		all = append(all, roots...)
	} else {
		add(TierRack, p.rack())
		from, to := levelAbove(p.rank, p.heads)
		add(TierAbove, p.cluster[from:to])
		all = append(all, roots...)
	}
	add(TierCluster, p.cluster[:p.rank])
	add(TierOther, p.others)
	if p.rank < len(p.cluster) {
		add(TierBelow, p.cluster[p.rank+1:])
	}
	seen := map[string]bool{self.Mesh: true}
	all = slices.DeleteFunc(all, func(c Candidate) bool {
		again := seen[c.Address]
		seen[c.Address] = true
		return again
	})
	return all[:min(len(all), candidatesMax)]
}

// plan is the nodes as self sees them.
type plan struct {
	self    feed.NodeRecord
	cluster []feed.NodeRecord // of self's cluster, best rank first; with self, if it is among the nodes
	rank    int               // of self; len(cluster) if it isn't among them
	heads   int
	others  []feed.NodeRecord // the heads of other clusters
	control []feed.NodeRecord
}

func newPlan(self feed.NodeRecord, nodes []feed.NodeRecord) *plan {
	p := &plan{self: self}
	clusters := map[config.ClusterName][]feed.NodeRecord{}
	for _, n := range nodes {
		switch {
		case n.Mesh == "" && n.Name != self.Name:
		case slices.Contains(n.Roles, feed.RoleControl):
			p.control = append(p.control, n)
		default:
			clusters[n.Cluster] = append(clusters[n.Cluster], n)
		}
	}
	for name, members := range clusters {
		rankNodes(members)
		if name == self.Cluster {
			p.cluster = members
		} else {
			p.others = append(p.others, members[:min(len(members), headsOf(len(members)))]...)
		}
	}
	p.heads = headsOf(len(p.cluster))
	p.rank = slices.IndexFunc(p.cluster, func(n feed.NodeRecord) bool { return n.Name == self.Name })
	if p.rank < 0 {
		p.rank = len(p.cluster)
	}
	return p
}

// headsOf says how many of n nodes follow control.
func headsOf(n int) int { return min(max(headsMin, (n+branching-1)/branching), headsMax) }

// levelAbove returns the ranks of the level above the one that has rank, which isn't a head's.
func levelAbove(rank, heads int) (from, to int) {
	from, to = 0, heads
	for size := heads * branching; rank >= to+size; size *= branching {
		from, to = to, to+size
	}
	return from, to
}

func rankNodes(nodes []feed.NodeRecord) {
	sortByHash(nodes, func(n *feed.NodeRecord) (string, string) { return string(n.Cluster), string(n.Name) })
}

// sortByHash sorts by the hash of what of returns.
func sortByHash[T any](all []T, of func(*T) (string, string)) {
	type hashed struct {
		hash  uint64
		name  string
		index int
	}
	order := make([]hashed, len(all))
	for i := range all {
		a, b := of(&all[i])
		order[i] = hashed{hashOf(a, b), b, i}
	}
	slices.SortFunc(order, func(a, b hashed) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.name, b.name)) })
	before := slices.Clone(all)
	for i := range order {
		all[i] = before[order[i].index]
	}
}

// rack returns the best of self's rack, if self isn't one of them.
func (p *plan) rack() []feed.NodeRecord {
	if p.self.Rack == "" {
		return nil
	}
	var best []feed.NodeRecord
	for _, n := range p.cluster[:p.rank] {
		if n.Rack == p.self.Rack && len(best) < rackHeads {
			best = append(best, n)
		}
	}
	return best
}

// nearest orders nodes so that self's neighbours order them otherwise, and all get an equal share.
func (p *plan) nearest(nodes []feed.NodeRecord) []feed.NodeRecord {
	nodes = slices.Clone(nodes)
	sortByHash(nodes, func(n *feed.NodeRecord) (string, string) { return string(p.self.Name), string(n.Name) })
	return nodes
}

// roots returns control: the nodes of that role, and addresses that none of them has. They are spread over all who ask.
func (p *plan) roots(addresses []string) []Candidate {
	var all []Candidate
	known := map[string]bool{}
	for _, n := range p.control {
		known[n.Mesh] = true
		all = append(all, Candidate{n.Name, n.Mesh, TierRoot})
	}
	for _, a := range addresses {
		if !known[a] {
			all = append(all, Candidate{"", a, TierRoot})
		}
	}
	sortByHash(all, func(c *Candidate) (string, string) { return string(p.self.Name), c.Address })
	return all[:min(len(all), perTierMax)]
}

// hashOf mixes well in the high bits, by which hashes are compared; FNV alone doesn't for names that differ at the end.
func hashOf(a, b string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(a))
	h.Write([]byte{0})
	h.Write([]byte(b))
	high, low := bits.Mul64(h.Sum64(), 0x9e3779b97f4a7c15)
	high, low = bits.Mul64(high^low, 0xd6e8feb86659fd93)
	return high ^ low
}
