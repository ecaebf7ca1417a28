package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func parsed(t testing.TB, text string) *Snapshot {
	t.Helper()
	s, problems := Parse("wherry.yaml", []byte(text))
	if s == nil {
		t.Fatal(problems)
	}
	return s
}

func TestCanonicalHost(t *testing.T) {
	tests := []struct {
		authority string
		want      Host
	}{
		{"shop.test", "shop.test"},
		{"Shop.TEST:8080", "shop.test"},
		{"shop.test.", "shop.test"},
		{"shop.test.:443", "shop.test"},
		{"shop.test:", "shop.test"},
		{"192.0.2.1:80", "192.0.2.1"},
		{"[2001:DB8::1]:80", "2001:db8::1"},
		{"[2001:db8::1]", "2001:db8::1"},
		{"2001:db8::1", "2001:db8::1"},
		{"", ""},
		{":80", ""},
		{"[", ""},
	}
	for _, test := range tests {
		if got := CanonicalHost(test.authority); got != test.want {
			t.Errorf("CanonicalHost(%q) = %q, want %q", test.authority, got, test.want)
		}
	}
}

const threeSites = `
sites:
- {name: shop, hosts: [shop.test, "*.shop.test", 192.0.2.1], origins: [{url: "http://127.0.0.1:9000"}]}
- {name: img, hosts: ["*.img.shop.test"], origins: [{url: "http://127.0.0.1:9000"}]}
`

func TestSiteOfHost(t *testing.T) {
	tests := []struct{ host, want, wantWithRest string }{
		{"shop.test", "shop by shop.test", ""},
		{"a.shop.test", "shop by *.shop.test", ""},
		{"a.b.shop.test", "shop by *.shop.test", ""},
		{"img.shop.test", "shop by *.shop.test", ""},
		{"a.img.shop.test", "img by *.img.shop.test", ""},
		{"192.0.2.1", "shop by 192.0.2.1", ""},
		{"myshop.test", "none", "rest by *"},
		{"test", "none", "rest by *"},
		{"", "none", "rest by *"},
	}
	without := parsed(t, threeSites)
	with := parsed(t, threeSites+`- {name: rest, hosts: ["*"], origins: [{url: "http://127.0.0.1:9000"}]}`)
	who := func(s *Snapshot, host string) string {
		site, pattern := s.Site(Host(host))
		if site == nil {
			return "none" + string(pattern)
		}
		return fmt.Sprintf("%s by %s", site.Name, pattern)
	}
	for _, test := range tests {
		if got := who(without, test.host); got != test.want {
			t.Errorf("%q goes to %s, want %s", test.host, got, test.want)
		}
		if test.wantWithRest == "" {
			test.wantWithRest = test.want
		}
		if got := who(with, test.host); got != test.wantWithRest {
			t.Errorf("%q goes to %s, want %s", test.host, got, test.wantWithRest)
		}
	}
}

func TestPathPatterns(t *testing.T) {
	tests := []struct {
		pattern PathPattern
		yes, no string
	}{
		{"/login", "/login", "/login/ /Login /a/login"},
		{"/static/*", "/static/ /static/a /static/a/b", "/static /a/static/b"},
		{"/*", "/ /a", "*"},
		{"*.jpg", "/a.jpg /b/c.jpg", "/a.JPG /a.jpg/b"},
	}
	for _, test := range tests {
		for path := range strings.FieldsSeq(test.yes) {
			if !test.pattern.Matches(path) {
				t.Errorf("%s does not match %s", test.pattern, path)
			}
		}
		for path := range strings.FieldsSeq(test.no) {
			if test.pattern.Matches(path) {
				t.Errorf("%s matches %s", test.pattern, path)
			}
		}
	}
}

// TestCovers holds the search for shadowed rules to the matching itself: a pattern that covers another matches what that does.
func TestCovers(t *testing.T) {
	patterns := []PathPattern{"/*", "/a/*", "/a/b/*", "/a/b", "/a/b.jpg", "/a/x.b.jpg", "*.jpg", "*.b.jpg", "*.x"}
	paths := []string{"/", "/a/", "/a/b", "/a/b/", "/a/b/c", "/a/b.jpg", "/a/x.b.jpg", "/z.jpg", "/z.b.jpg", "/z.x"}
	for _, p := range patterns {
		for _, other := range patterns {
			every := true
			for _, path := range paths {
				every = every && (!other.Matches(path) || p.Matches(path))
			}
			if p.covers(other) != every {
				t.Errorf("%s covers %s: %t, but of the paths: %t", p, other, p.covers(other), every)
			}
		}
	}
}

func TestCachingOfRule(t *testing.T) {
	s := parsed(t, `
sites:
- name: shop
  hosts: [shop.test]
  origins: [{url: "http://127.0.0.1:9000"}]
  cache:
    key: {query: sort, query_only: [a], headers: [x-country], cookies: [lang]}
    default_ttl: 5m
    max_ttl: 1h
    negative: [{status: [404, 5xx], ttl: 10s}]
    set_cookie: strip
    stale_if_error: 1h
  rules:
  - name: assets
    match: {paths: [/static/*], methods: [GET]}
    cache:
      key: {host: true, query: keep, query_only: [], headers: [], cookies: []}
      default_ttl: 0s
      max_ttl: 0s
      negative: []
      set_cookie: store
      stale_if_error: 0s
  - {name: drop, match: {paths: [/drop]}, cache: {key: {query_drop: [utm_*]}}}
  - {name: off, match: {paths: [/off]}, cache: {enabled: false}}
`)
	site := &s.Sites[0]
	own := Caching{
		Enabled: true, KeyHost: true, Query: QuerySort, QueryOnly: []string{"a"}, Headers: []string{"X-Country"}, Cookies: []string{"lang"},
		DefaultTTL: 5 * time.Minute, MaxTTL: time.Hour, Negative: []Negative{{[]StatusPattern{"404", "5xx"}, 10 * time.Second}},
		SetCookie: SetCookieStrip, StaleIfError: time.Hour,
	}
	drop, off := own, own
	drop.QueryOnly, drop.QueryDrop = nil, []string{"utm_*"}
	off.Enabled = false
	tests := []struct {
		method, path, rule string
		want               Caching
	}{
		{"GET", "/", "", own},
		{"POST", "/static/a", "", own},
		{"GET", "/static/a", "assets", Caching{
			Enabled: true, KeyHost: true, Query: QueryKeep, QueryOnly: []string{}, Headers: []string{}, Cookies: []string{},
			Negative: []Negative{}, SetCookie: SetCookieStore,
		}},
		{"GET", "/drop", "drop", drop},
		{"PUT", "/off", "off", off},
	}
	for _, test := range tests {
		rule, name := site.Rule(test.method, test.path), ""
		if rule != nil {
			name = rule.Name
		}
		if got := site.Caching(rule); name != test.rule || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s %s: rule %q, caching %v; want %q, %v", test.method, test.path, name, got, test.rule, test.want)
		}
	}
}

func TestAliases(t *testing.T) {
	s := parsed(t, `
sites:
- name: shop
  hosts: [shop.test, "*.shop.test", img.test]
  origins: [{url: "http://127.0.0.1:9000"}]
  aliases:
  - {host: shop.test, names: [www.shop.test, "*.old.shop.test"]}
  - {host: img.old.shop.test, names: ["*.img.old.shop.test", img.test]}
- {name: all, hosts: [all.test, "*"], origins: [{url: "http://127.0.0.1:9000"}], aliases: [{host: all.test, names: ["*"]}]}
- {name: none, hosts: [none.test], origins: [{url: "http://127.0.0.1:9000"}]}
`)
	for host, want := range map[Host]Host{
		"shop.test": "shop.test", "www.shop.test": "shop.test", "a.shop.test": "a.shop.test", "a.www.shop.test": "a.www.shop.test",
		"old.shop.test": "old.shop.test", "a.old.shop.test": "shop.test", "a.b.old.shop.test": "shop.test",
		"img.old.shop.test": "img.old.shop.test", "a.img.old.shop.test": "img.old.shop.test", "img.test": "img.old.shop.test",
		"all.test": "all.test", "any.example": "all.test", "192.0.2.1": "all.test", "none.test": "none.test",
	} {
		site, _ := s.Site(host)
		if got := s.StandsFor(site, host); got != want {
			t.Errorf("%s stands for %s, want %s", host, got, want)
		}
		if again := s.StandsFor(site, want); again != want {
			t.Errorf("%s stands for %s, and that for %s", host, want, again)
		}
	}
	site := &s.Sites[0]
	if n := testing.AllocsPerRun(100, func() { s.StandsFor(site, "a.b.old.shop.test") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestDiskOfNode(t *testing.T) {
	s := parsed(t, `
disk: {volumes: [{dir: /a, size: 1GiB}]}
clusters:
- name: lisbon
  nodes:
  - {name: as-said, addresses: [192.0.2.1]}
  - {name: own, addresses: [192.0.2.2], disk: {volumes: [{dir: /b, size: 64MiB}, {dir: c, size: 2TiB}]}}
  - {name: none, addresses: [192.0.2.3], disk: {volumes: []}}
sites: [`+shop+`]`)
	for i, want := range []string{"[{/a 1GiB}]", "[{/b 64MiB} {c 2TiB}]", "[]"} {
		if got := fmt.Sprint(s.DiskAt(&s.Clusters[0].Nodes[i])); got != want {
			t.Errorf("node %d has %s, want %s", i, got, want)
		}
	}
}

func TestFiles(t *testing.T) {
	s := parsed(t, `
dns: {geo_database: geo.mmdb}
log: {access: /var/log/wherry.log}
disk: {volumes: [{dir: /var/cache/a, size: 1GiB}]}
clusters: [{name: a, nodes: [{name: a, addresses: [192.0.2.1], disk: {volumes: [{dir: b, size: 1GiB}]}}]}]
sites:
- name: shop
  hosts: [shop.test]
  origins: [{url: "http://127.0.0.1:9000"}]
  fetch: {ca_file: ca.pem}
  tls: {certificate: a.pem, key: b.pem}
`)
	want := `[{geo.mmdb geo database dns.geo_database 2 21} {/var/cache/a cache volume disk.volumes[0].dir 4 24} ` +
		`{b cache volume clusters[0].nodes[0].disk.volumes[0].dir 5 87} {/var/log/wherry.log access log log.access 3 15} ` +
		`{ca.pem ca sites[0].fetch.ca_file 10 20} {a.pem certificate sites[0].tls.certificate 11 22} {b.pem key sites[0].tls.key 11 34}]`
	if got := fmt.Sprint(s.Files()); got != want {
		t.Errorf("files:\n got %s\nwant %s", got, want)
	}
	if files := parsed(t, "log: {access: off}\nsites: ["+shop+"]").Files(); len(files) > 0 {
		t.Errorf("off is a file: %v", files)
	}
}

func TestSizeString(t *testing.T) {
	for text, size := range map[string]Size{"0": 0, "1": 1, "1500": 1500, "1KiB": 1024, "3MiB": 3 << 20, "2048TiB": 2048 << 40} {
		if got := size.String(); got != text {
			t.Errorf("%d is written %s, want %s", int64(size), got, text)
		}
	}
}
