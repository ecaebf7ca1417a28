package store

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/wherry/wherry/cache/field"
)

func TestNewKey(t *testing.T) {
	for _, c := range []struct {
		name              string
		policy            KeyPolicy
		host, path, query string
		want              Key
	}{
		{"RFC 9111 §2: the target URI", KeyPolicy{}, "a.test", "/p", "b=2&a=1", "shop https://a.test/p?b=2&a=1"},
		{"RFC 9110 §4.2.3: an empty path is /", KeyPolicy{}, "a.test", "", "", "shop https://a.test/"},
		{"an empty query is none", KeyPolicy{}, "a.test", "/p", "", "shop https://a.test/p"},
		{
			"RFC 3986 §2.2: what the origin may tell apart stays apart",
			KeyPolicy{},
			"a.test", "/a%2fb", "", "shop https://a.test/a%2fb",
		},
		{"IgnoreHost", KeyPolicy{IgnoreHost: true}, "a.test", "/p", "", "shop https://*/p"},
		{"DropQuery", KeyPolicy{DropQuery: true}, "a.test", "/p", "a=1", "shop https://a.test/p"},
		{
			"DropQuery before all else",
			KeyPolicy{DropQuery: true, OnlyQuery: []string{"a"}},
			"a.test", "/p", "a=1", "shop https://a.test/p",
		},
		{"SortQuery", KeyPolicy{SortQuery: true}, "a.test", "/p", "b=2&a=1", "shop https://a.test/p?a=1&b=2"},
		{
			"SortQuery keeps the order of one name's values",
			KeyPolicy{SortQuery: true},
			"a.test", "/p", "b=2&a=9&b=1", "shop https://a.test/p?a=9&b=2&b=1",
		},
		{"OnlyQuery", KeyPolicy{OnlyQuery: []string{"a", "c"}}, "a.test", "/p", "b=2&c=3&a=1", "shop https://a.test/p?c=3&a=1"},
		{
			"OnlyQuery and SortQuery",
			KeyPolicy{OnlyQuery: []string{"a", "c"}, SortQuery: true},
			"a.test", "/p", "b=2&c=3&a=1", "shop https://a.test/p?a=1&c=3",
		},
		{"OnlyQuery of nothing", KeyPolicy{OnlyQuery: []string{}}, "a.test", "/p", "a=1", "shop https://a.test/p"},
		{
			"OnlyQuery by the decoded name",
			KeyPolicy{OnlyQuery: []string{"a b"}},
			"a.test", "/p", "a+b=1&a%20b=2&ab=3", "shop https://a.test/p?a+b=1&a%20b=2",
		},
		{"OnlyQuery without values", KeyPolicy{OnlyQuery: []string{"a"}}, "a.test", "/p", "a&b", "shop https://a.test/p?a"},
		{
			"OnlyQuery and a broken escape",
			KeyPolicy{OnlyQuery: []string{"a%zz"}},
			"a.test", "/p", "a%zz=1&b=2", "shop https://a.test/p?a%zz=1",
		},
		{
			"ExceptQuery",
			KeyPolicy{ExceptQuery: []string{"utm_*", "b"}},
			"a.test", "/p", "utm_source=x&c=3&b=2&a=1&utm%5Fx=1&bb=1&utm", "shop https://a.test/p?c=3&a=1&bb=1&utm",
		},
		{"ExceptQuery of all", KeyPolicy{ExceptQuery: []string{"a"}}, "a.test", "/p", "a=1&a", "shop https://a.test/p"},
		{"ExceptQuery keeps what is empty", KeyPolicy{ExceptQuery: []string{"a"}}, "a.test", "/p", "&b&&", "shop https://a.test/p?&b&&"},
		{
			"ExceptQuery and SortQuery",
			KeyPolicy{ExceptQuery: []string{"b"}, SortQuery: true},
			"a.test", "/p", "c=1&b=2&a=3", "shop https://a.test/p?a=3&c=1",
		},
	} {
		c.policy.Site = "shop"
		if got := NewKey(&c.policy, "https", c.host, c.path, c.query); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if got := string(AppendKey([]byte("x"), &c.policy, "https", c.host, c.path, c.query)); got != "x"+string(c.want) {
			t.Errorf("%s: appended %q, want %q", c.name, got, c.want)
		}
	}
}

func TestNewKeyTellsApart(t *testing.T) {
	seen := map[Key]string{}
	for _, k := range []struct{ site, scheme, host, path, query string }{
		{"a", "http", "h", "/", ""},
		{"b", "http", "h", "/", ""},
		{"a", "https", "h", "/", ""},
		{"a", "http", "g", "/", ""},
		{"a", "http", "h", "/p", ""},
		{"a", "http", "h", "/", "p"},
		{"a", "http", "h", "/%3Fp", ""},
		{"a", "http", "h", "//", ""},
		{"a", "http", "h", "/", "a=1&b=2"},
		{"a", "http", "h", "/", "b=2&a=1"},
		{"a", "http", "h", "/P", ""},
	} {
		key := NewKey(&KeyPolicy{Site: k.site}, k.scheme, k.host, k.path, k.query)
		if other, ok := seen[key]; ok {
			t.Errorf("%+v has the key %q of %s", k, key, other)
		}
		seen[key] = k.path + "?" + k.query
	}
}

// TestLookUpByPartsDoesNotAllocate is about the hit path: a look-up under a policy with everything in it.
func TestLookUpByPartsDoesNotAllocate(t *testing.T) {
	p := &KeyPolicy{
		Site: "shop", SortQuery: true, ExceptQuery: []string{"utm_*"}, Headers: []string{"Accept-Language", "X-Country"},
		Cookies: []string{"lang", "cur"},
	}
	then := fields("Accept-Language", "en-GB, en;q=0.9, de;q=0.80", "X-Country", "pt", "Cookie", "id=7; lang=en; cur=eur")
	stored := []*Response{{Varies: p.varies([]string{"Cookie, Accept-Encoding"}, then)}}
	now := field.Header(fields("Accept-Language", "de;q=0.8, EN-gb,en; q=0.9", "X-Country", "pt", "Cookie", "cur=eur; lang=en"))
	var key []byte
	var found *Response
	n := testing.AllocsPerRun(100, func() {
		key = AppendKey(key[:0], p, "https", "shop.test", "/p", "z=1&utm_source=x&a=2&utm_medium=y&page=3")
		found = Select(stored, p, now)
	})
	if found == nil || string(key) != "shop https://shop.test/p?a=2&page=3&z=1" {
		t.Errorf("found %v under %q", found, key)
	}
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzKey(f *testing.F) {
	f.Add("a=1&b=2&utm_x=3", "a", "utm_*", true)
	f.Add("b=2&a=1&b=1&&=&a+b=%zz", "a b", "%zz*", false)
	f.Add("", "", "*", true)
	f.Fuzz(func(t *testing.T, query, only, except string, sort bool) {
		if len(query) > 4<<10 {
			return
		}
		for _, p := range []*KeyPolicy{
			{Site: "s", SortQuery: sort},
			{Site: "s", SortQuery: sort, OnlyQuery: []string{only}},
			{Site: "s", SortQuery: sort, ExceptQuery: []string{except, only}},
			{Site: "s", SortQuery: sort, DropQuery: true},
		} {
			key := NewKey(p, "http", "h", "/p", query)
			if appended := string(AppendKey([]byte("x"), p, "http", "h", "/p", query)); appended != "x"+string(key) {
				t.Errorf("%+v: %q, but appended %q", p, key, appended)
			}
			sent := p.Query(query)
			if again := NewKey(p, "http", "h", "/p", sent); again != key {
				t.Errorf("%+v: %q is asked with %q, whose own key is %q", p, key, sent, again)
			}
			if want := Key("s http://h/p"); sent != "" {
				if want += Key("?" + sent); key != want {
					t.Errorf("%+v: %q is asked with %q", p, key, sent)
				}
			} else if key != want {
				t.Errorf("%+v: %q is asked without a query", p, key)
			}
			if p.ExceptQuery == nil {
				continue
			}
			name := strings.TrimSuffix(except, "*")
			if dropped := url.QueryEscape(name) + "=evil"; NewKey(p, "http", "h", "/p", dropped+"&"+query) != key && query != "" {
				t.Errorf("%+v: %q changes the key of %q", p, dropped, query)
			}
		}
	})
}

func FuzzCookies(f *testing.F) {
	f.Add("lang=en; id=7", "id=8;lang=en", "lang", "cur")
	f.Add("lang; =; lang==;lang = en ", "\tlang=en;", "lang", "l")
	f.Fuzz(func(t *testing.T, then, now, one, other string) {
		if strings.ContainsAny(then+now, "\x00\r\n") || strings.ContainsAny(one+other, "=; \t\x00") || one == "" || other == "" || one == other {
			return // net/http and config let none of them in
		}
		p := &KeyPolicy{Cookies: []string{one, other}}
		a, b := http.Header{"Cookie": {then}}, http.Header{"Cookie": {now}}
		v := p.varies([]string{"Cookie"}, a)
		if !p.Selects(&v, field.Header(a)) {
			t.Errorf("%q doesn't select its own response", then)
		}
		same := v.matches(field.Header(b))
		if same != (v.Secondary(a) == v.Secondary(b)) {
			t.Errorf("%q and %q: match %t, but not their secondary keys", then, now, same)
		}
		p.leaveCounted(a)
		p.leaveCounted(b)
		if sent := slices.Equal(a["Cookie"], b["Cookie"]); sent != same {
			t.Errorf("%q and %q: match %t, and the origin gets %q and %q", then, now, same, a["Cookie"], b["Cookie"])
		}
		if !v.matches(field.Header(a)) {
			t.Errorf("%q goes to the origin as %q, which is another response", then, a["Cookie"])
		}
	})
}

func BenchmarkNewKey(b *testing.B) {
	for name, p := range map[string]*KeyPolicy{
		"plain":  {Site: "shop"},
		"sorted": {Site: "shop", SortQuery: true},
		"only":   {Site: "shop", OnlyQuery: []string{"page", "size"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				NewKey(p, "https", "shop.test", "/products/shoes", "size=41&page=2&utm_source=mail")
			}
		})
	}
}
