package treetest

import (
	"bytes"
	"crypto/ed25519"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wherry/wherry/feed"
)

// Control writes a feed.
type Control struct {
	signer *feed.Signer

	mu      sync.Mutex // protects what follows
	state   feed.State
	log     []feed.Signed
	objects map[feed.Hash][]byte
	roots   []*Keeper
}

// NewControl returns a control with a key of its own, from the seed.
func NewControl(seed byte) *Control {
	return &Control{
		signer:  feed.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))),
		state:   *feed.NewState(1),
		objects: map[feed.Hash][]byte{},
	}
}

// Public is the key by which nodes know control.
func (c *Control) Public() ed25519.PublicKey { return c.signer.Key() }

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
	e := c.state.NewEntry(time.Now(), nil, nil)
	fill(e, &c.state)
	signed := c.SignEntry(e)
	c.state.Apply(e, feed.HashOf(signed.Bytes))
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
	signed, err := c.signer.Sign(e)
	if err != nil {
		panic("BUG: treetest: " + err.Error())
	}
	return signed
}

// Sign signs a state.
func (c *Control) Sign(s *feed.State) (feed.Checkpoint, error) { return c.signer.Checkpoint(s) }

// Verifier knows what c has signed.
func (c *Control) Verifier() *feed.Verifier { return feed.NewVerifier(c.Public()) }

// Keeper keeps a feed in memory.
type Keeper struct {
	verifier *feed.Verifier

	mu         sync.Mutex // protects what follows
	state      *feed.State
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
		verifier: feed.NewVerifier(key), state: &feed.State{Docs: map[string]feed.Doc{}}, objects: map[feed.Hash][]byte{}, changed: make(chan struct{}),
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
		k.state.Apply(e, feed.HashOf(signed.Bytes))
		k.log = append(k.log, signed)
		taken = append(taken, *e)
	}
	return taken, nil
}

func (k *Keeper) check(signed feed.Signed) (*feed.Entry, error) {
	if k.fault != nil {
		return nil, k.fault
	}
	e, err := k.verifier.Entry(signed)
	if err != nil {
		return nil, err
	}
	if k.state.Position == (feed.Position{}) {
		k.ground.Epoch = 1
	}
	return e, k.state.Follows(e)
}

func (k *Keeper) change() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// Reset takes a state that control has signed.
func (k *Keeper) Reset(c feed.Checkpoint) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, err := k.verifier.State(c)
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

const longLog = 1000

// Long says whether the log is longer than 1000 entries.
func (k *Keeper) Long() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.log) > longLog
}

// Rebase forgets the entries up to a checkpoint.
func (k *Keeper) Rebase(c feed.Checkpoint) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, err := k.verifier.State(c)
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
	f(k.state)
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
