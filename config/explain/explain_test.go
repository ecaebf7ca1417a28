package explain

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wherry/wherry/config"
)

func parsed(t *testing.T, text string) *config.Snapshot {
	t.Helper()
	s, problems := config.Parse("wherry.yaml", []byte(text))
	if s == nil {
		t.Fatal(problems)
	}
	return s
}

const explained = `
sites:
- name: shop
  hosts: [shop.test, "*.shop.test"]
  aliases: [{host: shop.test, names: [www.shop.test]}]
  origins:
  - {url: "http://c.internal", backup: true}
  - {url: "http://a.internal", weight: 3}
  - {url: "http://b.internal"}
  cache: {key: {query: sort}, stale_if_error: 1h}
  rules:
  - {name: writes, match: {methods: [POST, PUT]}, cache: {enabled: false}}
  - {name: assets, match: {paths: [/static/*, "*.jpg"], methods: [GET, HEAD]}, cache: {key: {query: drop}}}
  - name: set
    match: {paths: [/set/*]}
    cache:
      key: {query_drop: [utm_*], headers: [x-country, accept-language], cookies: []}
      default_ttl: 5m
      max_ttl: 1h
      negative: [{status: [404, 410], ttl: 10s}, {status: [5xx], ttl: 1s}]
      set_cookie: strip
  - {name: rest, match: {}, cache: {stale_if_error: 5m}}
  - {name: never, match: {paths: [/never]}}
`

func TestExplain(t *testing.T) {
	s := parsed(t, explained)
	tests := []struct {
		method, url string
		want        []string
	}{
		{"GET", "https://A.shop.test:8443/static/a%2Fb?x=1", []string{
			"site shop by *.shop.test", "path /static/a%2Fb query x=1",
			"writes false: the method GET is not one of POST, PUT",
			"assets true: the path matches /static/* and the method is GET",
			"rest false: not looked at: a rule before it applies",
			"cache.enabled true from default", "cache.key.query drop from rule assets", "cache.stale_if_error 1h0m0s from site",
			"http://a.internal backup=false 75%", "http://b.internal backup=false 25%", "http://c.internal backup=true 100%",
		}},
		{"GET", "http://shop.test", []string{
			"site shop by shop.test", "path / query ",
			"assets false: the path / is not one of /static/*, *.jpg",
			"rest true: it has no conditions, so it matches every request",
			"cache.key.query sort from site", "cache.stale_if_error 5m0s from rule rest",
			"cache.key.query_only every parameter from default", "cache.key.query_drop no parameter from default",
			"cache.key.headers those in Vary from default", "cache.key.cookies all where Vary says so from default",
			"cache.default_ttl by Last-Modified from default", "cache.max_ttl no limit from default", "cache.negative none from default",
			"cache.set_cookie store from default",
		}},
		{"GET", "http://shop.test/set/./x", []string{
			"set true: the path matches /set/*",
			"cache.key.query_only every parameter from rule set", "cache.key.query_drop [utm_*] from rule set",
			"cache.key.headers [X-Country, Accept-Language] from rule set", "cache.key.cookies [] from rule set",
			"cache.default_ttl 5m0s from rule set", "cache.max_ttl 1h0m0s from rule set",
			"cache.negative 404, 410 for 10s; 5xx for 1s from rule set", "cache.set_cookie strip from rule set",
		}},
		{"GET", "http://www.shop.test/", []string{"site shop by *.shop.test, stands for shop.test"}},
		{"DELETE", "http://shop.test/a.jpg", []string{
			"assets false: the method DELETE is not one of GET, HEAD", "rest true",
		}},
		{"POST", "http://shop.test/a.jpg", []string{"writes true: the method is POST", "cache.enabled false from rule writes"}},
		{"GET", "http://other.test/", []string{"no site"}},
	}
	for _, test := range tests {
		e, err := Request(s, test.method, test.url)
		if err != nil {
			t.Errorf("%s %s: %v", test.method, test.url, err)
			continue
		}
		text := render(e)
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s %s: no %q in:\n%s", test.method, test.url, want, text)
			}
		}
	}
}

func render(e Explanation) string {
	if e.Site == nil {
		return "no site"
	}
	text := fmt.Sprintf("site %s by %s, stands for %s\npath %s query %s\n", e.Site.Name, e.Pattern, e.StandsFor, e.Path, e.Query)
	for _, r := range e.Rules {
		text += fmt.Sprintf("%s %t: %s\n", r.Name, r.Applies, r.Why)
	}
	for _, s := range e.Settings {
		text += fmt.Sprintf("%s %s from %s\n", s.Name, s.Value, s.From)
	}
	for _, o := range e.Origins {
		text += fmt.Sprintf("%s backup=%t %.0f%%\n", o.URL, o.Backup, 100*o.Share)
	}
	return text
}

func TestExplainRefusesWhatIsNoURL(t *testing.T) {
	s := parsed(t, explained)
	for _, test := range []struct{ method, url, want string }{
		{"GET", "shop.test/a", "no scheme"},
		{"GET", "shop.test:80/a", "no scheme"},
		{"GET", "shop.test/?to=http://a/", "no scheme"},
		{"GET", "ftp://shop.test/a", "the scheme has to be http or https"},
		{"GET", "http:///a", "no host"},
		{"GET", "http://[/", "not a URL"},
		{"get", "http://shop.test/", "write GET"},
	} {
		if _, err := Request(s, test.method, test.url); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: %v, want %q", test.method, test.url, err, test.want)
		}
	}
}
