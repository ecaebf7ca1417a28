package kv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// sendEvery is how far apart batches are.
	sendEvery = 200 * time.Millisecond
	// sendAgain is how long what control has acknowledged may stay out of its order before it is sent again.
	sendAgain  = 15 * time.Second
	retryMin   = 200 * time.Millisecond
	retryMax   = 5 * time.Second
	followWait = 500 * time.Millisecond
	sweepEvery = 10 * time.Second
	// loadAtOnce is how many objects are asked for at a time by who gets all.
	loadAtOnce = 8
)

// Name names an object of the feed: the SHA-256 of its bytes.
type Name [32]byte

// IsZero says whether it names nothing.
func (n Name) IsZero() bool { return n == Name{} }

// Docs is what the feed names at a moment.
type Docs struct {
	Epoch  uint64           // a restored backup begins another one; 0: there is no feed yet
	Pages  map[uint64]Name  // the last ones, by number
	Shards [Shards + 1]Name // what there was after earlier ones; the last has the marks
	Nodes  int              // of the network, each of which may write
}

// Head is the number of the last page; 0: there is none.
func (d *Docs) Head() (seq uint64) {
	for n := range d.Pages {
		seq = max(seq, n)
	}
	return seq
}

// Source is what control has ordered, as the feed brings it.
type Source interface {
	Docs() Docs
	// CaughtUp says whether this node has all that control had when it was reached.
	CaughtUp() bool
	// Changed is closed when the feed brings something.
	Changed() <-chan struct{}
	Object(ctx context.Context, n Name) ([]byte, error)
}

// SendError is why control doesn't take a batch now.
type SendError struct {
	Gap        bool          // it lacks earlier ones: all are to be sent again
	RetryAfter time.Duration // 0: the sender chooses
	Err        error
}

func (e *SendError) Error() string { return e.Err.Error() }
func (e *SendError) Unwrap() error { return e.Err }

// Run replicates the store and keeps its disk short, until ctx ends. After that the store takes no writes, and its folder is free.
func (s *Store) Run(ctx context.Context) error {
	defer s.close()
	var all sync.WaitGroup
	defer all.Wait()
	if s.o.Source != nil {
		all.Go(func() { s.follow(ctx) })
	}
	if s.o.Send != nil {
		all.Go(func() { s.sendAll(ctx) })
	}
	all.Go(func() { s.keepDisk(ctx) })
	return nil
}

// Close frees the folder of a store that isn't run.
func (s *Store) Close() { s.close() }

func (s *Store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	if s.j != nil {
		if err := s.j.close(); err != nil {
			s.o.Log.Warn("the key-value store isn't closed as it should be", "error", err)
		}
	}
}

// pause waits; false: ctx has ended.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-wake:
	}
	return true
}

// follow takes what control has ordered.
func (s *Store) follow(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		changed := s.o.Source.Changed()
		why := ""
		if err := s.catchUp(ctx); err != nil && ctx.Err() == nil {
			why = err.Error()
		}
		if why != "" && why != said { // it is tried again and again
			s.o.Log.Warn("values of programs can't be had from the feed; trying again", "error", why)
		}
		said = why
		pause(ctx, followWait, changed)
	}
}

// catchUp takes all that the feed names: page by page, or, when some aren't among those any more, everything anew.
func (s *Store) catchUp(ctx context.Context) error {
	caught := s.o.Source.CaughtUp() // before what it has is looked at
	docs := s.o.Source.Docs()
	head := docs.Head()
	s.mu.Lock()
	s.nodes = docs.Nodes
	s.mu.Unlock()
	if docs.Epoch == 0 || head == 0 && !caught {
		return nil
	}
	s.mu.RLock()
	epoch, seq := s.m.epoch, s.m.seq
	s.mu.RUnlock()
	if epoch != docs.Epoch || seq > head {
		return s.load(ctx, &docs)
	}
	for n := seq + 1; n <= head; n++ {
		if _, ok := docs.Pages[n]; !ok {
			return s.load(ctx, &docs)
		}
	}
	for n := seq + 1; n <= head; n++ {
		p, err := s.page(ctx, docs.Pages[n])
		if err != nil {
			return err
		}
		if p.Seq != n {
			return fmt.Errorf("a page of values says that it is number %d, and the feed names it as number %d", p.Seq, n)
		}
		s.take(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.loaded {
		s.loaded = true
		s.loads++
		poke(s.keep)
	}
	return nil
}

func (s *Store) take(p *Page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m.take(p) {
		_, _ = s.note('P', p.Append(nil)) // what isn't kept control gives again
		s.went()
	}
}

// went tells who waits that there is something new.
func (s *Store) went() {
	close(s.moved)
	s.moved = make(chan struct{})
}

func (s *Store) page(ctx context.Context, n Name) (*Page, error) {
	data, err := s.o.Source.Object(ctx, n)
	if err != nil {
		return nil, err
	}
	return ParsePage(data)
}

// load takes everything anew. What isn't ordered yet stays.
func (s *Store) load(ctx context.Context, docs *Docs) error {
	numbers := slices.Sorted(maps.Keys(docs.Pages))
	pages := make([]*Page, len(numbers))
	var shards [Shards + 1]*Page
	var wanted []wanted
	for i, n := range docs.Shards {
		wanted = append(wanted, want(n, &shards[i]))
	}
	for i, n := range numbers {
		wanted = append(wanted, want(docs.Pages[n], &pages[i]))
	}
	if err := s.loadAll(ctx, wanted); err != nil {
		return err
	}
	state := build(docs.Epoch, shards, pages)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m.adopt(state, newOrigin(s.o.Node))
	s.loaded, s.sent = true, 0
	s.loads++
	s.went()
	poke(s.keep)
	s.o.Log.Info("the values of programs were taken from control anew", "epoch", docs.Epoch, "page", state.seq, "keys", state.ordered.keys)
	return nil
}

// wanted is an object, and where it goes.
type wanted struct {
	name Name
	to   **Page
}

func want(n Name, to **Page) wanted { return wanted{n, to} }

// loadAll gets objects, several at a time.
func (s *Store) loadAll(ctx context.Context, list []wanted) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	turns := make(chan struct{}, loadAtOnce)
	var all sync.WaitGroup
	for _, w := range list {
		if w.name.IsZero() {
			continue
		}
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			p, err := s.page(ctx, w.name)
			if err != nil {
				cancel(err)
			}
			*w.to = p
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// sendAll has control order this node's writes.
func (s *Store) sendAll(ctx context.Context) {
	wait, said := retryMin, ""
	sent := time.Time{}
	for ctx.Err() == nil {
		batch, origin, last := s.outgoing(sent)
		if batch == nil {
			pause(ctx, time.Second, s.wrote)
			continue
		}
		err := s.o.Send(ctx, batch)
		sent = s.o.Now()
		why := ""
		if err == nil {
			s.acknowledged(origin, last)
			wait = retryMin
		} else if ctx.Err() == nil {
			wait, why = s.refused(err, wait), err.Error()
		}
		if why != "" && said == "" { // it is tried again and again
			s.o.Log.Warn("control doesn't take the values that programs have written here; they wait", "error", why)
		}
		said = why
		if err != nil {
			pause(ctx, wait, nil)
		} else {
			pause(ctx, sendEvery, nil)
		}
	}
}

// outgoing is the next batch, and whose last write it has; nil: there is nothing to send.
func (s *Store) outgoing(sent time.Time) (batch []byte, origin string, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.j != nil && s.saved < s.loads || len(s.m.pending) == 0 {
		return nil, "", 0 // by an origin that isn't on the disk nothing is sent: it would be forgotten, and the writes sent again by another
	}
	if s.m.pending[0].N <= s.sent && s.o.Now().Sub(sent) > sendAgain {
		s.sent = 0
	}
	b := s.m.batch(s.sent)
	if b == nil {
		return nil, "", 0
	}
	return b.Append(nil), b.Origin, b.Ops[len(b.Ops)-1].N
}

func (s *Store) acknowledged(origin string, last uint64) {
	s.counts.batches.Inc()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m.origin == origin {
		s.sent = last
	}
}

// refused is how long to wait until the next batch.
func (s *Store) refused(err error, before time.Duration) time.Duration {
	var e *SendError
	if errors.As(err, &e) {
		if e.Gap {
			s.mu.Lock()
			if s.sent == 0 { // control has forgotten this origin, or the disk has: none of what is left was ordered
				s.m.rename(newOrigin(s.o.Node))
				s.loads++
				poke(s.keep)
			}
			s.sent = 0
			s.mu.Unlock()
		}
		if e.RetryAfter > 0 {
			return min(e.RetryAfter, retryMax)
		}
	}
	return min(2*before, retryMax)
}

// settleAll orders what a store of one process has left.
func (s *Store) settleAll() {
	s.m.rename(newOrigin(s.o.Node))
	if len(s.m.pending) > 0 {
		p, _, _ := s.m.order([]*Batch{{s.m.origin, s.m.pending}}, s.m.at, s.bounds())
		s.m.take(p)
	}
}

// keepDisk writes the state anew when the log is long or there is doubt about it, and removes what has expired from a store of one process.
func (s *Store) keepDisk(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		wait, why := sweepEvery, ""
		if s.isToBeSaved() {
			if err := s.save(); err != nil {
				wait, why = time.Second, err.Error()
			}
		}
		if why != "" && why != said { // it is tried again and again
			s.o.Log.Error("the key-value store can't be kept on this node's disk, and takes no writes; trying again", "error", why)
		}
		said = why
		if s.o.Source == nil {
			s.sweep()
		}
		pause(ctx, wait, s.keep)
	}
}

func (s *Store) isToBeSaved() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.j != nil && (s.saved < s.loads || s.j.err != nil || s.j.long())
}

// save writes the state anew.
func (s *Store) save() error {
	s.mu.Lock()
	if err := s.j.turn(); err != nil {
		s.j.err = err
		s.mu.Unlock()
		return err
	}
	generation, frozen, loads := s.j.generation, s.m.freeze(s.loaded), s.loads
	s.mu.Unlock()
	size, err := s.j.save(generation, frozen)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.j.err = err; err != nil {
		return err
	}
	s.j.whole, s.saved = size, loads
	poke(s.wrote)
	return nil
}

// sweep removes what has expired.
func (s *Store) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	if !s.m.isDue(now) {
		return
	}
	p, _, _ := s.m.order(nil, now.UnixMilli(), s.bounds())
	s.m.take(p)
	_, _ = s.note('P', p.Append(nil)) // it is done again
}
