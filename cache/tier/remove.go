package tier

import (
	"errors"
	"sync"

	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/disk"
)

// Remove implements store.Store. Nothing of key is used from the disk while it is removed there, and nothing that was read before
// goes into memory afterwards.
func (s *Store) Remove(key store.Key) int {
	st := s.stripe(key)
	st.mu.Lock()
	st.overtake(key)
	var t tally
	t.writes = append(t.writes, st.writes[key]...)
	for _, r := range s.memory.Peek(key) {
		t.add(r)
	}
	s.memory.Remove(key)
	if !s.onDisk(st, key) {
		st.mu.Unlock()
		return t.n
	}
	st.hide(key)
	st.mu.Unlock()
	n, err := s.disk.Remove(string(key))
	if err != nil {
		s.log.Warn("a response was removed, but the disk couldn't note it: it may come back if the process is killed before it can",
			"key", string(key), "error", err)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.unhide(key)
	return t.with(n)
}

// RemoveFunc implements store.Store. What it drops from the disk may be read into memory until then, and what is in memory may be
// written until then; so memory is cleared before and after, and nothing is written meanwhile.
func (s *Store) RemoveFunc(match func(store.Key) bool) int {
	s.purging.Add(1)
	defer s.purging.Add(-1)
	var t tally
	s.overtakeFunc(match, &t) // and wait for those who have seen that nobody purges
	s.memory.Sweep(match, func(r *store.Response) *store.Response {
		t.add(r)
		return nil
	})
	n, err := s.disk.RemoveFunc(func(key string) bool { return match(store.Key(key)) })
	if err != nil {
		s.log.Warn("responses were removed, but a disk couldn't note it: they may come back if the process is killed before it can",
			"error", err)
	}
	n = t.with(n)
	s.overtakeFunc(match, &tally{})
	s.memory.Sweep(match, func(r *store.Response) *store.Response {
		if r.Copy == nil { // what was read from disk is counted
			n++
		}
		return nil
	})
	return n
}

// overtakeFunc is overtake for all keys that match. It notes in t what is being written of them.
func (s *Store) overtakeFunc(match func(store.Key) bool, t *tally) {
	for i := range s.stripes {
		st := &s.stripes[i]
		st.mu.Lock()
		for key, l := range st.loads {
			l.void = l.void || match(key)
		}
		for key, writes := range st.writes {
			if !match(key) {
				continue
			}
			t.writes = append(t.writes, writes...)
		}
		st.mu.Unlock()
	}
}

// tally counts responses in two tiers, each once.
type tally struct {
	n      int                 // in memory
	both   int                 // of them, on disk too
	bodies map[store.Body]bool // of those in memory of which that isn't known yet
	writes []*write            // under way
}

func (t *tally) add(r *store.Response) {
	t.n++
	if r.Copy != nil && r.Copy.Live() {
		t.both++
		return
	}
	if t.bodies == nil {
		t.bodies = map[store.Body]bool{}
	}
	t.bodies[r.Body] = true
}

// with returns how many there were, if the disk has dropped n.
func (t *tally) with(n int) int {
	for _, w := range t.writes {
		if t.bodies[w.body] && (w.stored.Load() || w.replaces.Load()) {
			t.both++
		}
	}
	return t.n + max(0, n-t.both)
}

// removalsMax bounds the keys that wait to be removed from disk. Who finds more removes one himself.
const removalsMax = 4096

// removals are keys to be removed from disk, which are hidden until then.
type removals struct {
	more chan struct{} // holds one token when there may be some

	mu   sync.Mutex // protects what follows; lost with the process
	keys []store.Key
}

func (q *removals) add(key store.Key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.keys = append(q.keys, key)
}

// next takes the key that has waited longest.
func (q *removals) next() (key store.Key, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.keys) == 0 {
		q.keys = nil
		return "", false
	}
	key, q.keys = q.keys[0], q.keys[1:]
	if len(q.keys) > 0 {
		q.poke()
	}
	return key, true
}

func (q *removals) poke() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

func (q *removals) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.keys) > removalsMax
}

// removeLater has all that is on disk under key removed, and hides it until that is done. st is locked.
func (s *Store) removeLater(st *stripe, key store.Key) {
	st.hide(key)
	s.removals.add(key)
	s.removals.poke()
}

// relieve removes a key if too many wait. No lock is held.
func (s *Store) relieve() {
	if s.removals.full() {
		s.removeNext()
	}
}

// removeNext removes a key that waits. It returns false if there was none, or the disk doesn't do it.
func (s *Store) removeNext() bool {
	key, ok := s.removals.next()
	if !ok {
		return false
	}
	_, err := s.disk.Remove(string(key))
	if errors.Is(err, disk.ErrStopped) {
		return false // nothing is read any more, either
	}
	st := s.stripe(key)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.unhide(key) // with another error it is gone from the index nevertheless
	return err == nil
}
