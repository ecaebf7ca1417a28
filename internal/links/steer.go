package links

import (
	"context"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/overlay/route"
)

const (
	steerInterval = 100 * time.Millisecond
	peersInterval = 10 * time.Second
	askInterval   = 10 * time.Second // how often others are asked for their reports
	askTimeout    = 2 * time.Second
	openTimeout   = 3 * time.Second
	detourRate    = 12.5e6 // bytes a second that go through one node, as much as one forwards for all
	detourRateAll = 50e6   // and through all together
	worksMax      = 8      // connections and paths that are being opened at once
	spare         = 1 << 20
	linksPath     = "/links" // of the node's own host: its report
)

// pilot keeps the paths of links as package route says. Lost with the process; measured again within seconds.
type pilot struct {
	works chan struct{} // a place for each that is under way

	mu     sync.Mutex // protects router
	router *route.Router
}

func (p *pilot) init(self config.NodeID) {
	p.works = make(chan struct{}, worksMax)
	p.router = route.New(route.Options{
		Self: self, Seed: uint64(time.Now().UnixNano()),
		DetourRate: detourRate, DetourRateAll: detourRateAll,
	})
	p.router.SetSpare(spare)
}

// steer measures and chooses until ctx ends.
func (l *Links) steer(ctx context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	work := func(f func(context.Context)) {
		select {
		case l.pilot.works <- struct{}{}:
		default:
			return // there is enough to do; it is asked for again
		}
		under.Go(func() {
			defer func() { <-l.pilot.works }()
			f(ctx)
		})
	}
	var peersAt time.Time
	tick := time.NewTicker(steerInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if now.Sub(peersAt) >= peersInterval {
			peersAt = now
			l.setPeers(now)
		}
		all := l.all()
		for _, k := range all {
			l.observe(k, now)
		}
		l.probe(now, work)
		for _, k := range all {
			if k.dialed {
				l.follow(k, now, work)
			}
		}
	}
}

// setPeers tells the router who is in the network.
func (l *Links) setPeers(now time.Time) {
	place := func(c config.ClusterName) *config.Location {
		if l.o.Place == nil {
			return nil
		}
		return l.o.Place(c)
	}
	self := route.Peer{ID: l.o.Self, Cluster: l.o.Cluster, Place: place(l.o.Cluster)}
	var peers []route.Peer
	for _, r := range l.o.Nodes() {
		peers = append(peers, route.Peer{ID: r.Name, Cluster: r.Cluster, Place: place(r.Cluster), Helps: true})
	}
	l.pilot.mu.Lock()
	defer l.pilot.mu.Unlock()
	if err := l.pilot.router.SetPeers(self, peers, now); err != nil {
		l.o.Log.Warn("paths are chosen among the nodes that were known before", "error", err)
	}
}

// gather asks those whose links matter here, and with whom there is a connection, what they have measured, one after the other.
func (l *Links) gather(ctx context.Context) {
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.pilot.mu.Lock()
		wanted := l.pilot.router.Wants(time.Now())
		l.pilot.mu.Unlock()
		for _, node := range wanted {
			if l.link(node) != nil {
				l.ask(ctx, node)
			}
		}
	}
}

// ask takes in a node's report.
func (l *Links) ask(ctx context.Context, node config.NodeID) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var raw []byte
	if l.askOwn(ctx, node, linksPath, nil, &raw) != nil {
		return
	}
	report, err := route.ParseReport(raw)
	if err != nil || report.Node != node {
		l.o.Log.Debug("a node's report of its links can't be used", "peer", node, "error", err)
		return
	}
	l.pilot.mu.Lock()
	defer l.pilot.mu.Unlock()
	l.pilot.router.Take(report, time.Now())
}

// report answers the others' question.
func (l *Links) report() []byte {
	l.pilot.mu.Lock()
	defer l.pilot.mu.Unlock()
	r := l.pilot.router.Report(time.Now())
	return r.Append(nil)
}

// observe hands on what a connection knows of its paths.
func (l *Links) observe(k *link, now time.Time) {
	paths := k.conn.Paths()
	l.pilot.mu.Lock()
	defer l.pilot.mu.Unlock()
	for i := range paths {
		p := &paths[i]
		way, known := k.detours.route(k.node, p)
		if !known {
			continue
		}
		l.pilot.router.Observe(way, route.Counters{
			Smoothed: p.Smoothed, Variance: p.Variance, Arrived: p.Arrived, Lost: p.Lost, Delivered: p.Delivered,
			Full: 10*p.InFlight >= 9*p.Window, Alive: p.Alive, Heard: p.Heard,
		}, now)
		l.pilot.router.Spend(way, int(k.detours.carried(p)), now)
	}
}

// probe sends the probes that are due; one on a route that isn't open opens it.
func (l *Links) probe(now time.Time, work func(func(context.Context))) {
	l.pilot.mu.Lock()
	probes := l.pilot.router.Probes(now)
	l.pilot.mu.Unlock()
	for _, p := range probes {
		k := l.link(p.Route.To)
		if k == nil {
			if p.Route.Direct() {
				work(func(ctx context.Context) { _, _ = l.to(ctx, p.Route.To) })
			}
			continue
		}
		if id, open := k.detours.path(p.Route); open {
			k.conn.ProbePath(id)
		} else if k.dialed {
			work(func(ctx context.Context) { l.openDetour(ctx, k, p.Route.Via) })
		}
	}
}

// follow does with a link's paths what is decided.
func (l *Links) follow(k *link, now time.Time, work func(func(context.Context))) {
	l.pilot.mu.Lock()
	d := l.pilot.router.Choose(k.node, route.Latency, now)
	bulk := l.pilot.router.Choose(k.node, route.Bulk, now)
	l.pilot.mu.Unlock()
	for _, p := range k.conn.Paths() {
		way, known := k.detours.route(k.node, &p)
		if known && way == d.Use && p.Alive && !p.Primary && !k.held.Load() {
			l.o.Log.Debug("another path is used", "peer", k.node, "path", way.String())
			_ = k.conn.UsePath(p.ID)
		}
	}
	for _, way := range d.Open {
		if _, open := k.detours.path(way); !open {
			work(func(ctx context.Context) { l.openDetour(ctx, k, way.Via) })
		}
	}
	k.detours.closeOthers(k.conn, d.Open)
	if k.held.Load() {
		bulk.Shares = nil
	}
	k.conn.UseForBulk(k.detours.caps(bulk.Shares))
}

// Explain says by which path traffic to a node goes and why. ok is false if this node has no connection of its own to it.
func (l *Links) Explain(node config.NodeID) (x route.Explain, ok bool) {
	l.pilot.mu.Lock()
	defer l.pilot.mu.Unlock()
	return l.pilot.router.Explain(node, route.Latency, time.Now())
}

// link is the connection with a node that there is, and whose handshake is done; nil: none.
func (l *Links) link(node config.NodeID) *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.links[node]; k != nil && k.made() {
		return k
	}
	return nil
}

// refused says that a node doesn't forward.
func (l *Links) refused(way route.Route) {
	l.pilot.mu.Lock()
	defer l.pilot.mu.Unlock()
	l.pilot.router.Refused(way, time.Now())
}
