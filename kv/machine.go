package kv

import (
	"container/heap"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Shards is over how many parts the keys are spread, of which snapshots are made one by one.
const Shards = 256

// shardOf is the part that a key belongs to.
func shardOf(salt *[8]byte, namespace, key string) int {
	b := make([]byte, 0, 128)
	b = append(append(append(append(b, salt[:]...), namespace...), 0), key...)
	sum := sha256.Sum256(b)
	return int(sum[0])
}

// Shard is the part of all keys that one of a page belongs to.
func (p *Page) Shard(s *Set) int { return shardOf(&p.Salt, s.Namespace, s.Key) }

// machine is what a node has: the state by control's order, and its own writes that aren't ordered yet over it. It is pure: it knows no clock, no
// disk and no network.
type machine struct {
	epoch, seq    uint64 // of the last page
	at            int64  // of that
	salt          [8]byte
	spaces        map[string]*space
	ordered, view usage // of all spaces
	claimed       usage // the same
	marks         map[string]Mark
	due           dueHeap

	origin  string
	next    uint64 // number of this node's next write
	pending []*Op  // its writes that aren't ordered yet, in their order
	outbox  int64  // their size
}

func newMachine(origin string) *machine {
	return &machine{spaces: map[string]*space{}, marks: map[string]Mark{}, origin: origin, next: 1}
}

func (m *machine) space(name string) *space {
	s := m.spaces[name]
	if s == nil {
		s = newSpace(name)
		m.spaces[name] = s
	}
	return s
}

// find returns what the node sees under a key at a time, or nil.
func (m *machine) find(namespace, key string, now int64) *Record {
	if s := m.spaces[namespace]; s != nil {
		if e := s.keys[key]; e != nil && e.view.live(now) {
			return e.view
		}
	}
	return nil
}

var errNoCounter = errors.New("the value isn't a number that can be added to")

// counted returns a counter's number; nothing counts as 0.
func counted(r *Record, at int64) (int64, error) {
	if !r.live(at) {
		return 0, nil
	}
	n, err := strconv.ParseInt(string(r.Value), 10, 64)
	if err != nil {
		return 0, errNoCounter
	}
	return n, nil
}

// apply returns what a write makes of a record. It is the same on every node that has the same: so an add to what is no counter does nothing, and sums wrap around.
func apply(r *Record, o *Op, at int64) *Record {
	switch o.Kind {
	case OpPut:
		return &Record{o.Value, o.Expires}
	case OpDelete:
		return nil
	}
	n, err := counted(r, at)
	if err != nil {
		return r
	}
	expires := o.Expires
	if r.live(at) {
		expires = r.Expires
	}
	return &Record{strconv.AppendInt(nil, n+o.Delta, 10), expires}
}

// push takes a write of this node, and numbers it.
func (m *machine) push(o *Op) *Record {
	o.N = m.next
	m.next++
	m.lay(o)
	return m.spaces[o.Namespace].keys[o.Key].view
}

// lay puts a write that isn't ordered yet over what there is.
func (m *machine) lay(o *Op) {
	m.pending = append(m.pending, o)
	m.outbox += o.size()
	e := m.space(o.Namespace).entry(o.Key, &m.salt)
	e.pending = append(e.pending, o)
	m.claim(e, e.claimed.plus(o.claims().beyond(e.claimed)))
	m.show(e, apply(e.view, o, o.At))
}

// claim notes what a key may have at most by the writes that aren't ordered.
func (m *machine) claim(e *entry, u usage) {
	for _, all := range []*usage{&m.claimed, &e.space.claimed} {
		all.keys += u.keys - e.claimed.keys
		all.bytes += u.bytes - e.claimed.bytes
	}
	e.claimed = u
}

// show makes a record what the node sees.
func (m *machine) show(e *entry, r *Record) {
	for _, u := range []*usage{&m.view, &e.space.view} {
		u.add(e.key, e.view, -1)
		u.add(e.key, r, 1)
	}
	e.view = r
}

// set makes a record what is ordered.
func (m *machine) set(e *entry, r *Record) {
	if e.due >= 0 {
		heap.Remove(&m.due, e.due)
	}
	for _, u := range []*usage{&m.ordered, &e.space.ordered} {
		u.add(e.key, e.ordered, -1)
		u.add(e.key, r, 1)
	}
	e.ordered = r
	if r != nil && r.Expires > 0 {
		heap.Push(&m.due, e)
	}
}

// settle lays what isn't ordered over what is, and forgets a key of which there is nothing.
func (m *machine) settle(e *entry) {
	r := e.ordered
	for _, o := range e.pending {
		r = apply(r, o, o.At)
	}
	m.show(e, r)
	if e.ordered == nil && len(e.pending) == 0 && !e.gone {
		e.space.remove(e)
		if len(e.space.keys) == 0 {
			delete(m.spaces, e.space.name)
		}
	}
}

// salted takes the salt of the network's pages, which the first one brings.
func (m *machine) salted(salt [8]byte) {
	if m.salt == salt {
		return
	}
	m.salt = salt
	for _, s := range m.spaces {
		for _, e := range s.keys {
			e.shard = shardOf(&salt, s.name, e.key)
		}
	}
}

// take takes the next page. It returns false, and does nothing, if that isn't the next one.
func (m *machine) take(p *Page) bool {
	if p.Seq != m.seq+1 {
		return false
	}
	m.salted(p.Salt)
	touched := map[*entry]bool{}
	for i := range p.Sets {
		e := m.space(p.Sets[i].Namespace).entry(p.Sets[i].Key, &m.salt)
		m.set(e, p.Sets[i].Record)
		touched[e] = true
	}
	for _, mark := range p.Marks {
		m.marks[mark.Origin] = mark
	}
	m.seq, m.at = p.Seq, p.At
	maps.DeleteFunc(m.marks, func(_ string, mark Mark) bool { return m.at-mark.Seen > originFor.Milliseconds() })
	for _, e := range m.forget() {
		touched[e] = true
	}
	for e := range touched {
		m.settle(e)
	}
	return true
}

// forget drops the writes that are ordered from the outbox, and returns their keys.
func (m *machine) forget() (touched []*entry) {
	last, n := m.marks[m.origin].Last, 0
	for n < len(m.pending) && m.pending[n].N <= last {
		o := m.pending[n]
		e := m.spaces[o.Namespace].keys[o.Key]
		if e.pending = e.pending[1:]; len(e.pending) == 0 { // its first is that one
			m.claim(e, usage{})
		}
		touched = append(touched, e)
		m.outbox -= o.size()
		n++
	}
	if n > 0 {
		m.pending = slices.Clone(m.pending[n:])
	}
	m.next = max(m.next, last+1)
	return touched
}

// batch returns the writes after a number, as many as may go at once; nil: there are none.
func (m *machine) batch(after uint64) *Batch {
	i, _ := slices.BinarySearchFunc(m.pending, after+1, func(o *Op, n uint64) int {
		switch {
		case o.N < n:
			return -1
		case o.N > n:
			return 1
		}
		return 0
	})
	b, size := &Batch{Origin: m.origin}, int64(originMax)
	for _, o := range m.pending[i:] {
		if size += o.size(); size > BatchMax && len(b.Ops) > 0 {
			break
		}
		b.Ops = append(b.Ops, o)
	}
	if len(b.Ops) == 0 {
		return nil
	}
	return b
}

// adopt goes on with another state by control's order; what isn't ordered there is laid over it. In another epoch control may have forgotten writes of
// this node between those that it knows and those that are left, so these are another origin's there.
func (m *machine) adopt(state *machine, origin string) {
	last := state.marks[m.origin].Last
	m.pending = slices.DeleteFunc(m.pending, func(o *Op) bool { return o.N <= last })
	m.next = max(m.next, last+1)
	if m.epoch != state.epoch {
		m.rename(origin)
	}
	state.origin, state.next = m.origin, m.next
	for _, o := range m.pending {
		state.lay(o)
	}
	*m = *state
}

// rename numbers what isn't ordered anew, as the writes of another origin.
func (m *machine) rename(origin string) {
	m.origin, m.next = origin, 1
	for _, o := range m.pending {
		o.N = m.next
		m.next++
	}
}

// Why a batch isn't ordered.
var (
	ErrGap     = errors.New("writes before it are missing: send all that aren't ordered yet")
	errOrigins = errors.New("too many stores have sent writes in the last 90 days: wait, or restore fewer machines from copies")
)

// sweepMax bounds how many expired keys one page removes.
const sweepMax = 1000

type id struct{ namespace, key string }

// order makes the page that comes next of batches, and says of each what is wrong with it; what has been ordered before is left out. The machine doesn't change
// until it takes the page. Writes that would go over what a node may have in memory are dropped and counted. Edges refuse them before they are acknowledged (Store.fits), so that it takes edges
// that were cut off while others filled the memory. Quotas of namespaces aren't looked at here.
func (m *machine) order(batches []*Batch, now int64, l *Limits) (p *Page, wrong []error, dropped int) {
	p = &Page{Salt: m.salt, Seq: m.seq + 1, At: max(now, m.at)}
	w := workbench{m: m, p: p, l: l, records: map[id]*Record{}, all: m.ordered}
	m.due.until(p.At, sweepMax, func(e *entry) { w.put(id{e.space.name, e.key}, e.ordered, nil) })
	marks := map[string]Mark{}
	for _, b := range batches {
		mark, known := marks[b.Origin]
		if !known {
			mark, known = m.marks[b.Origin]
		}
		var err error
		switch {
		case !known && len(m.marks)+len(marks) >= originsMax:
			err = errOrigins
		case b.Ops[0].N > mark.Last+1:
			err = ErrGap
		}
		wrong = append(wrong, err)
		for _, o := range b.Ops {
			if err == nil && o.N > mark.Last {
				mark = Mark{b.Origin, o.N, p.At}
				marks[b.Origin] = mark
				if !w.do(o) {
					dropped++
				}
			}
		}
	}
	for _, k := range w.touched {
		p.Sets = append(p.Sets, Set{k.namespace, k.key, w.records[k]})
	}
	p.Marks = slices.Collect(maps.Values(marks))
	return p, wrong, dropped
}

// workbench is a page that is being made.
type workbench struct {
	m       *machine
	p       *Page
	l       *Limits
	records map[id]*Record
	touched []id
	all     usage
}

func (w *workbench) put(k id, before, r *Record) {
	if _, ok := w.records[k]; !ok {
		w.touched = append(w.touched, k)
	}
	w.records[k] = r
	w.all.add(k.key, before, -1)
	w.all.add(k.key, r, 1)
}

func (w *workbench) do(o *Op) bool {
	k := id{o.Namespace, o.Key}
	before, ok := w.records[k]
	if s := w.m.spaces[o.Namespace]; !ok && s != nil {
		if e := s.keys[o.Key]; e != nil {
			before = e.ordered
		}
	}
	after := apply(before, o, w.p.At)
	all := w.all
	all.add(k.key, before, -1)
	all.add(k.key, after, 1)
	if all.memory() > max(w.l.Node, w.all.memory()) {
		return false
	}
	w.put(k, before, after)
	return true
}

// shard is a page with all that is ordered of a part of the keys; that of Shards has the marks.
func (m *machine) shard(i int) *Page {
	p := &Page{Salt: m.salt, Seq: m.seq, At: m.at}
	if i == Shards {
		p.Marks = slices.Collect(maps.Values(m.marks))
		return p
	}
	for _, s := range m.spaces {
		for _, e := range s.keys {
			if e.shard == i && e.ordered != nil {
				p.Sets = append(p.Sets, Set{s.name, e.key, e.ordered})
			}
		}
	}
	return p
}

// isDue says whether something has expired that is still there.
func (m *machine) isDue(now time.Time) bool {
	return len(m.due) > 0 && !m.due[0].ordered.live(now.UnixMilli())
}

// build makes the state of an epoch of shards and the pages after them, in their order. A part of which there is no shard begins with nothing.
func build(epoch uint64, shards [Shards + 1]*Page, pages []*Page) *machine {
	m := newMachine("")
	m.epoch = epoch
	for _, p := range append(slices.Clone(shards[:]), pages...) {
		if p != nil {
			m.salted(p.Salt)
		}
	}
	seqs := [Shards + 1]uint64{}
	load := func(p *Page, of func(shard int) bool) {
		for i := range p.Sets {
			e := m.space(p.Sets[i].Namespace).entry(p.Sets[i].Key, &m.salt)
			if of(e.shard) {
				m.set(e, p.Sets[i].Record)
			}
			m.settle(e)
		}
		if of(Shards) {
			for _, mark := range p.Marks {
				m.marks[mark.Origin] = mark
			}
		}
		m.seq, m.at = max(m.seq, p.Seq), max(m.at, p.At)
	}
	for i, p := range shards {
		if p != nil {
			seqs[i] = p.Seq
			load(p, func(shard int) bool { return shard == i })
		}
	}
	for _, p := range pages {
		load(p, func(shard int) bool { return p.Seq > seqs[shard] })
	}
	maps.DeleteFunc(m.marks, func(_ string, mark Mark) bool { return m.at-mark.Seen > originFor.Milliseconds() })
	return m
}
