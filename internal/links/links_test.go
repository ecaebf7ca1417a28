package links

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
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
	stops map[config.NodeID]func()

	ids     map[config.NodeID]*mesh.Identity
	records []feed.NodeRecord

	change func(p *places, o *Options)
}

func newPlaces(t *testing.T, names ...config.NodeID) *places { return newPlacesWith(t, nil, names...) }

// newPlacesWith has change look at the options of each node.
func newPlacesWith(t *testing.T, change func(p *places, o *Options), names ...config.NodeID) *places {
	t.Helper()
	p := &places{
		change: change, net: simnet.New(simnet.Options{Seed: 3}), hosts: map[config.NodeID]*simnet.Host{}, links: map[config.NodeID]*Links{},
		stops: map[config.NodeID]func(){}, ids: map[config.NodeID]*mesh.Identity{},
	}
	authority, err := mesh.NewAuthority(t.TempDir(), "cdn.test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		at := netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
		p.hosts[name] = p.net.Host(string(name), at)
		p.records = append(p.records, feed.NodeRecord{
			Name: name, Cluster: config.ClusterName(name), Mesh: netip.AddrPortFrom(at, 4000).String(),
			Roles: []feed.Role{feed.RoleEdge},
		})
	}
	for _, name := range names {
		p.ids[name] = identity(t, authority, name)
		p.start(t, name, nil)
		t.Cleanup(func() { p.stops[name]() })
	}
	return p
}

func identity(t *testing.T, authority *mesh.Authority, name config.NodeID) *mesh.Identity {
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
	return id
}

// start runs a node, whose edge answers with handler.
func (p *places) start(t *testing.T, name config.NodeID, handler http.Handler) {
	t.Helper()
	conn, err := p.hosts[name].ListenPacket("udp", ":4000")
	if err != nil {
		t.Fatal(err)
	}
	position := func() feed.Position { return feed.Position{} }
	log := slog.New(slog.DiscardHandler)
	o := Options{
		Self: name, Cluster: config.ClusterName(name), Conn: conn, Mesh: mesh.New(p.ids[name], mesh.Options{Log: log}), Log: log,
		Nodes: func() []feed.NodeRecord { return p.records }, Position: position, Done: position, Secret: []byte(name),
		Edge:   func() http.Handler { return handler },
		Parent: func(config.SiteName) config.Parent { return "osaka" },
	}
	if p.change != nil {
		p.change(p, &o)
	}
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	p.links[name] = l
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	synctest.Wait() // until it runs
	p.stops[name] = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run of %s: %v", name, err)
		}
	})
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

// A large answer comes by the direct path of 50 Mbit/s and a detour of 50 Mbit/s at once, with nobody asking for it.
func TestLargeAnswersComeOverSeveralPaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(t, "lisbon", "delhi", "osaka")
		link := simnet.Link{Latency: 30 * time.Millisecond, RateBytesPerSecond: 6_250_000, QueueBytes: 400_000}
		half := link
		half.Latency = 20 * time.Millisecond
		p.net.SetLink(p.hosts["lisbon"], p.hosts["osaka"], link)
		p.net.SetLink(p.hosts["lisbon"], p.hosts["delhi"], half)
		p.net.SetLink(p.hosts["delhi"], p.hosts["osaka"], half)
		time.Sleep(time.Second)
		k, err := p.links["lisbon"].to(t.Context(), "osaka")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		const n = 60 << 20
		began := time.Now()
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://%s%s?bytes=%d", ownHost, bulkPath, n), nil)
		resp, err := k.http.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.Copy(io.Discard, resp.Body)
		rate := float64(got) * 8 / time.Since(began).Seconds() / 1e6
		if t.Logf("%.1f Mbit/s", rate); err != nil || got != n || rate < 80 {
			t.Errorf("%d bytes with %.1f Mbit/s, %v", got, rate, err)
			t.Logf("%+v", k.conn.Paths())
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
