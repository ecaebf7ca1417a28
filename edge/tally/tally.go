package tally

import (
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

const (
	// Buckets is how many buckets a latency histogram has; feed.SiteTally says of what.
	Buckets = 18
	// unit is the upper bound of the first bucket.
	unit = 100 * time.Microsecond
	// shards is over how many sets of counters a site's requests are spread. More than there are processors cost memory for each site.
	shards = 8
)

// Answer is how a request was answered.
type Answer struct {
	Failed    bool          // with 5xx, or broken off
	Rejected  bool          // with 4xx
	Hit       bool          // from the store
	FirstByte time.Duration // from the request's header section to the first byte of the response
}

// Tally counts for all sites. It is safe for use by many goroutines.
type Tally struct {
	now func() time.Time

	mu        sync.Mutex // protects what follows
	sites     map[config.SiteName]*Counts
	revisions map[config.SiteName]uint64
}

// New returns a tally that has counted nothing.
func New(now func() time.Time) *Tally {
	return &Tally{now: now, sites: map[config.SiteName]*Counts{}}
}

// Counts are those of one revision of a site.
type Counts struct {
	site            config.SiteName
	revision        uint64
	since           time.Time
	live, synthetic atomic.Pointer[counters] // nil: nothing was counted
}

// counters are spread so that processors don't wait for each other.
type counters [shards]shard

type shard struct {
	hits, errors, rejected atomic.Uint64
	latency                [Buckets]atomic.Uint64
	_                      [192 - (3+Buckets)*8]byte // up to whole cache lines
}

// SetRevisions says which revision of each site is in use; a site that isn't there has none, which is 0. It holds for what Counts returns
// from now on, and with another revision the counts begin anew.
func (t *Tally) SetRevisions(revisions map[config.SiteName]uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.revisions = make(map[config.SiteName]uint64, len(revisions))
	for name, revision := range revisions {
		t.revisions[name] = revision
	}
	for name, c := range t.sites {
		if t.revisions[name] != c.revision {
			t.sites[name] = t.begin(name)
		}
	}
}

// begin returns new counts for a site. mu is held.
func (t *Tally) begin(name config.SiteName) *Counts {
	return &Counts{site: name, revision: t.revisions[name], since: t.now()}
}

// Counts returns those of a site under the revision in use.
func (t *Tally) Counts(name config.SiteName) *Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.sites[name]
	if c == nil {
		c = t.begin(name)
		t.sites[name] = c
	}
	return c
}

// Forget drops the counts of the sites that keep says no to.
func (t *Tally) Forget(keep func(config.SiteName) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range t.sites {
		if !keep(name) {
			delete(t.sites, name)
		}
	}
}

// Add counts the answer to a client.
func (c *Counts) Add(a Answer) { add(&c.live, a) }

// AddSynthetic counts the answer to a request of the node itself.
func (c *Counts) AddSynthetic(a Answer) { add(&c.synthetic, a) }

func add(to *atomic.Pointer[counters], a Answer) {
	all := to.Load()
	if all == nil {
		to.CompareAndSwap(nil, new(counters))
		all = to.Load()
	}
	s := &all[rand.Uint32()%shards]
	s.latency[bucket(a.FirstByte)].Add(1)
	if a.Hit {
		s.hits.Add(1)
	}
	if a.Failed {
		s.errors.Add(1)
	}
	if a.Rejected {
		s.rejected.Add(1)
	}
}

// bucket returns the first bucket whose bound is above d.
func bucket(d time.Duration) int {
	return min(bits.Len64(uint64(max(0, d)/unit)), Buckets-1)
}

func (c *Counts) read(from *atomic.Pointer[counters], synthetic bool) feed.SiteTally {
	out := feed.SiteTally{Site: c.site, Revision: c.revision, Since: c.since, Synthetic: synthetic}
	all := from.Load()
	if all == nil {
		return out
	}
	out.Latency = make([]uint64, Buckets)
	for i := range all {
		s := &all[i]
		out.Hits += s.hits.Load()
		out.Errors += s.errors.Load()
		out.Rejected += s.rejected.Load()
		for j := range s.latency {
			n := s.latency[j].Load()
			out.Latency[j] += n
			out.Requests += n
		}
	}
	return out
}

// Read returns what was counted of a site's clients under the revision in use.
func (t *Tally) Read(name config.SiteName) feed.SiteTally {
	c := t.Counts(name)
	return c.read(&c.live, false)
}

// ReadSynthetic returns what was counted of the node's own requests.
func (t *Tally) ReadSynthetic(name config.SiteName) feed.SiteTally {
	c := t.Counts(name)
	return c.read(&c.synthetic, true)
}

// All returns what was counted of all sites, in no order: of each that clients asked for, and of each that the node itself did.
func (t *Tally) All() []feed.SiteTally {
	t.mu.Lock()
	counts := make([]*Counts, 0, len(t.sites))
	for _, c := range t.sites {
		counts = append(counts, c)
	}
	t.mu.Unlock()
	all := make([]feed.SiteTally, 0, len(counts))
	for _, c := range counts {
		if c.live.Load() != nil {
			all = append(all, c.read(&c.live, false))
		}
		if c.synthetic.Load() != nil {
			all = append(all, c.read(&c.synthetic, true))
		}
	}
	return all
}
