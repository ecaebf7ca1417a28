package config

import (
	"strings"
	"testing"

	"github.com/wherry/wherry/config/spell"
)

func TestNormalPath(t *testing.T) {
	for path, want := range map[string]string{
		"/":                                      "/",
		"/internal/x":                            "/internal/x",
		"/%69nternal/x":                          "/internal/x",
		"/%2569nternal/x":                        "/internal/x",
		"//internal/x":                           "/internal/x",
		"/a/../internal/x":                       "/internal/x",
		"/./internal/x":                          "/internal/x",
		"/%2e/internal/x":                        "/internal/x",
		"/x/%2e%2e/internal/x":                   "/internal/x",
		"/x/..%2finternal/x":                     "/internal/x",
		"/internal%2Fx":                          "/internal/x",
		`/internal\\x`:                           "/internal/x",
		"/../../internal/":                       "/internal/",
		"/internal/.":                            "/internal/",
		"/internal/a/..":                         "/internal/",
		"/100%/x":                                "/100%/x",
		"/%zz/./x":                               "/%zz/x",
		"/.well-known/acme":                      "/.well-known/acme",
		"/a.b/..c/...":                           "/a.b/..c/...",
		"/%E6%97%A5":                             "/\xe6\x97\xa5",
		"/%" + strings.Repeat("25", 5000) + "41": "/A",
	} {
		if got := spell.NormalPath(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

func FuzzNormalPath(f *testing.F) {
	f.Add("/a/../b%2e%2e//c")
	f.Add("/%25%32%65")
	f.Fuzz(func(t *testing.T, path string) {
		path = "/" + path
		normal := spell.NormalPath(path)
		if again := spell.NormalPath(normal); again != normal {
			t.Errorf("%q is %q, and that is %q", path, normal, again)
		}
		if !strings.HasPrefix(normal, "/") {
			t.Errorf("%q is %q, without a slash", path, normal)
		}
		for segment := range strings.SplitSeq(normal, "/") {
			if segment == ".." {
				t.Errorf("%q is %q, with a dot segment", path, normal)
			}
		}
	})
}

func TestRulesMatchEverySpelling(t *testing.T) {
	s, problems := Parse("w.yaml", []byte(`sites: [{name: shop, hosts: [shop.test], origins: [{url: "http://127.0.0.1:9000"}],
  rules: [{name: closed, match: {paths: [/internal/*, "*.bak"]}, refuse: 403}]}]`))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	site, _ := s.Site("shop.test")
	for path, closed := range map[string]bool{
		"/internal/x": true, "/%69nternal/x": true, "//internal/x": true, "/a/../internal/x": true, "/x.b%61k": true,
		"/": false, "/internals/x": false, "/internal/../x": false,
	} {
		if got := site.Rule("GET", path) != nil; got != closed {
			t.Errorf("%s: closed is %t, want %t", path, got, closed)
		}
	}
}
