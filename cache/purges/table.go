package purges

import (
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/cache/store"
)

const (
	// rememberedMax is how many purges are remembered at least, if each is of a URL.
	rememberedMax = 16384
	// marksMax bounds what is remembered. A purge of one URL takes up to four marks: two rules may give it two keys, each with what
	// No-Vary-Search has put elsewhere.
	marksMax = 4 * rememberedMax
	// groupsMax bounds what is remembered of invalidations that clients and origins bring about.
	groupsMax = 16384
)

// Table remembers what was purged.
type Table struct {
	boot uint64
	seed maphash.Seed
	tick atomic.Uint64 // counts what was purged here, from 1: the tick of the latest

	mu       sync.RWMutex // protects what follows; lost with the process
	seq      uint64       // of the latest purge of the feed
	restored bool         // what the feed remembers is here
	marks    marks
	groups   marks
	lengths  []int         // of the prefixes in marks, ascending
	newest   [kinds]uint64 // tick of the latest purge of each kind
	floorAt  time.Time     // when the floor of marks rose
}

// kind is what a mark is about.
type kind uint8

const (
	ofKey kind = iota
	ofPrefix
	ofPath
	ofRule // what No-Vary-Search has put under other keys of a path
	ofTag
	ofSite
	ofAll
	ofGroup // by the origin; of groups
	ofBase  // as ofRule, by a client's unsafe request; of groups
	kinds
)

// New returns a table that remembers nothing.
func New() *Table {
	t := &Table{boot: rand.Uint64() | 1, seed: maphash.MakeSeed()}
	t.marks, t.groups = newMarks(marksMax), newMarks(groupsMax)
	t.tick.Store(1)
	return t
}

// Now is the generation of what is asked for from now on.
func (t *Table) Now() store.Generation {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return store.Generation{Seq: t.seq, Boot: t.boot, Tick: t.tick.Load()}
}

// Add makes p hold, at the time now.
func (t *Table) Add(p *Purge, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seq = max(t.seq, p.Seq)
	t.put(p, moment{seq: p.Seq, tick: t.tick.Load() + 1}, now)
	t.tick.Add(1) // last: who sees it finds the marks
}

// Restore makes the purges hold that the feed remembers; of those up to floor it has forgotten which they were, so that all that was
// asked for before counts as softly purged. reached is how far in the feed the node is. They are about what a process before this one
// has stored. Call it before anything is served.
func (t *Table) Restore(remembered []Purge, floor, reached uint64, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.restored, t.seq = true, max(t.seq, reached)
	if floor > 0 {
		t.rise(moment{seq: floor}, now)
	}
	for i := range remembered {
		t.put(&remembered[i], moment{seq: remembered[i].Seq}, now)
	}
	t.tick.Add(1)
}

// put notes what p is of. mu is held.
func (t *Table) put(p *Purge, m moment, now time.Time) {
	switch p.Scope {
	case Keys, Prefix, Path:
		for _, key := range p.Keys {
			site, target := key.Split()
			k := [...]kind{Keys: ofKey, Prefix: ofPrefix, Path: ofPath}[p.Scope]
			t.mark(k, site, target, p.Soft, m, now)
			if k == ofKey {
				t.mark(ofRule, site, baseOf(target), p.Soft, m, now)
			}
		}
	case Tag:
		t.mark(ofTag, p.Site, p.Tag, p.Soft, m, now)
	case Site:
		t.mark(ofSite, p.Site, "", p.Soft, m, now)
	case All:
		t.mark(ofAll, "", "", p.Soft, m, now)
	}
}

func (t *Table) mark(k kind, site, name string, soft bool, m moment, now time.Time) {
	if forgotten, full := t.marks.makeRoom(); full {
		t.rise(forgotten, now)
	}
	length := -1
	if k == ofPrefix {
		length = len(name)
		if i, there := slices.BinarySearch(t.lengths, length); !there {
			t.lengths = slices.Insert(t.lengths, i, length)
		}
	}
	t.marks.put(t.hash(k, site, name), length, soft, m, now)
	t.newest[k] = t.tick.Load() + 1
}

// rise makes all that is older than m count as softly purged. mu is held.
func (t *Table) rise(m moment, now time.Time) {
	t.marks.floor = t.marks.floor.later(m)
	t.floorAt = now
	t.lengths = t.marks.lengths()
}

// InvalidateGroups makes what has one of the groups need validation; origins are parts of keys before the path.
func (t *Table) InvalidateGroups(origins, names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, origin := range origins {
		for _, name := range names {
			t.invalidate(ofGroup, origin, name)
		}
	}
	t.tick.Add(1)
}

// InvalidateBase makes what No-Vary-Search has put under keys with this base need validation.
func (t *Table) InvalidateBase(base string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.invalidate(ofBase, base, "")
	t.tick.Add(1)
}

func (t *Table) invalidate(k kind, a, b string) {
	if forgotten, full := t.groups.makeRoom(); full {
		t.groups.floor = t.groups.floor.later(forgotten)
	}
	t.groups.put(t.hash(k, a, b), -1, false, moment{tick: t.tick.Load() + 1}, time.Time{})
	t.newest[k] = t.tick.Load() + 1
}

// hash names a mark. Two that share one are purged together, which does no harm.
func (t *Table) hash(k kind, a, b string) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	_ = h.WriteByte(byte(k))
	_, _ = h.WriteString(a)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(b)
	return h.Sum64()
}
