package node

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/node/assembly"
)

const (
	// catchUpPatience is how long a node that starts waits for control before it serves what it has.
	catchUpPatience = 3 * time.Second
	// retryEvery is how often what couldn't be had is asked for again.
	retryEvery = 250 * time.Millisecond
	// waitPatience is how long a node doesn't say that it is done because something can't be had. Then it goes on, and says so.
	waitPatience = 3 * time.Second
	beat         = time.Second
)

// lastGoodName is what the keeper remembers for the next process: what is used instead of what was refused.
const lastGoodName = "last-good"

// generationBits is where in a generation of the cache the epoch stands.
const generationBits = 40

// generation is a position as the caches count them: it only grows, also over a restore of control's store.
func generation(p feed.Position) uint64 { return p.Epoch<<generationBits | p.Seq }

// follower adopts what the keeper has been told. It belongs to the goroutine of follow.
type follower struct {
	n          *Node
	assembly   *assembly.Assembly
	done       feed.Position                 // everything up to here is adopted, refused or applied
	since      time.Time                     // something waits; zero: nothing does
	remembered string                        // of what is used instead
	failed     error                         // the latest update
	restored   bool                          // the edge knows of the purges of former lives
	behind     bool                          // it served before it had caught up
	watched    map[config.SiteName]time.Time // since when their roll-outs are over; zero: they aren't
	revoked    feed.Ref
	record     feed.Ref // of this node
	written    Settings // in this node's directory
	probing    prober
	cpu        cpuMeter
	told       bool     // the keeper has said what this node is to run
	software   feed.Ref // that; zero: the program that the machine was installed with
	upgrading  upgrading
}

func (n *Node) newFollower() *follower {
	f := &follower{n: n, written: *n.s, watched: map[config.SiteName]time.Time{}}
	lastGood := map[string]feed.Ref{}
	if data, err := n.keeper.Recall(lastGoodName); err == nil && data != nil {
		if json.Unmarshal(data, &lastGood) == nil {
			f.remembered = string(data)
		}
	}
	files := &assembly.Files{Dir: n.path(filesDir), Object: n.tree.Object, Secret: n.secret}
	var programs assembly.Images
	var secrets *assembly.Secrets
	if n.s.has(feed.RoleEdge) {
		programs, secrets = n.images, &assembly.Secrets{Dir: n.path(secretsDir), Get: n.programSecret}
	}
	f.assembly = assembly.New(assembly.Options{
		Self: n.s.Name, Object: n.tree.Object, Files: files, Images: programs, Secrets: secrets, Guard: n.guard, LastGood: lastGood,
		Adopt: func(s *config.Snapshot) error { return n.adopt(s, f.assembly.Revisions()) },
	})
	return f
}

// follow adopts until ctx ends: what changed at once, what couldn't be had again and again.
func (f *follower) follow(ctx context.Context) error {
	tick, retry := time.NewTicker(beat), time.NewTicker(retryEvery)
	defer tick.Stop()
	defer retry.Stop()
	defer f.probing.stop()
	defer f.upgrading.stop()
	f.catchUp(ctx)
	started := false
	for {
		changed := f.n.keeper.Changed()
		err := f.update(ctx)
		if err != nil && ctx.Err() == nil && (f.failed == nil || err.Error() != f.failed.Error()) { // it is tried again and again
			f.n.log.Error("the configuration couldn't be adopted; what held before holds on", "error", err)
		}
		f.failed = err
		if !started && f.assembly.Snapshot() != nil {
			started = true
			close(f.n.started)
		}
		f.report()
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case job := <-f.n.jobs:
			job(ctx, f)
		case <-tick.C:
			f.n.guard.Proved(time.Now())
			f.watchContact()
			maps.DeleteFunc(f.watched, func(_ config.SiteName, over time.Time) bool { return !over.IsZero() && time.Since(over) > recentFor })
			f.probe(ctx)
			f.upgrade(ctx)
		case <-retry.C:
		}
	}
}

// catchUp waits until the node has what control has, so that it serves nothing that was purged while it was away. It doesn't wait for long:
// a node serves without control, too, and says so.
func (f *follower) catchUp(ctx context.Context) {
	deadline := time.Now().Add(catchUpPatience)
	for !f.n.caughtUp() {
		fresh := f.n.keeper.Position() == feed.Position{}
		if f.behind = time.Now().After(deadline) && !fresh; f.behind {
			f.n.log.Warn("control can't be reached: serving what is on this disk, which may have been purged meanwhile; sites with `purge: strict` ask their origins")
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// caughtUp says whether the node has all that control had when it was reached.
func (n *Node) caughtUp() bool {
	if !n.s.has(feed.RoleControl) {
		return n.tree.CaughtUp() && time.Since(n.tree.Contact()) < contactPatience
	}
	st := n.station.Load()
	return st != nil && st.control.Synced()
}

// contactPatience is how long a node may be without control until it may have missed a purge.
const contactPatience = 5 * time.Second

// watchContact tells the edge whether purges can reach it.
func (f *follower) watchContact() {
	caught := f.n.caughtUp()
	if caught && f.behind {
		f.n.log.Info("caught up with control")
	}
	f.behind = !caught
	if e := f.n.edge(); e != nil {
		e.SetCaughtUp(caught)
	}
}

// update adopts the state of the keeper: documents first, then purges, in their order.
func (f *follower) update(ctx context.Context) error {
	var changes assembly.Changes
	var purges []feed.PurgeAt
	var at feed.Position
	var floor uint64
	var revoked, record feed.Ref
	idle := false
	f.n.keeper.View(func(s *feed.State) {
		at, floor = s.Position, s.PurgeFloor
		if idle = at == (feed.Position{}) || at == f.done && f.since.IsZero(); idle {
			return
		}
		changes = f.assembly.Changes(s.Docs)
		for i := len(s.Purges) - 1; i >= 0 && (s.Position.Epoch != f.done.Epoch || s.Purges[i].Seq > f.done.Seq); i-- {
			purges = append(purges, s.Purges[i])
		}
		revoked, record = s.Docs[feed.KeyRevoked].Ref, s.Docs[feed.NodeKey(f.n.s.Name)].Ref
		doc := s.Docs[feed.KeySoftware]
		f.software, _ = doc.For(f.n.s.Name)
		f.told = true
		f.noteWatched(s)
	})
	if idle {
		return nil
	}
	f.takeRevoked(ctx, revoked)
	f.takeRecord(ctx, record)
	err := f.assembly.Update(ctx, changes)
	if f.assembly.Snapshot() == nil {
		return err
	}
	f.purge(at, floor, purges)
	f.remember()
	if !f.waits() {
		f.done = at
		f.n.done.Store(&at)
	}
	return err
}

// watchedMax bounds how many sites are watched at a time.
const watchedMax = 64

// noteWatched notes which sites are being rolled out, or have just been: of those, what is served is reported, and they are probed.
func (f *follower) noteWatched(s *feed.State) {
	rolled := map[config.SiteName]bool{}
	for key, doc := range s.Docs {
		if name, ok := strings.CutPrefix(key, feed.PrefixSite); ok && len(doc.Variants) > 0 && len(rolled) < watchedMax {
			rolled[config.SiteName(name)] = true
			f.watched[config.SiteName(name)] = time.Time{}
		}
	}
	for name, over := range f.watched {
		if !rolled[name] && over.IsZero() {
			f.watched[name] = time.Now()
		}
	}
}

// takeRevoked cuts off who was removed.
func (f *follower) takeRevoked(ctx context.Context, ref feed.Ref) {
	if ref.IsZero() || ref == f.revoked {
		return
	}
	data, err := f.n.tree.Object(ctx, ref.Object)
	var r feed.Revocations
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		f.n.log.Warn("who was removed isn't known yet; asking again", "error", err)
		return
	}
	f.revoked = ref
	f.n.mesh.SetRevoked(r.Nodes)
	f.n.tokens.revoke(r.Tokens)
}

// waits says whether to wait for what can't be had now before saying that everything is done.
func (f *follower) waits() bool {
	if len(f.assembly.Waiting()) == 0 {
		f.since = time.Time{}
		return false
	}
	if f.since.IsZero() {
		f.since = time.Now()
	}
	return time.Since(f.since) < waitPatience
}

// purge applies purges, which are in the reverse of their order. A process begins with all that are remembered; who has missed some later takes
// all that he has for stale.
func (f *follower) purge(at feed.Position, floor uint64, purges []feed.PurgeAt) {
	e := f.n.edge()
	if e == nil {
		return
	}
	slices.Reverse(purges)
	for i := range purges {
		purges[i].Seq = generation(feed.Position{Epoch: at.Epoch, Seq: purges[i].Seq})
	}
	if !f.restored {
		f.restored = true
		e.Restore(purges, generation(feed.Position{Epoch: at.Epoch, Seq: floor}), generation(at))
		return
	}
	if at.Epoch != f.done.Epoch || floor > f.done.Seq {
		_, _ = e.Purge(feed.Purge{Kind: feed.PurgeAll, Soft: true}, generation(feed.Position{Epoch: at.Epoch, Seq: floor}))
	}
	for _, p := range purges {
		if _, err := e.Purge(p.Purge, p.Seq); err != nil {
			f.n.log.Debug("a purge of what isn't served here", "purge", p.Purge, "error", err)
		}
	}
}

// remember keeps what is used instead of what was refused.
func (f *follower) remember() {
	data, err := json.Marshal(f.assembly.LastGood())
	if err == nil && string(data) != f.remembered {
		if err = f.n.keeper.Remember(lastGoodName, data); err == nil {
			f.remembered = string(data)
		}
	}
	if err != nil {
		f.n.log.Warn("what is used instead of what was refused couldn't be kept for the next start", "error", err)
	}
}

// dryRun says what a document would do on this node, without anything being changed.
func (f *follower) dryRun(ctx context.Context, d control.DryRun) error {
	network := f.n.network.Load()
	if network == nil {
		return errors.New("this node has no configuration yet")
	}
	snapshot, clean, err := f.assembly.Try(ctx, d.Key, d.Object, d.Files)
	if err == nil {
		err = network.Check(snapshot)
	}
	clean()
	if assembly.Missing(err) {
		return err
	}
	if err != nil {
		return &control.DryRunRefusal{Why: err.Error()}
	}
	return nil
}
