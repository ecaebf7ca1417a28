package control

import (
	"context"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
)

// confirmation is a node that is done with a position, and how long that took.
type confirmation = api.NodePurge

// await waits until all of these nodes that are live are done with a position. A node that goes away meanwhile isn't waited for.
func (c *Control) await(ctx context.Context, at feed.Position, ids []config.NodeID) (confirmed []confirmation, away, pending []config.NodeID) {
	began := time.Now()
	left := slices.Clone(ids)
	for {
		changed := c.o.Nodes.Changed()
		seen := c.o.Nodes.Seen()
		away = away[:0]
		var still []config.NodeID
		for _, id := range left {
			switch n := seen[id]; {
			case !n.Live:
				away = append(away, id)
			case n.Position.Before(at):
				still = append(still, id)
			default:
				confirmed = append(confirmed, confirmation{Node: id, Took: time.Since(began)})
			}
		}
		left = append(still, away...)
		if len(still) == 0 {
			return confirmed, away, nil
		}
		select {
		case <-ctx.Done():
			return confirmed, away, still
		case <-changed:
		case <-time.After(100 * time.Millisecond): // who is live is a matter of time, too
		}
	}
}

// liveNodes returns all nodes that are live.
func (c *Control) liveNodes() (ids []config.NodeID) {
	for id, n := range c.o.Nodes.Seen() {
		if n.Live {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// edges returns all edges, live or not.
func (c *Control) edges() (ids []config.NodeID) {
	for _, r := range c.records() {
		if slices.Contains(r.Roles, feed.RoleEdge) {
			ids = append(ids, r.Name)
		}
	}
	return ids
}

const applyWait = 20 * time.Second

// waitFor waits for the roll-outs of an apply, or for the edges.
func (c *Control) waitFor(ctx context.Context, result *api.ApplyResult) error {
	for _, id := range result.Rollouts {
		for {
			r, err := c.rolloutByID(ctx, id)
			if err != nil {
				return err
			}
			if r.IsOver() {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	position := result.Position
	if len(result.Rollouts) > 0 {
		position = c.o.Keeper.Position()
	}
	wait, cancel := context.WithTimeout(ctx, applyWait)
	defer cancel()
	confirmed, away, pending := c.await(wait, position, c.edges())
	for _, n := range confirmed {
		result.Serving = append(result.Serving, n.Node)
	}
	result.Away = append(away, pending...)
	return nil
}
