package treetest

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wherry/wherry/feed"
)

// Control writes a feed.
type Control struct {
	key ed25519.PrivateKey

	mu      sync.Mutex // protects what follows
	state   feed.State
	log     []feed.Signed
	objects map[feed.Hash][]byte
	roots   []*Keeper
}

// NewControl returns a control with a key of its own, from the seed.
func NewControl(seed byte) *Control {
	return &Control{
		key:     ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)),
		state:   feed.State{Position: feed.Position{Epoch: 1}, Docs: map[string]feed.Doc{}},
		objects: map[feed.Hash][]byte{},
	}
}

// Public is the key by which nodes know control.
func (c *Control) Public() ed25519.PublicKey { return c.key.Public().(ed25519.PublicKey) }

// Keeper returns a new keeper that trusts c.
func (c *Control) Keeper() *Keeper { return NewKeeper(c.Public()) }

// Root returns a keeper that gets all that c writes, as those of control nodes do.
func (c *Control) Root() *Keeper {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.Keeper()
	if _, err := k.Append(c.log...); err != nil {
		panic("BUG: treetest: " + err.Error())
	}
	for h, o := range c.objects {
		k.PutObject(h, o)
	}
	c.roots = append(c.roots, k)
	return k
}

// Set writes an entry that sets a document to an object.
func (c *Control) Set(key string, object []byte) feed.Position {
	h := feed.HashOf(object)
	return c.Write(object, func(e *feed.Entry, s *feed.State) {
		e.Changes = []feed.Change{{Key: key, Doc: &feed.Doc{Ref: feed.Ref{Revision: s.Docs[key].Revision + 1, Object: h, Size: int64(len(object))}}}}
	})
}

// Purge writes an entry that purges.
func (c *Control) Purge(p feed.Purge) feed.Position {
	return c.Write(nil, func(e *feed.Entry, _ *feed.State) { e.Purge = &p })
}

// Write writes an entry that fill makes, with an object if there is one, to all roots.
func (c *Control) Write(object []byte, fill func(*feed.Entry, *feed.State)) feed.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := feed.Entry{Position: feed.Position{Epoch: c.state.Position.Epoch, Seq: c.state.Position.Seq + 1}, Prev: c.state.Head, At: time.Now()}
	fill(&e, &c.state)
	signed := c.SignEntry(&e)
	apply(&c.state, &e, feed.HashOf(signed.Bytes))
	c.log = append(c.log, signed)
	if object != nil {
		c.objects[feed.HashOf(object)] = object
	}
	for _, k := range c.roots {
		if object != nil {
			k.PutObject(feed.HashOf(object), object)
		}
		if _, err := k.Append(signed); err != nil {
			panic("BUG: treetest: " + err.Error())
		}
	}
	return e.Position
}

// SignEntry signs an entry, whatever it says.
func (c *Control) SignEntry(e *feed.Entry) feed.Signed {
	text, err := json.Marshal(e)
	if err != nil {
		panic("BUG: treetest: " + err.Error())
	}
	return feed.Signed{Bytes: text, Signature: ed25519.Sign(c.key, append([]byte("entry "), text...))}
}

// Sign signs a state.
func (c *Control) Sign(s *feed.State) (feed.Checkpoint, error) {
	text, err := json.Marshal(s)
	return feed.Checkpoint{Bytes: text, Signature: ed25519.Sign(c.key, append([]byte("state "), text...))}, err
}

func apply(s *feed.State, e *feed.Entry, head feed.Hash) {
	for _, c := range e.Changes {
		if c.Doc == nil {
			delete(s.Docs, c.Key)
		} else {
			s.Docs[c.Key] = *c.Doc
		}
	}
	if e.Purge != nil {
		s.Purges = append(s.Purges, feed.PurgeAt{Seq: e.Position.Seq, Purge: *e.Purge})
	}
	s.Position, s.Head = e.Position, head
}

// Keeper keeps a feed in memory.
type Keeper struct {
	key ed25519.PublicKey

	mu         sync.Mutex // protects what follows
	state      feed.State
	ground     feed.Position // what the log follows
	log        []feed.Signed
	checkpoint *feed.Checkpoint
	objects    map[feed.Hash][]byte
	changed    chan struct{}
	fault      error
}

// NewKeeper returns an empty keeper that trusts who has a key.
func NewKeeper(key ed25519.PublicKey) *Keeper {
	return &Keeper{
		key: key, state: feed.State{Docs: map[string]feed.Doc{}}, objects: map[feed.Hash][]byte{}, changed: make(chan struct{}),
	}
}

// Fail lets Append and Reset fail, as a full disk does; nil ends it.
func (k *Keeper) Fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fault = err
}

// Append takes entries that control has signed, in their order.
func (k *Keeper) Append(entries ...feed.Signed) (taken []feed.Entry, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	defer func() {
		if len(taken) > 0 {
			k.change()
		}
	}()
	for _, signed := range entries {
		e, err := k.check(signed)
		if err != nil {
			return taken, err
		}
		apply(&k.state, &e, feed.HashOf(signed.Bytes))
		k.log = append(k.log, signed)
		taken = append(taken, e)
	}
	return taken, nil
}

func (k *Keeper) check(signed feed.Signed) (e feed.Entry, err error) {
	if k.fault != nil {
		return e, k.fault
	}
	if !ed25519.Verify(k.key, append([]byte("entry "), signed.Bytes...), signed.Signature) || json.Unmarshal(signed.Bytes, &e) != nil {
		return e, feed.ErrForged
	}
	at := k.state.Position
	if at == (feed.Position{}) {
		at.Epoch, k.ground = 1, feed.Position{Epoch: 1}
	}
	switch {
	case !at.Before(e.Position):
		return e, feed.ErrOld
	case e.Position != (feed.Position{Epoch: at.Epoch, Seq: at.Seq + 1}):
		return e, fmt.Errorf("%w: got %s after %s", feed.ErrGap, e.Position, at)
	case e.Prev != k.state.Head:
		return e, feed.ErrFork
	}
	return e, nil
}

func (k *Keeper) change() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// Reset takes a state that control has signed.
func (k *Keeper) Reset(c feed.Checkpoint) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, err := k.read(c)
	switch {
	case err != nil:
		return err
	case k.fault != nil:
		return k.fault
	case !k.state.Position.Before(s.Position):
		return feed.ErrOld
	}
	k.state, k.ground, k.log, k.checkpoint = s, s.Position, nil, &c
	k.change()
	return nil
}

func (k *Keeper) read(c feed.Checkpoint) (s feed.State, err error) {
	if !ed25519.Verify(k.key, append([]byte("state "), c.Bytes...), c.Signature) || json.Unmarshal(c.Bytes, &s) != nil {
		return s, feed.ErrForged
	}
	if s.Docs == nil {
		s.Docs = map[string]feed.Doc{}
	}
	return s, nil
}

// Rebase forgets the entries up to a checkpoint.
func (k *Keeper) Rebase(c feed.Checkpoint) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, err := k.read(c)
	if err != nil {
		return err
	}
	if s.Position.Epoch != k.ground.Epoch || s.Position.Seq <= k.ground.Seq {
		return feed.ErrOld
	}
	if k.state.Position.Before(s.Position) {
		return feed.ErrGap
	}
	k.log = slices.Clone(k.log[s.Position.Seq-k.ground.Seq:])
	k.ground, k.checkpoint = s.Position, &c
	return nil
}

// After returns entries after a position.
func (k *Keeper) After(p feed.Position, bytesMax int) (entries []feed.Signed, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p == (feed.Position{}) {
		p.Epoch = 1
	}
	if p.Epoch != k.ground.Epoch || p.Seq < k.ground.Seq {
		return nil, false
	}
	size := 0
	for _, s := range k.log[min(p.Seq-k.ground.Seq, uint64(len(k.log))):] {
		if size += len(s.Bytes); len(entries) > 0 && size > bytesMax {
			break
		}
		entries = append(entries, s)
	}
	return entries, true
}

// Checkpoint returns the one that the log follows.
func (k *Keeper) Checkpoint() (feed.Checkpoint, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.checkpoint == nil {
		return feed.Checkpoint{}, false
	}
	return *k.checkpoint, true
}

// View shows the state.
func (k *Keeper) View(f func(*feed.State)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(&k.state)
}

// Docs returns a copy of the documents.
func (k *Keeper) Docs() map[string]feed.Doc {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.state.Docs)
}

// Position returns how far it is.
func (k *Keeper) Position() feed.Position {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Position
}

// Changed returns a channel that is closed at the next change.
func (k *Keeper) Changed() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changed
}

// Object returns an object.
func (k *Keeper) Object(h feed.Hash) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if o, ok := k.objects[h]; ok {
		return o, nil
	}
	return nil, fs.ErrNotExist
}

// Objects returns how many it has.
func (k *Keeper) Objects() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.objects)
}

// PutObject keeps an object.
func (k *Keeper) PutObject(h feed.Hash, object []byte) error {
	if feed.HashOf(object) != h {
		return feed.ErrForged
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.objects[h] = object
	return nil
}
