package store

import (
	"fmt"
	"hash/maphash"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// Memory is the Store in this process's memory, bounded in bytes.
//
// A look-up takes no lock and writes nothing but, the first times, that it was there. Everything else takes one mutex for a moment: it
// belongs to a request that has been to the origin. So there is one queue for all, and what is dropped is the best choice
// in the whole store (see memoryQueues).
//
// The bytes of a response are charged from the first appended byte, stored or not yet, until it leaves the store. A reader
// that is still sending a response which was dropped meanwhile holds its memory beyond the limit; connections bound that.
type Memory struct {
	seed      maphash.Seed
	tables    [memoryTables]memoryTable // read by anyone, changed under mu
	bytesMax  int64
	objectMax int64
	events    MemoryEvents

	_ [128]byte // what follows changes all the time: look-ups don't share its cache lines

	bytes     atomic.Int64 // charged in all
	filling   atomic.Int64 // of them, for bodies that aren't stored yet
	responses atomic.Int64
	evictions atomic.Int64

	mu     sync.Mutex // protects what follows, and writing to tables; lost with the process
	queues memoryQueues
}

var _ Store = (*Memory)(nil)

const (
	// memoryTables bounds how many entries move at once when a table gets new slots.
	memoryTables = 64
	// variantsMax bounds the responses under one key: Vary on an unbounded field must not fill the store with one URL.
	variantsMax = 256
)

// memoryEntry is all responses under one key; they are evicted together.
type memoryEntry struct {
	key      Key
	hash     uint64
	variants atomic.Pointer[memoryVariants] // changes under Memory.mu
	hits     atomic.Uint32                  // look-ups that count for eviction: hitsMax at most
	asked    atomic.Bool                    // unasked is empty

	// Memory.mu protects what follows.
	unasked      []*Response // inserted since the last look-up, if somebody wants to know
	bytes        int64       // of all variants, as far as the store charges them
	newer, older *memoryEntry
	queue        *memoryQueue // nil if it isn't in one
	class        int          // its list there
	stamp        uint64       // when it was put there
}

// memoryVariants is what is stored under a key at a moment; it never changes.
type memoryVariants struct {
	all   []*Response   // newest first
	marks []memoryMark  // beside all
	one   [1]*Response  // room for all, if it is one
	mark  [1]memoryMark // and for its mark
}

// memoryMark is what the store knows of a response without looking at it.
type memoryMark struct {
	cost      int64  // what it is charged, with its body
	secondary uint64 // a hash of the request fields that it is for
}

// newVariants has room for n responses.
func newVariants(n int) *memoryVariants {
	v := &memoryVariants{}
	if v.all, v.marks = v.one[:0], v.mark[:0]; n > 1 {
		v.all, v.marks = make([]*Response, 0, n), make([]memoryMark, 0, n)
	}
	return v
}

func (v *memoryVariants) add(r *Response, mark memoryMark) {
	v.all, v.marks = append(v.all, r), append(v.marks, mark)
}

func (v *memoryVariants) bytes() (n int64) {
	for i := range v.marks {
		n += v.marks[i].cost
	}
	return n
}

// NewMemory returns a store of at most bytesMax bytes, with bodies of at most objectMax bytes each.
func NewMemory(bytesMax, objectMax int64) (*Memory, error) {
	if bytesMax <= 0 || objectMax <= 0 || objectMax > bytesMax {
		return nil, fmt.Errorf("memory store of %d bytes with responses up to %d bytes: both must be positive, the second not larger than the first",
			bytesMax, objectMax)
	}
	m := &Memory{seed: maphash.MakeSeed(), bytesMax: bytesMax, objectMax: objectMax}
	m.queues.smallMax = bytesMax / smallPart
	return m, nil
}

func (m *Memory) hash(key Key) uint64 { return maphash.String(m.seed, string(key)) }

// table returns the table for hash. It goes by the high bits, the slots in it by the low ones.
func (m *Memory) table(hash uint64) *memoryTable { return &m.tables[hash>>32%memoryTables] }

// secondary returns a hash of the request fields that r is for.
func (m *Memory) secondary(r *Response) uint64 {
	var h maphash.Hash
	h.SetSeed(m.seed)
	for i, name := range r.Varies.names {
		maphash.WriteComparable(&h, name)
		maphash.WriteComparable(&h, r.Varies.values[i])
	}
	return h.Sum64()
}

func (m *Memory) find(key Key) *memoryEntry {
	hash := m.hash(key)
	return m.table(hash).find(hash, key)
}

// Lookup implements Store.
func (m *Memory) Lookup(key Key) []*Response {
	e := m.find(key)
	if e == nil {
		return nil
	}
	if hits := e.hits.Load(); hits < hitsMax {
		e.hits.CompareAndSwap(hits, hits+1) // if it fails, somebody else counted
	}
	found := e.variants.Load().all
	if m.events.Second != nil && !e.asked.Load() {
		m.second(e)
	}
	return found
}

// Insert implements Store.
func (m *Memory) Insert(r *Response) {
	header := headerBytes(r)
	cost := header
	if b, ok := r.Body.(*memoryBody); ok {
		cost += b.filled()
	}
	m.responses.Add(1)
	m.charge(header)
	for _, old := range m.insert(r, memoryMark{cost, m.secondary(r)}) {
		m.release(old)
	}
	m.makeRoom()
}

// insert puts r in its place and returns what has to go for it, which may be r itself.
func (m *Memory) insert(r *Response, mark memoryMark) (gone []*Response) {
	hash := m.hash(r.Key)
	t := m.table(hash)
	m.mu.Lock()
	defer m.mu.Unlock()
	e := t.find(hash, r.Key)
	if e == nil {
		v := newVariants(1)
		v.add(r, mark)
		e = &memoryEntry{key: r.Key, hash: hash, bytes: mark.cost}
		e.variants.Store(v)
		m.unasked(e, r, v.all)
		t.put(e)
		m.queues.add(e)
		return nil
	}
	before := e.variants.Load()
	v := newVariants(min(len(before.all)+1, variantsMax))
	v.add(r, mark)
	for i, old := range before.all {
		same := before.marks[i].secondary == mark.secondary &&
			slices.Equal(old.Varies.names, r.Varies.names) && slices.Equal(old.Varies.values, r.Varies.values)
		if same && old.Fresh.at.After(r.Fresh.at) {
			return []*Response{r}
		}
		if same || len(v.all) == variantsMax {
			gone = append(gone, old)
			continue
		}
		v.add(old, before.marks[i])
	}
	m.queues.resize(e, v.bytes())
	e.variants.Store(v)
	m.unasked(e, r, v.all)
	return gone
}

// Replace implements Store.
func (m *Memory) Replace(old, r *Response) {
	if m.replace(old, r) {
		m.makeRoom()
	}
}

func (m *Memory) replace(old, r *Response) bool {
	grown := headerBytes(r) - headerBytes(old)
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.find(old.Key)
	if e == nil {
		return false
	}
	before := e.variants.Load()
	at := slices.Index(before.all, old)
	if at < 0 {
		return false
	}
	v := newVariants(len(before.all))
	v.add(r, memoryMark{before.marks[at].cost + grown, before.marks[at].secondary})
	for i, other := range before.all {
		if i != at {
			v.add(other, before.marks[i])
		}
	}
	m.bytes.Add(grown)
	m.queues.resize(e, v.bytes())
	e.variants.Store(v)
	if i := slices.Index(e.unasked, old); i >= 0 {
		e.unasked[i] = r
	}
	return true
}

// Remove implements Store.
func (m *Memory) Remove(key Key) int {
	m.mu.Lock()
	e := m.find(key)
	if e != nil {
		m.takeOut(e)
	}
	m.mu.Unlock()
	if e == nil {
		return 0
	}
	return len(m.drop(e))
}

// RemoveFunc implements Store. It asks match without holding the lock.
func (m *Memory) RemoveFunc(match func(Key) bool) int {
	n := 0
	for i := range m.tables {
		for e := range m.tables[i].entries {
			if !match(e.key) {
				continue
			}
			m.mu.Lock()
			there := m.find(e.key) == e
			if there {
				m.takeOut(e)
			}
			m.mu.Unlock()
			if there {
				n += len(m.drop(e))
			}
		}
	}
	return n
}

// takeOut takes e, which is there, out of its table and queue. It is called under mu.
func (m *Memory) takeOut(e *memoryEntry) {
	m.table(e.hash).remove(e)
	m.queues.remove(e)
}

// BodyMax implements Store.
func (m *Memory) BodyMax() int64 { return m.objectMax }

// Usage implements Store.
func (m *Memory) Usage() Usage {
	return Usage{
		Responses: m.responses.Load(), Bytes: m.bytes.Load(), BytesMax: m.bytesMax,
		Evictions: m.evictions.Load(),
	}
}

// NewBody implements Store.
func (m *Memory) NewBody(size int64) Body {
	return &memoryBody{store: m, size: size}
}

// fillingMax is how much bodies may have that aren't stored yet: what comes without a length may turn out too large, and should
// not have emptied the store by then.
func (m *Memory) fillingMax() int64 { return max(m.objectMax, m.bytesMax/2) }

// charge takes n bytes and makes room for them. It says no if there is none to be made.
func (m *Memory) charge(n int64) bool {
	m.bytes.Add(n)
	return m.makeRoom()
}

// makeRoom evicts until the store is within its limit. It says no if nothing is left to evict. Others may charge at the same
// time; each makes room for its own.
func (m *Memory) makeRoom() bool {
	for m.bytes.Load() > m.bytesMax {
		m.mu.Lock()
		e := m.queues.evict()
		if e != nil {
			m.table(e.hash).remove(e)
		}
		m.mu.Unlock()
		if e == nil {
			return false
		}
		dropped := m.drop(e)
		m.evictions.Add(int64(len(dropped)))
		if m.events.Evicted != nil {
			for _, r := range dropped {
				m.events.Evicted(r)
			}
		}
	}
	return true
}

// drop gives back what e, which has left the store, was charged, and returns what it held.
func (m *Memory) drop(e *memoryEntry) []*Response {
	all := e.variants.Load().all // nobody changes what isn't in the table
	for _, r := range all {
		m.release(r)
	}
	return all
}

// release gives back what a stored response was charged.
func (m *Memory) release(r *Response) {
	m.responses.Add(-1)
	m.bytes.Add(-headerBytes(r))
	if r.Body != nil {
		r.Body.Discard()
	}
}

const (
	// entryOverhead is what a response costs beside its fields and body: the response, its entry, slots, body and ghost; measured.
	entryOverhead = 768
	// fieldOverhead is what a field costs beside its bytes: its place in the map, its slice, what the allocator rounds up; measured.
	fieldOverhead = 96
	// tagOverhead is what a tag costs beside its bytes, which are the field's.
	tagOverhead = 16
)

// headerBytes is what a response costs without its body.
func headerBytes(r *Response) int64 {
	n := int64(entryOverhead) + int64(len(r.Key)) + fieldBytes(r.Header) + fieldBytes(r.Trailer) + int64(cap(r.Block.Fields)) +
		tagOverhead*int64(len(r.Tags)+len(r.Groups))
	for i := range r.Varies.names {
		n += int64(len(r.Varies.names[i]) + len(r.Varies.values[i]) + len(r.Varies.sent[i]))
	}
	return n
}

func fieldBytes(h http.Header) (n int64) {
	for name, lines := range h {
		n += fieldOverhead + int64(len(name))
		for _, line := range lines {
			n += int64(len(line))
		}
	}
	return n
}
