package ahead

import (
	"context"
	"mime"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// The bounds.
const (
	pagesMax       = 64       // that are looked at, or have objects to fetch, at a time
	objectsMax     = 64       // of a page
	pageBytesMax   = 16 << 20 // of its objects together; the one that goes beyond is the last
	pageFetchesMax = 16       // at a time
	fetchesMax     = 128      // at a time, of all pages
	fetchTimeout   = 15 * time.Second
	usedWithin     = time.Minute // or it was wasted
	trackedMax     = 4096
	unfitFor       = 10 * time.Minute // what can't be stored isn't asked for again
	thereFor       = 10 * time.Second // nor what is there
	failedFor      = 5 * time.Second
	leftMax        = 8192 // of these
)

// Result is what became of an object.
type Result int

// The results.
const (
	Stored Result = iota // it is in the cache now
	There                // it was already
	Unfit                // it can't be stored
	Failed
)

// Page is a page of HTML that a client asked for. It outlives the client's request, and has nothing of it.
type Page struct {
	url    *url.URL    // absolute
	remote string      // the client
	header http.Header // of what responses vary by
	// wanted says whether an object may be fetched ahead, and under which key the cache has it.
	wanted func(object *url.URL) (key string, ok bool)
}

// Options are the neighbours of an Ahead.
type Options struct {
	// Fetch gets an object into the cache. Needed.
	Fetch   func(ctx context.Context, p *Page, object *url.URL) (r Result, bytes int64)
	Metrics *Metrics // needed
	Now     func() time.Time
}

// Ahead fetches objects ahead. Make one with New.
type Ahead struct {
	o       Options
	fetches chan struct{} // a place for each
	table   table

	mu      sync.Mutex // protects what follows
	ctx     context.Context
	pages   int
	running sync.WaitGroup
}

// New returns an Ahead.
func New(o Options) *Ahead {
	a := &Ahead{o: o, fetches: make(chan struct{}, fetchesMax)}
	a.table.init(o.Metrics)
	return a
}

// Run lets pages be looked at until ctx ends.
func (a *Ahead) Run(ctx context.Context) {
	a.begin(ctx)
	tick := time.NewTicker(usedWithin / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			a.end()
			a.running.Wait()
			return
		case <-tick.C:
			a.table.prune(a.o.Now())
		}
	}
}

func (a *Ahead) begin(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ctx = ctx
}

// end has no more pages looked at.
func (a *Ahead) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ctx = nil
}

// Used is told of each client's request for what the cache has under a key. It costs one look at a counter where nothing is waited for.
func (a *Ahead) Used(key string) bool { return a.table.waiting.Load() > 0 && a.table.use(key) }

// Waiting says whether Used has to be told.
func (a *Ahead) Waiting() bool { return a.table.waiting.Load() > 0 }

// Open begins to look at a page that a client has asked for, by an absolute URL, and whose response has this header section. wanted says whether an object
// may be fetched ahead, and under which key the cache has it. nil: it is no page, or there are enough.
func (a *Ahead) Open(r *http.Request, wanted func(object *url.URL) (key string, ok bool), response http.Header) *Scan {
	kind, _, _ := mime.ParseMediaType(response.Get("Content-Type"))
	coding := response.Get("Content-Encoding")
	if kind != "text/html" && kind != "application/xhtml+xml" {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx == nil {
		return nil
	}
	if a.pages >= pagesMax || coding != "" && coding != "identity" && coding != "gzip" {
		a.o.Metrics.skipped.Inc()
		return nil
	}
	p, err := pageOf(r, wanted)
	if err != nil {
		return nil
	}
	a.pages++
	a.o.Metrics.scanned.Inc()
	s := &Scan{ahead: a, page: p, base: p.url, feed: newFeed(), seen: map[string]bool{}, done: make(chan struct{})}
	s.more.L = &s.mu
	links := response["Link"]
	ctx := a.ctx
	a.running.Go(func() { s.run(ctx, coding, links) })
	return s
}

func (a *Ahead) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pages--
}

// Scan looks at one page.
type Scan struct {
	ahead *Ahead
	page  Page
	feed  *feed
	base  *url.URL // of run's goroutine, as is seen
	seen  map[string]bool
	done  chan struct{} // closed when the page has been looked at

	mu    sync.Mutex // protects what follows
	more  sync.Cond
	found []object
	next  int // of found: what isn't fetched yet
	ended bool
	bytes int64
}

// object is something that is to be fetched.
type object struct {
	url *url.URL
	key string
}

// Write takes what was written of the page. It never waits.
func (s *Scan) Write(p []byte) { s.feed.write(p) }

// Close says that the page is over.
func (s *Scan) Close() { s.feed.end() }

// Found waits until the page has been looked at, which Close must have been called for, and returns what is fetched ahead.
func (s *Scan) Found() []string {
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]string, len(s.found))
	for i, o := range s.found {
		list[i] = o.url.RequestURI()
	}
	return list
}

// run looks at the page, and has its objects fetched meanwhile.
func (s *Scan) run(ctx context.Context, coding string, links []string) {
	defer s.ahead.leave()
	stop := context.AfterFunc(ctx, s.feed.end)
	defer stop()
	var fetchers sync.WaitGroup
	defer fetchers.Wait()
	embed := func(ref string) {
		if n := s.add(ref); n > 0 && n <= pageFetchesMax { // one more fetcher for each of the first objects
			fetchers.Go(func() { s.fetchAll(ctx) })
		}
	}
	for _, value := range links {
		linkHeader(value, embed)
	}
	scan(s.feed, coding, s.setBase, embed)
	s.feed.end()
	close(s.done)
	s.mu.Lock()
	s.ended = true
	s.more.Broadcast()
	s.mu.Unlock()
}

// setBase takes a page's own base; the first one counts.
func (s *Scan) setBase(ref string) {
	if u, err := s.page.url.Parse(ref); err == nil && s.base == s.page.url && ref != "" {
		s.base = u
	}
}

// add takes an object in if it is to be fetched; n is how many there are then, 0 if it isn't.
func (s *Scan) add(ref string) (n int) {
	if ref == "" || len(s.found) >= objectsMax {
		return 0
	}
	u, err := s.base.Parse(ref)
	if err != nil || u.Opaque != "" || u.User != nil {
		return 0
	}
	if u.Fragment, u.RawFragment = "", ""; s.seen[u.String()] || len(s.seen) >= 4*objectsMax {
		return 0
	}
	s.seen[u.String()] = true
	key, ok := s.page.wanted(u)
	if !ok || !s.ahead.table.begin(key, s.ahead.o.Now()) {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = append(s.found, object{u, key})
	s.more.Signal()
	return len(s.found)
}

// fetchAll fetches one object after the other, as long as there are any or the page may have more.
func (s *Scan) fetchAll(ctx context.Context) {
	for {
		s.mu.Lock()
		for s.next == len(s.found) && !s.ended {
			s.more.Wait()
		}
		if s.next == len(s.found) {
			s.mu.Unlock()
			return
		}
		o, over := s.found[s.next], s.bytes >= pageBytesMax
		s.next++
		s.mu.Unlock()
		if over {
			s.ahead.table.end(o.key, Failed, s.ahead.o.Now())
			continue
		}
		n := s.ahead.fetch(ctx, &s.page, o)
		s.mu.Lock()
		s.bytes += n
		s.mu.Unlock()
	}
}

func (a *Ahead) fetch(ctx context.Context, p *Page, o object) (bytes int64) {
	r := Failed
	select {
	case a.fetches <- struct{}{}:
		ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
		r, bytes = a.o.Fetch(ctx, p, o.url)
		cancel()
		<-a.fetches
	case <-ctx.Done():
	}
	a.table.end(o.key, r, a.o.Now())
	a.o.Metrics.objects[r].Inc()
	a.o.Metrics.bytes.Add(float64(bytes))
	return bytes
}
