package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/fault"
)

const (
	// readAhead is how many fragments a stream may be ahead of its furthest reader.
	readAhead = 4
	// streamMax is how many fragments one request asks for at most, when parts are missing.
	streamMax = 16
	// fullPause is how long a stream waits for room in the store before it tries again, fullTries how often.
	fullPause = 20 * time.Millisecond
	fullTries = 250
)

var (
	errChanged = errors.New("the content has changed at the origin since its other parts were stored")
	errHole    = errors.New("a part is missing that can't be fetched by itself: the response has no strong validator")
)

// stream brings bytes of a response that is stored in parts, from an offset on and in order, for any number of readers. Each fragment
// goes into the store when it is whole; the one under way is read where it grows. A stream waits for the reader that is furthest
// ahead, and for nobody else: who falls behind reads from the store, or opens a stream of its own. It ends when nobody reads.
type stream struct {
	c      *Cache
	head   *store.Response
	cancel context.CancelFunc

	mu      sync.Mutex // protects what follows
	changed *sync.Cond // on mu
	users   int        // who may still read
	front   int64      // how far the furthest reader has got
	begun   bool       // the upstream's header section is there and right
	start   int64      // of body; what lies before has gone into the store
	body    store.Body // the fragment under way; nil before its first byte
	held    int64      // bytes in body
	kept    int        // fragments that were stored
	end     int64      // where the stream ends
	only    bool       // the upstream sends no ranges: nothing else leads to what lies ahead
	done    bool
	err     error
}

func newStream(c *Cache, head *store.Response, start, end int64, cancel context.CancelFunc) *stream {
	s := &stream{c: c, head: head, cancel: cancel, users: 1, front: start, start: start, end: end}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// streams are those that are under way, by the id of their parts.
type streams struct {
	mu  sync.Mutex
	all map[uint64][]*stream
}

func (l *streams) add(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := s.head.Parts.ID
	l.all[id] = append(l.all[id], s)
}

func (l *streams) remove(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := s.head.Parts.ID
	if l.all[id] = slices.DeleteFunc(l.all[id], func(other *stream) bool { return other == s }); len(l.all[id]) == 0 {
		delete(l.all, id)
	}
}

// attach returns a stream that will soon bring the byte at off of the response with these parts, as one more user of it; nil if there
// is none.
func (l *streams) attach(p *store.Parts, off int64) *stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.all[p.ID] {
		if s.join(off) {
			return s
		}
	}
	return nil
}

func (s *stream) join(off int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	near := s.only || off < s.start+s.held+readAhead*s.head.Parts.Grain
	if s.users == 0 || s.done || off < s.start || off >= s.end || !near {
		return false
	}
	s.users++
	return true
}

// release ends one user's part in s.
func (s *stream) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users > 0 {
		s.users--
	}
	if s.users == 0 {
		s.cancel()
		s.changed.Broadcast()
	}
}

// limit returns where s ends.
func (s *stream) limit() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// reaches returns where s ends.
func (s *stream) reaches() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// begin says that the upstream's answer is right and begins at start; only says that it is all that the upstream can send.
func (s *stream) begin(start, end int64, only bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun, s.start, s.end, s.only = true, start, end, only
	s.changed.Broadcast()
}

// finish ends s; err is nil if all has come.
func (s *stream) finish(err error) {
	s.c.streams.remove(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.body != nil {
		s.keep()
	}
	s.done, s.err = true, err
	s.changed.Broadcast()
}

// keep stores the fragment under way. mu is held.
func (s *stream) keep() {
	store.InsertFragment(s.c.store, s.head, s.start, s.body, s.c.now())
	s.start, s.held, s.body = s.start+s.held, 0, nil
	s.kept++
}

// pump reads what begins at s.start until the end, an error, or nobody reads any more.
func (s *stream) pump(ctx context.Context, r io.Reader) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for kept := 0; s.awaitReaders(); {
		n, err := r.Read(*buf)
		now, full := s.add(ctx, (*buf)[:n])
		if full != nil {
			return full
		}
		if now > kept {
			kept = now
			s.c.store.Lookup(s.head.Key) // without its head nobody finds a fragment: it shall not be the first to go
		}
		if err == io.EOF {
			return s.complete()
		}
		if err != nil {
			return err
		}
	}
	return errNobodyReads
}

// complete says what the end of the upstream's body means.
func (s *stream) complete() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.start+s.held < s.end {
		return fault.New(fault.Origin, "read body", http.StatusBadGateway, io.ErrUnexpectedEOF)
	}
	return nil
}

// awaitReaders waits while s is too far ahead. It returns false if nobody reads any more.
func (s *stream) awaitReaders() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := s.start + s.held; s.users > 0 && at < s.end && at > s.front+readAhead*s.head.Parts.Grain; {
		s.changed.Wait()
	}
	return s.users > 0
}

// add appends bytes that have arrived; what lies behind the end is dropped. It waits for room in the store, for a while. It returns how
// many fragments have been stored so far.
func (s *stream) add(ctx context.Context, p []byte) (kept int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for tries := 0; len(p) > 0 && s.start+s.held < s.end; {
		_, to := s.head.Parts.Bounds(s.start)
		if s.body == nil {
			s.body = s.c.store.NewBody(to - s.start)
		}
		n, full := s.body.Append(p[:min(int64(len(p)), to-s.start-s.held)])
		s.held += int64(n)
		p = p[n:]
		s.changed.Broadcast()
		switch {
		case full != nil && s.held == 0:
			s.body.Discard()
			s.body = nil
			if tries++; tries > fullTries {
				return s.kept, fault.New(fault.Edge, "store a part", http.StatusServiceUnavailable, full)
			}
			s.mu.Unlock()
			pause(ctx, fullPause) // others fill the store; what they have finished can be evicted
			s.mu.Lock()
			if s.users == 0 {
				return s.kept, errNobodyReads
			}
		case full != nil || s.start+s.held == to:
			s.keep()
		}
	}
	return s.kept, nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// await waits until it is known whether s brings anything.
func (s *stream) await(ctx context.Context) error {
	stop := s.wakeOn(ctx)
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.begun && !s.done && ctx.Err() == nil {
		s.changed.Wait()
	}
	if s.done && !s.begun {
		return s.err
	}
	return ctx.Err()
}

func (s *stream) wakeOn(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})
}

// copySome writes to w what is under way of the bytes from off to end, waiting for the first of them and calling idle before that. It
// returns 0 without an error when s doesn't have the byte at off any more, or won't have it.
func (s *stream) copySome(ctx context.Context, w io.Writer, off, end int64, idle func()) (n int64, err error) {
	stop := s.wakeOn(ctx)
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if off > s.front {
		s.front = off
		s.changed.Broadcast()
	}
	if s.start <= off && off >= s.start+s.held && !s.done {
		s.mu.Unlock()
		idle()
		s.mu.Lock()
	}
	for s.start <= off && off >= s.start+s.held && !s.done && ctx.Err() == nil {
		s.changed.Wait()
	}
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case off < s.start:
		return 0, nil
	case off >= s.start+s.held:
		return 0, s.err
	}
	body, from, upTo := s.body, s.start, min(end, s.start+s.held)
	s.mu.Unlock()
	n, err = body.WriteRange(w, off-from, upTo-off)
	s.mu.Lock()
	if off+n > s.front {
		s.front = off + n
		s.changed.Broadcast()
	}
	return n, err
}

// openStream starts to fetch what is missing of head from off on, and at most up to end.
func (x *exchange) openStream(head *store.Response, off, end int64) (*stream, error) {
	c, p := x.c, head.Parts
	if !p.Joinable {
		return nil, errHole
	}
	start, to := p.Bounds(off)
	if off > start && store.Fragment(c.store, head, off-1, true) != nil {
		start = off // a stream ended here, because nobody wanted more of it
	}
	for i := int64(1); to < min(end, p.Size) && i < streamMax && store.Fragment(c.store, head, to, true) == nil; i++ {
		_, to = p.Bounds(to)
	}
	ctx, cancel := context.WithCancel(c.ctx)
	s := newStream(c, head, start, to, cancel)
	req := x.fillRequest(ctx)
	req.Header["Range"] = []string{"bytes=" + strconv.FormatInt(start, 10) + "-" + strconv.FormatInt(to-1, 10)}
	req.Header["If-Range"] = []string{head.StrongValidator()} // RFC 9110 §13.1.5: never parts of two versions
	upstream := x.p.Upstream
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		cancel()
		return nil, errStopping()
	}
	c.streams.add(s)
	c.fills.Go(func() { s.run(ctx, upstream, req) })
	return s, nil
}

// run asks upstream for the stream's bytes.
func (s *stream) run(ctx context.Context, upstream http.RoundTripper, req *http.Request) {
	defer s.cancel()
	s.c.metrics.fetching(1)
	defer s.c.metrics.fetching(-1)
	resp, err := upstream.RoundTrip(req)
	if err == nil {
		defer resp.Body.Close()
		if err = s.check(resp); err == nil {
			err = s.pump(ctx, resp.Body)
		}
	}
	switch {
	case err == nil || errors.Is(err, errNobodyReads):
		s.c.metrics.fetched("part")
	case errors.Is(err, errChanged):
		s.c.metrics.fetched("changed")
	default:
		s.c.metrics.fetched("failed")
	}
	if err != nil && s.c.ctx.Err() != nil {
		err = errStopping()
	}
	s.finish(err)
}

// check sees whether resp has bytes of the content that the other parts are of, and begins the stream with them.
func (s *stream) check(resp *http.Response) error {
	received := s.c.now()
	field.EnsureDate(resp.Header, received)
	got := store.NewResponse(s.head.Key, nil, resp.StatusCode, resp.Header, received, received)
	same := got.StrongValidator() == s.head.StrongValidator() && !got.Directives.NoStore && !got.Directives.Private
	switch resp.StatusCode {
	case http.StatusPartialContent:
		part, size, ok := field.ParseContentRange(resp.Header)
		if !ok || part.Start > s.start || part.End() <= s.start {
			return fault.New(fault.Origin, "fetch", http.StatusBadGateway,
				fmt.Errorf("asked for bytes %d-%d, the origin sent %q", s.start, s.end-1, resp.Header.Get("Content-Range")))
		}
		if !same || size >= 0 && size != s.head.Parts.Size {
			return errChanged
		}
		s.begin(part.Start, min(part.End(), s.head.Parts.Size), false)
	case http.StatusOK:
		if !same || resp.ContentLength >= 0 && resp.ContentLength != s.head.Parts.Size {
			return errChanged
		}
		s.begin(0, s.head.Parts.Size, true)
	case http.StatusNotFound, http.StatusGone, http.StatusRequestedRangeNotSatisfiable, http.StatusPreconditionFailed:
		return errChanged
	default:
		return fault.New(fault.Origin, "fetch", http.StatusBadGateway, fmt.Errorf("the origin answered %d", resp.StatusCode))
	}
	return nil
}
