package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/wherry/wherry/certs"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/rollout"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/control/values"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/feed/tree"
	"github.com/wherry/wherry/mesh"
)

// The files that control nodes alone have, in controlDir.
const (
	feedKeyName   = "feed.key"
	secretKeyName = "secret.key"
)

const (
	backupEvery = time.Hour
	backupKeep  = 48
	memberRetry = 500 * time.Millisecond
	controlHost = "control.wherry.internal"
)

// station is control on this node.
type station struct {
	control *control.Control
	store   *store.Store
	values  *values.Values
	nodes   http.Handler
	api     http.Handler
}

func (n *Node) signer() (*feed.Signer, error) {
	seed, err := os.ReadFile(filepath.Join(n.path(controlDir), feedKeyName))
	if err != nil {
		return nil, fmt.Errorf("the key that signs the feed: %w; take %s from another control node", err, feedKeyName)
	}
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s is damaged: take it from another control node", feedKeyName)
	}
	return feed.NewSigner(ed25519.NewKeyFromSeed(seed)), nil
}

// storeOptions are how the store is opened on this node.
func (n *Node) storeOptions() store.Options { return storeOptions(n.s, n.o.Dir, n.identity, n.log) }

func storeOptions(s *Settings, dir string, id *mesh.Identity, log *slog.Logger) store.Options {
	o := store.Options{Name: string(s.Name), Log: log}
	if e := s.Store; len(e.Endpoints) > 0 {
		o.Endpoints, o.User, o.Secret = e.Endpoints, e.User, e.Password
		o.EndpointsTLS = store.TLSFiles{Cert: e.Cert, Key: e.Key, CA: e.CA}
		return o
	}
	o.Dir, o.PeerURL = filepath.Join(dir, storeDir), "https://"+s.peerAt()
	cert, key, roots := id.Files()
	o.PeerTLS = store.TLSFiles{Cert: cert, Key: key, CA: roots, ServerName: controlHost}
	return o
}

// onlyControl lets only control nodes through to the store.
func onlyControl(who mesh.Who) error {
	for _, r := range who.Roles {
		if r == feed.RoleControl {
			return nil
		}
	}
	return fmt.Errorf("%s is no control node", who.Node)
}

// onlyNodes keeps machines out that are no nodes: the feed, and what nodes ask each other and control, isn't theirs.
func onlyNodes(who mesh.Who) error {
	if who.Guest() {
		return errors.New("it is no node: the overlay is where it is let in")
	}
	return nil
}

// runControl opens the store, as soon as this node is a member of it, and runs control until ctx ends.
func (n *Node) runControl(ctx context.Context) error {
	o := n.storeOptions()
	if n.peerDoor != nil {
		o.PeerListener = n.mesh.Listener(n.peerDoor, mesh.ListenOptions{Allow: onlyControl})
	}
	if len(o.Endpoints) == 0 && !store.Started(o.Dir) {
		members, err := n.membership(ctx)
		if err != nil {
			return quiet(err)
		}
		o.Members = members
	}
	s, err := store.Open(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	st, err := n.makeStation(s)
	if err != nil {
		return err
	}
	n.station.Store(st)
	defer n.station.Store(nil)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { _ = st.control.Run(ctx) })
	all.Go(func() { n.lead(ctx, st) })
	all.Go(func() { _ = s.RunBackups(ctx, n.path(backupsDir), backupEvery, backupKeep) })
	select {
	case <-ctx.Done():
		return nil
	case <-s.Failed():
	}
	if len(n.s.Roles) == 1 {
		return s.Err() // the service manager starts it again
	}
	n.log.Error("the store has failed: this node doesn't take part in control until it is started again; it serves on", "error", s.Err())
	n.station.Store(nil)
	<-ctx.Done()
	return nil
}

// membership waits until somebody has made this node a member of the store.
func (n *Node) membership(ctx context.Context) (map[string]string, error) {
	said := false
	for {
		var m control.Membership
		err := n.askControl(ctx, http.MethodGet, control.NodePrefix+"members", nil, func(r io.Reader) error { return decode(r, &m) })
		if err == nil && m.Added {
			return m.Members, nil
		}
		if !said {
			said = true
			n.log.Info("this control node isn't a member of the store yet: wherry control grow makes it one", "node", n.s.Name)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(memberRetry):
		}
	}
}

func (n *Node) makeStation(s *store.Store) (*station, error) {
	signer, err := n.signer()
	if err != nil {
		return nil, err
	}
	authority, err := mesh.OpenAuthority(n.path(controlDir))
	if err != nil {
		return nil, err
	}
	secret, err := os.ReadFile(filepath.Join(n.path(controlDir), secretKeyName))
	if err != nil {
		return nil, fmt.Errorf("the key that seals secrets: %w; take %s from another control node", err, secretKeyName)
	}
	c := control.New(control.Options{
		Self: n.s.Name, Version: n.o.Version, Store: s, Signer: signer, Keeper: n.keeper, Authority: authority, Secret: secret,
		Nodes: seenBy{n.tree}, Ways: waysOf{n}, DryRun: n.dryRunAt, Fetch: n.fetchProgram, Revoked: n.mesh.SetRevoked, Log: n.log,
	})
	return &station{
		control: c, store: s, nodes: c.NodeHandler(),
		values: values.New(values.Options{Control: c, Store: s, Keeper: n.keeper, Values: n.values}),
		api:    api.NewHandler(c, api.Options{Version: n.o.Version, Log: n.log, Count: n.apiCount()}),
	}, nil
}

// lead does the leader's work whenever this node is the leader.
func (n *Node) lead(ctx context.Context, st *station) {
	for ctx.Err() == nil {
		term, err := st.store.Campaign(ctx, control.LeaderName)
		if err == nil {
			n.log.Info("this control node leads", "term", term.Number())
			err = n.leadOn(ctx, st, term)
			term.Resign()
		}
		if err != nil && ctx.Err() == nil {
			n.log.Info("this control node doesn't lead any more", "reason", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(memberRetry):
		}
	}
}

// leadOn does the leader's work for a term.
func (n *Node) leadOn(ctx context.Context, st *station, term *store.Term) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	beside.Go(func() { n.orderValues(ctx, st, term) })
	return st.control.Lead(ctx, term)
}

// seenBy is what the tree has heard, in control's words.
type seenBy struct{ t *tree.Tree }

var _ control.Nodes = seenBy{}

func (s seenBy) Seen() map[config.NodeID]rollout.Seen {
	all := map[config.NodeID]rollout.Seen{}
	for id, n := range s.t.Reports() {
		all[id] = rollout.Seen{Report: n.Report, Live: n.Live}
	}
	return all
}

func (s seenBy) SeenAt(id config.NodeID) time.Time {
	n, _ := s.t.Seen(id)
	return n.At
}

func (s seenBy) Changed() <-chan struct{} { return s.t.ReportsChanged() }

// dryRunAt has a node try something.
func (n *Node) dryRunAt(ctx context.Context, id config.NodeID, d control.DryRun) error {
	for _, r := range n.records() {
		if r.Name == id {
			return n.dryRunOn(ctx, r, d)
		}
	}
	return fmt.Errorf("nobody knows where %s is", id)
}

// fetchProgram gets a program from another control node.
func (n *Node) fetchProgram(ctx context.Context, h feed.Hash) (io.ReadCloser, error) {
	for _, at := range n.controls() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+at+control.NodePrefix+"programs/"+h.String()+"?own", nil)
		if err != nil {
			return nil, err
		}
		resp, err := n.toControl.RoundTrip(req)
		if err != nil {
			continue
		}
		if resp.StatusCode == http.StatusOK {
			return resp.Body, nil
		}
		_ = resp.Body.Close()
	}
	return nil, errors.New("no other control node has it")
}

// keepKeys writes what control nodes alone have.
func keepKeys(dir string, k *control.Keys) error {
	at := filepath.Join(dir, controlDir)
	if _, err := mesh.ImportAuthority(at, k.AuthorityCert, k.AuthorityKey); err != nil {
		return err
	}
	return errors.Join(certs.WriteSecret(filepath.Join(at, feedKeyName), k.Feed), certs.WriteSecret(filepath.Join(at, secretKeyName), k.Secret))
}
