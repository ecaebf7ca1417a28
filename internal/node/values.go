package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/control/values"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/kv"
)

const (
	// dropAfter is for how long objects of values that the feed doesn't name any more are kept for nodes that are a little behind.
	dropAfter = 30 * time.Second
	// orderRetry is how long the leader waits until it tries again to order.
	orderRetry = 500 * time.Millisecond
)

// openValues opens the key-value store of this node.
func (n *Node) openValues() *kv.Store {
	return kv.OpenAnyway(kv.Options{
		Dir: n.path(kv.DirName), Node: string(n.s.Name), Source: valuesSource{n}, Send: n.sendValues, Log: n.log, Count: n.registry,
	})
}

// runValues has the key-value store follow the feed, and drops from the disk what the feed doesn't name any more.
func (n *Node) runValues(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	if n.values != nil {
		all.Go(func() { _ = n.values.Run(ctx) })
	}
	n.dropValues(ctx)
	return nil
}

// dropValues removes objects of values from the keeper some time after the feed has stopped naming them.
func (n *Node) dropValues(ctx context.Context) {
	tick := time.NewTicker(dropAfter)
	defer tick.Stop()
	var named, before map[feed.Hash]bool
	for {
		former := named
		n.keeper.View(func(s *feed.State) { named = values.Objects(s) })
		for h := range before {
			if !named[h] && !former[h] { // for a whole tick
				if err := n.keeper.DropObject(h); err != nil {
					n.log.Warn("an object that nothing names stays on the disk", "error", err)
				}
			}
		}
		before = former
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// valuesSource is the feed, for the key-value store.
type valuesSource struct{ n *Node }

var _ kv.Source = valuesSource{}

func (s valuesSource) Docs() (d kv.Docs) {
	s.n.keeper.View(func(state *feed.State) { d = values.Docs(state) })
	return d
}

func (s valuesSource) CaughtUp() bool           { return s.n.caughtUp() }
func (s valuesSource) Changed() <-chan struct{} { return s.n.keeper.Changed() }

func (s valuesSource) Object(ctx context.Context, name kv.Name) ([]byte, error) {
	return s.n.tree.Object(ctx, feed.Hash(name))
}

// sendValues has the leader of control order a batch of this node's writes.
func (n *Node) sendValues(ctx context.Context, batch []byte) error {
	errs := []error{errors.New("no control node that can be reached takes writes")}
	if st := n.station.Load(); st != nil {
		err := st.values.Take(ctx, n.s.Name, batch)
		if !errors.Is(err, values.ErrElsewhere) {
			return err
		}
		errs = append(errs, err)
	}
	for _, at := range n.controls() {
		err := values.Send(ctx, n.toControl, at, batch)
		var e *kv.SendError
		if err == nil || errors.As(err, &e) && (e.Gap || e.RetryAfter > 0) {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// orderValues orders what nodes write, for as long as this node leads.
func (n *Node) orderValues(ctx context.Context, st *station, term *store.Term) {
	said := ""
	for ctx.Err() == nil {
		why := ""
		if err := st.values.Lead(ctx, term); err != nil && ctx.Err() == nil {
			why = err.Error()
		}
		if why != "" && why != said { // it is tried again and again
			n.log.Warn("values of programs can't be ordered; trying again", "error", why)
		}
		said = why
		select {
		case <-ctx.Done():
		case <-term.Done():
			return
		case <-time.After(orderRetry):
		}
	}
}
