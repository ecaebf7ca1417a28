package links

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/simnet"
	"github.com/wherry/wherry/mesh"
	"github.com/wherry/wherry/overlay/route"
)

// places are nodes on a network in memory, each with Links that run until the test ends.
type places struct {
	net   *simnet.Network
	hosts map[config.NodeID]*simnet.Host
	links map[config.NodeID]*Links

	change func(p *places, o *Options)
}

func newPlaces(t *testing.T, names ...config.NodeID) *places { return newPlacesWith(t, nil, names...) }

// newPlacesWith has change look at the options of each node.
func newPlacesWith(t *testing.T, change func(p *places, o *Options), names ...config.NodeID) *places {
	t.Helper()
	p := &places{change: change, net: simnet.New(simnet.Options{Seed: 3}), hosts: map[config.NodeID]*simnet.Host{}, links: map[config.NodeID]*Links{}}
	authority, err := mesh.NewAuthority(t.TempDir(), "cdn.test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var records []feed.NodeRecord
	for i, name := range names {
		at := netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
		p.hosts[name] = p.net.Host(string(name), at)
		records = append(records, feed.NodeRecord{Name: name, Cluster: config.ClusterName(name), Roles: []feed.Role{feed.RoleEdge}, Mesh: netip.AddrPortFrom(at, 4000).String()})
	}
	ctx, cancel := context.WithCancel(context.Background())
	for _, name := range names {
		l := p.node(t, authority, name, records)
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run of %s: %v", name, err)
			}
		})
	}
	t.Cleanup(cancel)
	return p
}

func (p *places) node(t *testing.T, authority *mesh.Authority, name config.NodeID, records []feed.NodeRecord) *Links {
	t.Helper()
	id, err := mesh.OpenIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	csr, err := id.CSR()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := authority.Issue(csr, mesh.Who{Node: name}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Install(cert, authority.PEM()); err != nil {
		t.Fatal(err)
	}
	conn, err := p.hosts[name].ListenPacket("udp", ":4000")
	if err != nil {
		t.Fatal(err)
	}
	position := func() feed.Position { return feed.Position{} }
	log := slog.New(slog.DiscardHandler)
	o := Options{
		Self: name, Cluster: config.ClusterName(name), Conn: conn, Mesh: mesh.New(id, mesh.Options{Log: log}), Log: log,
		Nodes: func() []feed.NodeRecord { return records }, Position: position, Done: position,
	}
	if p.change != nil {
		p.change(p, &o)
	}
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	p.links[name] = l
	return l
}

func (p *places) path(a, b config.NodeID, oneWay time.Duration) {
	p.net.SetLink(p.hosts[a], p.hosts[b], simnet.Link{Latency: oneWay})
}

// primary is by which way packets from a to b go.
func (p *places) primary(a, b config.NodeID) string {
	k := p.links[a].link(b)
	if k == nil {
		return "no connection"
	}
	for _, path := range k.conn.Paths() {
		if path.Primary {
			if way, known := k.detours.route(b, &path); known {
				return way.String()
			}
		}
	}
	return "unknown"
}

func TestTheBetterPathIsUsedAndADeadOneLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(t, "lisbon", "delhi", "milan", "osaka")
		p.path("lisbon", "osaka", 150*time.Millisecond)
		p.path("lisbon", "delhi", 50*time.Millisecond)
		p.path("delhi", "osaka", 40*time.Millisecond)
		p.path("lisbon", "milan", 20*time.Millisecond)
		p.path("milan", "osaka", 90*time.Millisecond)
		p.path("milan", "delhi", 60*time.Millisecond)
		time.Sleep(time.Second)
		if _, err := p.links["lisbon"].to(t.Context(), "osaka"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		x, ok := p.links["lisbon"].Explain("osaka")
		if got := p.primary("lisbon", "osaka"); got != "via delhi" || !ok || x.Chosen != got {
			t.Fatalf("%s is used; %v", got, x)
		}
		for _, want := range []string{"via delhi", "direct", "via milan", "in use"} {
			if !strings.Contains(x.String(), want) {
				t.Errorf("the explanation doesn't speak of %q:\n%s", want, x)
			}
		}
		p.links["lisbon"].pilot.mu.Lock()
		spare := p.links["lisbon"].pilot.router.Estimate(route.Route{To: "osaka", Via: "milan"}, time.Now())
		p.links["lisbon"].pilot.mu.Unlock()
		if spare.State != route.Alive {
			t.Errorf("the path that isn't used is %v", spare.State)
		}
		p.net.Cut(p.hosts["delhi"], p.hosts["osaka"])
		time.Sleep(3 * time.Second)
		if got := p.primary("lisbon", "osaka"); got == "via delhi" {
			t.Errorf("%s is dead and still used", got)
		}
		time.Sleep(30 * time.Second)
		if got := p.primary("lisbon", "osaka"); got != "via milan" {
			x, _ := p.links["lisbon"].Explain("osaka")
			t.Errorf("%s is used, the best that is left is via milan:\n%s", got, x)
		}
		p.path("lisbon", "osaka", 80*time.Millisecond)
		time.Sleep(2 * time.Minute)
		if got := p.primary("lisbon", "osaka"); got != "direct" {
			x, _ := p.links["lisbon"].Explain("osaka")
			t.Errorf("%s is used, and the direct path is better:\n%s", got, x)
		}
	})
}

// TestALostTailIsNoOutage has a direct path that loses a packet in a hundred, and a detour that is slower.
func TestALostTailIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(t, "lisbon", "delhi", "osaka")
		p.net.SetLink(p.hosts["lisbon"], p.hosts["osaka"], simnet.Link{Latency: 80 * time.Millisecond, Loss: 0.01})
		p.path("lisbon", "delhi", 60*time.Millisecond)
		p.path("delhi", "osaka", 60*time.Millisecond)
		time.Sleep(time.Second)
		for range 1200 {
			var near map[config.SiteName]int64
			if err := p.links["lisbon"].askOwn(t.Context(), "osaka", nearPath, nil, &near); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		x, ok := p.links["lisbon"].Explain("osaka")
		if !ok || x.Chosen != "direct" || x.Switches > 2 {
			t.Errorf("%d switches in five minutes:\n%s", x.Switches, x)
		}
	})
}
