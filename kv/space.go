package kv

import (
	"container/heap"
	"slices"
	"strings"
)

// usage is how much there is.
type usage struct {
	keys  int
	bytes int64 // of keys and values
}

// plus is both together.
func (u usage) plus(more usage) usage { return usage{u.keys + more.keys, u.bytes + more.bytes} }

// beyond is what of an extent isn't in another one, which is of the same key.
func (u usage) beyond(other usage) usage {
	return usage{max(0, u.keys-other.keys), max(0, u.bytes-other.bytes)}
}

func (u *usage) add(key string, r *Record, sign int) {
	if r != nil {
		u.keys += sign
		u.bytes += int64(sign) * int64(len(key)+len(r.Value))
	}
}

// memory is what it takes, about.
func (u usage) memory() int64 { return u.bytes + int64(u.keys)*entryBytes }

// space is a namespace.
type space struct {
	name          string
	keys          map[string]*entry
	ordered, view usage
	claimed       usage // of its entries

	// list has the keys in their order, but for those in fresh, and with some that are gone; see sorted.
	list, fresh []*entry
	gone        int
}

// entry is a key.
type entry struct {
	space   *space
	key     string
	shard   int
	ordered *Record // by control's order; nil: nothing
	view    *Record // with this node's writes that aren't ordered yet
	pending []*Op   // those
	claimed usage   // what the key may have at most by them, whatever other nodes do meanwhile
	due     int     // place of ordered in the heap of what expires; -1: it doesn't
	gone    bool
}

func newSpace(name string) *space { return &space{name: name, keys: map[string]*entry{}} }

func (s *space) entry(key string, salt *[8]byte) *entry {
	e := s.keys[key]
	if e == nil {
		e = &entry{space: s, key: key, shard: shardOf(salt, s.name, key), due: -1}
		s.keys[key] = e
		s.fresh = append(s.fresh, e)
	}
	return e
}

func (s *space) remove(e *entry) {
	delete(s.keys, e.key)
	e.gone = true
	if s.gone++; s.gone > len(s.keys)+1024 { // nobody has asked for the list for a long time
		s.sorted()
	}
}

// sorted returns all entries in the order of their keys.
func (s *space) sorted() []*entry {
	if s.gone == 0 && len(s.fresh) == 0 {
		return s.list
	}
	s.list = slices.DeleteFunc(append(s.list, s.fresh...), func(e *entry) bool { return e.gone })
	slices.SortFunc(s.list, func(a, b *entry) int { return strings.Compare(a.key, b.key) })
	s.fresh, s.gone = nil, 0
	return s.list
}

// dueHeap has the entries whose ordered records expire, the first one at 0.
type dueHeap []*entry

var _ heap.Interface = (*dueHeap)(nil)

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].ordered.Expires < h[j].ordered.Expires }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].due, h[j].due = i, j
}

func (h *dueHeap) Push(e any) {
	entry := e.(*entry)
	entry.due = len(*h)
	*h = append(*h, entry)
}

func (h *dueHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h, last.due = old[:len(old)-1], -1
	return last
}

// until calls f with entries that have expired at a time, at most limit of them.
func (h dueHeap) until(at int64, limit int, f func(*entry)) {
	for stack := []int{0}; len(stack) > 0 && limit > 0; {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if i >= len(h) || h[i].ordered.live(at) {
			continue
		}
		f(h[i])
		limit--
		stack = append(stack, 2*i+1, 2*i+2)
	}
}
