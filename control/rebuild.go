package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

// take appends entries of the log to the keeper, after the objects that they point to.
func (c *Control) take(ctx context.Context, entries []store.KV) error {
	for _, kv := range entries {
		var signed feed.Signed
		if err := json.Unmarshal(kv.Value, &signed); err != nil {
			return fmt.Errorf("the store's %s is damaged: %w", kv.Key, err)
		}
		var e feed.Entry
		if err := json.Unmarshal(signed.Bytes, &e); err != nil {
			return fmt.Errorf("the store's %s is damaged: %w", kv.Key, err)
		}
		for _, change := range e.Changes {
			c.fetchDoc(ctx, change.Doc)
			if change.Key == feed.KeyRevoked {
				c.hearRevoked(ctx, change.Doc)
			}
		}
		if _, err := c.o.Keeper.Append(signed); err != nil && !errors.Is(err, feed.ErrOld) {
			return err
		}
	}
	return nil
}

// fetchDoc brings the objects of a document into the keeper. What can't be had now is fetched when somebody asks for it.
func (c *Control) fetchDoc(ctx context.Context, doc *feed.Doc) {
	if doc == nil {
		return
	}
	refs := []feed.Ref{doc.Ref}
	for _, v := range doc.Variants {
		refs = append(refs, v.Ref)
	}
	for _, r := range refs {
		if !r.IsZero() && !r.Local && !c.o.Keeper.HasObject(r.Object) {
			_, _ = c.object(ctx, r.Object)
		}
	}
}

func (c *Control) hearRevoked(ctx context.Context, doc *feed.Doc) {
	if doc == nil || c.o.Revoked == nil {
		return
	}
	data, err := c.object(ctx, doc.Object)
	var r feed.Revocations
	if err == nil && json.Unmarshal(data, &r) == nil {
		c.o.Revoked(r.Nodes)
	}
}

// rebuild makes the keeper's state of the store's documents, where the log doesn't lead there.
func (c *Control) rebuild(ctx context.Context) error {
	state, err := c.state(ctx)
	if err != nil {
		return err
	}
	checkpoint, err := c.o.Signer.Checkpoint(state)
	if err != nil {
		return err
	}
	c.log.Info("the feed's state is taken from the store's documents", "position", state.Position)
	if err := c.o.Keeper.Reset(checkpoint); err != nil && !errors.Is(err, feed.ErrOld) {
		return err
	}
	return nil
}

// state reads the state of the feed. It is read again if an entry was published meanwhile.
func (c *Control) state(ctx context.Context) (*feed.State, error) {
	for {
		head, before, ok, err := read[headRecord](ctx, c, keyHead)
		if err != nil || !ok {
			return nil, errors.Join(err, errors.New("the store has no network in it"))
		}
		s := feed.NewState(head.Position.Epoch)
		s.Position, s.Head = head.Position, head.Hash
		if err = c.readState(ctx, s); err != nil {
			return nil, err
		}
		if _, after, _, err := read[headRecord](ctx, c, keyHead); err != nil || after == before {
			return s, err
		}
	}
}

func (c *Control) readState(ctx context.Context, s *feed.State) error {
	_, err := c.o.Store.All(ctx, prefixDocs, func(kv store.KV) error {
		var doc feed.Doc
		if err := json.Unmarshal(kv.Value, &doc); err != nil {
			return fmt.Errorf("the store's %s is damaged: %w", kv.Key, err)
		}
		s.Docs[strings.TrimPrefix(kv.Key, prefixDocs)] = doc
		return nil
	})
	if err != nil {
		return err
	}
	first := true
	_, err = c.o.Store.All(ctx, fmt.Sprintf("%s%08x/", prefixLog, s.Position.Epoch), func(kv store.KV) error {
		var signed feed.Signed
		var e feed.Entry
		if err := errors.Join(json.Unmarshal(kv.Value, &signed), json.Unmarshal(signed.Bytes, &e)); err != nil {
			return fmt.Errorf("the store's %s is damaged: %w", kv.Key, err)
		}
		if first {
			first, s.PurgeFloor = false, e.Position.Seq-1
		}
		if e.Purge != nil && e.Position.Seq <= s.Position.Seq {
			s.Purges = append(s.Purges, feed.PurgeAt{Seq: e.Position.Seq, Purge: *e.Purge})
		}
		return nil
	})
	if first {
		s.PurgeFloor = s.Position.Seq
	}
	return err
}

const (
	// logKeep is how many entries of the log the store keeps.
	logKeep   = 8192
	auditKeep = 100_000
)

// prune drops what is kept for a while only. It is the leader's work.
func (c *Control) prune(ctx context.Context, fence store.Cond) error {
	head, _, ok, err := read[headRecord](ctx, c, keyHead)
	if err != nil || !ok {
		return err
	}
	if head.Position.Seq > logKeep {
		if err := c.pruneBefore(ctx, fence, fmt.Sprintf("%s%08x/", prefixLog, head.Position.Epoch), logKey(feed.Position{
			Epoch: head.Position.Epoch, Seq: head.Position.Seq - logKeep,
		})); err != nil {
			return err
		}
	}
	year := auditKey(c.now().AddDate(-1, 0, 0), "")
	return c.pruneBefore(ctx, fence, prefixAudit, year)
}

// pruneBefore removes the keys that begin with front and come before end.
func (c *Control) pruneBefore(ctx context.Context, fence store.Cond, front, end string) error {
	for {
		list, more, _, err := c.o.Store.List(ctx, front, "", 0)
		if err != nil {
			return err
		}
		var gone []string
		for _, kv := range list {
			if kv.Key < end {
				gone = append(gone, kv.Key)
			}
		}
		if len(gone) == 0 {
			return nil
		}
		if _, err := c.o.Store.Commit(ctx, store.Txn{If: []store.Cond{fence}, Delete: gone}); err != nil || !more {
			return err
		}
	}
}

// Bootstrap puts a new network into an empty store: its settings, its first node, and its administrator's token.
func (c *Control) Bootstrap(ctx context.Context, settings []byte, first feed.NodeRecord, csr []byte, adminToken string) error {
	if _, problems := config.ParseSettings("settings", settings); problems.Err() != nil {
		return problems.Err()
	}
	now := c.now()
	_, err := c.o.Store.Commit(ctx, store.Txn{
		If:  []store.Cond{store.Absent(keyHead)},
		Put: []store.Put{put(keyEpoch, 1), put(keyHead, headRecord{Position: feed.Position{Epoch: 1}}), c.tokenPut("admin", adminToken, adminScope(), "wherry init", now, 0)},
	})
	if errors.Is(err, store.ErrConflict) {
		return errors.New("the store has a network in it already")
	}
	if err != nil {
		return err
	}
	changes, puts, err := c.networkRevision(ctx, settings, "wherry init", now)
	if err != nil {
		return err
	}
	member, more, err := c.memberChange(ctx, first, now)
	if err != nil {
		return err
	}
	puts = append(append(puts, more...), put(prefixNode+string(first.Name), nodeEntry{first, mesh.KeyOfRequest(csr), now}))
	_, err = c.publish(ctx, publication{Txn: store.Txn{Put: puts}, Changes: append(changes, member)})
	return err
}
