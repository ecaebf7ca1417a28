package cache

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/wherry/wherry/cache/store"
)

// Purge drops all responses under key and returns how many there were. A fetch under way for it is not stored.
//
// A response with No-Vary-Search stands under a key of its own, which key doesn't tell if the rule has changed since. So those of
// the path are validated before they are used again, whatever their queries.
func (c *Cache) Purge(key store.Key) int {
	base := baseOf(key)
	c.purged.add(group{origin: base}, c.now())
	c.doom(func(k store.Key) bool { return k == key || byRule(k) && baseOf(k) == base })
	n := c.store.Remove(key)
	if other := c.byLastRule(key); other != key {
		n += c.store.Remove(other)
	}
	return n
}

// PurgeFunc is Purge for all keys that match. Of a response that is stored in parts each part counts.
func (c *Cache) PurgeFunc(match func(store.Key) bool) int {
	c.doom(match)
	return c.store.RemoveFunc(func(k store.Key) bool { return match(k.Request()) })
}

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
			n += x.c.Purge(key)
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
