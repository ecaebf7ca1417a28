package control

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/rollout"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
)

// LeaderName is what control nodes compete for.
const LeaderName = "control"

// statusPatience bounds what the store is asked for, so that a status comes without a majority, too.
const statusPatience = time.Second

// Status implements api.Service.
func (c *Control) Status(ctx context.Context, a api.Actor) (api.Status, error) {
	if err := may(a, api.Read, ""); err != nil {
		return api.Status{}, err
	}
	now := c.now()
	nodes, position := c.Nodes()
	s := api.Status{Version: c.o.Version, Position: position, Nodes: []api.NodeStatus{}}
	for _, n := range nodes {
		n.Lags = lags(&n, s.Position, now)
		s.Nodes = append(s.Nodes, n)
		if n.Report != nil {
			for _, alert := range n.Report.Alerts {
				s.Alerts = append(s.Alerts, fmt.Sprintf("%s: %s", n.Name, alert))
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	s.Control = c.controlStatus(ctx, c.o.Nodes.Seen())
	if !s.Control.Quorum {
		s.Alerts = append(s.Alerts, "the store has no majority of its members: nothing can be changed until the other control nodes are back; edges serve on")
		return s, nil
	}
	if all, err := c.allRollouts(ctx); err == nil {
		for i := range all {
			if !all[i].IsOver() {
				s.Rollouts = append(s.Rollouts, all[i].public())
			}
		}
	}
	return s, nil
}

// Nodes is what this control node has heard of all nodes, for those that collect it. It asks no store, so it comes without a majority, too.
func (c *Control) Nodes() (nodes []api.NodeStatus, at feed.Position) {
	seen := c.o.Nodes.Seen()
	for _, r := range c.records() {
		n := api.NodeStatus{NodeRecord: r}
		if report, ok := seen[r.Name]; ok {
			n.Live, n.Seen, n.Report = report.Live, c.o.Nodes.SeenAt(r.Name), &report.Report
		}
		nodes = append(nodes, n)
	}
	return nodes, c.o.Keeper.Position()
}

// lags says what a node hasn't, and why.
func lags(n *api.NodeStatus, at feed.Position, now time.Time) (list []string) {
	if n.Report == nil {
		return []string{"hasn't been heard of since this control node was started"}
	}
	if !n.Live {
		list = append(list, "away since "+n.Seen.UTC().Format(time.RFC3339))
	}
	if p := n.Report.Position; p.Before(at) {
		if p.Epoch == at.Epoch {
			list = append(list, fmt.Sprintf("%d entries of the feed behind", at.Seq-p.Seq))
		} else {
			list = append(list, fmt.Sprintf("at %s of the feed, which is at %s", p, at))
		}
	}
	for _, r := range n.Report.Refused {
		list = append(list, fmt.Sprintf("can't use %s revision %d: %s", r.Key, r.Ref.Revision, r.Why))
	}
	if skew := n.Report.At.Sub(n.Seen); n.Live && (skew > time.Minute || skew < -time.Minute) {
		list = append(list, fmt.Sprintf("its clock differs from this machine's by %s", skew.Round(time.Second)))
	}
	return list
}

func (c *Control) controlStatus(ctx context.Context, seen map[config.NodeID]rollout.Seen) api.ControlStatus {
	s := api.ControlStatus{Node: c.o.Self, Quorum: c.o.Store.HasMajority()}
	if members, err := c.o.Store.Members(ctx); err == nil {
		for _, m := range members {
			name := config.NodeID(m.Name)
			healthy := name == c.o.Self || seen[name].Live
			s.Members = append(s.Members, api.StoreMember{Name: name, Peer: strings.TrimPrefix(m.Peer, "https://"), Learner: m.Learner, Healthy: healthy})
		}
		slices.SortFunc(s.Members, func(a, b api.StoreMember) int { return strings.Compare(string(a.Name), string(b.Name)) })
	}
	if s.Quorum {
		if leader, err := c.o.Store.Leader(ctx, LeaderName); err == nil {
			s.Leader = config.NodeID(leader)
		} else {
			s.Quorum = false
		}
	}
	return s
}

// Grow implements api.Service: control nodes become members of the store, one after the other.
func (c *Control) Grow(ctx context.Context, a api.Actor, r api.GrowRequest) (api.Status, error) {
	if err := may(a, api.Admin, ""); err != nil {
		return api.Status{}, c.auditRefusal(ctx, a, "control grow", fmt.Sprint(r.Nodes), "", err)
	}
	records := c.records()
	for _, id := range r.Nodes {
		i := slices.IndexFunc(records, func(n feed.NodeRecord) bool { return n.Name == id })
		if i < 0 || !slices.Contains(records[i].Roles, feed.RoleControl) {
			return api.Status{}, wrong(http.StatusUnprocessableEntity, "control grow", "%s is no control node: let it join with --roles control first", id)
		}
		url := "https://" + records[i].Peer
		if err := c.o.Store.AddLearner(ctx, url); err != nil {
			return api.Status{}, wrong(http.StatusConflict, "control grow", "%w", err)
		}
		if err := c.o.Store.Promote(ctx, url); err != nil {
			return api.Status{}, wrong(http.StatusConflict, "control grow", "%w", err)
		}
		if _, err := c.o.Store.Commit(ctx, store.Txn{Put: []store.Put{c.audited(a, "control grow", feed.NodeKey(id), "", "", "", c.now())}}); err != nil {
			return api.Status{}, unavailable(err)
		}
	}
	return c.Status(ctx, a)
}

// Backup implements api.Service.
func (c *Control) Backup(ctx context.Context, a api.Actor, w io.Writer) error {
	if err := may(a, api.Admin, ""); err != nil {
		return c.auditRefusal(ctx, a, "control backup", "", "", err)
	}
	return c.images.Backup(ctx, w)
}

// NextEpoch is for a restore: it raises the epoch in the records of a backup, so that nodes that are ahead of it take its state nevertheless.
func NextEpoch(key string, value []byte) ([]byte, error) {
	switch key {
	case keyEpoch:
		var epoch uint64
		if _, err := fmt.Sscan(string(value), &epoch); err != nil {
			return nil, fmt.Errorf("the backup's epoch: %w", err)
		}
		return fmt.Append(nil, epoch+1), nil
	case keyHead:
		return raised(value)
	}
	return value, nil
}
