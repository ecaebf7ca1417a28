package config

import (
	"fmt"
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
  cache: {key: {query: sort, query_only: [a]}, stale_if_error: 1h}
  rules:
  - name: assets
    match: {paths: [/static/*], methods: [GET]}
    cache: {key: {host: true, query: keep, query_only: []}, stale_if_error: 0s}
  - {name: off, match: {paths: [/off]}, cache: {enabled: false}}
`)
	site := &s.Sites[0]
	tests := []struct {
		method, path, rule string
		want               Caching
	}{
		{"GET", "/", "", Caching{true, true, QuerySort, []string{"a"}, time.Hour, 0}},
		{"POST", "/static/a", "", Caching{true, true, QuerySort, []string{"a"}, time.Hour, 0}},
		{"GET", "/static/a", "assets", Caching{true, true, QueryKeep, []string{}, 0, 0}},
		{"PUT", "/off", "off", Caching{false, true, QuerySort, []string{"a"}, time.Hour, 0}},
	}
	for _, test := range tests {
		rule, name := site.Rule(test.method, test.path), ""
		if rule != nil {
			name = rule.Name
		}
		if got := fmt.Sprint(site.Caching(rule)); name != test.rule || got != fmt.Sprint(test.want) {
			t.Errorf("%s %s: rule %q, caching %s; want %q, %v", test.method, test.path, name, got, test.rule, test.want)
		}
	}
}

func TestFiles(t *testing.T) {
	s := parsed(t, `
dns: {geo_database: geo.mmdb}
log: {access: /var/log/wherry.log}
sites:
- name: shop
  hosts: [shop.test]
  origins: [{url: "http://127.0.0.1:9000"}]
  fetch: {ca_file: ca.pem}
  tls: {certificate: a.pem, key: b.pem}
`)
	want := `[{geo.mmdb geo database dns.geo_database 2 21} {/var/log/wherry.log access log log.access 3 15} ` +
		`{ca.pem ca sites[0].fetch.ca_file 8 20} {a.pem certificate sites[0].tls.certificate 9 22} {b.pem key sites[0].tls.key 9 34}]`
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
