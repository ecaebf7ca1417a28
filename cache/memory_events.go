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

// Rebody puts the same response with another body in the place of old, discards old's body and says true; body must have the same
// content. If old isn't there any more it does nothing and says false. The store charges nothing for a body that isn't its own.
func (m *Memory) Rebody(old *Response, body Body) bool {
	s := m.shard(old.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[old.Key]
	if e == nil {
		return false
	}
	i := slices.Index(e.responses, old)
	if i < 0 {
		return false
	}
	r := *old
	r.Body = body
	if b, ok := body.(*memoryBody); ok {
		b.filled()
	}
	e.responses = slices.Clone(e.responses)
	e.responses[i] = &r
	if old.Body != nil {
		old.Body.Discard()
	}
	return true
}
