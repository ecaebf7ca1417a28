package cache

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"
)

// searchesMax bounds how many paths have a remembered No-Vary-Search. Forgetting one costs a fetch.
const searchesMax = 16384

// searches remembers for each path the No-Vary-Search of its last stored response: it tells under which key the next request
// looks. Which requests a response is good for is decided by that response's own field alone, which is in its key.
type searches struct {
	seed maphash.Seed
	n    atomic.Int64 // of rules, to pass by the lock where there are none

	mu    sync.RWMutex // protects what follows; lost with the process
	rules map[uint64]field.Search
}

func newSearches() *searches {
	return &searches{seed: maphash.MakeSeed(), rules: map[uint64]field.Search{}}
}

// of returns the rule for the keys that begin like base; the default if there is none.
func (s *searches) of(base string) field.Search {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.rules[maphash.String(s.seed, base)]
}

func (s *searches) set(base string, rule field.Search) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hash := maphash.String(s.seed, base)
	if rule.IsDefault() {
		delete(s.rules, hash)
	} else {
		for other := range s.rules {
			if _, known := s.rules[hash]; known || len(s.rules) < searchesMax {
				break
			}
			delete(s.rules, other) // any one: a map is walked from a random place
		}
		s.rules[hash] = rule
	}
	s.n.Store(int64(len(s.rules)))
}

// key is where a request for path?query under p looks for its response.
func (c *Cache) key(p *Policy, path, query string) store.Key {
	raw := store.NewKey(p.Keys, p.Scheme, p.Host, path, query)
	if c.searches.n.Load() == 0 {
		return raw
	}
	rule := c.searches.of(raw.Base())
	return p.keyUnder(&rule, path, query)
}

// find returns what is stored for the request: under the key by rule, else what came for the very same URL without one, such as an
// error.
func (x *exchange) find() []*store.Response {
	stored := x.c.store.Lookup(x.key)
	if len(stored) > 0 || !x.key.ByRule() {
		return stored
	}
	raw := store.NewKey(x.p.Keys, x.p.Scheme, x.p.Host, x.r.URL.EscapedPath(), x.r.URL.RawQuery)
	if stored = x.c.store.Lookup(raw); len(stored) > 0 {
		x.key = raw
	}
	return stored
}

// keyUnder is the key of all requests that are equivalent to one for path?query if a response has the No-Vary-Search s.
func (p *Policy) keyUnder(s *field.Search, path, query string) store.Key {
	canonical, ok := s.Canonical(p.Keys.Query(query))
	if s.IsDefault() || !ok {
		return store.NewKey(p.Keys, p.Scheme, p.Host, path, query)
	}
	return store.NewKey(p.Keys, p.Scheme, p.Host, path, canonical).UnderRule(s.String())
}

// place gives r, which is about to be stored, the key that its own No-Vary-Search makes, and lets the next requests for its path
// look there. It returns whether r is good for all who wait for this fetch; they wait under a key that an earlier response made.
func (j *fill) place(r *store.Response) (forAll bool) {
	waited, u := r.Key, j.req.URL
	rule := field.NoVarySearch(r.Header["No-Vary-Search"])
	base := waited.Base()
	switch {
	case !rule.IsDefault() || r.Status == 200 && waited.ByRule():
		j.c.searches.set(base, rule)
	case !waited.ByRule():
		return true
	}
	r.Key = j.p.keyUnder(&rule, u.EscapedPath(), u.RawQuery)
	return r.Key == waited || !waited.ByRule()
}

// byLastRule returns the key under which what a request with key selects is stored by the rule of the moment; key itself if there
// is no rule.
func (c *Cache) byLastRule(key store.Key) store.Key {
	base := key.Base()
	rule := c.searches.of(base)
	canonical, ok := rule.Canonical(strings.TrimPrefix(strings.TrimPrefix(string(key), base), "?"))
	if rule.IsDefault() || !ok || key.ByRule() {
		return key
	}
	if canonical != "" {
		base += "?" + canonical
	}
	return store.Key(base).UnderRule(rule.String())
}
