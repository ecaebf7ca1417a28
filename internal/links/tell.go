package links

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/overlay/route"
)

// Paths are the ways of this node's traffic, for people.
func (l *Links) Paths() api.NodePaths {
	now := time.Now()
	all := api.NodePaths{Node: l.o.Self, At: now.UTC(), Peers: []api.PeerPaths{}, Parents: l.parents.tell()}
	all.Forwarded, all.Dropped = l.endpoint.Forwarded()
	links := l.all()
	slices.SortFunc(links, func(a, b *link) int { return cmp.Compare(a.node, b.node) })
	for _, k := range links {
		all.Peers = append(all.Peers, l.peerPaths(k))
	}
	return all
}

func (l *Links) peerPaths(k *link) api.PeerPaths {
	p := api.PeerPaths{Node: k.node, Dialed: k.dialed, Why: "the other node has dialed, and chooses"}
	lines := map[string]route.Line{}
	if k.dialed {
		p.Why = "nothing else is known"
		if x, ok := l.Explain(k.node); ok {
			p.Why, p.Switches = x.Why, x.Switches
			for _, line := range x.Lines {
				lines[line.Route] = line
			}
		}
	}
	paths := k.conn.Paths()
	for i := range paths {
		info := &paths[i]
		r, known := k.detours.route(k.node, info)
		if !known { // the other side has opened it
			r.Via = l.nodeAt(info.Remote)
		}
		line := lines[r.String()]
		path := api.Path{
			Via: r.Via, Address: info.Remote, Chosen: info.Primary, Alive: info.Alive,
			RTT: millis(info.Smoothed), Variance: millis(info.Variance), Loss: line.Loss, Goodput: line.Goodput, Packet: info.PacketSize,
			Delivered: info.Delivered, State: info.Controller, Note: line.Note,
		}
		if path.Chosen {
			p.Paths = append([]api.Path{path}, p.Paths...)
		} else {
			p.Paths = append(p.Paths, path)
		}
	}
	return p
}

// nodeAt is the node whose mesh is at an address.
func (l *Links) nodeAt(at netip.AddrPort) config.NodeID {
	for _, r := range l.o.Nodes() {
		if r.Mesh == at.String() {
			return r.Name
		}
	}
	return config.NodeID(at.String())
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (p *parentage) tell() []api.SiteParent {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := []api.SiteParent{}
	for name, s := range p.sites {
		t := api.SiteParent{Site: name, Cluster: s.cluster, Own: millis(s.own)}
		for _, o := range s.others {
			t.Others = append(t.Others, api.ClusterNear{Cluster: o.Cluster, Connect: millis(o.Connect), Path: millis(o.Path)})
		}
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b api.SiteParent) int { return cmp.Compare(a.Site, b.Site) })
	return list
}

const (
	benchDefault = 16 << 20
	benchMax     = 256 << 20
	benchTimeout = 30 * time.Second // of each run
)

// Bench fetches bytes from another node: over TCP by tcp, which asks a URL's path of the node's mesh; over the overlay; and over each detour.
func (l *Links) Bench(ctx context.Context, to config.NodeID, bytes int64, tcp func(ctx context.Context, path string) (*http.Response, error)) (api.PathBench, error) {
	if bytes == 0 {
		bytes = benchDefault
	}
	if bytes < 1 || bytes > benchMax {
		return api.PathBench{}, fmt.Errorf("bytes must be from 1 to %d", benchMax)
	}
	b := api.PathBench{From: l.o.Self, To: to, Bytes: bytes}
	query := url.Values{"bytes": {strconv.FormatInt(bytes, 10)}}.Encode()
	b.Runs = append(b.Runs, run(ctx, "tcp", bytes, func(ctx context.Context) (*http.Response, error) { return tcp(ctx, bulkPath+"?"+query) }))
	k, err := l.to(ctx, to)
	if err != nil {
		b.Runs = append(b.Runs, api.PathRun{Way: "overlay", Error: err.Error()})
		return b, nil
	}
	fetch := func(ctx context.Context) (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+ownHost+bulkPath+"?"+query, nil)
		if err != nil {
			return nil, err
		}
		return k.http.RoundTrip(r)
	}
	for _, p := range k.conn.Paths() {
		if !p.Alive {
			continue
		}
		way := "overlay"
		if p.Label != 0 {
			r, known := k.detours.route(k.node, &p)
			if !known {
				continue // the other side has opened it, and chooses
			}
			way = "overlay via " + string(r.Via)
		}
		// The answer comes by the path that the other side chooses: the one on which it was asked.
		release := l.hold(k, p.ID)
		b.Runs = append(b.Runs, run(ctx, way, bytes, fetch))
		release()
	}
	return b, nil
}

// hold has a link use one path until it is released.
func (l *Links) hold(k *link, path int) (release func()) {
	k.held.Store(true)
	_ = k.conn.UsePath(path)
	return func() { k.held.Store(false) }
}

func run(ctx context.Context, way string, bytes int64, fetch func(context.Context) (*http.Response, error)) (r api.PathRun) {
	r.Way = way
	ctx, cancel := context.WithTimeout(ctx, benchTimeout)
	defer cancel()
	began := time.Now()
	resp, err := fetch(ctx)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	defer resp.Body.Close()
	r.First = millis(time.Since(began))
	n, err := io.Copy(io.Discard, resp.Body)
	r.Seconds = time.Since(began).Seconds()
	r.Mbit = float64(n) * 8 / r.Seconds / 1e6
	switch {
	case err != nil:
		r.Error = err.Error()
	case n != bytes:
		r.Error = fmt.Sprintf("%d bytes came instead of %d: the node answers %s", n, bytes, resp.Status)
	}
	return r
}
