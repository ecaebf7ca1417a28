package config

import (
	"fmt"
	"net/url"
	"strings"
)

// Explanation says what a Snapshot makes of one request.
type Explanation struct {
	Method string
	Scheme string
	Host   Host
	Path   string // as in the request line
	Query  string // likewise, without the question mark

	Site     *Site // nil if no site claims the host: then nothing below is set
	Pattern  HostPattern
	Rules    []RuleVerdict // all rules of the site, in order
	Rule     *Rule         // the one that applies, or nil
	Caching  Caching
	Settings []Setting
	Origins  []OriginRank // in the order in which they are asked
}

// RuleVerdict says whether a rule applies, and why.
type RuleVerdict struct {
	Name    string
	Applies bool
	Why     string
}

// Setting is one caching setting that holds for the request.
type Setting struct {
	Name  string // such as cache.key.host
	Value string
	From  string // default, site or rule NAME
}

// OriginRank is an origin and when it is asked.
type OriginRank struct {
	URL    *url.URL
	Backup bool
	Share  float64 // of the requests, among the healthy origins of its class: 0 to 1
}

// Explain says which site, rule, settings and origins a request meets. Its error tells what is wrong with the URL.
func (s *Snapshot) Explain(method, rawURL string) (Explanation, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return Explanation{}, fmt.Errorf("explain %s: not a URL: write one such as https://shop.test/path", quoted(rawURL))
	case u.Scheme == "", u.Host == "" && u.Opaque != "": // shop.test:80/path has the form of a scheme and what it alone understands
		return Explanation{}, fmt.Errorf("explain %s: no scheme: write one such as https://shop.test/path", quoted(rawURL))
	case u.Scheme != "http" && u.Scheme != "https":
		return Explanation{}, fmt.Errorf("explain %s: the scheme has to be http or https: write one such as https://shop.test/path",
			quoted(rawURL))
	case u.Hostname() == "":
		return Explanation{}, fmt.Errorf("explain %s: no host: write one such as https://shop.test/path", quoted(rawURL))
	}
	if _, m := methodForm().parse(method); m != nil {
		return Explanation{}, fmt.Errorf("explain: method %s: %s", m.what, m.instead)
	}
	e := Explanation{Method: method, Scheme: u.Scheme, Host: CanonicalHost(u.Host), Path: u.EscapedPath(), Query: u.RawQuery}
	if e.Path == "" {
		e.Path = "/" // RFC 9110 §4.2.3
	}
	e.Site, e.Pattern = s.Site(e.Host)
	if e.Site == nil {
		return e, nil
	}
	e.Rule = e.Site.Rule(method, e.Path)
	e.Rules = e.verdicts()
	e.Caching = e.Site.Caching(e.Rule)
	e.Settings = e.settings()
	e.Origins = e.Site.ranks()
	return e, nil
}

func (e *Explanation) verdicts() []RuleVerdict {
	verdicts := make([]RuleVerdict, len(e.Site.Rules))
	reached := true
	for i := range e.Site.Rules {
		rule := &e.Site.Rules[i]
		if !reached {
			verdicts[i] = RuleVerdict{rule.Name, false, "not looked at: a rule before it applies"}
			continue
		}
		applies, why := rule.Match.why(e.Method, e.Path)
		verdicts[i] = RuleVerdict{rule.Name, applies, why}
		reached = !applies
	}
	return verdicts
}

// why is matches with the reason.
func (m *Match) why(method, path string) (bool, string) {
	reasons := make([]string, 0, 2)
	if len(m.Paths) > 0 {
		pattern, ok := m.pathOf(path)
		if !ok {
			return false, fmt.Sprintf("the path %s is not one of %s", path, list(m.Paths))
		}
		reasons = append(reasons, "the path matches "+string(pattern))
	}
	if len(m.Methods) > 0 {
		if !m.matches(method, path) {
			return false, fmt.Sprintf("the method %s is not one of %s", method, list(m.Methods))
		}
		reasons = append(reasons, "the method is "+method)
	}
	if len(reasons) == 0 {
		return true, "it has no conditions, so it matches every request"
	}
	return true, strings.Join(reasons, " and ")
}

func (m *Match) pathOf(path string) (PathPattern, bool) {
	for _, p := range m.Paths {
		if p.Matches(path) {
			return p, true
		}
	}
	return "", false
}

func list[T ~string](words []T) string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = string(w)
	}
	return strings.Join(all, ", ")
}

// settings lists the caching settings, with where each comes from, as Caching.lay puts them over each other.
func (e *Explanation) settings() []Setting {
	c := &e.Caching
	only := "every parameter"
	if c.QueryOnly != nil {
		only = "[" + strings.Join(c.QueryOnly, ", ") + "]"
	}
	all := []struct {
		name, value string
		given       func(*Cache) bool
	}{
		{"cache.enabled", fmt.Sprint(c.Enabled), func(c *Cache) bool { return c.Enabled != nil }},
		{"cache.key.host", fmt.Sprint(c.KeyHost), func(c *Cache) bool { return c.Key.Host != nil }},
		{"cache.key.query", string(c.Query), func(c *Cache) bool { return c.Key.Query != "" }},
		{"cache.key.query_only", only, func(c *Cache) bool { return c.Key.QueryOnly != nil }},
		{"cache.stale_if_error", c.StaleIfError.String(), func(c *Cache) bool { return c.StaleIfError != nil }},
		{"cache.stale_while_revalidate", c.StaleWhileRevalidate.String(), func(c *Cache) bool { return c.StaleWhileRevalidate != nil }},
	}
	settings := make([]Setting, len(all))
	for i, s := range all {
		from := "default"
		if s.given(&e.Site.Cache) {
			from = "site"
		}
		if e.Rule != nil && s.given(&e.Rule.Cache) {
			from = "rule " + e.Rule.Name
		}
		settings[i] = Setting{s.name, s.value, from}
	}
	return settings
}

// ranks lists the origins, those that are asked first in front.
func (s *Site) ranks() []OriginRank {
	sums := map[bool]int{}
	for i := range s.Origins {
		sums[s.Origins[i].Backup] += s.Origins[i].Weight
	}
	ranks := make([]OriginRank, 0, len(s.Origins))
	for _, backup := range []bool{false, true} {
		for i := range s.Origins {
			if o := &s.Origins[i]; o.Backup == backup {
				ranks = append(ranks, OriginRank{o.URL, backup, float64(o.Weight) / float64(sums[backup])})
			}
		}
	}
	return ranks
}
