package cache

import (
	"net/http"
	"testing"
	"time"

	"github.com/wherry/wherry/cache/store"
)

// TestTheOriginSeesTheKeyedQuery: what isn't in the key must not shape the copy that others get.
func TestTheOriginSeesTheKeyedQuery(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60"), func(w *world) {
		w.policy.Keys = &store.KeyPolicy{Site: "shop", OnlyQuery: []string{"id"}}
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
		w.policy.Keys = &store.KeyPolicy{Site: "shop", ExceptQuery: []string{"utm_*"}, Cookies: []string{"lang", "cur"}}
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
		w.policy.Keys = &store.KeyPolicy{Site: "shop", Cookies: []string{}}
		w.expect(w.get("/", "Cookie", "a=1"), Miss, 200, "1")
		w.expect(w.get("/", "Cookie", "a=2"), Hit, 200, "1")
		w.expect(w.get("/"), Hit, 200, "1")
		if got := w.up.request(0).Header["Cookie"]; got != nil {
			t.Errorf("the origin got the cookies %q", got)
		}
		w.policy.Keys = &store.KeyPolicy{Site: "shop"} // a reload: what was stored without cookies isn't for those who have some
		w.expect(w.get("/", "Cookie", "a=2"), Miss, 200, "2")
		w.expect(w.get("/", "Cookie", "a=2"), Hit, 200, "2")
	})
}

func TestKeyedHeaders(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=60"), func(w *world) {
		w.expect(w.get("/", "X-Country", "pt"), Miss, 200, "1")
		w.policy.Keys = &store.KeyPolicy{Site: "shop", Headers: []string{"Accept-Language", "X-Country"}} // a reload
		w.expect(w.get("/", "X-Country", "pt"), Miss, 200, "2")
		w.expect(w.get("/", "X-Country", "pt"), Hit, 200, "2")
		w.expect(w.get("/", "X-Country", "pt", "Accept-Language", "en, de;q=0.50"), Miss, 200, "3")
		w.expect(w.get("/", "X-Country", "pt", "Accept-Language", "de;q=0.5,EN;q=1.0"), Hit, 200, "3")
		w.expect(w.get("/", "X-Country", "jp"), Miss, 200, "4")
		w.expect(w.get("/"), Miss, 200, "5")
		if n := w.purge("shop http://shop.test/"); n != 5 {
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
		w.policy.Keys = &store.KeyPolicy{Site: "shop", Headers: []string{"X-Country"}}
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
