package cache

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/wherry/wherry/cache/purges"
	"github.com/wherry/wherry/cache/store"
)

// Purge says what may not be used any more as it is.
type Purge = purges.Purge

// Invalidate makes p hold: when it returns, nothing that was asked for before is used as fresh any more, and nothing that was hard purged
// is used at all, whether it is stored or under way. It returns how many responses were removed from the store by then; what else a hard
// purge is about is removed when it is met, and by Run.
func (c *Cache) Invalidate(p Purge) (removed int) {
	c.purges.Add(&p, c.now())
	c.doom(p.Matches)
	switch {
	case p.Soft || p.Scope == purges.Tag:
	case p.Scope == purges.Keys:
		for _, key := range p.Keys {
			removed += c.remove(key)
		}
	case p.Seq == 0:
		// No feed brings it back after a restart, so what is on disk has to go.
		removed = c.sweep(&p)
	default:
		select {
		case c.sweeps <- p:
		default: // eviction gets it
		}
	}
	return removed
}

// Restore makes the purges hold that the network's feed remembers, for what a process before this one has stored. Those up to floor are
// forgotten: all that was asked for before counts as softly purged. reached is how far in the feed this node is. Call it before Serve.
func (c *Cache) Restore(remembered []Purge, floor, reached uint64) {
	c.purges.Restore(remembered, floor, reached, c.now())
}

// sweepsMax is how many sweeps may wait.
const sweepsMax = 64

// sweepUntil frees memory until ctx ends.
func (c *Cache) sweepUntil(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-c.sweeps:
			c.sweep(&p)
		}
	}
}

// sweep removes what p is about, but for what has come since. Of a response that is stored in parts each part counts.
func (c *Cache) sweep(p *Purge) int {
	return c.store.RemoveFunc(func(k store.Key) bool {
		k = k.Request()
		return p.Matches(k) && !slices.ContainsFunc(c.store.Peek(k), func(r *store.Response) bool { return !c.gone(r) })
	})
}

// remove drops all responses under key, also those that are there by No-Vary-Search.
func (c *Cache) remove(key store.Key) int {
	n := c.store.Remove(key)
	if other := c.byLastRule(key); other != key {
		n += c.store.Remove(other)
	}
	return n
}

// drop removes all responses under key, because a client's request may have changed what is there, and returns how many there were. A fetch
// under way for it is not stored.
//
// A response with No-Vary-Search stands under a key of its own, which key doesn't tell if the rule has changed since. So those of
// the path are validated before they are used again, whatever their queries.
func (c *Cache) drop(key store.Key) int {
	base := key.Base()
	c.purges.InvalidateBase(base)
	c.doom(func(k store.Key) bool { return k == key || k.ByRule() && k.Base() == base })
	return c.remove(key)
}

// present returns what is stored for the request and wasn't purged for good. What was is removed.
func (x *exchange) present() []*store.Response {
	stored := x.find()
	left := x.c.left(stored)
	if len(left) == 0 && len(stored) > 0 && len(x.c.left(x.c.store.Peek(x.key))) == 0 { // another may just have come
		x.c.store.Remove(x.key)
	}
	return left
}

// left returns those of stored that weren't purged for good. Most often that is stored itself.
func (c *Cache) left(stored []*store.Response) []*store.Response {
	for i, r := range stored {
		if c.purges.Current(r) || !c.gone(r) {
			continue
		}
		return slices.Concat(stored[:i], slices.DeleteFunc(slices.Clone(stored[i:]), c.gone))
	}
	return stored
}

// gone says whether r, which may be nil, was purged for good.
func (c *Cache) gone(r *store.Response) bool { return c.purges.Check(r).Standing == purges.Gone }

// doom keeps the fetches whose key matches from being stored, and from being joined.
func (c *Cache) doom(match func(store.Key) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.running {
		if !match(f.id.key) {
			continue
		}
		f.mu.Lock()
		f.doomed = true
		f.mu.Unlock()
		if c.flights[f.id] == f {
			delete(c.flights, f.id)
		}
	}
}

// invalidate drops what an unsafe request may have changed (RFC 9111 §4.4): the target itself, and the URIs in Location and
// Content-Location if they are of the same origin.
func (x *exchange) invalidate(h http.Header) {
	target := x.target()
	uris := []*url.URL{target}
	for _, name := range [...]string{"Location", "Content-Location"} {
		if ref, err := target.Parse(h.Get(name)); err == nil && h.Get(name) != "" && sameOrigin(ref, target) {
			uris = append(uris, ref)
		}
	}
	for _, u := range uris {
		n := 0
		for _, key := range x.storedKeys(u.EscapedPath(), u.RawQuery) {
			n += x.c.drop(key)
		}
		if x.t.On() {
			x.t.Add("cache", "invalidate", fmt.Sprintf("%s: %d responses", u, n))
		}
	}
}

// target is the URI that the request is for (RFC 9110 §7.1).
func (x *exchange) target() *url.URL {
	u := x.r.URL
	return &url.URL{Scheme: x.p.Scheme, Host: x.r.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
}

func (x *exchange) storedKeys(path, query string) []store.Key {
	if x.p.Stored != nil {
		return x.p.Stored(path, query)
	}
	return []store.Key{store.NewKey(x.p.Keys, x.p.Scheme, x.p.Host, path, query)}
}

// sameOrigin compares the origins of two URIs (RFC 9110 §4.3.1), but for the spelling of a default port.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host)
}
