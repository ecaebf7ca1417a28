package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/certs"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/edge"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/feed/tree"
	"github.com/wherry/wherry/internal/doors"
	"github.com/wherry/wherry/internal/handover"
	"github.com/wherry/wherry/internal/links"
	"github.com/wherry/wherry/internal/network"
	"github.com/wherry/wherry/internal/node/assembly"
	"github.com/wherry/wherry/internal/node/collect"
	"github.com/wherry/wherry/internal/node/images"
	"github.com/wherry/wherry/internal/programs"
	"github.com/wherry/wherry/kv"
	"github.com/wherry/wherry/logs"
	"github.com/wherry/wherry/mesh"
)

// Options say how a node runs.
type Options struct {
	Dir     string
	Version string
	Token   string    // of who asks this machine alone, for traces
	QUIC    []byte    // the secret of HTTP/3 on this machine
	CA      *certs.CA // for sites without a certificate of their own
	Log     *slog.Logger
	// OpenAccess opens the access log where the configuration wants it; nil, nil: none.
	OpenAccess func(where string, registry *prometheus.Registry) (*logs.Writer, error)
	// Lab lets a lab cut the node off.
	Lab bool
	// Monitor is the command that runs programs of the configuration, as programs.Options has it.
	Monitor []string
	// Programs are what this node may run instead of this program; nil: it isn't upgraded.
	Programs *handover.Programs
	// Parent is the program that this one takes over from, with its Doors; nil: none.
	Parent *handover.Parent
	Doors  handover.Doors
}

// The places in a node's directory.
const (
	identityDir = "identity"
	feedDir     = "feed"
	filesDir    = "files"
	secretsDir  = "secrets" // of programs
	controlDir  = "control"
	storeDir    = "store"
	backupsDir  = "backups"
	guardName   = "guard.json"
	pidName     = "node.pid"
)

// Node is a machine's part of the network.
type Node struct {
	o         Options
	s         *Settings
	log       *slog.Logger
	identity  *mesh.Identity
	mesh      *mesh.Mesh
	keeper    *feed.Keeper
	tree      *tree.Tree
	guard     *assembly.Guard
	doors     doors.Doors
	meshDoor  net.Listener
	linksDoor net.PacketConn // of the overlay, at the port of meshDoor
	fence     *links.Fence   // before linksDoor, in a lab
	links     *links.Links
	upstreams atomic.Pointer[upstreams]
	tokens    tokens
	images    *images.Images // of programs, those that are run here and those that nodes below ask for; nil: control alone
	named     namedImages
	values    *kv.Store                     // of programs; nil: neither edge nor control
	known     atomic.Pointer[known]         // of the newest position that was asked for
	done      atomic.Pointer[feed.Position] // everything up to here is adopted, refused or applied
	peerDoor  net.Listener                  // of role control
	began     time.Time
	registry  *prometheus.Registry // of what isn't the network's
	transport *http.Transport      // to other nodes
	toControl *http.Transport      // to control nodes alone
	program   feed.Hash            // that runs
	own       bool                 // it is the one that the machine was installed with

	makeRoom  context.CancelFunc // for the program that takes over
	rest      chan error         // what becomes of the network's part after its doors are another program's; nil: it didn't run
	successor atomic.Pointer[successor]

	jobs    chan func(context.Context, *follower) // for the goroutine of follow
	started chan struct{}                         // closed when there is a network
	station atomic.Pointer[station]               // control, when it runs here
	network atomic.Pointer[network.Network]
	count   *api.Metrics
	open    *opened // listeners of clients; of the goroutine of follow
}

// opened are the doors for clients, and where they lead.
type opened struct {
	edges  []network.EdgeDoors
	dns    *network.DNSDoors
	portal net.Listener
	access *logs.Writer
}

// Open opens what a node has on its disk, and its doors for other nodes.
func Open(ctx context.Context, o Options) (n *Node, err error) {
	n = &Node{
		o: o, log: o.Log, began: time.Now(), registry: prometheus.NewRegistry(),
		jobs: make(chan func(context.Context, *follower)), started: make(chan struct{}), doors: doors.Doors{Inherited: o.Doors},
	}
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	if n.s, err = readSettings(o.Dir); err != nil {
		return n, err
	}
	n.log = n.log.With("node", n.s.Name)
	if n.identity, err = mesh.OpenIdentity(n.path(identityDir)); err != nil {
		return n, err
	}
	if _, ok := n.identity.Who(); !ok {
		return n, fmt.Errorf("%s has no certificate: let the node join again", n.path(identityDir))
	}
	if o.Parent != nil { // it has to let go what follows
		if err = o.Parent.Prepared(ctx); err != nil {
			return n, err
		}
	}
	n.mesh, n.program = mesh.New(n.identity, mesh.Options{Log: n.log, Metrics: mesh.NewMetrics(n.registry)}), programHash()
	n.own = o.Programs == nil || o.Programs.RunsOwn()
	n.transport, n.toControl = n.mesh.Transport(), n.mesh.Transport(feed.RoleControl)
	if n.keeper, err = openKeeper(n.s, o.Dir, n.log); err != nil {
		return n, err
	}
	if n.guard, err = assembly.OpenGuard(n.path(guardName)); err != nil {
		return n, err
	}
	if n.linksDoor, n.meshDoor, err = n.doors.Pair("--mesh", config.Address(n.s.Mesh)); err != nil {
		return n, err
	}
	if n.s.has(feed.RoleControl) && len(n.s.Store.Endpoints) == 0 {
		if n.peerDoor, err = n.doors.TCP("--peer", config.Address(n.s.Peer)); err != nil {
			return n, err
		}
	}
	if err = n.makeLinks(); err != nil {
		return n, err
	}
	return n, n.makeTree()
}

func (n *Node) path(name string) string { return filepath.Join(n.o.Dir, name) }

func (n *Node) makeTree() error {
	record, err := n.s.record()
	if err != nil {
		return err
	}
	o := tree.Options{
		Self: n.s.Name, Keeper: n.keeper, Transport: n.mesh.Transport(), Record: record, Log: n.log, Metrics: tree.NewMetrics(n.registry),
		Control: func() []string { return n.s.Control },
		Peer: func(r *http.Request) (config.NodeID, []feed.Role, bool) {
			who, ok := mesh.PeerOf(r)
			return who.Node, who.Roles, ok
		},
		Answered: func(r *http.Response) (config.NodeID, bool) {
			who, ok := mesh.AnsweredBy(r)
			return who.Node, ok
		},
	}
	if n.s.has(feed.RoleControl) {
		signer, err := n.signer()
		if err != nil {
			return err
		}
		o.Root = true
		o.Sign = signer.Checkpoint
		o.Private = func(h feed.Hash) bool {
			st := n.station.Load()
			return st != nil && st.control.IsImage(h)
		}
		o.Fetch = func(ctx context.Context, h feed.Hash) ([]byte, error) {
			st := n.station.Load()
			if st == nil {
				return nil, errors.New("control isn't up on this node yet")
			}
			return st.control.Object(ctx, h)
		}
	}
	n.tree, err = tree.New(o)
	return err
}

// Close gives free what Open has opened.
func (n *Node) Close() {
	n.doors.Close()
	if n.keeper != nil {
		_ = n.keeper.Close()
	}
}

// Run runs the node until ctx ends. It calls ready when everything that its roles name runs.
func (n *Node) Run(ctx context.Context, ready func(Doors)) error {
	defer n.Close()
	if err := os.WriteFile(n.path(pidName), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return err
	}
	ctx, n.makeRoom = context.WithCancel(ctx)
	defer n.makeRoom()
	n.images = n.openImages()
	if n.s.has(feed.RoleEdge) || n.s.has(feed.RoleControl) {
		n.values = n.openValues()
		defer n.values.Close()
	}
	f := n.newFollower()
	parts := []network.Part{
		{Name: "certificate", Run: func(ctx context.Context) error { return n.identity.Run(ctx, n.log, n.renew) }},
		{Name: "tree", Run: func(ctx context.Context) error { return quiet(n.tree.Run(ctx)) }},
		{Name: "mesh", Run: n.serveMesh},
		{Name: "overlay", Run: n.links.Run},
	}
	if n.images != nil {
		parts = append(parts, network.Part{Name: "images", Run: n.images.Run})
	}
	parts = append(parts, network.Part{Name: "values", Run: n.runValues})
	if n.s.has(feed.RoleControl) {
		parts = append(parts, network.Part{Name: "control", Run: n.runControl})
	}
	if n.s.has(feed.RoleCollect) {
		c := collect.New(collect.Options{Ask: n.askNodes, Log: n.log})
		if err := n.registry.Register(c); err != nil {
			return err
		}
		parts = append(parts, network.Part{Name: "collect", Run: c.Run})
	}
	if n.o.Lab {
		parts = append(parts, network.Part{Name: "lab", Run: n.serveLab})
	}
	parts = append(parts,
		network.Part{Name: "configuration", Run: f.follow},
		network.Part{Name: "network", Run: func(ctx context.Context) error { return n.runNetwork(ctx, ready) }},
	)
	err := network.RunParts(ctx, parts, func() {})
	if err := n.guard.Close(); err != nil {
		n.log.Warn("that this process ended in order couldn't be noted", "error", err)
	}
	if err == nil {
		err = n.handOver()
	}
	if n.rest != nil {
		err = errors.Join(err, <-n.rest)
	}
	return err
}

// quiet is err if it isn't that a context ended.
func quiet(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Doors are where a node listens.
type Doors struct {
	Node                                  config.NodeID
	HTTP, HTTPS, HTTP3, DNS, Portal, Mesh net.Addr // nil: nowhere
}

// runNetwork waits for the first configuration, and runs the network's part that is here.
func (n *Node) runNetwork(ctx context.Context, ready func(Doors)) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.started:
	}
	running := n.network.Load()
	n.rest = make(chan error, 1)
	go func() { n.rest <- running.Run(ctx, func() { ready(n.where()) }) }()
	select {
	case err := <-n.rest:
		n.rest <- nil
		return err
	case <-ctx.Done():
	}
	if n.successor.Load() != nil && running.MakeRoom() {
		return nil // the next program doesn't have to wait for the longest request
	}
	err := <-n.rest
	n.rest <- nil
	return err
}

func (n *Node) where() Doors {
	d := Doors{Node: n.s.Name, Mesh: n.meshDoor.Addr()}
	for _, e := range n.open.edges {
		d.HTTP, d.HTTPS = addr(e.HTTP), addr(e.HTTPS)
		if e.HTTP3 != nil {
			d.HTTP3 = e.HTTP3.LocalAddr()
		}
	}
	if n.open.dns != nil {
		d.DNS = n.open.dns.UDP.LocalAddr()
	}
	d.Portal = addr(n.open.portal)
	return d
}

func addr(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// edge returns the edge of this node, or nil.
func (n *Node) edge() *edge.Edge {
	if net := n.network.Load(); net != nil {
		return net.Edge(n.s.Name)
	}
	return nil
}

// adopt makes a snapshot hold, with these revisions of its sites: the first one by making the network of it, another by a reload.
func (n *Node) adopt(s *config.Snapshot, revisions map[config.SiteName]uint64) error {
	defer n.noteUpstreams(s)
	if net := n.network.Load(); net != nil {
		if e := n.edge(); e != nil {
			e.SetRevisions(revisions)
		}
		restart, err := net.Reload(s)
		if err == nil && len(restart) > 0 {
			n.log.Warn("some changes hold only after a restart of this node", "keys", restart)
		}
		return err
	}
	if n.open == nil {
		if err := n.openClients(s); err != nil {
			return err
		}
	}
	registry := prometheus.NewRegistry()
	var set *programs.Set // nil: other roles run none
	if n.s.has(feed.RoleEdge) {
		o := programs.Options{File: n.path(filesDir), State: n.o.Dir, Memory: int64(s.Memory.Programs), Log: n.log, Registry: registry, Monitor: n.o.Monitor}
		if n.values != nil {
			o.Values = n.values.Handler(programs.Namespace)
		}
		var err error
		if set, err = programs.New(o); err != nil {
			return err
		}
	}
	net, err := network.New(network.Options{
		Snapshot: s, Version: n.o.Version, Token: n.o.Token, QUIC: n.o.QUIC, CA: n.o.CA, Access: n.open.access, Log: n.log, Registry: registry,
		Gather: prometheus.Gatherers{n.registry}, API: n.api(), Edges: n.open.edges, DNS: n.open.dns, Portal: n.open.portal,
		Around: n.links.Upstream, Tunnel: n.tunnel, Programs: set, Values: n.values,
	})
	if err != nil && set != nil {
		err = errors.Join(err, set.Close())
	}
	if err != nil {
		return err
	}
	n.network.Store(net)
	if e := n.edge(); e != nil {
		e.SetRevisions(revisions)
	}
	return nil
}

// openClients opens the doors for clients by the node's roles.
func (n *Node) openClients(s *config.Snapshot) (err error) {
	at := n.s.Listen
	node, _ := s.Node(n.s.Name)
	if node == nil {
		node = &config.Node{Name: n.s.Name, Listen: at}
	}
	at = s.ListenAt(node)
	open := &opened{}
	if n.s.has(feed.RoleEdge) {
		e := network.EdgeDoors{Node: n.s.Name}
		if e.HTTP, err = n.doors.TCP("listen.http", at.HTTP); err != nil {
			return err
		}
		if e.HTTPS, e.HTTP3, err = n.doors.HTTPS("listen.https", "listen.http3", at.HTTPS, at.HasHTTP3()); err != nil {
			return err
		}
		open.edges = []network.EdgeDoors{e}
	}
	if n.s.has(feed.RoleDNS) {
		udp, tcp, err := n.doors.Pair("listen.dns", at.DNS)
		if err != nil {
			return err
		}
		if udp != nil {
			open.dns = &network.DNSDoors{Node: n.s.Name, UDP: udp, TCP: tcp}
		}
	}
	if open.portal, err = n.doors.TCP("listen.portal", at.Portal); err != nil {
		return err
	}
	if open.access, err = n.o.OpenAccess(s.Log.Access, n.registry); err != nil {
		return err
	}
	n.open = open
	if err := n.doors.Inherited.Close(); err != nil { // of roles that this node has no more
		n.log.Warn("a door that nobody needs couldn't be closed", "error", err)
	}
	return nil
}

// storePatience is how long a control node waits for the store before it renews its certificate by itself.
const storePatience = 5 * time.Second

// renew asks control for a new certificate. A control node has what that takes, and mustn't need the store for it: the members of the store
// know each other by these certificates.
func (n *Node) renew(ctx context.Context, csr []byte) (certificate, roots []byte, err error) {
	if !n.s.has(feed.RoleControl) {
		var r control.Renewal
		err = n.askControl(ctx, http.MethodPost, control.NodePrefix+"renew", csr, func(body io.Reader) error { return decode(body, &r) })
		return r.Certificate, r.Roots, err
	}
	who, _ := n.identity.Who()
	if st := n.station.Load(); st != nil {
		asking, cancel := context.WithTimeout(ctx, storePatience)
		defer cancel()
		if certificate, roots, err = st.control.Renew(asking, who, csr); err == nil {
			return certificate, roots, nil
		}
	}
	if n.mesh.Revoked(who) {
		return nil, nil, errors.Join(err, errors.New("this node was removed from the network"))
	}
	authority, err := mesh.OpenAuthority(n.path(controlDir))
	if err != nil {
		return nil, nil, err
	}
	// It doesn't claim to be newer than what control has issued: a removal that this node hasn't heard of yet must be of this one, too.
	certificate, err = authority.Issue(csr, mesh.Who{Node: who.Node, Roles: who.Roles, Issued: who.Issued}, time.Now())
	return certificate, authority.PEM(), err
}

// quietLog takes what net/http says of connections that break, to the debug level.
func quietLog(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }

// apiCount counts what is asked of the API, once for the process.
func (n *Node) apiCount() *api.Metrics {
	if n.count == nil {
		n.count = api.NewMetrics(n.registry)
	}
	return n.count
}
