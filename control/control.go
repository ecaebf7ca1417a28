package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/images"
	"github.com/wherry/wherry/control/rollout"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/control/vault"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

// Nodes is what control hears of the nodes.
type Nodes interface {
	// Seen returns the latest report of each node.
	Seen() map[config.NodeID]rollout.Seen
	// SeenAt returns when a node's report arrived.
	SeenAt(id config.NodeID) time.Time
	// Changed is closed when a report arrives.
	Changed() <-chan struct{}
}

// Options are what a Control is made of.
type Options struct {
	Self      config.NodeID
	Version   string
	Store     *store.Store
	Signer    *feed.Signer
	Keeper    *feed.Keeper
	Authority *mesh.Authority
	Secret    []byte // 32 bytes, with which secrets are sealed
	Nodes     Nodes
	// Ways tells about the overlay of nodes; nil: nothing.
	Ways api.Ways
	// DryRun tries a bundle on a node, which changes nothing.
	DryRun func(ctx context.Context, node config.NodeID, r DryRun) error
	// Fetch gets a program from another control node.
	Fetch func(ctx context.Context, h feed.Hash) (io.ReadCloser, error)
	// Revoked is told who was removed, at once.
	Revoked func(map[config.NodeID]time.Time)
	// Act takes a step of the leader's; nil: by doing it. It is for who measures leaders.
	Act func(a Act, do func() error) error
	Now func() time.Time // nil: time.Now
	Log *slog.Logger
}

// DryRun is what a node is asked to try.
type DryRun struct {
	Key    string            `json:"key"`
	Object []byte            `json:"object"`
	Files  map[string][]byte `json:"files,omitempty"` // of sites by hash, secrets of programs by secret:ID
}

// Control is the station. It is safe for use by many goroutines.
type Control struct {
	o   Options
	log *slog.Logger

	wrongTokens *rate.Limiter // who guesses is slowed down: each wrong one takes from it

	images *images.Images
	vault  *vault.Vault
	sites  siteCache
	synced atomic.Bool // the keeper has had all that the store had

	mu     sync.Mutex // protects what follows; lost with the process
	tokens map[string]cachedToken
}

var _ api.Service = (*Control)(nil)

// New returns a control over a store. Run must run for its changes to reach this node's keeper.
func New(o Options) *Control {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Act == nil {
		o.Act = func(_ Act, do func() error) error { return do() }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Control{o: o, log: o.Log, wrongTokens: rate.NewLimiter(20, 200), tokens: map[string]cachedToken{}, sites: siteCache{parsed: map[feed.Hash]*config.Site{}}}
	c.images, c.vault = c.newImages(), c.newVault()
	return c
}

// now is this machine's time. Nothing depends on its being that of other control nodes.
func (c *Control) now() time.Time { return c.o.Now() }

// wrong is the error of somebody who asked for what can't be.
func wrong(status int, op, format string, args ...any) error {
	return fault.New(fault.Client, op, status, fmt.Errorf(format, args...))
}

func refused(format string, args ...any) error {
	return wrong(http.StatusForbidden, "authorize", format, args...)
}

// may says whether an actor may do something to a site; an empty site is the network as a whole.
func may(a api.Actor, verb api.Verb, site config.SiteName) error {
	switch {
	case !a.Can.Allows(verb):
		return refused("the token %s may not %s; its verbs are %v", a.Name, verb, a.Can.Verbs)
	case site == "" && len(a.Can.Sites) > 0 && verb != api.Read:
		return refused("the token %s is for the sites %v alone, and this concerns the whole network", a.Name, a.Can.Sites)
	case site != "" && !a.Can.Of(site):
		return refused("the token %s is for the sites %v, not for %s", a.Name, a.Can.Sites, site)
	}
	return nil
}

// read gets a value of the store in JSON; ok is false if there is none.
func read[T any](ctx context.Context, c *Control, key string) (value T, at store.Revision, ok bool, err error) {
	kv, ok, err := c.o.Store.Get(ctx, key)
	if err != nil || !ok {
		return value, 0, false, unavailable(err)
	}
	if err := json.Unmarshal(kv.Value, &value); err != nil {
		return value, 0, false, fmt.Errorf("the store's %s is damaged: %w; restore a backup", key, err)
	}
	return value, kv.Changed, true, nil
}

func put(key string, value any) store.Put {
	data, err := json.Marshal(value)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return store.Put{Key: key, Value: data}
}

// unavailable is an error of the store for who asks.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Edge, "store", http.StatusServiceUnavailable, err)
}

// Synced says whether this node's keeper has had all that the store had since Run began.
func (c *Control) Synced() bool { return c.synced.Load() }

// SecretFor opens a secret for a node that serves the site that it is of, and for nobody else.
func (c *Control) SecretFor(ctx context.Context, id config.NodeID, h feed.Hash) ([]byte, error) {
	if !c.secretOf(ctx, id, h) {
		return nil, refused("this secret isn't for %s", id)
	}
	return c.secret(ctx, h)
}
