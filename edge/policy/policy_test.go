package policy

import (
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/config"
)

func parse(t testing.TB, yaml string) *config.Snapshot {
	t.Helper()
	s, problems := config.Parse("test.yaml", []byte(yaml))
	if s == nil {
		t.Fatal(problems)
	}
	return s
}

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
  - name: all
    match: {paths: ["/all"]}
    cache:
      key: {query_drop: [utm_*], headers: [x-country], cookies: []}
      default_ttl: 5m
      max_ttl: 1h
      negative: [{status: [404, 503], ttl: 10s}, {status: [5xx], ttl: 1s}]
      set_cookie: strip
- {name: blog, hosts: [blog.test, www.blog.test], origins: [{url: "http://127.0.0.1:9000"}], aliases: [{host: blog.test, names: [www.blog.test]}]}
- {name: private, hosts: [private.test], origins: [{url: "http://127.0.0.1:9000"}], cache: {enabled: false}}`

func TestKeyFor(t *testing.T) {
	s := parse(t, policyYAML)
	for _, test := range []struct {
		method, url      string
		key              store.Key
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
		{url: "http://shop.test/all?utm_x=1&a=2", key: "shop http://shop.test/all?a=2", site: "shop", rule: "all", pattern: "shop.test"},
		{url: "http://www.blog.test/a", key: "blog http://blog.test/a", site: "blog", pattern: "www.blog.test"},
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

// TestPolicyIsWhatTheConfigurationSays follows every caching setting into the policy.
func TestPolicyIsWhatTheConfigurationSays(t *testing.T) {
	m, err := KeyFor(parse(t, policyYAML), http.MethodGet, "http://shop.test/all")
	if err != nil {
		t.Fatal(err)
	}
	keys := store.KeyPolicy{
		Site: "shop", SortQuery: true, ExceptQuery: []string{"utm_*"}, Headers: []string{"X-Country"}, Cookies: []string{},
	}
	if !reflect.DeepEqual(*m.Policy.Keys, keys) {
		t.Errorf("keys %+v, want %+v", *m.Policy.Keys, keys)
	}
	says := store.Defaults{
		TTL: 5 * time.Minute, MaxTTL: time.Hour, SetCookie: store.StripCookie,
		Negative: []store.Negative{{Statuses: []int{404, 503}, TTL: 10 * time.Second}, {Server: true, TTL: time.Second}},
	}
	if !reflect.DeepEqual(*m.Policy.Defaults, says) {
		t.Errorf("defaults %+v, want %+v", *m.Policy.Defaults, says)
	}
}
