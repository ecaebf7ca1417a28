package tier

import (
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/disk"
)

// load is one read of all that is on disk under a key, for all who look it up meanwhile.
type load struct {
	done  chan struct{} // closed when found is there
	found []*store.Response
	// void: the key has changed since the read began, so that what it returns may be old or removed. The stripe's lock protects it.
	void bool
}

// load reads what is on disk under key, puts it into memory and returns it.
func (s *Store) load(key store.Key) []*store.Response {
	key = store.Key(strings.Clone(string(key)))
	st := s.stripe(key)
	st.mu.Lock()
	if st.hidden[key] > 0 {
		st.mu.Unlock()
		return nil
	}
	if l := st.loads[key]; l != nil {
		st.mu.Unlock()
		<-l.done
		return l.found
	}
	if s.memory.Peek(key) != nil { // somebody has just loaded or inserted it
		st.mu.Unlock()
		return s.memory.Lookup(key)
	}
	if s.loading.Add(1) > loadsMax {
		s.loading.Add(-1)
		st.mu.Unlock()
		s.metrics.loads.WithLabelValues("busy").Inc()
		return nil
	}
	l := &load{done: make(chan struct{})}
	st.loads[key] = l
	st.mu.Unlock()
	defer s.loading.Add(-1)
	s.finish(st, key, l, s.read(key))
	return l.found
}

// finish ends l, which has found responses.
func (s *Store) finish(st *stripe, key store.Key, l *load, found []*store.Response) {
	defer close(l.done)
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.loads, key)
	if l.void {
		for _, r := range found {
			r.Body.Discard()
		}
		l.found = s.memory.Peek(key)
		s.metrics.loads.WithLabelValues("overtaken").Inc()
		return
	}
	for _, r := range slices.Backward(found) {
		s.memory.Insert(r)
	}
	l.found = found
}

// read returns what is on disk under key, the latest received first.
func (s *Store) read(key store.Key) []*store.Response {
	blobs, err := s.disk.Get(string(key))
	var found []*store.Response
	for _, b := range blobs {
		r, readErr := s.response(key, b)
		if readErr != nil {
			err = readErr
			continue
		}
		found = append(found, r)
	}
	slices.SortStableFunc(found, func(a, b *store.Response) int { return b.Received().Compare(a.Received()) })
	switch {
	case len(found) > 0:
		s.metrics.loads.WithLabelValues("found").Inc()
		return found
	case err != nil:
		s.metrics.loads.WithLabelValues("failed").Inc()
	default:
		s.metrics.loads.WithLabelValues("nothing").Inc()
	}
	return nil
}

// response makes a response of b, with a small body in memory.
func (s *Store) response(key store.Key, b *disk.Blob) (*store.Response, error) {
	r, err := store.ParseResponse(key, b.Head, s.now())
	if err != nil {
		// Another version wrote it; it would be read in vain each time.
		st := s.stripe(key)
		st.mu.Lock()
		defer st.mu.Unlock()
		s.removeLater(st, key)
		return nil, err
	}
	r.Copy = b.Ticket()
	file := newFileBody(s, key, b)
	if b.Size() > smallMax {
		// A disk that doesn't return the first byte makes a miss; later it would break off a transfer.
		_, err := b.WriteRange(io.Discard, 0, 1)
		return r.With(file), err
	}
	body := s.memory.NewBody(b.Size())
	if _, err := b.WriteRange(appender{body}, 0, b.Size()); err != nil {
		body.Discard()
		if errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrTooLarge) {
			return r.With(file), nil
		}
		return nil, err
	}
	return r.With(body), nil
}

// appender writes at the end of a body.
type appender struct{ body store.Body }

func (a appender) Write(p []byte) (int, error) { return a.body.Append(p) }

// overtake is called when key changes: a load under way has read what was before. st is locked.
func (st *stripe) overtake(key store.Key) {
	if l := st.loads[key]; l != nil {
		l.void = true
	}
}

func (st *stripe) hide(key store.Key) { st.hidden[key]++ }

func (st *stripe) unhide(key store.Key) {
	if st.hidden[key]--; st.hidden[key] <= 0 {
		delete(st.hidden, key)
	}
}
