package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
)

const (
	keyEpoch = "epoch"
	keyHead  = "head"

	prefixLog    = "log/"
	prefixDocs   = "docs/"
	prefixObject = "object/"
	prefixSecret = "secret/"
)

// headRecord is where the feed ends.
type headRecord struct {
	Position feed.Position `json:"position"`
	Hash     feed.Hash     `json:"hash"`
}

func logKey(p feed.Position) string { return fmt.Sprintf("%s%08x/%016x", prefixLog, p.Epoch, p.Seq) }

// publication is a change of the store that nodes hear of.
type publication struct {
	store.Txn
	Changes []feed.Change
	Purge   *feed.Purge
}

// publish makes a publication hold: the change of the store, the documents, and the feed's next entry, all at once. store.ErrConflict says that one of
// the publication's own conditions doesn't hold.
func (c *Control) publish(ctx context.Context, p publication) (feed.Position, error) {
	for {
		head, at, ok, err := read[headRecord](ctx, c, keyHead)
		if err != nil {
			return feed.Position{}, err
		}
		if !ok {
			return feed.Position{}, errors.New("the store has no network in it: make one with wherry init")
		}
		signed, txn, next, err := c.entry(head, at, p)
		if err != nil {
			return feed.Position{}, err
		}
		_, err = c.o.Store.Commit(ctx, txn)
		if err == nil {
			_, _ = c.o.Keeper.Append(signed) // so that nobody waits for the watch; what is amiss Run finds
			return next, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return feed.Position{}, unavailable(err)
		}
		if kv, ok, err := c.o.Store.Get(ctx, keyHead); err != nil || ok && kv.Changed == at {
			return feed.Position{}, errors.Join(store.ErrConflict, unavailable(err))
		}
	}
}

// Publish makes documents hold, with a change of the store.
func (c *Control) Publish(ctx context.Context, t store.Txn, changes []feed.Change) error {
	_, err := c.publish(ctx, publication{Txn: t, Changes: changes})
	return err
}

// entry signs the entry that comes after head.
func (c *Control) entry(head headRecord, at store.Revision, p publication) (feed.Signed, store.Txn, feed.Position, error) {
	state := feed.State{Position: head.Position, Head: head.Hash}
	e := state.NewEntry(c.now(), p.Changes, p.Purge)
	signed, err := c.o.Signer.Sign(e)
	if err != nil {
		return feed.Signed{}, store.Txn{}, feed.Position{}, wrong(http.StatusRequestEntityTooLarge, "publish", "%w", err)
	}
	txn := store.Txn{
		If:     append([]store.Cond{store.Unchanged(keyHead, at)}, p.If...),
		Delete: append([]string(nil), p.Delete...),
		Put: append([]store.Put{
			put(keyHead, headRecord{e.Position, feed.HashOf(signed.Bytes)}), put(logKey(e.Position), signed),
		}, p.Put...),
	}
	for _, change := range p.Changes {
		if change.Doc == nil {
			txn.Delete = append(txn.Delete, prefixDocs+change.Key)
		} else {
			txn.Put = append(txn.Put, put(prefixDocs+change.Key, change.Doc))
		}
	}
	return signed, txn, e.Position, nil
}

// putObject keeps an object in the store, and in this node's keeper, before anything points to it.
func (c *Control) putObject(ctx context.Context, data []byte) (feed.Hash, error) {
	h := feed.HashOf(data)
	if err := c.putParts(ctx, prefixObject, h, data); err != nil {
		return h, err
	}
	if err := c.o.Keeper.PutObject(h, data); err != nil {
		return h, fmt.Errorf("keep an object: %w", err)
	}
	return h, nil
}

func (c *Control) putParts(ctx context.Context, front string, h feed.Hash, data []byte) error {
	return unavailable(c.o.Store.PutParts(ctx, front+h.String(), data))
}

// object reads an object of the store.
func (c *Control) object(ctx context.Context, h feed.Hash) ([]byte, error) {
	if data, err := c.o.Keeper.Object(h); err == nil {
		return data, nil
	}
	data, err := c.parts(ctx, prefixObject, h)
	if err != nil {
		return nil, err
	}
	if feed.HashOf(data) != h {
		return nil, fmt.Errorf("the store's object %s is damaged: restore a backup", h)
	}
	return data, c.o.Keeper.PutObject(h, data)
}

func (c *Control) parts(ctx context.Context, front string, h feed.Hash) ([]byte, error) {
	data, ok, err := c.o.Store.Parts(ctx, front+h.String())
	if err == nil && !ok {
		return nil, wrong(http.StatusNotFound, "object", "there is no object %s", h)
	}
	return data, unavailable(err)
}

// ObjectKey is where the store has the parts of an object (store.PartsOf).
func (c *Control) ObjectKey(h feed.Hash) string { return prefixObject + h.String() }

// Object gives the tree an object that the keeper lacks.
func (c *Control) Object(ctx context.Context, h feed.Hash) ([]byte, error) { return c.object(ctx, h) }

// Run follows the feed in the store into the keeper, and images onto the disk, until ctx ends.
func (c *Control) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { c.images.Run(ctx) })
	defer all.Wait()
	for ctx.Err() == nil {
		if err := c.follow(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("the feed can't be read from the store; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	return nil
}

// follow brings the keeper to the end of the log, and goes on with it.
func (c *Control) follow(ctx context.Context) error {
	head, _, ok, err := read[headRecord](ctx, c, keyHead)
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("the store has no network in it yet")
	}
	at := c.o.Keeper.Position()
	front := fmt.Sprintf("%s%08x/", prefixLog, head.Position.Epoch)
	var missing []store.KV
	from, err := c.o.Store.All(ctx, front, func(kv store.KV) error {
		if kv.Key > logKey(feed.Position{Epoch: head.Position.Epoch, Seq: at.Seq}) || at.Epoch != head.Position.Epoch {
			missing = append(missing, kv)
		}
		return nil
	})
	if err != nil {
		return unavailable(err)
	}
	if at.Epoch != head.Position.Epoch && at != (feed.Position{}) || c.take(ctx, missing) != nil {
		if err := c.rebuild(ctx); err != nil {
			return err
		}
		return nil // and again, for what came meanwhile
	}
	c.synced.Store(true)
	return c.o.Store.Watch(ctx, prefixLog, from+1, func(events []store.Event) error {
		var entries []store.KV
		for _, e := range events {
			if !e.Deleted && strings.HasPrefix(e.Key, front) {
				entries = append(entries, e.KV)
			} else if !e.Deleted {
				return errors.New("another epoch has begun")
			}
		}
		return c.take(ctx, entries)
	})
}
