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

// Peek implements Store.
func (m *Memory) Peek(key Key) []*Response {
	s := m.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e := s.entries[key]; e != nil {
		return e.responses
	}
	return nil
}

// Swap puts r in the place of old and says true: the same response, but kept otherwise. If old isn't there any more it does nothing and
// says false. The body of old is discarded if r has another one, which must have the same content; the store charges nothing for a body
// that isn't its own. r may be nil; then old is dropped.
func (m *Memory) Swap(old, r *Response) (ok bool) {
	s := m.shard(old.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	m.sweep(s, s.entries[old.Key], func(other *Response) *Response {
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
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		for key, e := range s.entries {
			if match(key) {
				m.sweep(s, e, keep)
			}
		}
		s.mu.Unlock()
	}
}

// sweep is Sweep for the responses of e, which is in s and may be nil. s is locked.
func (m *Memory) sweep(s *memoryShard, e *memoryEntry, keep func(*Response) *Response) {
	if e == nil {
		return
	}
	kept := make([]*Response, 0, len(e.responses))
	for _, old := range e.responses {
		r := keep(old)
		if r == nil {
			m.release(old)
			continue
		}
		if kept = append(kept, r); r == old {
			continue
		}
		m.bytes.Add(headerBytes(r) - headerBytes(old))
		if b, ok := r.Body.(*memoryBody); ok {
			b.filled()
		}
		if old.Body != nil && old.Body != r.Body {
			old.Body.Discard()
		}
		if i := slices.Index(e.unasked, old); i >= 0 {
			e.unasked[i] = r
		}
	}
	if e.responses = kept; len(kept) == 0 {
		m.drop(s, e)
	}
}
