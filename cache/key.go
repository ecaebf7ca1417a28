package cache

import (
	"net/url"
	"slices"
	"strings"
)

// Key is the primary cache key (RFC 9111 §2): `SITE SCHEME://HOST/PATH?QUERY`. GET and HEAD share it.
type Key string

// KeyPolicy says which parts of a request make the key.
type KeyPolicy struct {
	Site       string
	IgnoreHost bool     // all hosts of the site share one copy; the key has * in its place
	DropQuery  bool     // the query doesn't count at all
	SortQuery  bool     // parameters count in one order, however they were sent
	OnlyQuery  []string // when not nil, only these parameters count
}

// NewKey returns the key of a request for path?query at scheme://host under p. Path and query are as in the request line, so
// that what the origin may tell apart (%2f and /) stays apart; host is in lower case without port.
func NewKey(p *KeyPolicy, scheme, host, path, query string) Key {
	host, path, query = p.parts(host, path, query)
	if query == "" {
		return Key(p.Site + " " + scheme + "://" + host + path)
	}
	return Key(p.Site + " " + scheme + "://" + host + path + "?" + query)
}

// AppendKey appends the key that NewKey returns.
func AppendKey(dst []byte, p *KeyPolicy, scheme, host, path, query string) []byte {
	host, path, query = p.parts(host, path, query)
	dst = append(append(append(append(append(append(dst, p.Site...), ' '), scheme...), "://"...), host...), path...)
	if query == "" {
		return dst
	}
	return append(append(dst, '?'), query...)
}

// parts returns what p makes of the host, path and query of a request.
func (p *KeyPolicy) parts(host, path, query string) (keyHost, keyPath, keyQuery string) {
	if p.IgnoreHost {
		host = "*"
	}
	if query != "" {
		query = p.query(query)
	}
	if path == "" {
		path = "/" // RFC 9110 §4.2.3
	}
	return host, path, query
}

func (p *KeyPolicy) query(query string) string {
	if p.DropQuery {
		return ""
	}
	if p.OnlyQuery == nil && !p.SortQuery {
		return query
	}
	params := strings.Split(query, "&")
	if p.OnlyQuery != nil {
		params = slices.DeleteFunc(params, func(param string) bool {
			name, _, _ := strings.Cut(param, "=")
			if decoded, err := url.QueryUnescape(name); err == nil {
				name = decoded
			}
			return !slices.Contains(p.OnlyQuery, name)
		})
	}
	if p.SortQuery {
		// Stable by name only: the order of a parameter's own values has meaning.
		slices.SortStableFunc(params, func(a, b string) int {
			an, _, _ := strings.Cut(a, "=")
			bn, _, _ := strings.Cut(b, "=")
			return strings.Compare(an, bn)
		})
	}
	return strings.Join(params, "&")
}
