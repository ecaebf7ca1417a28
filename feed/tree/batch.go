package tree

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/wherry/wherry/feed"
)

const (
	batchBytes   = 256 << 10
	batchesMax   = 8
	rideEntries  = 16 // who is further behind than this many entries asks for the objects that it needs
	rideBytes    = 256 << 10
	rideWait     = 250 * time.Millisecond // for a root to get an object that it lacks
	ridingBytes  = 1 << 20                // what a child holds of objects until it has seen the entry
	ridingAmount = 256
)

// batch is what is sent after a position, encoded once for all children that are there.
type batch struct {
	frames []byte
	to     feed.Position
}

// batches remembers the last ones. All children follow closely, so nearly all are at the same positions.
type batches struct {
	mu    sync.Mutex // protects what follows, and lets one build for all
	order []feed.Position
	by    map[feed.Position]batch
}

// after returns the batch after a position that is before the keeper's. ok is false if the log doesn't reach back so far.
func (b *batches) after(ctx context.Context, t *Tree, p feed.Position) (_ batch, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if found, ok := b.by[p]; ok {
		return found, true
	}
	entries, ok := t.o.Keeper.After(p, batchBytes)
	if !ok || len(entries) == 0 {
		return batch{}, false
	}
	built := t.encode(ctx, p, entries)
	if b.by == nil {
		b.by = map[feed.Position]batch{}
	}
	if len(b.order) == batchesMax {
		delete(b.by, b.order[0])
		b.order = slices.Delete(b.order, 0, 1)
	}
	b.order = append(b.order, p)
	b.by[p] = built
	return built, true
}

// forget is for when the log has been put on another ground.
func (b *batches) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.by, b.order = nil, nil
}

func (t *Tree) encode(ctx context.Context, p feed.Position, entries []feed.Signed) batch {
	b := batch{to: p}
	room := rideBytes
	for _, signed := range entries {
		var e feed.Entry
		if json.Unmarshal(signed.Bytes, &e) != nil {
			panic("BUG: tree: the keeper has an entry that isn't one")
		}
		if len(entries) <= rideEntries {
			b.frames = t.appendObjects(ctx, b.frames, &e, &room)
		}
		b.frames = appendSigned(b.frames, KindEntry, signed.Signature, signed.Bytes)
		b.to = e.Position
	}
	return b
}

// appendObjects appends the small objects that an entry refers to.
func (t *Tree) appendObjects(ctx context.Context, to []byte, e *feed.Entry, room *int) []byte {
	ctx, cancel := context.WithTimeout(ctx, rideWait)
	defer cancel()
	for h, ref := range carried(e) {
		if ref.Size > objectRideMax || ref.Size > int64(*room) || t.o.Private != nil && t.o.Private(h) {
			continue
		}
		object, err := t.held(h)
		if err != nil && t.o.Root {
			object, err = t.Object(ctx, h)
		}
		if err != nil || len(object) > objectRideMax || len(object) > *room {
			continue
		}
		*room -= len(object)
		to = appendFrame(to, KindObject, h[:], object)
	}
	return to
}

// carried returns the objects that an entry refers to and that the feed carries.
func carried(e *feed.Entry) map[feed.Hash]feed.Ref {
	all := map[feed.Hash]feed.Ref{}
	add := func(r feed.Ref) {
		if !r.IsZero() && !r.Local {
			all[r.Object] = r
		}
	}
	for _, c := range e.Changes {
		if c.Doc == nil {
			continue
		}
		add(c.Doc.Ref)
		for _, v := range c.Doc.Variants {
			add(v.Ref)
		}
	}
	return all
}

// riding holds objects that came with an entry until the keeper has them.
type riding struct {
	mu    sync.Mutex // protects what follows
	by    map[feed.Hash][]byte
	bytes int
}

// add takes an object that was verified. What is too much isn't held, and is asked for later.
func (r *riding) add(h feed.Hash, object []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = map[feed.Hash][]byte{}
	}
	if _, held := r.by[h]; held || r.bytes+len(object) > ridingBytes || len(r.by) >= ridingAmount {
		return
	}
	r.by[h], r.bytes = object, r.bytes+len(object)
}

func (r *riding) get(h feed.Hash) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	object, ok := r.by[h]
	return object, ok
}

// keep puts what entries that control signed refer to into the keeper, and drops all else.
func (r *riding) keep(k Keeper, entries []feed.Entry) error {
	var errs []error
	for i := range entries {
		for h := range carried(&entries[i]) {
			if object, ok := r.get(h); ok {
				errs = append(errs, k.PutObject(h, object))
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.by, r.bytes = nil, 0
	return errors.Join(errs...)
}
