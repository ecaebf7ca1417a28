package tree

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

const (
	// awaitStep is how long Await lets confirmations gather, and awaitLimit when it looks for who has gone silent.
	awaitStep, awaitLimit = 2 * time.Millisecond, 100 * time.Millisecond
)

// Report makes r the node's own report: it goes up at once, and again every second. The tree fills in who the node is, its parent, its
// count and, if it is empty, its boot.
func (t *Tree) Report(r feed.Report) { t.reports.say(r, t.o.Now()) }

// Reports returns the latest report of every node below this one and, at a root, of all nodes. It copies: who waits for a few nodes uses
// Await, who wants one Seen.
func (t *Tree) Reports() map[config.NodeID]Seen { return t.reports.all(t.o.Now()) }

// Seen returns the latest report of one node.
func (t *Tree) Seen(id config.NodeID) (Seen, bool) {
	now := t.o.Now()
	t.reports.mu.Lock()
	defer t.reports.mu.Unlock()
	r := t.reports.rows[id]
	if r == nil {
		return Seen{}, false
	}
	return Seen{r.report, r.at, r.live(now)}, true
}

// ReportsChanged returns a channel that is closed at the next report of any node. In a large network that is always soon.
func (t *Tree) ReportsChanged() <-chan struct{} { return t.reports.wait() }

// Await waits until all nodes that are wanted and live have reported a position at or after p, or until ctx is done. Confirmed maps nodes
// to when their report was here; who is away isn't waited for; who is pending is live but hasn't reported. Wanted is asked again now and
// then.
func (t *Tree) Await(ctx context.Context, p feed.Position, wanted func() []config.NodeID) (confirmed map[config.NodeID]time.Time, away, pending []config.NodeID) {
	w := waiting{p: p, confirmed: map[config.NodeID]time.Time{}}
	for {
		changed := t.reports.wait()
		now := t.o.Now()
		if now.Sub(w.asked) >= awaitLimit {
			w.want(wanted(), now)
		}
		w.look(t.reports, now)
		if len(w.pending) == 0 {
			break
		}
		timer := time.NewTimer(awaitLimit)
		select {
		case <-changed:
			wait(ctx, awaitStep)
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			w.look(t.reports, t.o.Now())
			break
		}
	}
	return w.confirmed, slices.Sorted(maps.Keys(w.away)), slices.Sorted(maps.Keys(w.pending))
}

// waiting is how far an Await is.
type waiting struct {
	p             feed.Position
	asked         time.Time
	confirmed     map[config.NodeID]time.Time
	away, pending map[config.NodeID]struct{}
}

func (w *waiting) want(ids []config.NodeID, now time.Time) {
	w.asked, w.away, w.pending = now, map[config.NodeID]struct{}{}, map[config.NodeID]struct{}{}
	for _, id := range ids {
		if _, done := w.confirmed[id]; !done {
			w.pending[id] = struct{}{}
		}
	}
}

func (w *waiting) look(reports *reports, now time.Time) {
	reports.mu.Lock()
	defer reports.mu.Unlock()
	for id := range w.pending {
		switch r := reports.rows[id]; {
		case r == nil || !r.live(now):
			delete(w.pending, id)
			w.away[id] = struct{}{}
		case !r.report.Position.Before(w.p):
			delete(w.pending, id)
			w.confirmed[id] = r.positionAt
		}
	}
}
