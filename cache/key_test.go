package cache

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
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

// TestTheOriginSeesTheKeyedCookies: likewise for cookies, also where a HEAD freshens what is stored.
func TestTheOriginSeesTheKeyedCookies(t *testing.T) {
	handler := counted("Cache-Control", "max-age=60", "Vary", "Cookie", "Content-Type", "text/plain")
	bubble(t, handler, func(w *world) {
		w.policy.Keys = &KeyPolicy{Site: "shop", ExceptQuery: []string{"utm_*"}, Cookies: []string{"lang", "cur"}}
		w.get("/?utm_x=1", "Cookie", "id=7; cur=eur; lang=en; x", "Cookie", "lang=de")
		if got := w.up.request(0).Header.Get("Cookie"); got != "lang=en; lang=de; cur=eur" {
			t.Errorf("the origin got the cookies %q", got)
		}
		w.expect(w.get("/", "Cookie", "lang=en; lang=de; cur=eur; id=8"), Hit, 200, "1")
		w.expect(w.get("/", "Cookie", "cur=eur;lang = en;lang=de"), Hit, 200, "1")
		w.expect(w.get("/", "Cookie", "cur=eur; lang=de; lang=en"), Miss, 200, "2")
		w.expect(w.get("/", "Cookie", "id=9"), Miss, 200, "3")
		if got := w.up.request(2).Header["Cookie"]; got != nil {
			t.Errorf("the origin got the cookies %q", got)
		}
		w.expect(w.get("/"), Hit, 200, "3")
		w.expect(w.do(http.MethodHead, "/", "Cookie", "id=9", "Cache-Control", "no-cache"), Miss, 200, "")
		if got := w.up.request(3).Header["Cookie"]; got != nil {
			t.Errorf("the origin got the cookies %q with HEAD", got)
		}
		w.policy.Bypass = "rule"
		w.get("/?utm_x=1", "Cookie", "id=7")
		if r := w.up.request(4); r.Header.Get("Cookie") != "id=7" || r.URL.RawQuery != "utm_x=1" {
			t.Errorf("forwarded with %q and %q, want both as sent", r.Header["Cookie"], r.URL.RawQuery)
		}
	})
}

func TestNoCookieCounts(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60", "Vary", "Cookie"), func(w *world) {
		w.policy.Keys = &KeyPolicy{Site: "shop", Cookies: []string{}}
		w.expect(w.get("/", "Cookie", "a=1"), Miss, 200, "1")
		w.expect(w.get("/", "Cookie", "a=2"), Hit, 200, "1")
		w.expect(w.get("/"), Hit, 200, "1")
		if got := w.up.request(0).Header["Cookie"]; got != nil {
			t.Errorf("the origin got the cookies %q", got)
		}
		w.policy.Keys = &KeyPolicy{Site: "shop"} // a reload: what was stored without cookies isn't for those who have some
		w.expect(w.get("/", "Cookie", "a=2"), Miss, 200, "2")
		w.expect(w.get("/", "Cookie", "a=2"), Hit, 200, "2")
	})
}

func TestKeyedHeaders(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60"), func(w *world) {
		w.expect(w.get("/", "X-Country", "pt"), Miss, 200, "1")
		w.policy.Keys = &KeyPolicy{Site: "shop", Headers: []string{"Accept-Language", "X-Country"}} // a reload
		w.expect(w.get("/", "X-Country", "pt"), Miss, 200, "2")
		w.expect(w.get("/", "X-Country", "pt"), Hit, 200, "2")
		w.expect(w.get("/", "X-Country", "pt", "Accept-Language", "en, de;q=0.50"), Miss, 200, "3")
		w.expect(w.get("/", "X-Country", "pt", "Accept-Language", "de;q=0.5,EN;q=1.0"), Hit, 200, "3")
		w.expect(w.get("/", "X-Country", "jp"), Miss, 200, "4")
		w.expect(w.get("/"), Miss, 200, "5")
		if n := w.cache.Purge("shop http://shop.test/"); n != 5 {
			t.Errorf("purged %d responses, want all that stand under the key", n)
		}
	})
}

// TestKeyedRequestsDoNotWaitForEachOther: which fetch a request may share is known before the first response is there.
func TestKeyedRequestsDoNotWaitForEachOther(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Second)
		answer(w, 200, r.Header.Get("X-Country"), "Cache-Control", "max-age=60")
	}
	bubble(t, handler, func(w *world) {
		w.policy.Keys = &KeyPolicy{Site: "shop", Headers: []string{"X-Country"}}
		began := time.Now()
		pt, jp, also := w.begin("/", "X-Country", "pt"), w.begin("/", "X-Country", "jp"), w.begin("/", "X-Country", "pt")
		w.expect(pt.wait(), Miss, 200, "pt")
		w.expect(jp.wait(), Miss, 200, "jp")
		w.expect(also.wait(), Collapsed, 200, "pt")
		if took := time.Since(began); took != time.Second {
			t.Errorf("the three took %v", took)
		}
		w.expectSeen(2)
	})
}

// TestLookUpByPartsDoesNotAllocate is about the hit path: a look-up under a policy with everything in it.
func TestLookUpByPartsDoesNotAllocate(t *testing.T) {
	p := &KeyPolicy{
		Site: "shop", SortQuery: true, ExceptQuery: []string{"utm_*"}, Headers: []string{"Accept-Language", "X-Country"},
		Cookies: []string{"lang", "cur"},
	}
	then := fields("Accept-Language", "en-GB, en;q=0.9, de;q=0.80", "X-Country", "pt", "Cookie", "id=7; lang=en; cur=eur")
	stored := []*Response{{varies: p.varies([]string{"Cookie, Accept-Encoding"}, then)}}
	now := headerFields(fields("Accept-Language", "de;q=0.8, EN-gb,en; q=0.9", "X-Country", "pt", "Cookie", "cur=eur; lang=en"))
	var key []byte
	var found *Response
	n := testing.AllocsPerRun(100, func() {
		key = AppendKey(key[:0], p, "https", "shop.test", "/p", "z=1&utm_source=x&a=2&utm_medium=y&page=3")
		found = selectStored(stored, p, now)
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
			sent := p.query(query)
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
		if !p.selects(&v, headerFields(a)) {
			t.Errorf("%q doesn't select its own response", then)
		}
		same := v.matches(headerFields(b))
		if same != (v.secondary(a) == v.secondary(b)) {
			t.Errorf("%q and %q: match %t, but not their secondary keys", then, now, same)
		}
		p.leaveCounted(a)
		p.leaveCounted(b)
		if sent := slices.Equal(a["Cookie"], b["Cookie"]); sent != same {
			t.Errorf("%q and %q: match %t, and the origin gets %q and %q", then, now, same, a["Cookie"], b["Cookie"])
		}
		if !v.matches(headerFields(a)) {
			t.Errorf("%q goes to the origin as %q, which is another response", then, a["Cookie"])
		}
	})
}
