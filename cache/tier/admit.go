package tier

import (
	"errors"
	"io"
	"slices"
	"sync/atomic"

	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/disk"
)

// write is a response that waits to be written.
type write struct {
	key    store.Key
	body   store.Body
	queued *store.Response
	latest *store.Response // another than queued if a 304 has renewed it meanwhile
	hides  bool            // something else was on disk under key, which may be the one that this replaces

	replaces atomic.Bool // it is
	stored   atomic.Bool // this one was written
}

// Insert implements store.Store.
func (s *Store) Insert(r *store.Response) {
	st := s.stripe(r.Key)
	st.mu.Lock()
	st.overtake(r.Key)
	if variant := r.Variant(); !s.newerThan(r, variant) {
		replaces := s.copied(r.Key, variant)
		s.memory.Insert(r)
		s.supersede(st, r, s.seen.add(r.Key, variant), replaces)
	} else {
		s.memory.Insert(r) // which drops it
	}
	st.mu.Unlock()
	s.relieve()
}

// newerThan says whether there is something in memory that was received later than r and answers the same requests.
func (s *Store) newerThan(r *store.Response, variant string) bool {
	return slices.ContainsFunc(s.memory.Peek(r.Key), func(other *store.Response) bool {
		return other.Received().After(r.Received()) && other.Variant() == variant
	})
}

// copied says whether what is in memory under key and variant is known to be on disk, too.
func (s *Store) copied(key store.Key, variant string) bool {
	return slices.ContainsFunc(s.memory.Peek(key), func(r *store.Response) bool {
		return r.Copy != nil && r.Variant() == variant && r.Copy.Live()
	})
}

// supersede brings the disk up to r, which has just come; again says whether it was seen before, replaces whether it is
// known to replace something there. Which variants are on disk isn't known
// without reading, so r goes there whenever its key does: what memory drops must not leave an older one. st is locked.
func (s *Store) supersede(st *stripe, r *store.Response, again, replaces bool) {
	onDisk := s.onDisk(st, r.Key)
	switch {
	case !onDisk && !again:
		s.metrics.admissions.WithLabelValues("first").Inc()
	case s.admit(st, r, onDisk, replaces):
	case onDisk:
		s.removeLater(st, r.Key)
	}
}

// onDisk says whether something is on disk under key, or will be. st is locked.
func (s *Store) onDisk(st *stripe, key store.Key) bool {
	return len(st.writes[key]) > 0 || s.disk.Has(string(key))
}

// second is called when a response in memory is asked for.
func (s *Store) second(r *store.Response) {
	if r.Copy != nil && r.Copy.Live() {
		return
	}
	st := s.stripe(r.Key)
	st.mu.Lock()
	defer st.mu.Unlock()
	if _, ok := r.Body.(*fileBody); ok {
		return // the disk has dropped it, and does itself keep what is hot
	}
	queued := slices.ContainsFunc(st.writes[r.Key], func(w *write) bool { return w.body == r.Body })
	if queued || !slices.Contains(s.memory.Peek(r.Key), r) {
		return
	}
	s.seen.add(r.Key, r.Variant())
	s.admit(st, r, s.onDisk(st, r.Key), false)
}

// admit queues r to be written. hides says that something is on disk under its key, replaces that it is what r replaces. st is locked.
func (s *Store) admit(st *stripe, r *store.Response, hides, replaces bool) bool {
	if !r.WorthKeeping(s.now()) {
		s.metrics.admissions.WithLabelValues("useless").Inc()
		return false
	}
	if s.purging.Load() > 0 {
		s.metrics.admissions.WithLabelValues("purging").Inc()
		return false
	}
	draft := disk.Draft{
		Key: string(r.Key), Variant: r.Variant(), Head: r.Append(nil), Body: content{r.Body}, Size: r.Body.Len(),
	}
	w := &write{key: r.Key, body: r.Body, queued: r, latest: r, hides: hides}
	for _, before := range st.writes[r.Key] {
		replaces = replaces || before.replaces.Load() && before.queued.Variant() == draft.Variant
	}
	w.replaces.Store(replaces)
	if !s.disk.Put(draft, func(b *disk.Blob, err error) { s.written(w, b, err) }) {
		s.metrics.admissions.WithLabelValues("refused").Inc()
		return false
	}
	s.metrics.admissions.WithLabelValues("queued").Inc()
	st.writes[r.Key] = append(st.writes[r.Key], w)
	if hides {
		st.hide(r.Key)
	}
	return true
}

// content writes all of a body.
type content struct{ body store.Body }

func (c content) WriteTo(w io.Writer) (int64, error) { return c.body.WriteRange(w, 0, c.body.Len()) }

// written is called by the disk when w is written, or couldn't be.
func (s *Store) written(w *write, b *disk.Blob, err error) {
	st := s.stripe(w.key)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.writes[w.key] = slices.DeleteFunc(st.writes[w.key], func(other *write) bool { return other == w })
	if len(st.writes[w.key]) == 0 {
		delete(st.writes, w.key)
	}
	if err != nil {
		if w.hides && !s.goneToo(err) {
			s.removeLater(st, w.key)
		}
	} else {
		w.stored.Store(true)
		for _, next := range st.writes[w.key] {
			if next.queued.Variant() == b.Variant {
				next.replaces.Store(true)
			}
		}
		s.link(w, b)
		if w.latest != w.queued {
			s.setHead(st, b, w.latest)
		}
	}
	if w.latest != w.queued {
		st.unhide(w.key)
	}
	if w.hides {
		st.unhide(w.key)
	}
}

// goneToo says whether a write that ended with err was removed, and with it what it was to replace. While a purge by function is under
// way that may still be there.
func (s *Store) goneToo(err error) bool {
	return errors.Is(err, disk.ErrRemoved) && s.purging.Load() == 0
}

// link tells the response in memory that it is on disk as b, and gives the memory of a large body free.
func (s *Store) link(w *write, b *disk.Blob) {
	for _, r := range s.memory.Peek(w.key) {
		if r.Body != w.body {
			continue
		}
		linked := *r
		linked.Copy = b.Ticket()
		if b.Size() > smallMax {
			linked = *linked.With(newFileBody(s, w.key, b))
		}
		s.memory.Swap(r, &linked)
	}
}

// Replace implements store.Store.
func (s *Store) Replace(old, r *store.Response) {
	st := s.stripe(r.Key)
	st.mu.Lock()
	st.overtake(r.Key)
	if now := s.current(old); now != nil {
		old = now
		r = r.With(now.Body)
		r.Copy = now.Copy
	}
	s.memory.Replace(old, r)
	s.renew(st, old, r)
	st.mu.Unlock()
	s.relieve()
}

// current returns the response in memory that old is or has become: when it was written, or dropped and read again, another stands for it.
func (s *Store) current(old *store.Response) *store.Response {
	for _, r := range s.memory.Peek(old.Key) {
		same := r.Received().Equal(old.Received()) && r.Variant() == old.Variant() && (r.Body == old.Body || r.Copy != nil)
		if r == old || same {
			return r
		}
	}
	return nil
}

// renew gives what is on disk of old the head of r. An old head there would come back when memory drops r. st is locked.
func (s *Store) renew(st *stripe, old, r *store.Response) {
	for _, w := range st.writes[r.Key] {
		if w.body == old.Body {
			if w.latest == w.queued {
				st.hide(r.Key) // it may be there with its old head before written is called
			}
			w.latest = r
			return
		}
	}
	b, ok := old.Copy.(*disk.Blob)
	switch {
	case !ok || !b.Live():
		if s.onDisk(st, r.Key) && slices.Contains(s.memory.Peek(r.Key), r) {
			s.supersede(st, r, true, false)
		}
	default:
		s.setHead(st, b, r)
	}
}

// setHead has the head of r written for b. Until that is done, or if it can't be, the old one isn't used. st is locked.
func (s *Store) setHead(st *stripe, b *disk.Blob, r *store.Response) {
	done := func(err error) {
		st.mu.Lock()
		defer st.mu.Unlock()
		if err != nil && !s.goneToo(err) {
			s.removeLater(st, r.Key)
		}
		st.unhide(r.Key)
	}
	if !r.WorthKeeping(s.now()) || !s.disk.SetHead(b, r.Append(nil), done) {
		s.removeLater(st, r.Key)
		return
	}
	st.hide(r.Key)
}
