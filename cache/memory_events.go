package cache

import "slices"

// MemoryEvents is what a Memory tells a tier below it. The functions are called by whoever caused the event, without locks held;
// they must not block. Each may be nil.
type MemoryEvents struct {
	// Second is called for each response when its key is looked up for the first time after it was inserted: it is asked for a second
	// time, which most responses never are. That request may have been for another variant.
	Second func(*Response)
	// Evicted is called for each response that was dropped to make room, but not for those that were removed or replaced. What its
	// body held is given back already; a body in memory can still be read.
	Evicted func(*Response)
}

// Watch sets who is told. It must be called before anything else is.
func (m *Memory) Watch(e MemoryEvents) { m.events = e }

// unasked remembers that nobody has asked for r yet. It is called under mu, after r was put into e.
func (m *Memory) unasked(e *memoryEntry, r *Response) {
	if m.events.Second == nil {
		return
	}
	all := e.variants.Load().all
	e.unasked = append(slices.DeleteFunc(e.unasked, func(old *Response) bool { return !slices.Contains(all, old) }), r)
	e.asked.Store(false)
}

// second tells of what was inserted under e since the last look-up.
func (m *Memory) second(e *memoryEntry) {
	m.mu.Lock()
	all, unasked := e.variants.Load().all, e.unasked
	e.unasked = nil
	e.asked.Store(true)
	m.mu.Unlock()
	for _, r := range unasked {
		if slices.Contains(all, r) {
			m.events.Second(r)
		}
	}
}

// Rebody puts the same response with another body in the place of old, discards old's body and says true; body must have the same
// content. If old isn't there any more it does nothing and says false. The store charges nothing for a body that isn't its own.
func (m *Memory) Rebody(old *Response, body Body) bool {
	r := *old
	r.Body, r.block = body, block{}
	with := r.prepared() // as far as such a body can go out that way
	if !m.rebody(old, with) {
		return false
	}
	if old.Body != nil {
		old.Body.Discard()
	}
	m.makeRoom()
	return true
}

func (m *Memory) rebody(old, r *Response) bool {
	header := headerBytes(r)
	cost, grown := header, header-headerBytes(old)
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
	if b, ok := r.Body.(*memoryBody); ok {
		cost += b.filled()
	}
	v := newVariants(len(before.all))
	for i, other := range before.all {
		if i == at {
			v.add(r, memoryMark{cost, before.marks[at].secondary})
		} else {
			v.add(other, before.marks[i])
		}
	}
	m.bytes.Add(grown)
	e.variants.Store(v)
	queue := e.queue
	m.queues.remove(e)
	m.queues.resize(e, v.bytes())
	m.queues.push(queue, e) // its size is another one, and it was just asked for
	if i := slices.Index(e.unasked, old); i >= 0 {
		e.unasked[i] = r
	}
	return true
}
