package edge

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/config"
)

// treatment is how the requests that one rule of a site matches, or that none does, are treated. It is immutable.
type treatment struct {
	site    *config.Site
	rule    *config.Rule // nil: none
	caching config.Caching
	keys    store.KeyPolicy
	says    store.Defaults
	bypass  string
}

// newTreatment is where configuration becomes cache policy: for requests, for Purge and for KeyFor alike.
func newTreatment(site *config.Site, rule *config.Rule) *treatment {
	t := &treatment{site: site, rule: rule, caching: site.Caching(rule)}
	t.keys = store.KeyPolicy{
		Site:        string(site.Name),
		IgnoreHost:  !t.caching.KeyHost,
		DropQuery:   t.caching.Query == config.QueryDrop,
		SortQuery:   t.caching.Query == config.QuerySort,
		OnlyQuery:   t.caching.QueryOnly,
		ExceptQuery: t.caching.QueryDrop,
		Headers:     t.caching.Headers,
		Cookies:     t.caching.Cookies,
	}
	t.says = newDefaults(&t.caching)
	if !t.caching.Enabled {
		t.bypass = "site " + string(site.Name)
		if rule != nil && rule.Cache.Enabled != nil {
			t.bypass = "rule " + rule.Name
		}
	}
	return t
}

func newDefaults(c *config.Caching) store.Defaults {
	d := store.Defaults{TTL: c.DefaultTTL, MaxTTL: c.MaxTTL}
	switch c.SetCookie {
	case config.SetCookieStrip:
		d.SetCookie = store.StripCookie
	case config.SetCookieRefuse:
		d.SetCookie = store.RefuseCookie
	}
	for _, entry := range c.Negative {
		n := store.Negative{TTL: entry.TTL}
		for _, pattern := range entry.Status {
			if status, err := strconv.Atoi(string(pattern)); err == nil {
				n.Statuses = append(n.Statuses, status)
			} else {
				n.Server = true // 5xx
			}
		}
		d.Negative = append(d.Negative, n)
	}
	return d
}

// policy returns what the cache has to know of a request for to.
func (t *treatment) policy(to *target) cache.Policy {
	p := cache.Policy{
		Keys:                 &t.keys,
		Scheme:               to.scheme,
		Host:                 string(to.host),
		Bypass:               t.bypass,
		Defaults:             &t.says,
		StaleIfError:         t.caching.StaleIfError,
		StaleWhileRevalidate: t.caching.StaleWhileRevalidate,
	}
	switch to.method {
	case http.MethodGet, http.MethodHead:
	default:
		// What the request changes may be stored under other rules' keys than its own (RFC 9111 §4.4).
		scheme, host := to.scheme, string(to.host)
		p.Stored = func(path, query string) []store.Key { return keysOf(t.site, scheme, host, path, query) }
	}
	return p
}

// keysOf returns the keys under which responses for path?query of a site may be stored. GET and HEAD share a key, but a rule may
// match only one of them and change it.
func keysOf(site *config.Site, scheme, host, path, query string) []store.Key {
	get := store.NewKey(&newTreatment(site, site.Rule(http.MethodGet, path)).keys, scheme, host, path, query)
	head := store.NewKey(&newTreatment(site, site.Rule(http.MethodHead, path)).keys, scheme, host, path, query)
	if get == head {
		return []store.Key{get}
	}
	return []store.Key{get, head}
}

// Match is what a snapshot makes of a request for a URL.
type Match struct {
	Site    *config.Site
	Pattern config.HostPattern // by which the site claims the host
	Rule    *config.Rule       // nil if none matches
	Key     store.Key
	Policy  cache.Policy // without Upstream
}

// KeyFor returns what s makes of a request with method for an absolute http or https URL, as the steps would.
func KeyFor(s *config.Snapshot, method, rawURL string) (Match, error) {
	t, err := parseURL(rawURL)
	if err != nil {
		return Match{}, err
	}
	t.method = method
	found, pattern := s.Site(t.host)
	if found == nil {
		return Match{}, fmt.Errorf("no site claims the host %s", t.host)
	}
	t.host = s.StandsFor(found, t.host)
	rule := found.Rule(t.method, t.path)
	treated := newTreatment(found, rule)
	key := store.NewKey(&treated.keys, t.scheme, string(t.host), t.path, t.query)
	return Match{Site: found, Pattern: pattern, Rule: rule, Key: key, Policy: treated.policy(t)}, nil
}

// parseURL takes an absolute URL apart into what a client would send for it.
func parseURL(rawURL string) (*target, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err // without the URL: the caller has it
		}
		return nil, fmt.Errorf("not a URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "" || u.User != nil {
		return nil, errors.New("not a URL that a site can have: write http://HOST/PATH or https://HOST/PATH")
	}
	host, ok := parseHost(u.Host)
	if !ok {
		return nil, fmt.Errorf("not a valid host: %q", u.Host)
	}
	return &target{scheme: u.Scheme, host: host, path: pathOf(u), query: u.RawQuery}, nil
}

// pathOf returns the path of u as it goes to the origin and into the key.
func pathOf(u *url.URL) string {
	if path := u.EscapedPath(); path != "" {
		return path
	}
	return "/" // RFC 9110 §4.2.3
}

// Purge removes what is stored for a URL: for http and for https, whichever rawURL has, under every name of its host, and
// with key.host false the copy that all hosts of the site share. It returns how many responses that were.
func (e *Edge) Purge(rawURL string) (purged int, err error) {
	t, err := parseURL(rawURL)
	if err != nil {
		return 0, err
	}
	s := e.Snapshot()
	site, _ := s.Site(t.host)
	if site == nil {
		return 0, fmt.Errorf("no site claims the host %s", t.host)
	}
	host := string(s.StandsFor(site, t.host))
	for _, scheme := range [...]string{"http", "https"} {
		for _, key := range keysOf(site, scheme, host, t.path, t.query) {
			purged += e.cache.Purge(key)
		}
	}
	return purged, nil
}
