package store

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

// unasked remembers that nobody has asked for r yet. It is called under mu, when r is about to be in e.
func (m *Memory) unasked(e *memoryEntry, r *Response, all []*Response) {
	if m.events.Second == nil {
		return
	}
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

// Peek returns what Lookup does, but doesn't count as a use of it.
func (m *Memory) Peek(key Key) []*Response {
	if e := m.find(key); e != nil {
		return e.variants.Load().all
	}
	return nil
}

// Swap puts r in the place of old and says true: the same response, but kept otherwise. If old isn't there any more it does nothing and
// says false. The body of old is discarded if r has another one, which must have the same content; the store charges nothing for a body
// that isn't its own. r may be nil; then old is dropped.
func (m *Memory) Swap(old, r *Response) (ok bool) {
	m.sweep(old.Key, func(other *Response) *Response {
		if other == old {
			ok = true
			return r
		}
		return other
	})
	return ok
}

// Sweep calls keep for each response whose key matches, and puts what that returns in its place, as Swap does. keep must not call the
// store.
func (m *Memory) Sweep(match func(Key) bool, keep func(*Response) *Response) {
	for i := range m.tables {
		for e := range m.tables[i].entries {
			if match(e.key) {
				m.sweep(e.key, keep)
			}
		}
	}
}

// sweep is Sweep for one key.
func (m *Memory) sweep(key Key, keep func(*Response) *Response) {
	dropped, discarded := m.swap(key, keep)
	for _, r := range dropped {
		m.release(r)
	}
	for _, body := range discarded {
		body.Discard()
	}
	m.makeRoom() // a header may have grown
}

// swap changes what is under key, and returns which responses are gone, and which bodies of others.
func (m *Memory) swap(key Key, keep func(*Response) *Response) (dropped []*Response, discarded []Body) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.find(key)
	if e == nil {
		return nil, nil
	}
	before := e.variants.Load()
	v := newVariants(len(before.all))
	changed := false
	for i, old := range before.all {
		r, mark := keep(old), before.marks[i]
		if changed = changed || r != old; r == nil {
			dropped = append(dropped, old)
			continue
		}
		if r != old {
			mark.cost += m.recharge(old, r)
			if old.Body != nil && old.Body != r.Body {
				discarded = append(discarded, old.Body)
			}
			if j := slices.Index(e.unasked, old); j >= 0 {
				e.unasked[j] = r
			}
		}
		v.add(r, mark)
	}
	if !changed {
		return nil, nil
	}
	if len(v.all) == 0 {
		m.takeOut(e)
		return dropped, discarded
	}
	e.variants.Store(v)
	m.queues.move(e, v.bytes())
	return dropped, discarded
}

// recharge charges what r's header takes more than old's, and returns by how much r with its body is charged more.
func (m *Memory) recharge(old, r *Response) int64 {
	grown := headerBytes(r) - headerBytes(old)
	m.bytes.Add(grown)
	if old.Body == r.Body {
		return grown
	}
	if b, ok := old.Body.(*memoryBody); ok {
		grown -= b.filled()
	}
	if b, ok := r.Body.(*memoryBody); ok {
		grown += b.filled()
	}
	return grown
}
