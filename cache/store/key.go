package store

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Key is the primary cache key (RFC 9111 §2): `SITE SCHEME://HOST/PATH?QUERY`. GET and HEAD share it.
type Key string

// KeyPolicy says which parts of a request make the key, and which tell responses apart that stand under one key. What it leaves
// out of query and cookies doesn't reach the upstream when the cache fetches: nobody can shape with it what others get. It is
// immutable.
type KeyPolicy struct {
	Site       string
	IgnoreHost bool     // all hosts of the site share one copy; the key has * in its place
	Past       bool     // it was asked for past the site's programs: `SITE past+SCHEME://…`, which the same purges are about
	DropQuery  bool     // the query doesn't count at all
	SortQuery  bool     // parameters count in one order, however they were sent
	OnlyQuery  []string // when not nil, only these parameters count
	// ExceptQuery names parameters that don't count; one that ends in * stands for all that begin like it.
	ExceptQuery []string

	Headers []string // canonical names of fields that select the response as if Vary named them
	// Cookies, when not nil, are all the cookies that count. They select the response too, and they are what Cookie means in Vary.
	Cookies []string
}

// NewKey returns the key of a request for path?query at scheme://host under p. Path and query are as in the request line, so
// that what the origin may tell apart (%2f and /) stays apart; host is in lower case without port.
func NewKey(p *KeyPolicy, scheme, host, path, query string) Key {
	var room [512]byte
	return Key(AppendKey(room[:0], p, scheme, host, path, query))
}

// AppendKey appends the key that NewKey returns.
func AppendKey(dst []byte, p *KeyPolicy, scheme, host, path, query string) []byte {
	if p.IgnoreHost {
		host = "*"
	}
	if path == "" {
		path = "/" // RFC 9110 §4.2.3
	}
	dst = append(append(dst, p.Site...), ' ')
	if p.Past {
		dst = append(dst, "past+"...)
	}
	dst = append(append(append(append(dst, scheme...), "://"...), host...), path...)
	if query == "" || p.DropQuery {
		return dst
	}
	before := len(dst)
	dst = p.appendQuery(append(dst, '?'), query)
	if len(dst) == before+1 {
		return dst[:before]
	}
	return dst
}

// Query returns what counts of a query.
func (p *KeyPolicy) Query(query string) string {
	switch {
	case query == "" || p.DropQuery:
		return ""
	case p.WholeQuery():
		return query
	}
	return string(p.appendQuery(nil, query))
}

// WholeQuery says whether all of a query counts, as it was sent.
func (p *KeyPolicy) WholeQuery() bool {
	return p.OnlyQuery == nil && len(p.ExceptQuery) == 0 && !p.SortQuery
}

// appendQuery appends what query returns. It doesn't allocate for a query of usual size.
func (p *KeyPolicy) appendQuery(dst []byte, query string) []byte {
	if p.WholeQuery() {
		return append(dst, query...)
	}
	var room [32]string
	params := room[:0]
	for more := true; more; {
		var param string
		if param, query, more = strings.Cut(query, "&"); p.counts(param) {
			params = append(params, param)
		}
	}
	if p.SortQuery {
		// Stable by name only: the order of a parameter's own values has meaning.
		slices.SortStableFunc(params, func(a, b string) int { return strings.Compare(rawName(a), rawName(b)) })
	}
	for i, param := range params {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(dst, param...)
	}
	return dst
}

// rawName returns the name of a parameter as it was sent.
func rawName(param string) string {
	name, _, _ := strings.Cut(param, "=")
	return name
}

// counts says whether a parameter is part of the key, by its decoded name.
func (p *KeyPolicy) counts(param string) bool {
	if p.OnlyQuery == nil && len(p.ExceptQuery) == 0 {
		return true
	}
	name := rawName(param)
	if decoded, err := url.QueryUnescape(name); err == nil {
		name = decoded
	}
	if p.OnlyQuery != nil && !slices.Contains(p.OnlyQuery, name) {
		return false
	}
	for _, except := range p.ExceptQuery {
		if prefix, many := strings.CutSuffix(except, "*"); name == except || many && strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return true
}

// Reduce reduces a request to the upstream, whose response is to be stored or to freshen what is, to what counts under p: what
// isn't in the key must not shape what is stored under it.
func (p *KeyPolicy) Reduce(req *http.Request) {
	req.URL.RawQuery, req.URL.ForceQuery = p.Query(req.URL.RawQuery), false
	p.leaveCounted(req.Header)
}

// searchMark stands in a key before the No-Vary-Search that made it, as no URL can have it:
//
//	shop http://shop.test/a?x=1 ␟ params=utm_source&
//
// So what a path's responses have under different rules, or without one, never stands under one key.
const searchMark = "\x1f"

// UnderRule returns the key that k becomes by the No-Vary-Search rule.
func (k Key) UnderRule(rule string) Key { return k + Key(searchMark+rule) }

// ByRule says whether a No-Vary-Search made the key.
func (k Key) ByRule() bool { return strings.Contains(string(k), searchMark) }

// Base returns the part of a key before the query.
func (k Key) Base() string {
	base, _, _ := strings.Cut(string(k.Request()), searchMark)
	base, _, _ = strings.Cut(base, "?")
	return base
}

// Origin returns the part of a key before the path.
func (k Key) Origin() string {
	before, rest, _ := strings.Cut(string(k), "://")
	host, _, _ := strings.Cut(rest, "/")
	return before + "://" + host
}

// Split returns the site of a key, and what stands behind the scheme: host, path and query.
func (k Key) Split() (site, target string) {
	site, target, _ = strings.Cut(string(k), " ")
	_, target, _ = strings.Cut(target, "://")
	return site, target
}
