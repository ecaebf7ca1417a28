package network

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/certs"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/dns"
	"github.com/wherry/wherry/edge"
	"github.com/wherry/wherry/internal/programs"
	"github.com/wherry/wherry/kv"
	"github.com/wherry/wherry/logs"
	"github.com/wherry/wherry/origin"
	"github.com/wherry/wherry/portal"
)

// Options are what a Network is made of. A door without a listener stays closed.
type Options struct {
	Snapshot *config.Snapshot // required
	Version  string
	Token    string               // of the operator, for traces and purges; empty: nobody is one
	QUIC     []byte               // the secret of HTTP/3, the same after a restart; nil: one of this process
	CA       *certs.CA            // signs for sites without a certificate of their own; needed for HTTPS
	Access   *logs.Writer         // nil: no access log
	Log      *slog.Logger         // nil means slog.Default
	Registry *prometheus.Registry // nil: one of its own
	Gather   prometheus.Gatherers // what else /metrics shows
	API      http.Handler         // answers below /api/v1/; nil: what can be had without control

	Edges  []EdgeDoors
	DNS    *DNSDoors
	Portal net.Listener

	// Dial opens connections to origins and to the edges' health endpoints; nil means TCP.
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	Commands []portal.Command // for the status page
	// Tunnel returns who asks what a tunnel offers; nil: there are none in this network.
	Tunnel func(name config.SiteName, f *config.Fetch) http.RoundTripper
	// Around returns whom to ask for a site's responses, when direct asks the origins; nil: direct is asked.
	Around func(site config.SiteName, direct http.RoundTripper) http.RoundTripper
	// Programs runs those of the configuration, and becomes the Network's own; nil: this process has none.
	Programs *programs.Set
	// Values are what programs keep; who has made the store runs it. nil: this process has none.
	Values *kv.Store
}

// EdgeDoors are the listeners of one edge; any may be nil.
type EdgeDoors struct {
	Node  config.NodeID
	HTTP  net.Listener
	HTTPS net.Listener
	HTTP3 net.PacketConn // beside HTTPS
}

// DNSDoors are the sockets of the name server.
type DNSDoors struct {
	Node config.NodeID // that serves the names
	UDP  net.PacketConn
	TCP  net.Listener
}

// Network is the part of a network that runs in this process.
type Network struct {
	o       Options
	started time.Time
	keeper  *certs.Keeper
	pools   *origin.Pools
	edges   []*station
	names   *dns.Server
	geo     *dns.Geo
	portal  *portal.Portal

	room  context.Context // ends when another program is to take the doors
	leave context.CancelFunc
	taken sync.WaitGroup // the doors for names and the portal

	// mu is held while a reload changes one part after the other, and by who wants to see all of them in one state.
	mu      sync.Mutex
	current *config.Snapshot // what holds now; under mu
}

// station is one edge with what stands below it.
type station struct {
	doors EdgeDoors
	of    *Network
	edge  *edge.Edge
	cache *cache.Cache
	*shelf
}

// New makes all parts; nothing runs yet. The listeners stay the caller's until Run.
func New(o Options) (*Network, error) {
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	o.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if o.Log == nil {
		o.Log = slog.Default()
	}
	n := &Network{o: o, started: time.Now(), current: o.Snapshot}
	n.room, n.leave = context.WithCancel(context.Background())
	if err := n.makeTrades(); err != nil {
		return nil, err
	}
	for _, doors := range o.Edges {
		s, err := n.newStation(doors)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("edge %s: %w", doors.Node, err), n.closeShelves())
		}
		n.edges = append(n.edges, s)
	}
	if err := n.makeNames(); err != nil {
		return nil, errors.Join(err, n.closeShelves())
	}
	n.portal = portal.New(portal.Options{
		Network: n, Metrics: promhttp.HandlerFor(append(prometheus.Gatherers{o.Registry}, o.Gather...), promhttp.HandlerOpts{}),
		API: n.newAPI(), Values: operatorOf(o.Values), Control: o.API != nil, OperatorToken: o.Token,
		Version: o.Version, Count: portal.NewMetrics(o.Registry), Log: o.Log,
	})
	n.setValueLimits(o.Snapshot)
	return n, nil
}

// operatorOf is the operator's door to values; nil: there are none.
func operatorOf(values *kv.Store) http.Handler {
	if values == nil {
		return nil
	}
	return values.Operator()
}

// Values returns what programs keep, or nil: Store.Handler answers programs.
func (n *Network) Values() *kv.Store { return n.o.Values }

// closeShelves gives the disks free; only before anything runs.
func (n *Network) closeShelves() error {
	var errs []error
	for _, s := range n.edges {
		errs = append(errs, s.shelf.close())
	}
	return errors.Join(errs...)
}

// makeTrades makes what all edges share: certificates and origin pools.
func (n *Network) makeTrades() error {
	n.pools = origin.New(origin.Options{Metrics: origin.NewMetrics(n.o.Registry), Log: n.o.Log, Dial: n.o.Dial, Tunnel: n.o.Tunnel})
	if n.o.CA != nil {
		n.keeper = certs.NewKeeper(certs.Options{CA: n.o.CA, Log: n.o.Log})
	}
	change, err := n.prepare(n.o.Snapshot)
	if err != nil {
		return err
	}
	change.commit()
	return nil
}

func (n *Network) newStation(doors EdgeDoors) (*station, error) {
	reg := prometheus.WrapRegistererWith(prometheus.Labels{"node": string(doors.Node)}, n.o.Registry)
	log := n.o.Log.With("node", doors.Node)
	shelf, err := newShelf(n.o.Snapshot.Memory, volumesOf(n.o.Snapshot, doors.Node), log, reg)
	if err != nil {
		return nil, err
	}
	s := &station{doors: doors, of: n, shelf: shelf}
	s.cache = cache.New(cache.Options{Name: string(doors.Node), Store: s.store, Metrics: cache.NewMetrics(reg)})
	var tlsConfig *tls.Config
	if n.keeper != nil {
		tlsConfig = n.keeper.TLSConfig()
	}
	s.edge, err = edge.New(edge.Options{
		Node: doors.Node, Snapshot: n.o.Snapshot, Cache: s.cache, TLS: tlsConfig,
		Upstream: s.upstream, Program: s.program, Origin: n.pools.Upstream,
		Access: n.o.Access, Log: log, Metrics: edge.NewMetrics(reg), OperatorToken: n.o.Token, QUICSecret: n.o.QUIC,
	})
	if err != nil {
		return nil, errors.Join(err, s.shelf.close())
	}
	return s, nil
}

// Near is how long it takes to connect to a site's nearest origin; 0: that can't be known now.
func (n *Network) Near(ctx context.Context, site config.SiteName) time.Duration {
	return n.pools.Near(ctx, site)
}

// volumesOf returns the volumes of a node; none if s doesn't have the node.
func volumesOf(s *config.Snapshot, id config.NodeID) []config.Volume {
	node, _ := s.Node(id)
	if node == nil {
		return nil
	}
	return s.DiskAt(node)
}

func (n *Network) makeNames() error {
	if n.o.DNS == nil {
		return nil
	}
	o := dns.Options{
		Snapshot: n.o.Snapshot, Node: n.o.DNS.Node, PacketConn: n.o.DNS.UDP, Listener: n.o.DNS.TCP,
		Dial: n.o.Dial, Doors: n.doors(), Log: n.o.Log, Metrics: dns.NewMetrics(n.o.Registry),
	}
	if path := n.o.Snapshot.DNS.GeoDatabase; path != "" {
		geo, err := dns.OpenGeo(path)
		if err != nil {
			return err
		}
		n.geo, o.Locate = geo, geo.Locate
	}
	server, err := dns.New(o)
	if err != nil {
		n.close()
		return err
	}
	n.names = server
	return nil
}

// doors are where the name server asks the nodes of this process for their health: at the listeners that are open, which the
// command line and the system may have chosen.
func (n *Network) doors() map[config.NodeID]dns.Door {
	doors := map[config.NodeID]dns.Door{}
	for _, d := range n.o.Edges {
		if port := portOf(d.HTTP); port != 0 {
			doors[d.Node] = dns.Door{Port: port}
		} else if port := portOf(d.HTTPS); port != 0 {
			doors[d.Node] = dns.Door{Port: port, TLS: true}
		}
	}
	return doors
}

// portOf returns the port of l, or 0 if l is nil.
func portOf(l net.Listener) uint16 {
	if l == nil {
		return 0
	}
	at, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return 0 // no network with ports
	}
	return at.Port()
}

// Part is something that runs until its context ends.
type Part struct {
	Name string
	Run  func(ctx context.Context) error
}

// parts lists all that runs, in the order of start. They stop in reverse: first the doors close, last what they need.
func (n *Network) parts() []Part {
	var parts []Part
	if n.o.Access != nil {
		parts = append(parts, Part{"access log", n.o.Access.Run})
	}
	parts = append(parts, Part{"origins", n.pools.Run})
	if n.o.Programs != nil {
		parts = append(parts, Part{"programs", n.o.Programs.Run})
	}
	for _, s := range n.edges {
		if s.run != nil {
			parts = append(parts, Part{"disks of " + string(s.doors.Node), s.run})
		}
		parts = append(parts, Part{"cache of " + string(s.doors.Node), s.cache.Run})
	}
	if n.o.Portal != nil {
		parts = append(parts, Part{"portal", n.untilRoom(func(ctx context.Context) error { return n.portal.Serve(ctx, n.o.Portal) })})
	}
	if n.names != nil {
		parts = append(parts, Part{"dns", n.untilRoom(n.names.Run)})
	}
	parts = append(parts, Part{"edges", n.serveEdges})
	return parts
}

// untilRoom runs a part that ends before its time when there is to be room for another program.
func (n *Network) untilRoom(run func(context.Context) error) func(context.Context) error {
	n.taken.Add(1)
	return func(ctx context.Context) error {
		defer n.taken.Done()
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(n.room, cancel)()
		return run(inner)
	}
}

// MakeRoom lets another program have the doors while Run ends: it returns when none of them takes anything any more. What was begun is
// finished by Run. It returns false where that has to come first, because no two programs can have the disks.
func (n *Network) MakeRoom() bool {
	for _, s := range n.edges {
		if s.run != nil {
			return false
		}
	}
	for _, s := range n.edges {
		<-s.edge.Left()
	}
	n.leave()
	n.taken.Wait()
	return true
}

// serveEdges runs all edges at once, so that they also drain at once.
func (n *Network) serveEdges(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(n.edges))
	for _, s := range n.edges {
		go func() {
			ended <- s.edge.Serve(ctx, edge.Listeners{HTTP: s.doors.HTTP, HTTPS: s.doors.HTTPS, HTTP3: s.doors.HTTP3})
		}()
	}
	var errs []error
	for range n.edges {
		if err := <-ended; err != nil {
			errs = append(errs, err)
			cancel()
		}
	}
	if len(n.edges) == 0 {
		<-ctx.Done()
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends or a part fails, drains, and returns when all goroutines are gone. It calls ready once everything
// runs.
func (n *Network) Run(ctx context.Context, ready func()) error {
	defer n.close()
	return RunParts(ctx, n.parts(), ready)
}

func (n *Network) close() {
	if n.geo != nil {
		_ = n.geo.Close() // opened for reading
	}
}

// RunParts starts parts in order and stops them in reverse, when ctx ends or as soon as one of them does.
func RunParts(ctx context.Context, parts []Part, ready func()) error {
	type running struct {
		cancel context.CancelFunc
		done   chan struct{}
		err    error
	}
	all := make([]*running, len(parts))
	failed := make(chan int, len(parts))
	for i, p := range parts {
		// Not ctx itself: a part ends when those behind it have.
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		r := &running{cancel: cancel, done: make(chan struct{})}
		all[i] = r
		go func() {
			defer close(r.done)
			r.err = p.Run(own)
			failed <- i
		}()
	}
	ready()
	var errs []error
	select {
	case <-ctx.Done():
	case i := <-failed:
		if all[i].err == nil {
			errs = append(errs, fmt.Errorf("%s ended by itself", parts[i].Name))
		}
	}
	for i := len(parts) - 1; i >= 0; i-- {
		all[i].cancel()
		<-all[i].done
		if err := all[i].err; err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", parts[i].Name, err))
		}
	}
	return errors.Join(errs...)
}

// Reload makes s hold, all of it or, with an error, nothing of it. Listeners, memory and the log stay as they were at the start;
// restart names what would need one.
func (n *Network) Reload(s *config.Snapshot) (restart []string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, st := range n.edges {
		if node, _ := s.Node(st.doors.Node); node == nil {
			return nil, fmt.Errorf("no node %s in it, which runs here; stop it to take it away", st.doors.Node)
		}
	}
	change, err := n.prepare(s)
	if err != nil {
		return nil, err
	}
	change.commit()
	n.setValueLimits(s)
	return n.restartFor(s), nil
}

// Check says whether Reload would refuse s, and changes nothing.
func (n *Network) Check(s *config.Snapshot) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	change, err := n.prepare(s)
	if err != nil {
		return err
	}
	return change.drop()
}

// Edge returns the edge of a node of this process, or nil.
func (n *Network) Edge(id config.NodeID) *edge.Edge {
	for _, s := range n.edges {
		if s.doors.Node == id {
			return s.edge
		}
	}
	return nil
}

// restartFor names what s changes against the start and only a restart can bring.
func (n *Network) restartFor(s *config.Snapshot) (restart []string) {
	start := n.o.Snapshot
	for _, c := range []struct {
		name    string
		changed bool
	}{
		{"listen", n.listensElsewhere(s)},
		{"memory", start.Memory != s.Memory},
		{"disk", slices.ContainsFunc(n.edges, func(st *station) bool {
			return !slices.Equal(volumesOf(start, st.doors.Node), volumesOf(s, st.doors.Node))
		})},
		{"limits.header_timeout", start.Limits.HeaderTimeout != s.Limits.HeaderTimeout},
		{"limits.idle_timeout", start.Limits.IdleTimeout != s.Limits.IdleTimeout},
		{"limits.header_size", s.Limits.HeaderSize > 2*start.Limits.HeaderSize}, // up to there the listeners were made for
		{"log", start.Log != s.Log},
		{"dns.geo_database", start.DNS.GeoDatabase != s.DNS.GeoDatabase},
	} {
		if c.changed {
			restart = append(restart, c.name)
		}
	}
	return restart
}

// listensElsewhere says whether s has other listeners for the nodes of this process than those that were opened at the start.
func (n *Network) listensElsewhere(s *config.Snapshot) bool {
	for _, st := range n.edges {
		then, _ := n.o.Snapshot.Node(st.doors.Node)
		now, _ := s.Node(st.doors.Node)
		if then == nil || now == nil || n.o.Snapshot.ListenAt(then) != s.ListenAt(now) {
			return true
		}
	}
	return len(n.edges) == 0 && n.o.Snapshot.Listen != s.Listen
}
