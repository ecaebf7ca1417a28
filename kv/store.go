package kv

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// DirName is the folder of the store in a node's.
const DirName = "values"

// Options are what a Store is made of.
type Options struct {
	// Dir is where it is kept; empty: in memory alone, and lost with the process.
	Dir string
	// Node is the node's name; control takes writes of a node from that node alone.
	Node string
	// Source is what control has ordered; nil: the store is of this process alone, and orders its writes itself.
	Source Source
	// Send has control order a batch. It returns when that is done, or why it isn't (*SendError). With a Source alone.
	Send   func(ctx context.Context, batch []byte) error
	Limits Limits
	Log    *slog.Logger          // nil: slog.Default()
	Count  prometheus.Registerer // nil: nobody counts
	Now    func() time.Time      // nil: time.Now
}

// Store is the key-value store of a node. It is safe for use by many goroutines.
type Store struct {
	o      Options
	counts counts
	wrote  chan struct{} // holds one when there is something to send
	keep   chan struct{} // holds one when the journal is to be looked at

	mu      sync.RWMutex // protects what follows, and what the journal has; lost with the process is what isn't in the journal
	m       *machine
	j       *journal                 // nil: in memory
	loaded  bool                     // there is a state to answer from
	loads   int                      // how often the state was taken from elsewhere than from the journal
	saved   int                      // loads when the state was saved last
	closed  bool                     // Run has ended
	sent    uint64                   // number of the last write that control has acknowledged, or 0
	moved   chan struct{}            // closed when a page is taken
	buckets map[string]*rate.Limiter // by namespace
	nodes   int                      // that may write, as far as this one knows
	hard    int64                    // the largest Limits.Node that was set: what was acknowledged by it isn't dropped; 0: none was
}

// Open opens the store in a node's folder, and makes it if there is none. Run must run for it to be replicated.
func Open(o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Limits = o.Limits.withDefaults()
	s := &Store{
		o: o, counts: newCounts(), wrote: make(chan struct{}, 1), keep: make(chan struct{}, 1), moved: make(chan struct{}),
		buckets: map[string]*rate.Limiter{}, loaded: o.Source == nil,
	}
	s.m = newMachine(newOrigin(o.Node))
	if o.Dir != "" {
		j, loaded, err := openJournal(o.Dir, o.Log, s.m)
		if err != nil {
			return nil, err
		}
		s.j, s.loaded = j, s.loaded || loaded
		switch {
		case o.Source == nil:
			s.settleAll() // of a disk that was a node's
		case !OriginOf(s.m.origin, o.Node): // the machine has another name now
			s.m.rename(newOrigin(o.Node))
		}
		if err := s.save(); err != nil {
			o.Log.Error("the key-value store takes no writes", "error", err)
		}
	}
	if o.Count != nil {
		o.Count.MustRegister(collector{s})
	}
	return s, nil
}

// OpenAnyway opens the store; where its folder can't be used it is in memory, so that the node serves, and the log says so.
func OpenAnyway(o Options) *Store {
	s, err := Open(o)
	if err != nil {
		o.Log.Error("the key-value store can't be kept on this disk: what programs write here is lost with the process, until control has it", "error", err)
		o.Dir = ""
		if s, err = Open(o); err != nil {
			panic("BUG: kv: a store in memory can't be opened: " + err.Error())
		}
	}
	return s
}

// SetLimits makes other limits hold.
func (s *Store) SetLimits(l Limits) {
	l = l.withDefaults()
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.Rate != s.o.Limits.Rate || l.Burst != s.o.Limits.Burst {
		clear(s.buckets)
	}
	s.o.Limits, s.hard = l, max(s.hard, l.Node)
}

// bounds are the limits by which control orders. A process that doesn't know the configuration yet drops nothing.
func (s *Store) bounds() *Limits {
	l := s.o.Limits
	if l.Node = s.hard; s.hard == 0 {
		l.Node = math.MaxInt64
	}
	return &l
}

func newOrigin(node string) string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return node + "/" + hex.EncodeToString(b[:])
}

// OriginOf says whether an origin is of a node's store.
func OriginOf(origin, node string) bool {
	rest, ok := strings.CutPrefix(origin, node+"/")
	return ok && !strings.Contains(rest, "/")
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Value is what a key has.
type Value struct {
	Bytes   []byte
	Expires time.Time // zero: never
	Tag     string    // names the content: equal values have equal tags, on all nodes
}

func valueOf(r *Record) Value {
	v := Value{Bytes: r.Value, Tag: tagOf(r.Value)}
	if r.Expires > 0 {
		v.Expires = time.UnixMilli(r.Expires)
	}
	return v
}

// ready says why the store can't be asked now. The caller has mu.
func (s *Store) ready() error {
	if !s.loaded {
		return errNotReady
	}
	return nil
}

// Get returns what a key has on this node; ok is false if there is nothing.
func (s *Store) Get(namespace, key string) (v Value, ok bool, err error) {
	if err := checkNames(namespace, key); err != nil {
		return v, false, err
	}
	s.mu.RLock()
	r, err := s.m.find(namespace, key, s.o.Now().UnixMilli()), s.ready()
	s.mu.RUnlock()
	if r == nil || err != nil {
		return v, false, err
	}
	return valueOf(r), true, nil
}

// Condition is what this node must have for a write to be made. The zero one always holds.
type Condition struct {
	Absent bool     // nothing under the key
	Any    bool     // something
	Tags   []string // a value with one of these
}

func (c *Condition) holds(r *Record) bool {
	switch {
	case c.Absent:
		return r == nil
	case c.Any:
		return r != nil
	case len(c.Tags) > 0:
		return r != nil && slices.Contains(c.Tags, tagOf(r.Value))
	}
	return true
}

// Put sets a key, for a time if ttl isn't 0. created says that there was nothing.
func (s *Store) Put(namespace, key string, value []byte, ttl time.Duration, c Condition) (v Value, created bool, err error) {
	if len(value) > ValueMax {
		return v, false, s.count(errTooLarge(len(value)))
	}
	value = slices.Clone(value)
	after, before, err := s.write(namespace, key, c, func(_ *Record, at int64) (*Op, error) {
		return &Op{Kind: OpPut, Value: value, Expires: expiry(at, ttl)}, nil
	})
	if err != nil {
		return v, false, err
	}
	return valueOf(after), before == nil, nil
}

// expiry is when something is over; 0: never.
func expiry(at int64, ttl time.Duration) int64 {
	if ttl <= 0 {
		return 0
	}
	return at + max(1, min(ttl, ttlMax).Milliseconds())
}

// Delete removes a key. existed says that there was something.
func (s *Store) Delete(namespace, key string, c Condition) (existed bool, err error) {
	_, before, err := s.write(namespace, key, c, func(r *Record, _ int64) (*Op, error) {
		if r == nil {
			return nil, nil
		}
		return &Op{Kind: OpDelete}, nil
	})
	return before != nil, err
}

// Add adds to a counter, and returns what it is on this node then. A counter that isn't there is 0, and gets the ttl, if that isn't 0.
func (s *Store) Add(namespace, key string, delta int64, ttl time.Duration) (sum int64, err error) {
	_, _, err = s.write(namespace, key, Condition{}, func(r *Record, at int64) (*Op, error) {
		n, err := counted(r, at)
		if err != nil {
			return nil, errNumber
		}
		if sum = n + delta; (sum > n) != (delta > 0) && delta != 0 {
			return nil, errOverflow
		}
		return &Op{Kind: OpAdd, Delta: delta, Expires: expiry(at, ttl)}, nil
	})
	return sum, err
}

// write makes a write of what this node has under a key, and returns when it is on the disk. No write: there is nothing to do.
func (s *Store) write(namespace, key string, c Condition, decide func(r *Record, at int64) (*Op, error)) (after, before *Record, err error) {
	if err := checkNames(namespace, key); err != nil {
		return nil, nil, s.count(err)
	}
	now := s.o.Now()
	s.mu.Lock()
	before = s.m.find(namespace, key, now.UnixMilli())
	at, after, err := s.decided(namespace, key, c, before, now, decide)
	s.mu.Unlock()
	if err == nil && at.log != nil {
		if err = at.sync(); err != nil {
			s.mu.Lock()
			s.j.err = cmp.Or(s.j.err, err)
			s.mu.Unlock()
			err = errDisk(err)
		}
	}
	if err != nil {
		poke(s.keep)
		return nil, before, s.count(err)
	}
	poke(s.wrote)
	return after, before, nil
}

func (s *Store) decided(namespace, key string, c Condition, before *Record, now time.Time, decide func(r *Record, at int64) (*Op, error)) (at spot, after *Record, err error) {
	switch {
	case s.closed:
		return at, nil, errClosed
	case s.ready() != nil:
		return at, nil, errNotReady
	case s.j != nil && s.j.err != nil:
		return at, nil, errDisk(s.j.err)
	case !s.bucket(namespace).AllowN(now, 1):
		return at, nil, errRate(s.o.Limits)
	case !c.holds(before):
		return at, nil, errCondition(c, before)
	}
	op, err := decide(before, now.UnixMilli())
	if op == nil || err != nil {
		return at, before, err
	}
	op.Namespace, op.Key, op.At = namespace, key, now.UnixMilli()
	if err := s.fits(op, before); err != nil {
		return at, nil, err
	}
	s.counts.write(op.Kind)
	if s.o.Source == nil {
		return s.settle(op, now)
	}
	after = s.m.push(op)
	at, err = s.note('O', op.append(nil))
	return at, after, err
}

// settle orders a write of a store of one process.
func (s *Store) settle(op *Op, now time.Time) (at spot, after *Record, err error) {
	op.N = s.m.next
	p, _, _ := s.m.order([]*Batch{{s.m.origin, []*Op{op}}}, now.UnixMilli(), s.bounds())
	s.m.take(p)
	at, err = s.note('P', p.Append(nil))
	return at, s.m.find(op.Namespace, op.Key, 0), err
}

// note keeps what has happened.
func (s *Store) note(kind byte, payload []byte) (at spot, err error) {
	if s.j == nil {
		return at, nil
	}
	if at, err = s.j.note(kind, payload); err != nil {
		return at, errDisk(err)
	}
	if s.j.long() {
		poke(s.keep)
	}
	return at, nil
}

// bucket bounds the rate of writes to a namespace.
func (s *Store) bucket(namespace string) *rate.Limiter {
	b := s.buckets[namespace]
	if b == nil {
		if len(s.buckets) >= 2*s.o.Limits.Namespaces {
			clear(s.buckets)
		}
		b = rate.NewLimiter(rate.Limit(s.o.Limits.Rate), s.o.Limits.Burst)
		s.buckets[namespace] = b
	}
	return b
}

// Item is a key of a list.
type Item struct {
	Key     string
	Size    int
	Expires time.Time // zero: never
	Tag     string
}

// List returns the keys of a namespace that begin with prefix and come after a key, in the order of their bytes, at most limit of them; more says that
// there are more.
func (s *Store) List(namespace, prefix, after string, limit int) (list []Item, more bool, err error) {
	if !goodNamespace(namespace) {
		return nil, false, errName
	}
	records, more, err := s.records(namespace, prefix, after, limit)
	for _, r := range records {
		v := valueOf(r.Record)
		list = append(list, Item{r.Key, len(v.Bytes), v.Expires, v.Tag})
	}
	return list, more, err
}

func (s *Store) records(namespace, prefix, after string, limit int) (list []Set, more bool, err error) {
	now := s.o.Now().UnixMilli()
	s.mu.Lock() // sorting changes the space
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return nil, false, err
	}
	space := s.m.spaces[namespace]
	if space == nil {
		return nil, false, nil
	}
	all := space.sorted()
	byKey := func(e *entry, key string) int { return strings.Compare(e.key, key) }
	i, _ := slices.BinarySearchFunc(all, max(prefix, after), byKey)
	for ; i < len(all) && strings.HasPrefix(all[i].key, prefix); i++ {
		e := all[i]
		if e.key <= after || !e.view.live(now) {
			continue
		}
		if len(list) == limit {
			return list, true, nil
		}
		list = append(list, Set{namespace, e.key, e.view})
	}
	return list, false, nil
}

// Usage is how much a namespace has.
type Usage struct {
	Namespace string `json:"namespace"`
	Keys      int    `json:"keys"`
	Bytes     int64  `json:"bytes"` // of keys and values
}

// Namespaces are those that have keys, by name.
func (s *Store) Namespaces() ([]Usage, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := []Usage{}
	for name, space := range s.m.spaces {
		if space.view.keys > 0 {
			list = append(list, Usage{name, space.view.keys, space.view.bytes})
		}
	}
	slices.SortFunc(list, func(a, b Usage) int { return strings.Compare(a.Namespace, b.Namespace) })
	return list, s.ready()
}

// Order makes the page that comes next of batches, and says of each what is wrong with it (ErrGap and others). Nothing changes until the page
// comes back by the Source. Page.Sets and Page.Marks are empty if there is nothing to say.
func (s *Store) Order(batches []*Batch) (*Page, []error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, wrong, dropped := s.m.order(batches, s.o.Now().UnixMilli(), s.bounds())
	if p.Seq == 1 {
		_, _ = rand.Read(p.Salt[:]) // never fails
	}
	if dropped > 0 {
		s.counts.dropped.Add(float64(dropped))
		s.o.Log.Error("writes of programs were dropped: together they went over what a node may have in memory; raise limits.values.memory, or delete keys", "writes", dropped)
	}
	return p, wrong
}

// Shard returns all that is ordered of a part of the keys, or with Shards what is known of origins.
func (s *Store) Shard(i int) *Page {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m.shard(i)
}

// Due says whether a page would remove something that has expired.
func (s *Store) Due() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m.isDue(s.o.Now())
}

// Position is the epoch and number of the last page that was taken.
func (s *Store) Position() (epoch, seq uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m.epoch, s.m.seq
}

// Await waits until a page of an epoch was taken.
func (s *Store) Await(ctx context.Context, epoch, seq uint64) error {
	for {
		s.mu.RLock()
		there, moved := s.loaded && s.m.epoch == epoch && s.m.seq >= seq, s.moved
		s.mu.RUnlock()
		if there {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
	}
}
