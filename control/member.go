package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

// later is the later of two times; after is a time that comes after the second one. What nodes compare are these times, and the clocks of control nodes
// may differ by a day.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func after(now, last time.Time) time.Time { return later(now, last.Add(time.Nanosecond)) }

// Renew makes a new certificate for a node that is still one and has the same key; its old one may have expired. The store is told first of
// when it was issued, so that who is removed meanwhile gets none, and one that was handed out is known to the removal.
func (c *Control) Renew(ctx context.Context, who mesh.Who, csr []byte) (certificate, roots []byte, err error) {
	key := prefixNode + string(who.Node)
	for {
		entry, at, ok, err := read[nodeEntry](ctx, c, key)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			return nil, nil, wrong(http.StatusForbidden, "renew", "the node %s was removed from the network: it can join again with a new token", who.Node)
		}
		if !slices.Equal(entry.Key, mesh.KeyOfRequest(csr)) {
			return nil, nil, wrong(http.StatusForbidden, "renew", "the key isn't that of the node %s", who.Node)
		}
		now := c.now()
		entry.Issued = after(now, later(entry.Issued, who.Issued))
		certificate, err = c.o.Authority.Issue(csr, mesh.Who{Node: who.Node, Roles: entry.Roles, Issued: entry.Issued}, now)
		if err != nil {
			return nil, nil, err
		}
		_, err = c.o.Store.Commit(ctx, store.Txn{If: []store.Cond{store.Unchanged(key, at)}, Put: []store.Put{put(key, entry)}})
		if !errors.Is(err, store.ErrConflict) {
			return certificate, c.o.Authority.PEM(), unavailable(err)
		}
	}
}

// RemoveNode implements api.Service.
func (c *Control) RemoveNode(ctx context.Context, a api.Actor, r api.RemoveNodeRequest) (api.RemoveNodeResult, error) {
	result := api.RemoveNodeResult{Node: r.Node}
	if err := may(a, api.Admin, ""); err != nil {
		return result, c.auditRefusal(ctx, a, "node remove", feed.NodeKey(r.Node), r.Message, err)
	}
	for {
		entry, at, ok, err := read[nodeEntry](ctx, c, prefixNode+string(r.Node))
		if err != nil {
			return result, err
		}
		if !ok {
			return result, wrong(http.StatusNotFound, "node remove", "there is no node %s; wherry node list shows all", r.Node)
		}
		if r.Node == c.o.Self {
			return result, wrong(http.StatusConflict, "node remove", "%s is the node that answers: ask another control node to remove it", r.Node)
		}
		if slices.Contains(entry.Roles, feed.RoleControl) && entry.Peer != "" {
			if err := c.o.Store.RemoveMember(ctx, "https://"+entry.Peer); err != nil {
				return result, wrong(http.StatusConflict, "node remove", "%s stays a member of the store: %w", r.Node, err)
			}
		}
		result.Position, err = c.revoke(ctx, a, r, at, entry.Issued)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return result, err
		}
		result.Confirmed, result.Away = c.told(ctx, result.Position, r.Node)
		return result, nil
	}
}

const removeWait = 5 * time.Second

// revoke makes all nodes refuse what was issued to a node up to now, or up to issued, if the clock of who issued that is ahead of this one's.
func (c *Control) revoke(ctx context.Context, a api.Actor, r api.RemoveNodeRequest, at store.Revision, issued time.Time) (feed.Position, error) {
	revoked, revokedAt, _, err := read[feed.Revocations](ctx, c, keyRevoked)
	if err != nil {
		return feed.Position{}, err
	}
	if revoked.Nodes == nil {
		revoked.Nodes = map[config.NodeID]time.Time{}
	}
	now := c.now()
	for id, when := range revoked.Nodes { // no certificate of then is good any more
		if now.Sub(when) > 30*24*time.Hour {
			delete(revoked.Nodes, id)
		}
	}
	revoked.Nodes[r.Node] = later(now, issued).UTC()
	change, err := c.revocations(ctx, &revoked, now)
	if err != nil {
		return feed.Position{}, err
	}
	if c.o.Revoked != nil {
		c.o.Revoked(revoked.Nodes)
	}
	return c.publish(ctx, publication{
		Changes: []feed.Change{
			{Key: feed.NodeKey(r.Node)},
			change,
		},
		Txn: store.Txn{
			If:     []store.Cond{store.Unchanged(prefixNode+string(r.Node), at), store.Unchanged(keyRevoked, revokedAt)},
			Delete: []string{prefixNode + string(r.Node)},
			Put:    []store.Put{put(keyRevoked, revoked), c.audited(a, "node remove", feed.NodeKey(r.Node), r.Message, "", "", now)},
		},
	})
}

// revocations is the change that tells all nodes who was removed.
func (c *Control) revocations(ctx context.Context, r *feed.Revocations, now time.Time) (feed.Change, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return feed.Change{}, err
	}
	h, err := c.putObject(ctx, data)
	return feed.Change{Key: feed.KeyRevoked, Doc: &feed.Doc{Ref: feed.Ref{Revision: uint64(now.Unix()), Object: h, Size: int64(len(data))}}}, err
}

// ChangeNode implements api.Service. The node hears of it by the feed, as all others do, and makes itself what its record says.
func (c *Control) ChangeNode(ctx context.Context, a api.Actor, r api.ChangeNodeRequest) (api.ChangeNodeResult, error) {
	var result api.ChangeNodeResult
	if err := may(a, api.Admin, ""); err != nil {
		return result, c.auditRefusal(ctx, a, "node set", feed.NodeKey(r.Node), r.Message, err)
	}
	key := prefixNode + string(r.Node)
	for {
		entry, at, ok, err := read[nodeEntry](ctx, c, key)
		if err != nil {
			return result, err
		}
		if !ok {
			return result, wrong(http.StatusNotFound, "node set", "there is no node %s; wherry node list shows all", r.Node)
		}
		before, err := json.Marshal(entry.NodeRecord)
		if err == nil {
			err = changeRecord(&entry.NodeRecord, &r)
		}
		if err != nil {
			return result, c.auditRefusal(ctx, a, "node set", feed.NodeKey(r.Node), r.Message, err)
		}
		after, err := json.Marshal(entry.NodeRecord)
		result.NodeRecord = entry.NodeRecord
		if err != nil || bytes.Equal(before, after) {
			return result, err
		}
		now := c.now()
		change, puts, err := c.memberChange(ctx, entry.NodeRecord, now)
		if err != nil {
			return result, err
		}
		result.Position, err = c.publish(ctx, publication{Changes: []feed.Change{change}, Txn: store.Txn{
			If:  []store.Cond{store.Unchanged(key, at)},
			Put: append(puts, put(key, entry), c.audited(a, "node set", feed.NodeKey(r.Node), r.Message, string(before), string(after), now)),
		}})
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return result, err
		}
		result.Confirmed, result.Away = c.told(ctx, result.Position)
		return result, nil
	}
}

// told waits until the nodes that are live know what holds at a position, for a while.
func (c *Control) told(ctx context.Context, at feed.Position, but ...config.NodeID) (known, away []config.NodeID) {
	wait, cancel := context.WithTimeout(ctx, removeWait)
	defer cancel()
	ids := slices.DeleteFunc(c.liveNodes(), func(id config.NodeID) bool { return slices.Contains(but, id) })
	confirmed, away, pending := c.await(wait, at, ids)
	for _, n := range confirmed {
		known = append(known, n.Node)
	}
	return known, append(away, pending...)
}

// changeRecord makes a node's record what is asked for, if it can be that.
func changeRecord(record *feed.NodeRecord, r *api.ChangeNodeRequest) error {
	was := *record
	if r.Cluster != "" {
		record.Cluster = r.Cluster
	}
	if r.Rack != nil {
		record.Rack = *r.Rack
	}
	if r.Addresses != nil {
		record.Addresses = r.Addresses
	}
	if r.Roles != nil {
		record.Roles = r.Roles
	}
	if r.Mesh != "" {
		record.Mesh = r.Mesh
	}
	if r.Forward != nil {
		if err := setForward(record, *r.Forward); err != nil {
			return err
		}
	}
	if err := checkRecord(record); err != nil {
		return err
	}
	has := func(n *feed.NodeRecord, role feed.Role) bool { return slices.Contains(n.Roles, role) }
	switch {
	case has(record, feed.RoleControl) != has(&was, feed.RoleControl):
		return wrong(http.StatusConflict, "node set", "the role control comes with keys and a member of the store: remove %s, and let it join again with other --roles", was.Name)
	case has(record, feed.RoleEdge) && len(record.Addresses) == 0:
		return wrong(http.StatusBadRequest, "node set", "an edge needs an address that clients reach, for DNS to answer: --address")
	}
	return nil
}

// setForward changes overlay.forward among a node's own settings.
func setForward(record *feed.NodeRecord, targets []config.ForwardTarget) error {
	own := map[string]any{}
	if record.Settings != "" {
		if err := json.Unmarshal([]byte(record.Settings), &own); err != nil {
			return wrong(http.StatusConflict, "node set", "the settings of %s can't be changed here: %w", record.Name, err)
		}
	}
	delete(own, "overlay")
	if len(targets) > 0 {
		own["overlay"] = map[string]any{"forward": targets}
	}
	data, err := json.Marshal(own)
	if err != nil {
		return err
	}
	if _, problems := config.ParseNode("the flags", data); problems.Err() != nil {
		return wrong(http.StatusBadRequest, "node set", "--forward: %w", problems.Err())
	}
	record.Settings = string(data)
	return nil
}
