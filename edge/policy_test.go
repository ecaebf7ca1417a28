package edge

import (
	"net/http"
	"slices"
	"testing"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/config"
)

const policyYAML = `
sites:
- name: shop
  hosts: [shop.test, "*.shop.test"]
  origins: [{url: "http://127.0.0.1:9000"}]
  cache: {key: {query: sort}}
  rules:
  - {name: posts, match: {methods: [POST]}, cache: {enabled: false}}
  - {name: static, match: {paths: ["/static/*"]}, cache: {key: {host: false, query: drop}}}
  - {name: head, match: {methods: [HEAD], paths: ["/h"]}, cache: {key: {query: drop}}}
  - {name: search, match: {paths: ["/search"]}, cache: {key: {query: keep, query_only: [q]}}}
- {name: private, hosts: [private.test], origins: [{url: "http://127.0.0.1:9000"}], cache: {enabled: false}}`

func TestKeyFor(t *testing.T) {
	s := parse(t, policyYAML)
	for _, test := range []struct {
		method, url      string
		key              cache.Key
		site, rule, pass string
		pattern          config.HostPattern
		problem          bool
	}{
		{url: "http://shop.test", key: "shop http://shop.test/", site: "shop", pattern: "shop.test"},
		{url: "http://SHOP.test:8080/?b=1&a=2#top", key: "shop http://shop.test/?a=2&b=1", site: "shop", pattern: "shop.test"},
		{url: "https://a.shop.test/x%2Fy/%7E", key: "shop https://a.shop.test/x%2Fy/%7E", site: "shop", pattern: "*.shop.test"},
		{url: "http://a.shop.test/static/x.css?v=1", key: "shop http://*/static/x.css", site: "shop", rule: "static", pattern: "*.shop.test"},
		{url: "http://shop.test/search?q=1&utm=2", key: "shop http://shop.test/search?q=1", site: "shop", rule: "search", pattern: "shop.test"},
		{
			method: "POST", url: "http://shop.test/a", key: "shop http://shop.test/a", site: "shop", rule: "posts", pass: "rule posts",
			pattern: "shop.test",
		},
		{url: "http://private.test/a", key: "private http://private.test/a", site: "private", pass: "site private", pattern: "private.test"},
		{url: "http://nobody.test/", problem: true},
		{url: "shop.test/a", problem: true},
		{url: "ftp://shop.test/a", problem: true},
		{url: "http://u@shop.test/a", problem: true},
		{url: "http:///a", problem: true},
		{url: "http://shop.test/%zz", problem: true},
	} {
		if test.method == "" {
			test.method = http.MethodGet
		}
		m, err := KeyFor(s, test.method, test.url)
		if err != nil {
			if !test.problem {
				t.Errorf("%s: %v", test.url, err)
			}
			continue
		}
		rule := ""
		if m.Rule != nil {
			rule = m.Rule.Name
		}
		if test.problem || m.Key != test.key || string(m.Site.Name) != test.site || rule != test.rule ||
			m.Policy.Bypass != test.pass || m.Pattern != test.pattern {
			t.Errorf("%s %s: %q of %s by %s, rule %q, bypass %q", test.method, test.url, m.Key, m.Site.Name, m.Pattern, rule, m.Policy.Bypass)
		}
	}
}

// purging is a cache that holds one response under each key that it is asked to purge.
type purging struct {
	cacheFunc
	keys []cache.Key
}

func (p *purging) Purge(k cache.Key) int {
	p.keys = append(p.keys, k)
	return 1
}

func TestPurge(t *testing.T) {
	e := start(t, nodeOptions{yaml: policyYAML}).Edge
	for _, test := range []struct {
		url  string
		keys []cache.Key
	}{
		{"https://shop.test/a?b=1&a=2", []cache.Key{"shop http://shop.test/a?a=2&b=1", "shop https://shop.test/a?a=2&b=1"}},
		{"http://a.shop.test/static/x?v=1", []cache.Key{"shop http://*/static/x", "shop https://*/static/x"}},
		{"http://shop.test/h?x", []cache.Key{
			"shop http://shop.test/h?x", "shop http://shop.test/h", "shop https://shop.test/h?x", "shop https://shop.test/h",
		}},
		{"http://nobody.test/", nil},
		{"shop.test/a", nil},
	} {
		c := &purging{}
		e.cache = c
		n, err := e.Purge(test.url)
		if (err != nil) != (test.keys == nil) || n != len(test.keys) || !slices.Equal(c.keys, test.keys) {
			t.Errorf("%s: purged %d, %v: %q", test.url, n, err, c.keys)
		}
	}
}
