package purges

import (
	"cmp"
	"slices"
	"time"

	"github.com/wherry/wherry/cache/store"
)

// moment is when something was purged.
type moment struct {
	tick uint64 // in this process; 0: before it began
	seq  uint64 // in the feed
}

func (m moment) compare(other moment) int {
	return cmp.Or(cmp.Compare(m.tick, other.tick), cmp.Compare(m.seq, other.seq))
}

func (m moment) later(other moment) moment {
	if m.compare(other) < 0 {
		return other
	}
	return m
}

// covers says whether what was asked for at g, by this process if own, was asked for before m. All that a former process has stored
// was asked for before anything is purged in this one.
func (m moment) covers(g *store.Generation, own bool) bool {
	if own {
		return g.Tick < m.tick
	}
	return m.tick > 0 || g.Seq < m.seq
}

// mark is when one thing was purged last.
type mark struct {
	hard, soft moment
	length     int       // of a prefix, -1 of other things
	softAt     time.Time // when it was purged softly
}

// marks are a bounded number of them.
type marks struct {
	most  int
	all   map[uint64]*mark
	floor moment // what was forgotten isn't later
}

func newMarks(most int) marks { return marks{most: most, all: map[uint64]*mark{}} }

func (s *marks) put(hash uint64, length int, soft bool, m moment, now time.Time) {
	of := s.all[hash]
	if of == nil {
		of = &mark{length: length}
		s.all[hash] = of
	}
	if soft {
		of.soft, of.softAt = of.soft.later(m), now
	} else {
		of.hard = of.hard.later(m)
	}
}

// makeRoom forgets the older half if all places are taken, and says which is the latest of it.
func (s *marks) makeRoom() (forgotten moment, full bool) {
	if len(s.all) < s.most {
		return moment{}, false
	}
	times := make([]moment, 0, len(s.all))
	for _, m := range s.all {
		times = append(times, m.hard.later(m.soft))
	}
	slices.SortFunc(times, moment.compare)
	forgotten = times[len(times)/2]
	for hash, m := range s.all {
		if m.hard.later(m.soft).compare(forgotten) <= 0 {
			delete(s.all, hash)
		}
	}
	return forgotten, true
}

// lengths returns how long the prefixes are, ascending.
func (s *marks) lengths() (lengths []int) {
	for _, m := range s.all {
		if m.length >= 0 {
			lengths = append(lengths, m.length)
		}
	}
	slices.Sort(lengths)
	return slices.Compact(lengths)
}
