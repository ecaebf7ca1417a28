package values

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/kv"
)

const (
	// pageEvery is how far apart pages are at least.
	pageEvery = 400 * time.Millisecond
	// Budget is how many bytes of pages and shards go to the store in a second on average: it keeps the changes of an hour.
	Budget = 768 << 10
	// queueMax is how many batches wait.
	queueMax = 64
	// pageMax is how large the batches of a page are together.
	pageMax = kv.BatchMax
	// inlineMax is how large a shard is that goes to the store in the transaction of its page.
	inlineMax = 512 << 10
	dueEvery  = 10 * time.Second
	// takeWithin is how long this node's own store may take to get a page that was published.
	takeWithin = 30 * time.Second
	busyWait   = time.Second
)

// headKey has in the store the number of the last page. Each page is under the condition that nobody else has made one.
const headKey = "values"

type headRecord struct {
	Seq uint64 `json:"seq"`
}

// Control is what publishes.
type Control interface {
	// Publish makes documents hold, with a change of the store; store.ErrConflict says that its conditions don't hold.
	Publish(ctx context.Context, t store.Txn, changes []feed.Change) error
	// ObjectKey is where the store has the parts of an object.
	ObjectKey(h feed.Hash) string
	// Object reads an object of the feed.
	Object(ctx context.Context, h feed.Hash) ([]byte, error)
	// Synced says whether the keeper has what the store had.
	Synced() bool
}

// Options are what Values are made of.
type Options struct {
	Control Control
	Store   *store.Store
	Keeper  *feed.Keeper
	Values  *kv.Store // of this node, which follows the feed
}

// Values orders the writes of a network. It is safe for use by many goroutines.
type Values struct {
	o    Options
	came chan struct{} // holds one when something waits

	mu      sync.Mutex // protects what follows; lost with the process, and sent again
	leading bool
	queue   []*request
}

// request is a batch that waits to be ordered.
type request struct {
	batch *kv.Batch
	size  int
	done  chan error // takes one
}

// New returns the values of a control node.
func New(o Options) *Values { return &Values{o: o, came: make(chan struct{}, 1)} }

// ErrElsewhere says that another control node leads.
var ErrElsewhere = errors.New("this control node doesn't lead: ask another one")

var errMalformed = errors.New("what was sent is no batch of this node's writes")

// Take orders a batch that a node has sent, and returns when it is published. Errors are *kv.SendError.
func (v *Values) Take(ctx context.Context, from config.NodeID, data []byte) error {
	b, err := kv.ParseBatch(data)
	if err != nil || !kv.OriginOf(b.Origin, string(from)) {
		return &kv.SendError{Err: errors.Join(errMalformed, err)}
	}
	r := &request{b, len(data), make(chan error, 1)}
	if err := v.enter(r); err != nil {
		return err
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return &kv.SendError{Err: ctx.Err()}
	}
}

func (v *Values) enter(r *request) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case !v.leading:
		return &kv.SendError{Err: ErrElsewhere}
	case len(v.queue) >= queueMax:
		return &kv.SendError{Err: errors.New("control has all the writes that it can order now: send them again later"), RetryAfter: busyWait}
	}
	v.queue = append(v.queue, r)
	select {
	case v.came <- struct{}{}:
	default:
	}
	return nil
}

// open says whether this node leads. Who waits when it doesn't any more is told.
func (v *Values) open(leads bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.leading = leads
	for _, r := range v.queue {
		r.done <- &kv.SendError{Err: ErrElsewhere}
	}
	v.queue = nil
}

// gather takes what waits, as much as goes into a page.
func (v *Values) gather() (list []*request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	size, n := 0, 0
	for n < len(v.queue) && (n == 0 || size+v.queue[n].size <= pageMax) {
		size += v.queue[n].size
		n++
	}
	list, v.queue = v.queue[:n:n], slices.Clone(v.queue[n:])
	if len(v.queue) > 0 {
		select {
		case v.came <- struct{}{}:
		default:
		}
	}
	return list
}

// Lead orders as long as this node leads, and returns why it can't go on.
func (v *Values) Lead(ctx context.Context, term *store.Term) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with Lead
		select {
		case <-term.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	l := &leader{v: v, term: term}
	if err := l.begin(ctx); err != nil {
		return err
	}
	v.open(true)
	defer v.open(false)
	due := time.NewTicker(dueEvery)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-v.came:
		case <-due.C:
			if !v.o.Values.Due() {
				continue
			}
		}
		began := time.Now()
		bytes, err := l.page(ctx, v.gather())
		if err != nil {
			return err
		}
		// What waits meanwhile goes into the next page together.
		rest := time.Until(began.Add(max(pageEvery, time.Duration(bytes)*time.Second/Budget)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rest):
		}
	}
}

// leader is a term in which this node orders. It belongs to the goroutine of Lead.
type leader struct {
	v    *Values
	term *store.Term
	seq  uint64         // of the last page
	at   store.Revision // of headKey
	// first is, for each shard, the first page after the shard that is about it; 0: none is.
	first [kv.Shards + 1]uint64
}

// begin finds out where the order ends, and waits until this node's own store has it.
func (l *leader) begin(ctx context.Context) error {
	for !l.v.o.Control.Synced() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err := l.readHead(ctx); err != nil {
		return err
	}
	epoch := l.v.o.Keeper.Position().Epoch
	if err := l.v.o.Values.Await(ctx, epoch, l.seq); err != nil {
		return err
	}
	var refs *refs
	l.v.o.Keeper.View(func(s *feed.State) { refs = refsOf(s) })
	for seq := l.seq - min(l.seq, Ring) + 1; seq <= l.seq; seq++ {
		ref := refs.pages[seq%Ring]
		if ref.Revision != seq {
			return fmt.Errorf("the feed hasn't the page %d of values, up to %d", seq, l.seq)
		}
		data, err := l.v.o.Control.Object(ctx, ref.Object)
		if err != nil {
			return err
		}
		p, err := kv.ParsePage(data)
		if err != nil {
			return err
		}
		l.note(p, refs)
	}
	return nil
}

func (l *leader) readHead(ctx context.Context) error {
	got, ok, err := l.v.o.Store.Get(ctx, headKey)
	if err != nil {
		return err
	}
	var head headRecord
	if ok {
		if err := json.Unmarshal(got.Value, &head); err != nil {
			return fmt.Errorf("the store's %s is damaged: %w; restore a backup", headKey, err)
		}
		l.at = got.Changed
	}
	l.seq = head.Seq
	return nil
}

// note notes which shards a page is about.
func (l *leader) note(p *kv.Page, refs *refs) {
	touch := func(shard int) {
		if l.first[shard] == 0 && p.Seq > refs.shards[shard].Revision {
			l.first[shard] = p.Seq
		}
	}
	for i := range p.Sets {
		touch(p.Shard(&p.Sets[i]))
	}
	if len(p.Marks) > 0 {
		touch(kv.Shards)
	}
}

// page orders batches, publishes the page and tells who waits. It returns how many bytes went to the store.
func (l *leader) page(ctx context.Context, list []*request) (bytes int, err error) {
	batches := make([]*kv.Batch, len(list))
	for i, r := range list {
		batches[i] = r.batch
	}
	p, wrong := l.v.o.Values.Order(batches)
	if len(p.Sets) > 0 || len(p.Marks) > 0 {
		bytes, err = l.publish(ctx, p)
	}
	for i, r := range list {
		switch {
		case err != nil:
			r.done <- &kv.SendError{Err: fmt.Errorf("control couldn't keep the writes: %w", err)}
		case wrong[i] != nil:
			r.done <- &kv.SendError{Gap: errors.Is(wrong[i], kv.ErrGap), Err: wrong[i]}
		default:
			r.done <- nil
		}
	}
	return bytes, err
}

// oldest is the shard that is to be made anew with a page; -1: none is.
func (l *leader) oldest(seq uint64) int {
	found := -1
	for i, first := range l.first {
		if first > 0 && seq-first >= Lazy && (found < 0 || first < l.first[found]) {
			found = i
		}
	}
	return found
}

func (l *leader) publish(ctx context.Context, p *kv.Page) (bytes int, err error) {
	if p.Seq != l.seq+1 {
		return 0, fmt.Errorf("this node's values are at page %d, and control's at %d", p.Seq-1, l.seq)
	}
	var before *refs
	l.v.o.Keeper.View(func(s *feed.State) { before = refsOf(s) })
	value, err := json.Marshal(headRecord{p.Seq})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	t := publication{Txn: store.Txn{
		If:  []store.Cond{l.term.Cond(), store.Unchanged(headKey, l.at)},
		Put: []store.Put{{Key: headKey, Value: value}},
	}}
	slot := p.Seq % Ring
	if err := l.add(ctx, &t, pageKeys[slot], before.pages[slot], p); err != nil {
		return t.bytes, err
	}
	shard := l.oldest(p.Seq)
	if shard >= 0 {
		if err := l.add(ctx, &t, shardKeys[shard], before.shards[shard], l.v.o.Values.Shard(shard)); err != nil {
			return t.bytes, err
		}
	}
	if err := l.v.o.Control.Publish(ctx, t.Txn, t.changes); err != nil {
		return t.bytes, err
	}
	if shard >= 0 {
		l.first[shard] = 0
	}
	l.note(p, &refs{}) // where no page is noted, this is the first
	if err := l.readHead(ctx); err != nil {
		return t.bytes, err
	}
	within, cancel := context.WithTimeout(ctx, takeWithin)
	defer cancel()
	return t.bytes, l.v.o.Values.Await(within, before.epoch, p.Seq)
}

// publication is what makes a page hold.
type publication struct {
	store.Txn
	changes []feed.Change
	bytes   int
}

// add adds a page's document, in the place of another one.
func (l *leader) add(ctx context.Context, t *publication, key string, before feed.Ref, p *kv.Page) error {
	data := p.Append(nil)
	h := feed.HashOf(data)
	if err := l.v.o.Keeper.PutObject(h, data); err != nil { // so that it goes down the tree with its entry
		return err
	}
	at := l.v.o.Control.ObjectKey(h)
	if len(data) > inlineMax {
		if err := l.v.o.Store.PutParts(ctx, at, data); err != nil {
			return err
		}
	} else {
		t.Put = append(t.Put, store.PartsOf(at, data)...)
	}
	if !before.IsZero() && before.Object != h {
		t.Delete = append(t.Delete, store.PartKeys(l.v.o.Control.ObjectKey(before.Object), before.Size)...)
	}
	t.bytes += len(data)
	t.changes = append(t.changes, feed.Change{Key: key, Doc: &feed.Doc{Ref: feed.Ref{Revision: p.Seq, Object: h, Size: int64(len(data))}}})
	return nil
}
