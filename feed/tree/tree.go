package tree

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// Keeper is a node's copy of the feed; feed.Keeper is one.
type Keeper interface {
	Append(entries ...feed.Signed) ([]feed.Entry, error)
	Reset(c feed.Checkpoint) error
	After(p feed.Position, bytesMax int) (entries []feed.Signed, ok bool)
	Checkpoint() (feed.Checkpoint, bool)
	View(f func(*feed.State))
	Position() feed.Position
	Changed() <-chan struct{}
	Object(h feed.Hash) ([]byte, error)
	PutObject(h feed.Hash, data []byte) error
}

var _ Keeper = (*feed.Keeper)(nil)

// Rebaser is a Keeper that can put its log on a newer checkpoint when it has got long. It keeps the entries after it, and should keep some
// before it for those who are a little behind.
type Rebaser interface {
	Long() bool
	Rebase(c feed.Checkpoint) error
}

const (
	childrenMaxDefault = 64
	rootChildrenMax    = 512
)

// Options are what a Tree needs.
type Options struct {
	Self   config.NodeID
	Keeper Keeper
	Root   bool // a root doesn't follow anybody
	// Transport reaches other nodes; it shows them who this node is. A TCP connection that stands still must be found by it
	// (http.HTTP2Config.SendPingTimeout).
	Transport http.RoundTripper
	// Peer says who asks, as its certificate does.
	Peer func(*http.Request) (config.NodeID, []feed.Role, bool)
	// Answered says who answered, as its certificate does. A parent that calls itself otherwise is refused. nil: nobody knows.
	Answered func(*http.Response) (config.NodeID, bool)
	// Control returns where control is, HOST:PORT each, for a node that has no records of nodes yet.
	Control func() []string
	// Record is this node as long as its record isn't in the feed.
	Record feed.NodeRecord
	// Sign makes a checkpoint; only roots have it. It may not keep the state.
	Sign func(*feed.State) (feed.Checkpoint, error)
	// Fetch gets an object that the keeper lacks; only roots have it.
	Fetch func(context.Context, feed.Hash) ([]byte, error)
	// Private says that an object may not be given to other nodes. Objects of references that are Local never are. nil: no others.
	Private func(feed.Hash) bool
	// ChildrenMax is how many nodes may follow this one. default: 64, of a root 512
	ChildrenMax int
	// NodesMax is how many nodes' reports are kept and forwarded. default: 16384
	NodesMax int
	Now      func() time.Time // default: time.Now
	Log      *slog.Logger     // default: slog.Default()
	Metrics  *Metrics         // default: not registered
}

// Tree is a node's place in the tree.
type Tree struct {
	o        Options
	riding   riding
	fetching fetching
	batches  batches
	signed   signedCheckpoint
	roster   roster
	secrets  secrets
	slots    chan struct{} // of objects that are being sent

	mu        sync.Mutex      // protects what follows; nothing of it is on disk
	run       context.Context // of Run; nil while it doesn't run
	children  map[config.NodeID]*child
	reporters map[config.NodeID]*child    // who sends reports
	banned    map[config.NodeID]time.Time // children that flooded
	parent    *following                  // nil: none
	last      time.Time                   // that anything came from a parent
	contact   time.Time                   // that control was there, as far as the parents say; zero: never
	moved     chan struct{}               // closed when the path changes
	pulse     chan struct{}               // closed every second: all beats are sent together, which wakes a processor once
	standing  standings
	claim     claim
	better    *following // opened already, to go to instead of the parent
	stuck     bool       // this node can't keep what it is given
	suspect   string     // the address of who may have withheld what the claim is about

	reports *reports
}

// New returns a tree that doesn't run yet.
func New(o Options) (*Tree, error) {
	switch {
	case o.Self == "" || len(o.Self) > nameMax:
		return nil, fmt.Errorf("tree: %.70q isn't a node", o.Self)
	case o.Keeper == nil || o.Transport == nil || o.Peer == nil:
		return nil, errors.New("tree: a keeper, a transport and Peer are needed")
	case o.Root && o.Sign == nil:
		return nil, errors.New("tree: a root needs Sign")
	}
	if o.ChildrenMax == 0 {
		o.ChildrenMax = childrenMaxDefault
		if o.Root {
			o.ChildrenMax = rootChildrenMax
		}
	}
	if o.NodesMax == 0 {
		o.NodesMax = 16384
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Control == nil {
		o.Control = func() []string { return nil }
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	o.Record.Name = o.Self
	o.Log = o.Log.With("room", "tree")
	t := &Tree{
		o: o, slots: make(chan struct{}, objectsAtOnce), children: map[config.NodeID]*child{},
		reporters: map[config.NodeID]*child{}, banned: map[config.NodeID]time.Time{},
		moved: make(chan struct{}), pulse: make(chan struct{}), standing: standings{},
	}
	t.reports = newReports(o.Self, o.NodesMax, rand.Text())
	return t, nil
}

// Run takes the node's place in the tree until ctx is done.
func (t *Tree) Run(ctx context.Context) error {
	t.mu.Lock()
	if t.run != nil {
		t.mu.Unlock()
		return errors.New("tree: it runs already")
	}
	t.run = ctx
	t.mu.Unlock()
	parts := []func(context.Context){t.keepTime, t.groom}
	if t.o.Root {
		parts = append(parts, t.tellRoots)
	} else {
		parts = append(parts, t.follow, t.listenAround)
	}
	var all sync.WaitGroup
	for _, part := range parts {
		all.Go(func() { part(ctx) })
	}
	all.Wait()
	t.mu.Lock()
	t.run = nil
	t.mu.Unlock()
	return context.Cause(ctx)
}

// Handler answers other nodes, below /feed/v1/. While Run doesn't run it answers 503.
func (t *Tree) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathLog, t.served(t.serveLog))
	mux.HandleFunc("GET "+pathHello, t.served(t.serveHello))
	mux.HandleFunc("GET "+pathCheckpoint, t.served(t.serveCheckpoint))
	mux.HandleFunc("GET "+pathObjects+"{hash}", t.served(t.serveObject))
	mux.HandleFunc("POST "+pathReports, t.served(t.serveReports))
	return mux
}

// Parent returns whom the node follows, since when, and when anything came from a parent for the last time. An empty name: nobody.
func (t *Tree) Parent() (id config.NodeID, since, lastContact time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.parent != nil {
		id, since = t.parent.stream.Hello.Node, t.parent.since
	}
	return id, since, t.last
}

// Above returns where the node is that this one follows, and how many relays there are from it up to control; an empty address: it follows nobody.
func (t *Tree) Above() (address string, relays int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.parent == nil {
		return "", 0
	}
	return t.parent.candidate.Address, max(0, len(t.parent.path)-1)
}

// Follows says whether a node follows this one now.
func (t *Tree) Follows(id config.NodeID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.children[id] != nil
}

// Contact returns when control was there for the last time, as far as the node and those above it know; zero: not since it started.
func (t *Tree) Contact() time.Time {
	if t.o.Root {
		return t.o.Now()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.contact
}

// CaughtUp says whether the node has all that its parent had when it began to follow it, and control is there. A root is where others
// catch up.
func (t *Tree) CaughtUp() bool {
	if t.o.Root {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.parent != nil && !t.contact.IsZero() && !t.o.Keeper.Position().Before(t.parent.stream.Hello.Position)
}

// beat returns what the node says of itself now, and channels that are closed when its path changes and when a beat is due.
func (t *Tree) beat() (b Beat, moved, pulse <-chan struct{}) {
	now := t.o.Now()
	b = Beat{Position: t.o.Keeper.Position(), Time: now, Path: []config.NodeID{t.o.Self}}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.o.Root {
		b.Never, b.AwayMS = t.contact.IsZero(), max(0, now.Sub(t.contact).Milliseconds())
		if b.Never {
			b.AwayMS = 0
		}
	}
	if t.parent != nil {
		b.Path = append(b.Path, t.parent.path...)
	}
	return b, t.moved, t.pulse
}

// hello returns what a child hears first.
func (t *Tree) hello() Hello {
	b, _, _ := t.beat()
	load := t.reports.load()
	t.mu.Lock()
	defer t.mu.Unlock()
	return Hello{t.o.Self, len(t.children), max(0, t.o.ChildrenMax-len(t.children)), load, b}
}
