package exchange

import (
	"hash/maphash"
	"math/bits"
	"time"
)

// SlotsMax is how many lines the dictionary of one direction of a session keeps.
const SlotsMax = 128

const (
	keptBytesMax = 1 << 10 // of name and value of a line that is kept
	keptBytesMin = 6       // what is shorter gains next to nothing
	batchesMax   = 64
	lostAfter    = time.Minute // a section that isn't confirmed by then was of an exchange that was broken off
)

// slotSet is a set of slots.
type slotSet [SlotsMax / 64]uint64

func (s *slotSet) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s *slotSet) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }
func (s *slotSet) empty() bool    { return *s == slotSet{} }

func (s *slotSet) merge(o slotSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

// each calls f for each slot.
func (s *slotSet) each(f func(i int)) {
	for w, word := range s {
		for ; word != 0; word &= word - 1 {
			f(w*64 + bits.TrailingZeros64(word))
		}
	}
}

// kept is a slot as its writer sees it.
type kept struct {
	field
	number    uint64 // 0: nothing is kept here
	confirmed bool   // the peer has it
	used      bool   // since the hand passed
}

// batch is the sections that were written with one base and aren't all confirmed.
type batch struct {
	base   uint64
	open   int // not confirmed
	refs   slotSet
	defs   slotSet   // of a batch of one section; they aren't filled anew as long as it is here
	closed time.Time // when the base moved on; zero for the newest
}

// dictionary decides what the peer keeps and what may be referred to. It is pure; the zero value is ready.
type dictionary struct {
	count   uint64 // lines that were kept, and sections that kept some
	slots   [SlotsMax]kept
	fields  map[field]int
	names   map[string]int // a slot with that name
	hand    int            // of the clock that finds what to replace
	batches []batch        // oldest first
	seed    maphash.Seed
	seen    [1024]uint32 // hashes of fields and names that came once, by their lowest bits
}

// find returns the slot of a field that the peer has.
func (d *dictionary) find(f field) (slot int, ok bool) {
	slot, ok = d.fields[f]
	return slot, ok && d.slots[slot].confirmed
}

// findName returns a slot with that name that the peer has.
func (d *dictionary) findName(name string) (slot int, ok bool) {
	slot, ok = d.names[name]
	return slot, ok && d.slots[slot].confirmed
}

// worth says whether f should be kept: it has come before, or its name has and there is no other place for it.
func (d *dictionary) worth(f field) bool {
	if n := len(f.name) + len(f.value); n > keptBytesMax || n < keptBytesMin {
		return false
	}
	if _, ok := d.fields[f]; ok {
		return false // it is on its way
	}
	if d.fields == nil {
		d.fields, d.names, d.seed = map[field]int{}, map[string]int{}, maphash.MakeSeed()
	}
	h := maphash.String(d.seed, f.name)
	again := d.again(h ^ bits.RotateLeft64(maphash.String(d.seed, f.value), 1))
	if _, ok := staticNames[f.name]; ok {
		return again
	}
	if _, ok := d.names[f.name]; ok {
		return again
	}
	return d.again(h) || again
}

// again notes h and says whether it came before.
func (d *dictionary) again(h uint64) bool {
	place, mark := &d.seen[h%uint64(len(d.seen))], uint32(h>>32)|1
	before := *place == mark
	*place = mark
	return before
}

// open prepares for a section. What has waited for its confirmation for too long is let go.
func (d *dictionary) open(now time.Time) {
	for len(d.batches) > 0 {
		b := &d.batches[0]
		if b.closed.IsZero() || now.Sub(b.closed) < lostAfter {
			return
		}
		b.defs.each(func(i int) {
			if !d.slots[i].confirmed {
				d.empty(i)
			}
		})
		d.batches = append(d.batches[:0], d.batches[1:]...)
	}
}

// room returns a slot that may be filled anew by a section that refers to those of refs and has filled those of defs.
func (d *dictionary) room(refs, defs slotSet) (slot int, ok bool) {
	if len(d.batches) > batchesMax-2 { // one for this section, one for those behind it
		return 0, false
	}
	held := refs
	held.merge(defs)
	for i := range d.batches {
		held.merge(d.batches[i].refs)
		held.merge(d.batches[i].defs)
	}
	for range 2 * SlotsMax {
		i := d.hand
		d.hand = (d.hand + 1) % SlotsMax
		switch s := &d.slots[i]; {
		case held.has(i):
		case s.used:
			s.used = false
		default:
			return i, true
		}
	}
	return 0, false
}

func (d *dictionary) empty(i int) {
	s := &d.slots[i]
	if s.number == 0 {
		return
	}
	delete(d.fields, s.field)
	if d.names[s.name] == i {
		delete(d.names, s.name)
	}
	*s = kept{}
}

// keep fills a slot with f. The number comes with close.
func (d *dictionary) keep(i int, f field) {
	d.empty(i)
	d.slots[i] = kept{field: f, number: 1<<64 - 1}
	d.fields[f] = i
	if _, ok := d.names[f.name]; !ok {
		d.names[f.name] = i
	}
}

// close counts a section that refers to refs and has filled order, and returns its base.
func (d *dictionary) close(now time.Time, refs slotSet, order []int) (base uint64) {
	if refs.empty() && len(order) == 0 {
		return 0
	}
	last := len(d.batches) - 1
	if len(order) == 0 {
		if last < 0 || d.batches[last].base != d.count {
			d.batches = append(d.batches, batch{base: d.count})
			last++
		}
		b := &d.batches[last]
		b.open++
		b.refs.merge(refs)
		return d.count
	}
	if last >= 0 && d.batches[last].closed.IsZero() {
		if d.batches[last].closed = now; d.batches[last].open == 0 {
			d.batches = d.batches[:last]
		}
	}
	d.count++
	b := batch{base: d.count, open: 1, refs: refs, closed: now}
	for _, i := range order {
		d.count++
		d.slots[i].number = d.count
		b.defs.add(i)
	}
	d.batches = append(d.batches, b)
	return b.base
}

// confirm takes note that the peer has read n sections with that base.
func (d *dictionary) confirm(base, n uint64) {
	for i := range d.batches {
		b := &d.batches[i]
		if b.base != base {
			continue
		}
		b.defs.each(func(slot int) { d.slots[slot].confirmed = true })
		b.defs = slotSet{}
		b.open -= int(min(n, uint64(b.open)))
		switch {
		case b.open > 0:
		case b.closed.IsZero():
			b.refs = slotSet{}
		default:
			d.batches = append(d.batches[:i], d.batches[i+1:]...)
		}
		return
	}
}
