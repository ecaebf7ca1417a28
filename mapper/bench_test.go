package mapper

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/wherry/wherry/config"
)

// bigSnapshot has 100,000 declared prefixes and 1,000 nodes in 50 located clusters.
func bigSnapshot() *config.Snapshot {
	rng := rand.New(rand.NewPCG(1, 2))
	s := &config.Snapshot{}
	taken := map[netip.Prefix]bool{}
	for i := range 50 {
		c := config.Cluster{
			Name:     config.ClusterName(fmt.Sprintf("c%d", i)),
			Location: &config.Location{Latitude: rng.Float64()*180 - 90, Longitude: rng.Float64()*360 - 180},
		}
		for len(c.Prefixes) < 2000 {
			v := rng.Uint32() >> 1 // the upper half of the space stays undeclared
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), 12+rng.IntN(13)).Masked()
			if !taken[p] {
				taken[p] = true
				c.Prefixes = append(c.Prefixes, p)
			}
		}
		for j := range 20 {
			addr := netip.AddrFrom4([4]byte{10, 0, byte(i), byte(j)})
			c.Nodes = append(c.Nodes, config.Node{Name: config.NodeID(fmt.Sprintf("c%d-%d", i, j)), Addresses: []netip.Addr{addr}})
		}
		s.Clusters = append(s.Clusters, c)
	}
	return s
}

// clients returns networks that are declared, and the same with the upper half's addresses, which are not.
func clients(undeclared bool) []Client {
	rng := rand.New(rand.NewPCG(3, 4))
	list := make([]Client, 4096)
	for i := range list {
		v := rng.Uint32() >> 1
		if undeclared {
			v |= 1 << 31
		}
		addr := netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
		list[i] = Client{Prefix: netip.PrefixFrom(addr, 32)}
		if undeclared {
			list[i].Location = &config.Location{Latitude: rng.Float64()*180 - 90, Longitude: rng.Float64()*360 - 180}
		}
	}
	return list
}

// best reads the two best nodes, as dns does.
func best(m *Map, c Client, key Key) (nodes int) {
	r := m.Rank(c, key, nil)
	for range r.Each {
		if nodes++; nodes == 2 {
			break
		}
	}
	return nodes
}

func BenchmarkRank(b *testing.B) {
	m, key := New(bigSnapshot()), KeyOf("shop.test")
	for name, undeclared := range map[string]bool{"prefix": false, "location": true} {
		list := clients(undeclared)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				best(m, list[i%len(list)], key)
				i++
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	s := bigSnapshot()
	b.ReportAllocs()
	for b.Loop() {
		New(s)
	}
}

func TestRankAllocates(t *testing.T) {
	m, key := New(bigSnapshot()), KeyOf("shop.test")
	for name, undeclared := range map[string]bool{"prefix": false, "location": true} {
		list := clients(undeclared)
		i := 0
		if n := testing.AllocsPerRun(1000, func() {
			best(m, list[i%len(list)], key)
			i++
		}); n > 0 {
			t.Errorf("%s: a ranking's best nodes cost %v allocations, want none", name, n)
		}
	}
}
