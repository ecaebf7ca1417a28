package parents

import (
	"cmp"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
)

// Near is how long a cluster takes to connect to a site's origin.
type Near struct {
	Cluster config.ClusterName
	Connect time.Duration // the median of its nodes
	Path    time.Duration // a round trip from here to its nodes; 0: not known
}

const (
	nearer  = 2                    // times, to become a parent
	steady  = 4                    // thirds: to take over from the one that is, another one must be that much nearer
	worth   = 5 * time.Millisecond // an origin that is nearer than this needs no parent
	around  = 5                    // quarters of the way to the origin that the way through a parent may have: a request over warm connections takes one
	unknown = ""
)

// Choose returns the cluster to ask before the origin; empty: none. own is how long this node takes to connect to it (0: not known yet), now the
// cluster that is asked at present.
func Choose(own time.Duration, others []Near, now config.ClusterName) config.ClusterName {
	if own < worth {
		return unknown
	}
	best, current := Near{Connect: own}, Near{}
	for _, n := range others {
		if n.Connect <= 0 || n.Path > 0 && 4*(n.Path+n.Connect) > around*own {
			continue
		}
		if n.Cluster == now {
			current = n
		}
		if n.Connect < best.Connect || n.Connect == best.Connect && n.Cluster < best.Cluster {
			best = n
		}
	}
	if current.Connect > 0 && current.Connect*3/2 <= own && best.Connect*steady > current.Connect*3 {
		return now
	}
	if best.Cluster == unknown || best.Connect*nearer > own {
		return unknown
	}
	return best.Cluster
}

// Median is the middle of some times; 0 if there are none.
func Median(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// Rank orders nodes by who is to have a key: the same everywhere.
func Rank(key string, nodes []config.NodeID) []config.NodeID {
	type scored struct {
		node  config.NodeID
		score uint64
	}
	list := make([]scored, len(nodes))
	for i, n := range nodes {
		list[i] = scored{n, score(key, string(n))}
	}
	slices.SortFunc(list, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.node, b.node))
	})
	ranked := make([]config.NodeID, len(list))
	for i, s := range list {
		ranked[i] = s.node
	}
	return ranked
}

// score is FNV-1a over both, with an avalanche at the end (MurmurHash3's), so that neighbours among names don't get neighbouring scores.
func score(key, node string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for _, s := range [...]string{node, "\x00", key} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * prime
		}
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
