package disk

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	shardCount  = 64
	slabEntries = 256 // so many are allocated at once
	// variantsMax is how many variants of a key a volume keeps; one more drops the oldest.
	variantsMax = 64
)

// Flags of an entry. They are set with atomics under the shard's read lock.
const (
	flagHot      = 1 << iota // read since it was written
	flagVerified             // all blocks of the body were read and found right

	volShift = 8
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

// entry is one blob: 64 bytes without pointers, and a share of the table.
type entry struct {
	key     uint64 // hash
	seq     uint64 // of the newest record
	born    uint64 // of the body
	variant uint32 // hash
	next    int32  // of the same key, or of the free ones; -1 ends the chain
	bits    uint32 // flags, and above them the volume, which stays
	place
}

func (e *entry) vol() uint32 { return atomic.LoadUint32(&e.bits) >> volShift }

func (e *entry) is(flag uint32) bool { return atomic.LoadUint32(&e.bits)&flag != 0 }

// clone copies an entry whose flags may be set meanwhile.
func (e *entry) clone() entry {
	return entry{
		key: e.key, seq: e.seq, born: e.born, variant: e.variant, next: -1, bits: atomic.LoadUint32(&e.bits), place: e.place,
	}
}

// same says whether e is still the blob that other was, perhaps elsewhere or with a newer head.
func (e *entry) same(other *entry) bool {
	return e.key == other.key && e.variant == other.variant && e.born == other.born && e.vol() == other.vol()
}

// index knows all blobs by the hash of their key. What is lost with the process is read from the segments again, but for flags and
// blocks.
type index struct {
	shards [shardCount]shard
	blobs  []atomic.Int64 // by volume
}

type shard struct {
	mu     sync.RWMutex
	first  table // the first of the chain of a key
	slabs  []*[slabEntries]entry
	used   int32 // entries of the slabs that were ever used
	free   int32
	blocks map[int32]*blocks // of bodies of several blocks of which some were verified
}

func (h *shard) at(i int32) *entry { return &h.slabs[i/slabEntries][i%slabEntries] }

func (h *shard) keyAt(i int32) uint64 { return h.at(i).key }

func newIndex(volumes int) *index {
	x := &index{blobs: make([]atomic.Int64, volumes)}
	for i := range x.shards {
		h := &x.shards[i]
		h.first.seed, h.blocks, h.free = rand.Uint64(), map[int32]*blocks{}, -1
	}
	return x
}

func (x *index) shard(key uint64) *shard { return &x.shards[key%shardCount] }

// find returns the slot of key and variant, or -1.
func (h *shard) find(key uint64, variant uint32) int32 {
	at, ok := h.first.get(key, h.keyAt)
	if !ok {
		return -1
	}
	for at >= 0 && h.at(at).variant != variant {
		at = h.at(at).next
	}
	return at
}

func (x *index) has(key uint64) bool {
	h := x.shard(key)
	h.mu.RLock()
	defer h.mu.RUnlock()
	_, ok := h.first.get(key, h.keyAt)
	return ok
}

// get appends all entries of key to into, the newest first, and marks them as hot.
func (x *index) get(key uint64, into []entry) []entry {
	h := x.shard(key)
	h.mu.RLock()
	defer h.mu.RUnlock()
	at, ok := h.first.get(key, h.keyAt)
	if !ok {
		return into
	}
	for ; at >= 0; at = h.at(at).next {
		e := h.at(at)
		if !e.is(flagHot) {
			atomic.OrUint32(&e.bits, flagHot)
		}
		into = append(into, e.clone())
	}
	slices.SortFunc(into, func(a, b entry) int { return int(int64(b.seq - a.seq)) })
	return into
}

// touch marks all entries of key as hot.
func (x *index) touch(key uint64) {
	h := x.shard(key)
	h.mu.RLock()
	defer h.mu.RUnlock()
	at, ok := h.first.get(key, h.keyAt)
	for ; ok && at >= 0; at = h.at(at).next {
		if e := h.at(at); !e.is(flagHot) {
			atomic.OrUint32(&e.bits, flagHot)
		}
	}
}

// current returns the entry of key and variant.
func (x *index) current(key uint64, variant uint32) (entry, bool) {
	h := x.shard(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	if at := h.find(key, variant); at >= 0 {
		return h.at(at).clone(), true
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
		old := *h.at(at)
		if old.seq > e.seq {
			return e, true
		}
		x.unlink(h, at)
		out, pushed = old, true
	}
	if !pushed {
		out, pushed = x.crowded(h, e.key, e.vol())
	}
	x.link(h, e)
	return out, pushed
}

// crowded drops the oldest variant if key has as many on the volume as it may.
func (x *index) crowded(h *shard, key uint64, vol uint32) (entry, bool) {
	at, ok := h.first.get(key, h.keyAt)
	if !ok {
		return entry{}, false
	}
	oldest, n := int32(-1), 0
	for ; at >= 0; at = h.at(at).next {
		if h.at(at).vol() != vol {
			continue
		}
		n++
		if oldest < 0 || h.at(at).seq < h.at(oldest).seq {
			oldest = at
		}
	}
	if n < variantsMax {
		return entry{}, false
	}
	out := *h.at(oldest)
	x.unlink(h, oldest)
	return out, true
}

func (x *index) link(h *shard, e entry) {
	at := h.free
	if at >= 0 {
		h.free = h.at(at).next
	} else {
		if at = h.used; int(at)%slabEntries == 0 {
			h.slabs = append(h.slabs, new([slabEntries]entry))
		}
		h.used++
	}
	e.next = -1
	if first, ok := h.first.get(e.key, h.keyAt); ok {
		e.next = first
	}
	*h.at(at) = e
	h.first.set(e.key, at, h.keyAt)
	x.blobs[e.vol()].Add(1)
}

func (x *index) unlink(h *shard, at int32) {
	e := *h.at(at)
	before, _ := h.first.get(e.key, h.keyAt)
	switch {
	case before == at && e.next >= 0:
		h.first.set(e.key, e.next, h.keyAt)
	case before == at:
		h.first.delete(e.key, h.keyAt)
	default:
		for h.at(before).next != at {
			before = h.at(before).next
		}
		h.at(before).next = e.next
	}
	delete(h.blocks, at)
	// A free slot belongs to no segment: 0 is no segment's number.
	*h.at(at) = entry{next: h.free}
	h.free = at
	x.blobs[e.vol()].Add(-1)
}

// update lets change the entry that is still the blob e; false if there is none.
func (x *index) update(e *entry, change func(*entry)) bool {
	h := x.shard(e.key)
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.find(e.key, e.variant)
	if at < 0 || !h.at(at).same(e) {
		return false
	}
	moved := h.at(at).bodySeg
	change(h.at(at))
	if h.at(at).bodySeg != moved {
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
	if at < 0 || !h.at(at).same(e) || h.at(at).place != e.place {
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
	at, ok := h.first.get(k.key, h.keyAt)
	for ok && at >= 0 {
		next := h.at(at).next
		if e := h.at(at); e.vol() == vol && (k.variant == 0 || k.variant == e.variant) {
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
	at, ok := h.first.get(key, h.keyAt)
	for ok && at >= 0 {
		if h.at(at).vol() == vol {
			return true
		}
		at = h.at(at).next
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
		for j := range h.used {
			if e := h.at(j); e.vol() == vol && seg != 0 && (e.bodySeg == seg || e.headSeg == seg) {
				found = append(found, e.clone())
			}
		}
		h.mu.RUnlock()
	}
	slices.SortFunc(found, func(a, b entry) int { return int(int64(a.bodyOff) - int64(b.bodyOff)) })
	return found
}

// blocksFor returns what is known of the blocks of e.
func (x *index) blocksFor(e *entry) *blocks {
	n := blocksOf(int64(e.bodyLen))
	if n <= 1 || e.is(flagVerified) {
		return newBlocks(n, e.is(flagVerified))
	}
	h := x.shard(e.key)
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.find(e.key, e.variant)
	if at < 0 || !h.at(at).same(e) || h.at(at).bodySeg != e.bodySeg {
		return newBlocks(n, false)
	}
	b := h.blocks[at]
	if b == nil {
		b = newBlocks(n, h.at(at).is(flagVerified))
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
	if at >= 0 && h.at(at).same(e) && h.at(at).bodySeg == e.bodySeg {
		h.at(at).bits |= flagVerified
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
