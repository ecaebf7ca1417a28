package store

import "sync/atomic"

// memoryTable finds entries by key. Any number of goroutines look up without taking a lock or writing anything; one at a time changes
// it. It is an open hash table with linear probing in which a slot is used once: an entry that goes leaves a mark, and when
// entries and marks have filled most of the slots, the entries move to new ones. Who looks up meanwhile goes on in the old slots,
// which don't change any more.
type memoryTable struct {
	slots atomic.Pointer[memorySlots]
	count int // entries; belongs to whom may change the table, like used
	used  int // slots with an entry or a mark
}

type memorySlots struct {
	all  []memorySlot // a power of two
	gone *memoryEntry // the mark
}

type memorySlot struct {
	entry atomic.Pointer[memoryEntry] // nil if the slot was never used
	hash  uint64                      // written before entry, and then never again
}

const memorySlotsMin = 16

// find returns the entry under key, whose hash is given, or nil.
func (t *memoryTable) find(hash uint64, key Key) *memoryEntry {
	slots := t.slots.Load()
	if slots == nil {
		return nil
	}
	mask := uint64(len(slots.all) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := &slots.all[i]
		e := slot.entry.Load()
		if e == nil {
			return nil
		}
		if slot.hash == hash && e != slots.gone && e.key == key {
			return e
		}
	}
}

// put adds e, whose key isn't there.
func (t *memoryTable) put(e *memoryEntry) {
	slots := t.slots.Load()
	if slots == nil || (t.used+1)*4 > len(slots.all)*3 { // so that there is always a nil to stop at
		slots = t.renew()
	}
	slots.put(e)
	t.count++
	t.used++
}

func (s *memorySlots) put(e *memoryEntry) {
	mask := uint64(len(s.all) - 1)
	i := e.hash & mask
	for s.all[i].entry.Load() != nil {
		i = (i + 1) & mask
	}
	s.all[i].hash = e.hash
	s.all[i].entry.Store(e)
}

// renew moves the entries to new slots, of which they fill half at most.
func (t *memoryTable) renew() *memorySlots {
	n := memorySlotsMin
	for n < 2*(t.count+1) {
		n *= 2
	}
	slots := &memorySlots{all: make([]memorySlot, n), gone: &memoryEntry{}}
	for e := range t.entries {
		slots.put(e)
	}
	t.slots.Store(slots)
	t.used = t.count
	return slots
}

// remove takes out e, which is there.
func (t *memoryTable) remove(e *memoryEntry) {
	slots := t.slots.Load()
	mask := uint64(len(slots.all) - 1)
	i := e.hash & mask
	for slots.all[i].entry.Load() != e {
		i = (i + 1) & mask
	}
	slots.all[i].entry.Store(slots.gone)
	t.count--
}

// entries calls yield for each entry. It takes no lock: what others put in or take out meanwhile may or may not be among them.
func (t *memoryTable) entries(yield func(*memoryEntry) bool) {
	slots := t.slots.Load()
	if slots == nil {
		return
	}
	for i := range slots.all {
		if e := slots.all[i].entry.Load(); e != nil && e != slots.gone && !yield(e) {
			return
		}
	}
}
