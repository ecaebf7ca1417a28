package cache

import (
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// Memory is the Store in this process's memory: sharded, and bounded in bytes.
//
// Each shard evicts by SIEVE: a queue in order of insertion and a hand that goes from the oldest to the newest; it drops what
// hasn't been looked up since it last came by. A look-up only sets a flag, so that hits share a read lock.
//
// The bytes of a response are charged from the first appended byte, stored or not yet, until it leaves the store. A reader
// that is still sending a response which was dropped meanwhile holds its memory beyond the limit; connections bound that.
type Memory struct {
	seed   maphash.Seed
	shards [memoryShards]memoryShard

	bytesMax  int64
	objectMax int64
	bytes     atomic.Int64 // charged in all
	filling   atomic.Int64 // of them, for bodies that aren't stored yet
	responses atomic.Int64
	evictions atomic.Int64
	hand      atomic.Uint64 // from which shard on the fullest is looked for next
}

var _ Store = (*Memory)(nil)

const (
	memoryShards   = 64
	shardsCompared = 8
	bodyGrainMin   = 4 << 10
	bodyGrainMax   = 1 << 20
	// variantsMax bounds the responses under one key: Vary on an unbounded field must not fill a shard with one URL.
	variantsMax = 64
	// entryOverhead is what a response costs beside its header's and body's bytes: maps, slices, pointers; measured.
	entryOverhead = 1024
)

type memoryShard struct {
	size atomic.Int64 // how many entries; changes under mu

	mu      sync.RWMutex // protects what follows; lost with the process
	entries map[Key]*memoryEntry
	newest  *memoryEntry
	oldest  *memoryEntry
	hand    *memoryEntry // nil means the oldest
}

// memoryEntry is all responses under one key; they are evicted together.
type memoryEntry struct {
	key          Key
	responses    []*Response // newest first; replaced, never changed
	newer, older *memoryEntry
	visited      atomic.Bool
}

// NewMemory returns a store of at most bytesMax bytes, with bodies of at most objectMax bytes each.
func NewMemory(bytesMax, objectMax int64) (*Memory, error) {
	if bytesMax <= 0 || objectMax <= 0 || objectMax > bytesMax {
		return nil, fmt.Errorf("memory store of %d bytes with responses up to %d bytes: both must be positive, the second not larger than the first",
			bytesMax, objectMax)
	}
	m := &Memory{seed: maphash.MakeSeed(), bytesMax: bytesMax, objectMax: objectMax}
	for i := range m.shards {
		m.shards[i].entries = map[Key]*memoryEntry{}
	}
	return m, nil
}

func (m *Memory) shard(key Key) *memoryShard {
	return &m.shards[maphash.String(m.seed, string(key))%memoryShards]
}

// Lookup implements Store.
func (m *Memory) Lookup(key Key) []*Response {
	s := m.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.entries[key]
	if e == nil {
		return nil
	}
	if !e.visited.Load() {
		e.visited.Store(true)
	}
	return e.responses
}

// fillingMax is how much bodies may have that aren't stored yet: what comes without a length may turn out too large, and should
// not have emptied the store by then.
func (m *Memory) fillingMax() int64 { return max(m.objectMax, m.bytesMax/2) }

// Insert implements Store.
func (m *Memory) Insert(r *Response) {
	if b, ok := r.Body.(*memoryBody); ok {
		b.filled()
	}
	m.responses.Add(1)
	m.charge(headerBytes(r))
	s := m.shard(r.Key)
	s.mu.Lock()
	e := s.entries[r.Key]
	if e == nil {
		e = &memoryEntry{key: r.Key}
		s.entries[r.Key] = e
		s.push(e)
	}
	kept := make([]*Response, 1, len(e.responses)+1)
	kept[0] = r
	for _, old := range e.responses {
		same := slices.Equal(old.varies.names, r.varies.names) && slices.Equal(old.varies.values, r.varies.values)
		if same && old.fresh.at.After(r.fresh.at) {
			s.mu.Unlock()
			m.release(r)
			return
		}
		if same || len(kept) == variantsMax {
			m.release(old)
			continue
		}
		kept = append(kept, old)
	}
	e.responses = kept
	s.mu.Unlock()
	m.makeRoom()
}

// Replace implements Store.
func (m *Memory) Replace(old, r *Response) {
	if m.replace(old, r) {
		m.makeRoom()
	}
}

func (m *Memory) replace(old, r *Response) bool {
	s := m.shard(r.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[r.Key]
	if e == nil {
		return false
	}
	i := slices.Index(e.responses, old)
	if i < 0 {
		return false
	}
	m.bytes.Add(headerBytes(r) - headerBytes(old))
	e.responses = append([]*Response{r}, slices.Delete(slices.Clone(e.responses), i, i+1)...)
	return true
}

// Remove implements Store.
func (m *Memory) Remove(key Key) int {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.drop(s, s.entries[key])
}

// RemoveFunc implements Store.
func (m *Memory) RemoveFunc(match func(Key) bool) int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		for key, e := range s.entries {
			if match(key) {
				n += m.drop(s, e)
			}
		}
		s.mu.Unlock()
	}
	return n
}

// Usage implements Store.
func (m *Memory) Usage() Usage {
	return Usage{
		Responses: m.responses.Load(), Bytes: m.bytes.Load(), BytesMax: m.bytesMax,
		Evictions: m.evictions.Load(), ResponseBytes: m.objectMax,
	}
}

// NewBody implements Store.
func (m *Memory) NewBody(size int64) Body {
	return &memoryBody{store: m, size: size}
}

// charge takes n bytes and makes room for them.
func (m *Memory) charge(n int64) {
	m.bytes.Add(n)
	m.makeRoom()
}

// makeRoom evicts until the store is within its limit, or nothing is left to evict.
func (m *Memory) makeRoom() {
	for idle := 0; m.bytes.Load() > m.bytesMax && idle < memoryShards; {
		s := m.fullest()
		s.mu.Lock()
		if e := s.victim(); e != nil {
			m.evictions.Add(int64(m.drop(s, e)))
			idle = 0
		} else {
			idle++
		}
		s.mu.Unlock()
	}
}

// fullest returns the shard with the most entries among some neighbours, others each time. Going round by turns instead would let
// the shards drift apart: the small ones would lose what is looked up while the large ones keep what isn't.
func (m *Memory) fullest() *memoryShard {
	start := m.hand.Add(1)
	best := &m.shards[start%memoryShards]
	for i := uint64(1); i < shardsCompared; i++ {
		if s := &m.shards[(start+i)%memoryShards]; s.size.Load() > best.size.Load() {
			best = s
		}
	}
	return best
}

// drop takes e out of s, which is locked, and returns how many responses it held. e may be nil.
func (m *Memory) drop(s *memoryShard, e *memoryEntry) int {
	if e == nil {
		return 0
	}
	s.unlink(e)
	delete(s.entries, e.key)
	for _, r := range e.responses {
		m.release(r)
	}
	return len(e.responses)
}

// release gives back what a stored response was charged.
func (m *Memory) release(r *Response) {
	m.responses.Add(-1)
	m.bytes.Add(-headerBytes(r))
	if r.Body != nil {
		r.Body.Discard()
	}
}

// headerBytes is what a response costs without its body.
func headerBytes(r *Response) int64 {
	n := int64(entryOverhead) + int64(len(r.Key)) + fieldBytes(r.Header) + fieldBytes(r.Trailer) + 2*int64(len(r.block.fields)) // and as much for HTTP/2
	for i := range r.varies.names {
		n += int64(len(r.varies.names[i]) + len(r.varies.values[i]) + len(r.varies.sent[i]))
	}
	return n
}

func fieldBytes(h http.Header) (n int64) {
	for name, lines := range h {
		n += int64(len(name))
		for _, line := range lines {
			n += int64(len(line))
		}
	}
	return n
}

// push puts e at the newest end.
func (s *memoryShard) push(e *memoryEntry) {
	if e.older = s.newest; e.older != nil {
		e.older.newer = e
	} else {
		s.oldest = e
	}
	s.newest = e
	s.size.Add(1)
}

func (s *memoryShard) unlink(e *memoryEntry) {
	if s.hand == e {
		s.hand = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		s.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		s.oldest = e.newer
	}
	e.newer, e.older = nil, nil
	s.size.Add(-1)
}

// victim moves the hand to the next entry that hasn't been looked up since it last came by. It returns nil if s is empty.
func (s *memoryShard) victim() *memoryEntry {
	for {
		e := s.hand
		if e == nil {
			e = s.oldest
		}
		if e == nil {
			return nil
		}
		s.hand = e.newer
		if !e.visited.Swap(false) {
			return e
		}
	}
}

// memoryBody is a list of pieces. Bytes that have been appended never move or change, so readers share them without copying.
type memoryBody struct {
	store *Memory
	size  int64 // expected, or -1

	mu        sync.Mutex // protects what follows
	pieces    [][]byte   // each with its full length; only length says how much of the last one is content
	starts    []int64    // the offset of each piece
	room      int64      // the pieces together
	length    int64
	stored    bool
	discarded bool
}

// Append implements Body.
func (b *memoryBody) Append(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(p) > 0 {
		if b.length == b.room {
			if err := b.grow(int64(len(p))); err != nil {
				return n, err
			}
		}
		last := len(b.pieces) - 1
		m := copy(b.pieces[last][b.length-b.starts[last]:], p)
		b.length += int64(m)
		n, p = n+m, p[m:]
	}
	return n, nil
}

// grow adds a piece for n more bytes, or some of them, and charges the store for it.
func (b *memoryBody) grow(n int64) error {
	grain := max(bodyGrainMin, n, b.room) // a size that wasn't announced is found by doubling
	if b.size > b.room {
		grain = b.size - b.room
	}
	grain = min(grain, bodyGrainMax, b.store.objectMax-b.room)
	if grain <= 0 {
		return ErrTooLarge
	}
	if !b.discarded {
		if b.store.filling.Add(grain) > b.store.fillingMax() {
			b.store.filling.Add(-grain)
			return ErrFull
		}
		b.store.charge(grain)
		if b.store.bytes.Load() > b.store.bytesMax {
			b.store.bytes.Add(-grain)
			b.store.filling.Add(-grain)
			return ErrFull
		}
	}
	b.starts = append(b.starts, b.room)
	b.pieces = append(b.pieces, make([]byte, grain))
	b.room += grain
	return nil
}

// WriteRange implements Body.
func (b *memoryBody) WriteRange(w io.Writer, off, n int64) (written int64, err error) {
	b.mu.Lock()
	pieces, starts := b.pieces, b.starts
	b.mu.Unlock()
	i, found := slices.BinarySearch(starts, off)
	if !found {
		i--
	}
	for ; n > 0; i++ {
		piece := pieces[i][off-starts[i]:]
		piece = piece[:min(int64(len(piece)), n)]
		m, err := w.Write(piece)
		written, off, n = written+int64(m), off+int64(m), n-int64(m)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// appendPieces implements sharedBody.
func (b *memoryBody) appendPieces(dst [][]byte) [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, piece := range b.pieces {
		if n := min(int64(len(piece)), b.length-b.starts[i]); n > 0 {
			dst = append(dst, piece[:n])
		}
	}
	return dst
}

// Len implements Body.
func (b *memoryBody) Len() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.length
}

// Discard implements Body.
func (b *memoryBody) Discard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.discarded {
		b.discarded = true
		b.store.bytes.Add(-b.room)
		if !b.stored {
			b.store.filling.Add(-b.room)
		}
	}
}

// filled is called when the body is about to be stored.
func (b *memoryBody) filled() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.stored && !b.discarded {
		b.stored = true
		b.store.filling.Add(-b.room)
	}
}
