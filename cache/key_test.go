package cache

import "testing"

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

// TestTheOriginSeesTheKeyedQuery: what isn't in the key must not shape the copy that others get.
func TestTheOriginSeesTheKeyedQuery(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60"), func(w *world) {
		w.policy.Keys = &KeyPolicy{Site: "shop", OnlyQuery: []string{"id"}}
		w.get("/a?utm=evil&id=1")
		if got := w.up.request(0).URL.RawQuery; got != "id=1" {
			t.Errorf("the origin was asked with %q", got)
		}
		w.expect(w.get("/a?id=1&utm=other"), Hit, 200, "1")
		w.policy.Bypass = "rule"
		w.get("/a?utm=evil&id=1")
		if got := w.up.request(1).URL.RawQuery; got != "utm=evil&id=1" {
			t.Errorf("forwarded with %q, want it as sent", got)
		}
	})
}
