package policy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/config"
)

// Target is what a request asks for.
type Target struct {
	Method, Scheme string
	Host           config.Host // canonical, without port
	Path, Query    string      // as in the request line
}

// Treatment is how the requests that one rule of a site matches, or that none does, are treated. It is immutable.
type Treatment struct {
	Rule    *config.Rule // nil: none
	Caching config.Caching
	Keys    store.KeyPolicy
	Bypass  string // why the cache has no part; empty: it has
	Strict  bool   // nothing is answered from the store while purges may be missing
	// Upstream is whom to ask; New leaves it to its caller.
	Upstream http.RoundTripper
	Before   http.RoundTripper // who is asked before the cache; nil: nobody; likewise

	site *config.Site
	says store.Defaults
}

// Connected is an Upstream that tells clients' connections apart.
type Connected interface {
	Over(c *compute.Connection) http.RoundTripper
}

// New is where configuration becomes cache policy: for requests, for Purge and for KeyFor alike.
func New(site *config.Site, rule *config.Rule) *Treatment {
	t := &Treatment{site: site, Rule: rule, Caching: site.Caching(rule), Strict: site.Purge == config.PurgeStrict}
	t.Keys = store.KeyPolicy{
		Site:        string(site.Name),
		IgnoreHost:  !t.Caching.KeyHost,
		DropQuery:   t.Caching.Query == config.QueryDrop,
		SortQuery:   t.Caching.Query == config.QuerySort,
		OnlyQuery:   t.Caching.QueryOnly,
		ExceptQuery: t.Caching.QueryDrop,
		Headers:     t.Caching.Headers,
		Cookies:     t.Caching.Cookies,
	}
	t.says = newDefaults(&t.Caching)
	if !t.Caching.Enabled {
		t.Bypass = "site " + string(site.Name)
		if rule != nil && rule.Cache.Enabled != nil {
			t.Bypass = "rule " + rule.Name
		}
	}
	return t
}

// Past is New for requests of the site's own programs: they get what the origin says, and not what a program has made of it.
func Past(site *config.Site, rule *config.Rule) *Treatment {
	t := New(site, rule)
	t.Keys.Past = changed(rule)
	return t
}

// changed says whether what the cache stores under a rule is a program's.
func changed(rule *config.Rule) bool {
	return rule != nil && (rule.Program != "" || rule.ResponseProgram != "")
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

// Policy returns what the cache has to know of a request for to.
func (t *Treatment) Policy(to *Target) cache.Policy {
	p := cache.Policy{
		Keys:                 &t.Keys,
		Scheme:               to.Scheme,
		Host:                 string(to.Host),
		Bypass:               t.Bypass,
		Defaults:             &t.says,
		StaleIfError:         t.Caching.StaleIfError,
		StaleWhileRevalidate: t.Caching.StaleWhileRevalidate,
	}
	switch to.Method {
	case http.MethodGet, http.MethodHead:
	default:
		// What the request changes may be stored under other rules' keys than its own (RFC 9111 §4.4).
		scheme, host := to.Scheme, string(to.Host)
		p.Stored = func(path, query string) []store.Key { return keysOf(t.site, scheme, host, path, query) }
	}
	return p
}

// keysOf returns the keys under which responses for path?query of a site may be stored. GET and HEAD share a key, but a rule may
// match only one of them and change it.
func keysOf(site *config.Site, scheme, host, path, query string) (keys []store.Key) {
	for _, method := range [...]string{http.MethodGet, http.MethodHead} {
		rule := site.Rule(method, path)
		for _, t := range [...]*Treatment{New(site, rule), Past(site, rule)} {
			if key := store.NewKey(&t.Keys, scheme, host, path, query); !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
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
	t.Method = method
	found, pattern := s.Site(t.Host)
	if found == nil {
		return Match{}, fmt.Errorf("no site claims the host %s", t.Host)
	}
	t.Host = s.StandsFor(found, t.Host)
	rule := found.Rule(t.Method, t.Path)
	treated := New(found, rule)
	key := store.NewKey(&treated.Keys, t.Scheme, string(t.Host), t.Path, t.Query)
	return Match{Site: found, Pattern: pattern, Rule: rule, Key: key, Policy: treated.Policy(t)}, nil
}

// parseURL takes an absolute URL apart into what a client would send for it.
func parseURL(rawURL string) (*Target, error) {
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
	host, ok := ParseHost(u.Host)
	if !ok {
		return nil, fmt.Errorf("not a valid host: %q", u.Host)
	}
	return &Target{Scheme: u.Scheme, Host: host, Path: PathOf(u), Query: u.RawQuery}, nil
}

// PathOf returns the path of u as it goes to the origin and into the key.
func PathOf(u *url.URL) string {
	if path := u.EscapedPath(); path != "" {
		return path
	}
	return "/" // RFC 9110 §4.2.3
}
