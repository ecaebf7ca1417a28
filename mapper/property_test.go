package mapper

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/wherry/wherry/config"
)

// drawSnapshot draws a network whose prefixes overlap a lot.
func drawSnapshot(t *rapid.T) *config.Snapshot {
	s := &config.Snapshot{}
	taken := map[netip.Prefix]bool{}
	for i := range rapid.IntRange(1, 6).Draw(t, "clusters") {
		c := config.Cluster{Name: config.ClusterName(fmt.Sprintf("c%d", i))}
		if rapid.Bool().Draw(t, "located") {
			c.Location = drawLocation(t)
		}
		for range rapid.IntRange(0, 6).Draw(t, "prefixes") {
			if p := drawPrefix(t, 0); !taken[p] {
				taken[p] = true
				c.Prefixes = append(c.Prefixes, p)
			}
		}
		for j := range rapid.IntRange(1, 5).Draw(t, "nodes") {
			name := config.NodeID(fmt.Sprintf("c%d-%d", i, j))
			c.Nodes = append(c.Nodes, config.Node{Name: name, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i), byte(j)})}})
		}
		s.Clusters = append(s.Clusters, c)
	}
	return s
}

func drawLocation(t *rapid.T) *config.Location {
	return &config.Location{
		Latitude:  rapid.Float64Range(-90, 90).Draw(t, "latitude"),
		Longitude: rapid.Float64Range(-180, 180).Draw(t, "longitude"),
	}
}

// drawPrefix draws from few address bits, so that prefixes meet.
func drawPrefix(t *rapid.T, bitsMin int) netip.Prefix {
	some := rapid.SampledFrom([]byte{0, 1, 127, 128, 255})
	a4 := [4]byte{some.Draw(t, "byte"), some.Draw(t, "byte"), some.Draw(t, "byte"), some.Draw(t, "byte")}
	if rapid.Bool().Draw(t, "v6") {
		a16 := [16]byte{0: a4[0], 1: a4[1], 2: a4[2], 15: a4[3]}
		return netip.PrefixFrom(netip.AddrFrom16(a16), rapid.IntRange(bitsMin, 128).Draw(t, "bits")).Masked()
	}
	return netip.PrefixFrom(netip.AddrFrom4(a4), rapid.IntRange(min(bitsMin, 32), 32).Draw(t, "bits")).Masked()
}

func drawClient(t *rapid.T) Client {
	c := Client{Prefix: drawPrefix(t, 0)}
	if rapid.Bool().Draw(t, "client located") {
		c.Location = drawLocation(t)
	}
	return c
}

func names(r *Ranking) (nodes []config.NodeID, clusters []config.ClusterName) {
	for c := range r.Each {
		nodes = append(nodes, c.Node.Name)
		if !slices.Contains(clusters, c.Cluster.Name) {
			clusters = append(clusters, c.Cluster.Name)
		}
	}
	return nodes, clusters
}

// Every node that is up appears exactly once and none that is down; if none is up, all appear.
func TestEveryNodeOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSnapshot(t)
		m := New(s)
		var want []config.NodeID
		var all []config.NodeID
		down := map[config.NodeID]bool{}
		for _, c := range s.Clusters {
			for _, n := range c.Nodes {
				all = append(all, n.Name)
				if rapid.Bool().Draw(t, "up") {
					want = append(want, n.Name)
				} else {
					down[n.Name] = true
				}
			}
		}
		if want == nil {
			want = all
		}
		r := m.Rank(drawClient(t), Key(rapid.Uint64().Draw(t, "key")), m.Reports(func(e Endpoint) bool { return !down[e.Node] }))
		got, _ := names(&r)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("ranked %v, want %v", got, want)
		}
		if r.AllDown != (len(down) == len(all)) {
			t.Fatalf("all down %v with %d of %d down", r.AllDown, len(down), len(all))
		}
	})
}

// The first cluster is that of the longest declared prefix around the client, by a search through all of them.
func TestLongestPrefixWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSnapshot(t)
		client := drawClient(t)
		var want config.ClusterName
		longest := -1
		for _, c := range s.Clusters {
			for _, p := range c.Prefixes {
				if p.Contains(client.Prefix.Addr()) && p.Bits() <= client.Prefix.Bits() && p.Bits() > longest {
					want, longest = c.Name, p.Bits()
				}
			}
		}
		m := New(s)
		prefix, cluster, _, ok := m.Declared(client.Prefix)
		if ok != (longest >= 0) {
			t.Fatalf("declared %v, want a match: %v", prefix, longest >= 0)
		}
		if !ok {
			return
		}
		if prefix.Bits() != longest || cluster.Name != want {
			t.Fatalf("declared %s of %s, want /%d of %s", prefix, cluster.Name, longest, want)
		}
		r := m.Rank(client, 1, nil)
		if _, clusters := names(&r); clusters[0] != want {
			t.Fatalf("%v come first for %s, want %s", clusters, client.Prefix, want)
		}
	})
}

// Every address inside a ranking's scope gets the same order: a resolver may reuse the answer for it (RFC 7871 §7.3.1).
func TestScopeHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSnapshot(t)
		m := New(s)
		p := drawPrefix(t, 128)
		location := drawClient(t).Location
		r := m.Rank(Client{Prefix: p, Location: location}, 1, nil)
		scope := netip.PrefixFrom(p.Addr(), r.Scope).Masked()
		other := drawPrefix(t, 128)
		raw, base := other.Addr().AsSlice(), scope.Addr().AsSlice()
		if len(raw) != len(base) {
			return
		}
		for i := range r.Scope {
			bit := byte(0x80 >> (i % 8))
			raw[i/8] = raw[i/8]&^bit | base[i/8]&bit
		}
		addr, _ := netip.AddrFromSlice(raw)
		r2 := m.Rank(Client{Prefix: netip.PrefixFrom(addr, addr.BitLen()), Location: location}, 1, nil)
		_, a := names(&r)
		_, b := names(&r2)
		if !slices.Equal(a, b) {
			t.Fatalf("%s gets %v, but %s of its scope %s gets %v", p, a, addr, scope, b)
		}
	})
}

// When a node goes, only names that it had move; when one comes, it only takes: the order of the others stays.
func TestMinimalDisruption(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSnapshot(t)
		m := New(s)
		client, key := drawClient(t), Key(rapid.Uint64().Draw(t, "key"))
		before := m.Rank(client, key, nil)
		nodes, _ := names(&before)
		if len(nodes) == 1 {
			return
		}
		gone := rapid.SampledFrom(nodes).Draw(t, "gone")
		after := m.Rank(client, key, m.Reports(func(e Endpoint) bool { return e.Node != gone }))
		got, _ := names(&after)
		want := slices.DeleteFunc(slices.Clone(nodes), func(n config.NodeID) bool { return n == gone })
		if !slices.Equal(got, want) {
			t.Fatalf("without %s: %v, want %v", gone, got, want)
		}
	})
}

// Names spread evenly over the nodes of a cluster, and networks over clusters of which nothing is known.
func TestEvenSpread(t *testing.T) {
	const nodes, draws = 10, 20000
	s := &config.Snapshot{}
	one := config.Cluster{Name: "one"}
	for i := range nodes {
		addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		n := config.Node{Name: config.NodeID(fmt.Sprintf("node-%d", i)), Addresses: []netip.Addr{addr}}
		one.Nodes = append(one.Nodes, n)
		s.Clusters = append(s.Clusters, config.Cluster{Name: config.ClusterName(fmt.Sprintf("c%d", i)), Nodes: []config.Node{n}})
	}
	check := func(what string, counts map[config.NodeID]int) {
		for i := range nodes {
			n := config.NodeID(fmt.Sprintf("node-%d", i))
			if share := float64(counts[n]) * nodes / draws; share < 0.9 || share > 1.1 {
				t.Errorf("%s: %s has %.2f of its even share", what, n, share)
			}
		}
	}
	byName, byNetwork := map[config.NodeID]int{}, map[config.NodeID]int{}
	single := &config.Snapshot{}
	single.Clusters = []config.Cluster{one}
	m, spread := New(single), New(s)
	for i := range draws {
		r := m.Rank(Client{}, KeyOf(fmt.Sprintf("host-%d.test", i)), nil)
		for c := range r.Each {
			byName[c.Node.Name]++
			break
		}
		client := netip.AddrFrom4([4]byte{11, byte(i >> 8), byte(i), 1})
		r = spread.Rank(Client{Prefix: netip.PrefixFrom(client, 32)}, KeyOf("shop.test"), nil)
		for c := range r.Each {
			byNetwork[c.Node.Name]++
			break
		}
	}
	check("names over nodes", byName)
	check("networks over clusters", byNetwork)
}
