package disk

import (
	"slices"
	"sync"
	"sync/atomic"
)

const (
	shardCount = 64
	// variantsMax is how many variants of a key a volume keeps; one more drops the oldest.
	variantsMax = 64
)

// Flags of an entry. They are set with atomics under the shard's read lock.
const (
	flagHot      = 1 << iota // read since it was written
	flagVerified             // all blocks of the body were read and found right
)

// place is where the records of a blob lie.
type place struct {
	bodySeg, headSeg   uint32 // numbers of segments
	bodyOff, headOff   uint32 // begin of the record
	bodyMeta, headMeta uint32 // length of the record up to the body
	bodyLen            uint32
}

// recordLen is the length of the record with the body.
func (p *place) recordLen() int64 { return int64(p.bodyMeta) + align(int64(p.bodyLen), 8) }

// entry is one blob: 80 bytes in a slab without pointers, and a share of the map.
type entry struct {
	key, variant uint64 // hashes
	seq          uint64 // of the newest record
	born         uint64 // of the body
	place
	next  int32 // of the same key, or of the free ones; -1 ends the chain
	flags uint32
	vol   uint32
}

// same says whether e is still the blob that other was, perhaps elsewhere or with a newer head.
func (e *entry) same(other *entry) bool {
	return e.key == other.key && e.variant == other.variant && e.born == other.born && e.vol == other.vol
}

// index knows all blobs by the hash of their key. What is lost with the process is read from the segments again, but for flags and
// blocks.
type index struct {
	shards [shardCount]shard
	blobs  []atomic.Int64 // by volume
}

type shard struct {
	mu      sync.RWMutex
	first   map[uint64]int32 // by hash of the key: the first of its chain
	entries []entry
	free    int32
	blocks  map[int32]*blocks // of bodies of several blocks of which some were verified
}

func newIndex(volumes int) *index {
	x := &index{blobs: make([]atomic.Int64, volumes)}
	for i := range x.shards {
		x.shards[i].first, x.shards[i].blocks, x.shards[i].free = map[uint64]int32{}, map[int32]*blocks{}, -1
	}
	return x
}

func (x *index) shard(key uint64) *shard { return &x.shards[key%shardCount] }

// find returns the slot of key and variant, or -1.
func (h *shard) find(key, variant uint64) int32 {
	at, ok := h.first[key]
	if !ok {
		return -1
	}
	for at >= 0 && h.entries[at].variant != variant {
		at = h.entries[at].next
	}
	return at
}

func (x *index) has(key uint64) bool {
	h := x.shard(key)
	h.mu.RLock()
	defer h.mu.RUnlock()
	_, ok := h.first[key]
	return ok
}

// get appends all entries of key to into, the newest first, and marks them as hot.
func (x *index) get(key uint64, into []entry) []entry {
	h := x.shard(key)
	h.mu.RLock()
	defer h.mu.RUnlock()
	at, ok := h.first[key]
	if !ok {
		return into
	}
	for ; at >= 0; at = h.entries[at].next {
		e := &h.entries[at]
		if atomic.LoadUint32(&e.flags)&flagHot == 0 {
			atomic.OrUint32(&e.flags, flagHot)
		}
		into = append(into, entry{
			key: e.key, variant: e.variant, seq: e.seq, born: e.born, place: e.place, vol: e.vol,
			flags: atomic.LoadUint32(&e.flags),
		})
	}
	slices.SortFunc(into, func(a, b entry) int { return int(int64(b.seq - a.seq)) })
	return into
}

// current returns the entry of key and variant.
func (x *index) current(key, variant uint64) (entry, bool) {
	h := x.shard(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	if at := h.find(key, variant); at >= 0 {
		return h.entries[at], true
	}
	return entry{}, false
}

// install adds e in place of an older one, unless there is a newer one. It returns what it pushed out: the older one, or the oldest
// of too many variants, or e itself.
func (x *index) install(e entry) (out entry, pushed bool) {
	h := x.shard(e.key)
	h.mu.Lock()
	defer h.mu.Unlock()
	if at := h.find(e.key, e.variant); at >= 0 {
		old := h.entries[at]
		if old.seq > e.seq {
			return e, true
		}
		x.unlink(h, at)
		out, pushed = old, true
	}
	if !pushed {
		out, pushed = x.crowded(h, e.key, e.vol)
	}
	x.link(h, e)
	return out, pushed
}

// crowded drops the oldest variant if key has as many on the volume as it may.
func (x *index) crowded(h *shard, key uint64, vol uint32) (entry, bool) {
	at, ok := h.first[key]
	if !ok {
		return entry{}, false
	}
	oldest, n := int32(-1), 0
	for ; at >= 0; at = h.entries[at].next {
		if h.entries[at].vol != vol {
			continue
		}
		n++
		if oldest < 0 || h.entries[at].seq < h.entries[oldest].seq {
			oldest = at
		}
	}
	if n < variantsMax {
		return entry{}, false
	}
	out := h.entries[oldest]
	x.unlink(h, oldest)
	return out, true
}

func (x *index) link(h *shard, e entry) {
	at := h.free
	if at >= 0 {
		h.free = h.entries[at].next
	} else {
		at = int32(len(h.entries))
		h.entries = append(h.entries, entry{})
	}
	e.next = -1
	if first, ok := h.first[e.key]; ok {
		e.next = first
	}
	h.entries[at] = e
	h.first[e.key] = at
	x.blobs[e.vol].Add(1)
}

func (x *index) unlink(h *shard, at int32) {
	e := h.entries[at]
	if h.first[e.key] == at {
		if e.next >= 0 {
			h.first[e.key] = e.next
		} else {
			delete(h.first, e.key)
		}
	} else {
		before := h.first[e.key]
		for h.entries[before].next != at {
			before = h.entries[before].next
		}
		h.entries[before].next = e.next
	}
	delete(h.blocks, at)
	// A free slot belongs to no segment: 0 is no segment's number.
	h.entries[at] = entry{next: h.free}
	h.free = at
	x.blobs[e.vol].Add(-1)
}

// update lets change the entry that is still the blob e; false if there is none.
func (x *index) update(e *entry, change func(*entry)) bool {
	h := x.shard(e.key)
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.find(e.key, e.variant)
	if at < 0 || !h.entries[at].same(e) {
		return false
	}
	moved := h.entries[at].bodySeg
	change(&h.entries[at])
	if h.entries[at].bodySeg != moved {
		// The copy has to prove itself anew.
		delete(h.blocks, at)
	}
	return true
}

// drop removes the entry if it is still the blob e at the place of e.
func (x *index) drop(e *entry) bool {
	h := x.shard(e.key)
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.find(e.key, e.variant)
	if at < 0 || !h.entries[at].same(e) || h.entries[at].place != e.place {
		return false
	}
	x.unlink(h, at)
	return true
}

// kill removes the entries of k on a volume, and returns how many.
func (x *index) kill(k kill, vol uint32) int {
	h := x.shard(k.key)
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	at, ok := h.first[k.key]
	for ok && at >= 0 {
		next := h.entries[at].next
		if e := &h.entries[at]; e.vol == vol && (k.variant == 0 || k.variant == e.variant) {
			x.unlink(h, at)
			n++
		}
		at = next
	}
	return n
}

// holds says whether a volume holds something of key.
func (x *index) holds(key uint64, vol uint32) bool {
	h := x.shard(key)
	h.mu.RLock()
	defer h.mu.RUnlock()
	at, ok := h.first[key]
	for ok && at >= 0 {
		if h.entries[at].vol == vol {
			return true
		}
		at = h.entries[at].next
	}
	return false
}

// inSegment returns all entries with a record in a segment, in the order of their bodies. It looks at every entry (10 ms for a
// million), which happens once in the life of a segment and needs no list for each.
func (x *index) inSegment(vol, seg uint32) []entry {
	var found []entry
	for i := range x.shards {
		h := &x.shards[i]
		h.mu.RLock()
		for j := range h.entries {
			if e := &h.entries[j]; e.vol == vol && seg != 0 && (e.bodySeg == seg || e.headSeg == seg) {
				f := entry{key: e.key, variant: e.variant, seq: e.seq, born: e.born, place: e.place, vol: e.vol}
				f.flags = atomic.LoadUint32(&e.flags)
				found = append(found, f)
			}
		}
		h.mu.RUnlock()
	}
	slices.SortFunc(found, func(a, b entry) int { return int(int64(a.bodyOff) - int64(b.bodyOff)) })
	return found
}

// dropOlder removes the entries of a volume with a record older than seq, and returns how many.
func (x *index) dropOlder(vol uint32, seq uint64) int {
	n := 0
	for i := range x.shards {
		h := &x.shards[i]
		h.mu.Lock()
		for j := range h.entries {
			if e := &h.entries[j]; e.bodySeg != 0 && e.vol == vol && e.seq < seq {
				x.unlink(h, int32(j))
				n++
			}
		}
		h.mu.Unlock()
	}
	return n
}

// blocksFor returns what is known of the blocks of e.
func (x *index) blocksFor(e *entry) *blocks {
	n := blocksOf(int64(e.bodyLen))
	if n <= 1 || e.flags&flagVerified != 0 {
		return newBlocks(n, e.flags&flagVerified != 0)
	}
	h := x.shard(e.key)
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.find(e.key, e.variant)
	if at < 0 || !h.entries[at].same(e) || h.entries[at].bodySeg != e.bodySeg {
		return newBlocks(n, false)
	}
	b := h.blocks[at]
	if b == nil {
		b = newBlocks(n, h.entries[at].flags&flagVerified != 0)
		h.blocks[at] = b
	}
	return b
}

// verified notes that all blocks of e were found right.
func (x *index) verified(e *entry) {
	h := x.shard(e.key)
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.find(e.key, e.variant)
	if at >= 0 && h.entries[at].same(e) && h.entries[at].bodySeg == e.bodySeg {
		h.entries[at].flags |= flagVerified
		delete(h.blocks, at)
	}
}

// blocks says which blocks of a body were verified.
type blocks struct {
	bits []atomic.Uint64
	left atomic.Int64 // blocks that weren't
}

func newBlocks(n int64, all bool) *blocks {
	b := &blocks{}
	if !all && n > 0 {
		b.bits = make([]atomic.Uint64, (n+63)/64)
		b.left.Store(n)
	}
	return b
}

func (b *blocks) has(i int64) bool {
	return b.left.Load() == 0 || b.bits[i/64].Load()&(1<<(i%64)) != 0
}

// set marks block i, and returns true if it was the last that was missing.
func (b *blocks) set(i int64) bool {
	bit := uint64(1) << (i % 64)
	if b.left.Load() == 0 || b.bits[i/64].Or(bit)&bit != 0 {
		return false
	}
	return b.left.Add(-1) == 0
}
