package tree

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/feed/tree/treetest"
	"github.com/wherry/wherry/internal/simnet"
)

// world is a network of nodes in one bubble.
type world struct {
	t       *testing.T
	net     *simnet.Network
	control *treetest.Control
	roots   []string // addresses
	nodes   map[config.NodeID]*node
	log     *slog.Logger
}

// node is one machine of a world.
type node struct {
	world   *world
	host    *simnet.Host
	record  feed.NodeRecord
	keeper  *treetest.Keeper
	options Options
	tree    *Tree
	wrap    func(http.Handler) http.Handler // what stands between the tree and the network: a liar
	stop    func()
}

func newWorld(t *testing.T) *world {
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("TREE_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return &world{
		t: t, net: simnet.New(simnet.Options{Link: simnet.Link{Latency: 2 * time.Millisecond}}), control: treetest.NewControl(1),
		nodes: map[config.NodeID]*node{}, log: log,
	}
}

const meshPort = ":7000"

// add adds a machine without starting it.
func (w *world) add(r feed.NodeRecord) *node {
	r.Mesh = string(r.Name) + meshPort
	n := &node{world: w, host: w.net.Host(string(r.Name)), record: r}
	root := len(r.Roles) > 0 && r.Roles[0] == feed.RoleControl
	n.keeper = w.control.Keeper()
	if root {
		n.keeper = w.control.Root()
		w.roots = append(w.roots, r.Mesh)
	}
	n.options = Options{
		Self: r.Name, Keeper: n.keeper, Root: root, Sign: w.control.Sign, Record: r, Control: func() []string { return w.roots },
		Peer: func(r *http.Request) (config.NodeID, []feed.Role, bool) {
			id := config.NodeID(r.Header.Get("X-Node"))
			var roles []feed.Role
			if n := w.nodes[id]; n != nil {
				roles = n.record.Roles
			}
			return id, roles, id != ""
		},
		Log: w.log.With("self", r.Name),
	}
	w.nodes[r.Name] = n
	return n
}

// enrol puts the records of all nodes into the feed.
func (w *world) enrol() {
	for _, n := range w.nodes {
		text, _ := json.Marshal(n.record)
		w.control.Set(feed.NodeKey(n.record.Name), text)
	}
}

// plain reaches other nodes without TLS, under a name.
type plain struct {
	*http.Transport
	name config.NodeID
}

func (p plain) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme = "http"
	r.Header.Set("X-Node", string(p.name))
	return p.Transport.RoundTrip(r)
}

func onlyHTTP2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

func (w *world) transport(h *simnet.Host, name config.NodeID) plain {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return h.DialContext(ctx, network, address)
	}
	return plain{&http.Transport{DialContext: dial, Protocols: onlyHTTP2()}, name}
}

// start starts the node's process.
func (n *node) start() *node {
	t := n.world.t
	t.Helper()
	n.host.Restart()
	transport := n.world.transport(n.host, n.record.Name)
	n.options.Transport = transport
	tree, err := New(n.options)
	if err != nil {
		t.Fatal(err)
	}
	n.tree = tree
	handler := tree.Handler()
	if n.wrap != nil {
		handler = n.wrap(handler)
	}
	l, err := n.host.Listen("tcp", meshPort)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, Protocols: onlyHTTP2(), ErrorLog: slog.NewLogLogger(n.world.log.Handler(), slog.LevelDebug)}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { server.Serve(l) })
	all.Go(func() { tree.Run(ctx) })
	n.tree.Report(feed.Report{Roles: n.record.Roles})
	n.stop = func() {
		cancel()
		server.Close()
		transport.CloseIdleConnections()
		all.Wait()
		n.stop = nil
	}
	all.Go(func() { n.adopt(ctx) })
	return n
}

// adopt reports what the keeper has, as a node does that can use all of it.
func (n *node) adopt(ctx context.Context) {
	for ctx.Err() == nil {
		changed := n.keeper.Changed()
		n.tree.Report(feed.Report{Roles: n.record.Roles, Position: n.keeper.Position()})
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// kill ends the process as SIGKILL does.
func (n *node) kill() {
	n.host.Kill()
	n.stop()
}

// startAll starts all machines, roots first, and stops them at the end of the test.
func (w *world) startAll() {
	for _, n := range w.nodes {
		if n.options.Root {
			n.start()
		}
	}
	for _, n := range w.nodes {
		if !n.options.Root {
			n.start()
		}
	}
}

func (w *world) stopAll() {
	for _, n := range w.nodes {
		if n.stop != nil {
			n.kill()
		}
	}
	time.Sleep(10 * time.Second) // dials that nobody waits for any more end
}

// reach waits until a condition holds, at most d.
func (w *world) reach(d time.Duration, what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(10 * time.Millisecond) {
		synctest.Wait()
		if ok() {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("after %v not: %s", d, what)
		}
	}
}

// caughtUp says whether all that run have a position.
func (w *world) caughtUp(p feed.Position) func() bool {
	return func() bool {
		for _, n := range w.nodes {
			if n.stop != nil && n.keeper.Position() != p {
				return false
			}
		}
		return true
	}
}

// inBubble runs a test in a world.
func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.stopAll()
		f(t, w)
	})
}

func control(name string) feed.NodeRecord {
	return feed.NodeRecord{Name: config.NodeID(name), Cluster: "control", Roles: []feed.Role{feed.RoleControl}}
}

func edge(cluster, rack string, i int) feed.NodeRecord {
	return feed.NodeRecord{
		Name: config.NodeID(fmt.Sprintf("%s-%d", cluster, i)), Cluster: config.ClusterName(cluster), Rack: rack, Roles: []feed.Role{feed.RoleEdge},
	}
}
