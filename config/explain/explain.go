package explain

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/spell"
)

// Explanation says what a snapshot makes of one request.
type Explanation struct {
	Method string
	Scheme string
	Host   config.Host
	Path   string // as in the request line
	Query  string // likewise, without the question mark

	Site      *config.Site // nil if no site claims the host: then nothing below is set
	Pattern   config.HostPattern
	StandsFor config.Host   // the host that Host is another name of, or Host itself
	Rules     []RuleVerdict // all rules of the site, in order
	Rule      *config.Rule  // the one that applies, or nil
	Caching   config.Caching
	Settings  []Setting
	Origins   []OriginRank // in the order in which they are asked
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

// Request says which site, rule, settings and origins a request meets. Its error tells what is wrong with the URL.
func Request(s *config.Snapshot, method, rawURL string) (Explanation, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return Explanation{}, fmt.Errorf("explain %s: not a URL: write one such as https://shop.test/path", strconv.Quote(rawURL))
	case u.Scheme == "", u.Host == "" && u.Opaque != "": // shop.test:80/path has the form of a scheme and what it alone understands
		return Explanation{}, fmt.Errorf("explain %s: no scheme: write one such as https://shop.test/path", strconv.Quote(rawURL))
	case u.Scheme != "http" && u.Scheme != "https":
		return Explanation{}, fmt.Errorf("explain %s: the scheme has to be http or https: write one such as https://shop.test/path",
			strconv.Quote(rawURL))
	case u.Hostname() == "":
		return Explanation{}, fmt.Errorf("explain %s: no host: write one such as https://shop.test/path", strconv.Quote(rawURL))
	}
	if !regexp.MustCompile(`^[A-Z][A-Z-]*$`).MatchString(method) {
		return Explanation{}, fmt.Errorf("explain: %q is not a method: write %s", method, cmp.Or(regexp.MustCompile(`[^A-Z-]+`).ReplaceAllString(strings.ToUpper(method), ""), "GET"))
	}
	e := Explanation{Method: method, Scheme: u.Scheme, Host: config.CanonicalHost(u.Host), Path: u.EscapedPath(), Query: u.RawQuery}
	if e.Path == "" {
		e.Path = "/" // RFC 9110 §4.2.3
	}
	e.Site, e.Pattern = s.Site(e.Host)
	if e.Site == nil {
		return e, nil
	}
	e.StandsFor = s.StandsFor(e.Site, e.Host)
	e.Rule = e.Site.Rule(method, e.Path)
	e.Rules = e.verdicts()
	e.Caching = e.Site.Caching(e.Rule)
	e.Settings = e.settings()
	e.Origins = ranks(e.Site)
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
		applies, why := why(&rule.Match, e.Method, spell.NormalPath(e.Path))
		verdicts[i] = RuleVerdict{rule.Name, applies, why}
		reached = !applies
	}
	return verdicts
}

// why says whether a condition holds for a method and a path in its normal form, and why.
func why(m *config.Match, method, path string) (bool, string) {
	reasons := make([]string, 0, 2)
	if len(m.Paths) > 0 {
		pattern, ok := patternOf(m, path)
		if !ok {
			return false, fmt.Sprintf("the path %s is not one of %s", path, list(m.Paths))
		}
		reasons = append(reasons, "the path matches "+string(pattern))
	}
	if len(m.Methods) > 0 {
		if !slices.Contains(m.Methods, method) {
			return false, fmt.Sprintf("the method %s is not one of %s", method, list(m.Methods))
		}
		reasons = append(reasons, "the method is "+method)
	}
	if len(reasons) == 0 {
		return true, "it has no conditions, so it matches every request"
	}
	return true, strings.Join(reasons, " and ")
}

func patternOf(m *config.Match, path string) (config.PathPattern, bool) {
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

// ranks lists the origins, those that are asked first in front.
func ranks(s *config.Site) []OriginRank {
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
