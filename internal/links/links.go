package links

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
	"github.com/wherry/wherry/overlay"
	"github.com/wherry/wherry/overlay/congest"
	"github.com/wherry/wherry/overlay/exchange"
)

// Options are the neighbours of Links. All but Edge, Near, Place and Secret are needed. Tunnels end at nodes with an Edge.
type Options struct {
	Self    config.NodeID
	Cluster config.ClusterName
	Conn    net.PacketConn
	Mesh    *mesh.Mesh
	Secret  []byte // for resets after a restart; see overlay.Options
	// Nodes are those of the network, as the feed names them.
	Nodes func() []feed.NodeRecord
	// Edge answers requests of other nodes for sites; nil: this node has none.
	Edge func() http.Handler
	// Near is how long it takes to connect to a site's origin; 0: that isn't known. It may take a connection's time.
	Near func(context.Context, config.SiteName) time.Duration
	// Place is where a cluster stands, if the configuration says that: which paths are tried first follows from it. nil: nobody knows.
	Place func(config.ClusterName) *config.Location
	// Parent is what the site's configuration says of its parent.
	Parent func(config.SiteName) config.Parent
	// Offers says whether who shows a token may offer a site by a tunnel, and reach what is offered by its name over TCP; its error says what to do.
	Offers func(ctx context.Context, token string, site config.SiteName) error
	// Operates says whether who shows a token may reach a target of this node, HOST:PORT.
	Operates func(ctx context.Context, token, target string) error
	// Good says why a token that was shown isn't good any more, without asking anybody.
	Good func(token string) error
	// Position is what this node has heard from control, Done how far it has applied that.
	Position, Done func() feed.Position
	// Controller is the congestion controller; the default is overlay's.
	Controller congest.Kind
	Log        *slog.Logger
}

const (
	dialTimeout  = 3 * time.Second
	dialAgain    = 2 * time.Second // after a failure
	patience     = time.Second     // with a node that doesn't answer, before something else is tried
	keepAlive    = 5 * time.Second
	tendInterval = time.Second
)

// Links are a node's connections to other nodes. Make them with New, and Run them.
type Links struct {
	o        Options
	endpoint *overlay.Endpoint
	parents  parentage
	sorted   atomic.Pointer[sorted]
	pilot    pilot
	tunnels  tunnels

	mu      sync.Mutex // protects what follows; lost with the process
	ctx     context.Context
	tending sync.WaitGroup
	links   map[config.NodeID]*link
	dials   map[config.NodeID]*dialing
}

// link is a connection to a node, with its services.
type link struct {
	node    config.NodeID
	conn    *overlay.Conn
	lanes   map[byte]*lane
	http    *exchange.Transport
	tunnel  *exchange.Transport
	dialed  bool
	detours detours
	held    atomic.Bool // the path that is used stays, for a measurement
}

// dialing is a connection that is being made, or couldn't be.
type dialing struct {
	done  chan struct{} // closed when it is
	link  *link
	err   error
	until time.Time // a failure counts until then
}

var (
	errStopped = errors.New("the overlay doesn't run yet, or not any more")
	errSilent  = errors.New("the node doesn't answer")
)

// New makes Links; nothing runs yet.
func New(o Options) (*Links, error) {
	l := &Links{o: o, links: map[config.NodeID]*link{}, dials: map[config.NodeID]*dialing{}}
	l.parents.init()
	l.pilot.init(o.Self)
	l.tunnels.init(l)
	endpoint, err := overlay.New(o.Conn, overlay.Options{
		Server:     o.Mesh.ServerTLS(),
		Client:     func(name string) *tls.Config { return o.Mesh.ClientTLS(config.NodeID(name)) },
		Admit:      l.admit,
		Forward:    l.forward,
		Controller: o.Controller, KeepAlive: keepAlive, Secret: o.Secret,
	})
	l.endpoint = endpoint
	return l, err
}

func (l *Links) admit(cs tls.ConnectionState) (string, error) {
	who, err := l.o.Mesh.Admit(cs)
	return string(who.Node), err
}

// Run runs the node's overlay until ctx ends.
func (l *Links) Run(ctx context.Context) error {
	l.mu.Lock()
	l.ctx = ctx
	l.mu.Unlock()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.endpoint.Accept(ctx)
			if err != nil {
				return
			}
			l.welcome(ctx, c)
		}
	})
	all.Go(func() { l.chooseParents(ctx) })
	all.Go(func() { l.steer(ctx) })
	all.Go(func() { l.gather(ctx) })
	all.Go(func() { l.expel(ctx) })
	err := l.endpoint.Run(ctx)
	l.mu.Lock()
	l.ctx = nil
	l.mu.Unlock()
	all.Wait()
	l.tending.Wait()
	return err
}

// welcome takes in who has connected.
func (l *Links) welcome(ctx context.Context, c *overlay.Conn) {
	who, err := l.o.Mesh.Admit(c.TLS())
	switch {
	case err != nil:
		c.Close(overlay.CodeRefused, err.Error())
	case who.Guest():
		l.addGuest(ctx, who, c)
	default:
		l.add(who.Node, c, false)
	}
}

// add takes a connection in, and runs its services until it is over.
func (l *Links) add(node config.NodeID, c *overlay.Conn, dialed bool) *link {
	k := &link{node: node, conn: c, dialed: dialed, lanes: map[byte]*lane{}}
	for _, s := range []byte{serviceHTTP, ServiceTunnel} {
		k.lanes[s] = newLane(c, s)
	}
	k.http = &exchange.Transport{Session: func(context.Context) (exchange.Session, error) { return k.lanes[serviceHTTP], nil }}
	k.tunnel = &exchange.Transport{Session: func(context.Context) (exchange.Session, error) { return k.lanes[ServiceTunnel], nil }}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil {
		c.Close(overlay.CodeDone, "the node stops")
		return k
	}
	ctx := l.ctx
	// Where both sides dial at once, each keeps to its own connection: on that it can open paths.
	if own := l.links[node]; dialed || own == nil || !own.dialed || own.conn.Err() != nil {
		l.links[node] = k
	}
	l.tending.Go(func() {
		l.tend(ctx, k)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.links[node] == k {
			delete(l.links, node)
		}
	})
	return k
}

// tend runs what belongs to a link.
func (l *Links) tend(ctx context.Context, k *link) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { sortStreams(ctx, k.conn, k.lanes) })
	server := exchange.Server{Handler: l.peerHandler(k), Log: l.o.Log}
	all.Go(func() { _ = server.Serve(ctx, k.lanes[serviceHTTP]) })
	if l.tunnels.table != nil {
		relay := exchange.Server{Handler: l.tunnels.table.Relay(), Log: l.o.Log}
		all.Go(func() { _ = relay.Serve(ctx, k.lanes[ServiceTunnel]) })
	}
	tick := time.NewTicker(tendInterval)
	defer tick.Stop()
	for {
		select {
		case <-k.conn.Done():
			l.o.Log.Debug("a connection to a node is over", "peer", k.node, "error", k.conn.Err())
			return
		case <-ctx.Done():
			k.conn.Close(overlay.CodeDone, "the node stops")
			return
		case <-tick.C:
		}
		if !k.made() {
			continue // TLS has nothing to say yet
		}
		if _, err := l.o.Mesh.Admit(k.conn.TLS()); err != nil {
			k.conn.Close(overlay.CodeRefused, err.Error())
			return
		}
	}
}

// record finds a node among those of the network.
func (l *Links) record(node config.NodeID) (feed.NodeRecord, bool) {
	for _, r := range l.o.Nodes() {
		if r.Name == node {
			return r, true
		}
	}
	return feed.NodeRecord{}, false
}

// address finds where a node is reached by UDP: at the address and port of its mesh.
func (l *Links) address(ctx context.Context, node config.NodeID) (netip.AddrPort, error) {
	r, ok := l.record(node)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("there is no node %s in the network", node)
	}
	return Resolve(ctx, r.Mesh)
}

// Resolve finds the address of HOST:PORT for UDP.
func Resolve(ctx context.Context, at string) (netip.AddrPort, error) {
	if at, err := netip.ParseAddrPort(at); err == nil {
		return at, nil
	}
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return netip.AddrPort{}, err
	}
	n, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(addrs[0].Unmap(), uint16(n)), nil
}

// to returns a link to a node: the one that is there, or a new one. Where the node doesn't answer, or couldn't be reached a moment ago, it fails at
// once, and a new link is tried beside that.
func (l *Links) to(ctx context.Context, node config.NodeID) (*link, error) {
	l.mu.Lock()
	if k := l.links[node]; k != nil && k.conn.Err() == nil {
		l.mu.Unlock()
		if k.conn.Silence() > patience {
			return nil, errSilent
		}
		return k, nil
	}
	if l.ctx == nil {
		l.mu.Unlock()
		return nil, errStopped
	}
	d := l.dials[node]
	var failed error
	if d != nil && d.ended() {
		failed = d.err
	}
	if d == nil || d.ended() && (d.err == nil || time.Now().After(d.until)) {
		d = &dialing{done: make(chan struct{})}
		l.dials[node] = d
		own := l.ctx
		l.tending.Go(func() { l.dial(own, node, d) })
	}
	l.mu.Unlock()
	if failed != nil {
		return nil, failed
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-d.done:
		return d.link, d.err
	case <-limit.C:
		return nil, errSilent
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (d *dialing) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

func (l *Links) dial(ctx context.Context, node config.NodeID, d *dialing) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	at, err := l.address(ctx, node)
	if err == nil {
		var c *overlay.Conn
		if c, err = l.endpoint.DialEarly(ctx, at, string(node)); err == nil {
			d.link = l.add(node, c, true)
			close(d.done) // requests that may be sent twice needn't wait for the rest
			if err = established(ctx, c); err == nil {
				return
			}
			d = &dialing{done: make(chan struct{})}
		}
	}
	d.err, d.until = fmt.Errorf("overlay: %w", err), time.Now().Add(dialAgain)
	close(d.done)
	l.mu.Lock()
	l.dials[node] = d
	l.mu.Unlock()
	l.o.Log.Debug("a node can't be reached over the overlay", "peer", node, "error", err)
}

// established waits for the end of a connection's handshake.
func established(ctx context.Context, c *overlay.Conn) error {
	select {
	case <-c.Established():
		return nil
	case <-c.Done():
		return c.Err()
	case <-ctx.Done():
		c.Close(overlay.CodeDone, "given up")
		return context.Cause(ctx)
	}
}

// made says whether a connection's handshake is done: before that, there is nothing to measure and no path to open.
func (k *link) made() bool {
	select {
	case <-k.conn.Established():
		return k.conn.Err() == nil
	default:
		return false
	}
}

// all are the links that are there.
func (l *Links) all() (list []*link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.links {
		if k.made() {
			list = append(list, k)
		}
	}
	return list
}
