package dns

import (
	"fmt"
	"net/netip"
	"testing"

	miekg "github.com/miekg/dns"

	"github.com/wherry/wherry/config"
)

// bigNetwork has 1,000 nodes in 50 clusters, 10,000 prefixes and 500 sites.
func bigNetwork() *config.Snapshot {
	s := &config.Snapshot{}
	s.Zone = "wherry.test"
	s.DNS.TTL = 20e9
	for i := range 50 {
		c := config.Cluster{
			Name:     config.ClusterName(fmt.Sprintf("c%d", i)),
			Location: &config.Location{Latitude: float64(i*3 - 75), Longitude: float64(i*7 - 175)},
		}
		for j := range 200 {
			addr := netip.AddrFrom4([4]byte{byte(20 + i), byte(j), 0, 0})
			c.Prefixes = append(c.Prefixes, netip.PrefixFrom(addr, 16))
		}
		for j := range 20 {
			c.Nodes = append(c.Nodes, config.Node{
				Name: config.NodeID(fmt.Sprintf("c%d-%d", i, j)),
				Addresses: []netip.Addr{
					netip.AddrFrom4([4]byte{10, 0, byte(i), byte(j)}),
					netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 14: byte(i), 15: byte(j)}),
				},
			})
		}
		s.Clusters = append(s.Clusters, c)
	}
	for i := range 500 {
		host := config.HostPattern(fmt.Sprintf("www.site%d.test", i))
		s.Sites = append(s.Sites, config.Site{
			Name:  config.SiteName(fmt.Sprintf("site%d", i)),
			Hosts: []config.HostPattern{host, "*." + host, config.HostPattern(fmt.Sprintf("site%d.wherry.test", i))},
		})
	}
	return s
}

func benchQueries(b testing.TB) map[string][]byte {
	pack := func(name string, qtype uint16, subnet string) []byte {
		q := new(miekg.Msg).SetQuestion(name, qtype)
		if subnet != "" {
			withSubnet(q, netip.MustParsePrefix(subnet))
		}
		raw, err := q.Pack()
		if err != nil {
			b.Fatal(err)
		}
		return raw
	}
	return map[string][]byte{
		"host":        pack("www.site77.test.", miekg.TypeA, ""),
		"host-subnet": pack("www.site77.test.", miekg.TypeA, "30.9.8.0/24"),
		"wildcard":    pack("a.b.www.site77.test.", miekg.TypeAAAA, "30.9.8.0/24"),
		"alias":       pack("site77.wherry.test.", miekg.TypeA, "30.9.8.0/24"),
		"nxdomain":    pack("nope.wherry.test.", miekg.TypeA, ""),
		"refused":     pack("example.org.", miekg.TypeA, ""),
	}
}

func BenchmarkQuery(b *testing.B) {
	x := exchange{server: newQuiet(b, bigNetwork())}
	from := netip.MustParseAddr("198.51.100.7")
	for name, packet := range benchQueries(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x.respond(packet, from, false)
			}
		})
	}
}

func TestQueryAllocates(t *testing.T) {
	x := exchange{server: newQuiet(t, bigNetwork())}
	from := netip.MustParseAddr("198.51.100.7")
	for name, packet := range benchQueries(t) {
		if n := testing.AllocsPerRun(1000, func() { x.respond(packet, from, false) }); n > 0 {
			t.Errorf("%s: %v allocations an answer, want none", name, n)
		}
	}
}

func BenchmarkReload(b *testing.B) {
	snapshot := bigNetwork()
	s := newQuiet(b, snapshot)
	b.ReportAllocs()
	for b.Loop() {
		reload(b, s, snapshot)
	}
}
