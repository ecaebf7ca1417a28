package cache

import (
	"net/http"
	"testing"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/purges"
	"github.com/wherry/wherry/cache/store"
)

func TestDecide(t *testing.T) {
	cc := func(s string) http.Header { return fields("Cache-Control", s) }
	site := &Policy{StaleWhileRevalidate: 20 * time.Second, StaleIfError: 20 * time.Second}
	for _, c := range []struct {
		name   string
		stored http.Header // nil: none
		policy *Policy     // nil: the site allows nothing
		req    string
		age    time.Duration
		want   reuse
		fwd    string
	}{
		{"RFC 9111 §4.2: younger than its lifetime", cc("max-age=60"), nil, "", 59 * time.Second, reuseFresh, ""},
		{"RFC 9111 §4.2: as old as its lifetime", cc("max-age=60"), nil, "", 60 * time.Second, reuseValidate, "stale"},
		{"RFC 9211 §2.2: nothing stored", nil, nil, "", 0, reuseNone, "uri-miss"},

		{"RFC 9111 §5.2.2.4: no-cache", cc("max-age=60, no-cache"), nil, "", 0, reuseValidate, "stale"},
		{"RFC 9111 §5.2.2.4: no-cache for a field", cc(`max-age=60, no-cache="x"`), nil, "", 0, reuseFresh, ""},
		{
			"RFC 9111 §5.2.2.4: max-stale doesn't help against no-cache",
			cc("max-age=60, no-cache"), nil, "max-stale", 0, reuseValidate, "stale",
		},
		{
			"RFC 9111 §5.2.2.2: must-revalidate while fresh",
			cc("max-age=60, must-revalidate"), nil, "", 59 * time.Second, reuseFresh, "",
		},

		{"RFC 9111 §5.2.1.4: request no-cache", cc("max-age=60"), nil, "no-cache", 0, reuseValidate, "request"},
		{"RFC 9111 §5.2.1.1: request max-age, old enough", cc("max-age=60"), nil, "max-age=10", 10 * time.Second, reuseFresh, ""},
		{
			"RFC 9111 §5.2.1.1: request max-age, too old",
			cc("max-age=60"), nil, "max-age=10", 11 * time.Second, reuseValidate, "request",
		},
		{"RFC 9111 §5.2.1.1: request max-age=0, just stored", cc("max-age=60"), nil, "max-age=0", 0, reuseFresh, ""},
		{
			"RFC 9111 §5.2.1.1: request max-age above the lifetime",
			cc("max-age=60"), nil, "max-age=90", 70 * time.Second, reuseValidate, "stale",
		},
		{
			"RFC 9111 §5.2.1.1: max-age and within max-stale",
			cc("max-age=60"), nil, "max-age=10, max-stale=10", 20 * time.Second, reuseFresh, "",
		},
		{
			"RFC 9111 §5.2.1.1: max-age and beyond max-stale",
			cc("max-age=60"), nil, "max-age=10, max-stale=5", 20 * time.Second, reuseValidate, "request",
		},
		{
			"RFC 9111 §5.2.1.1: max-age alone wants nothing stale",
			cc("max-age=60, stale-while-revalidate=60"), nil, "max-age=90", 70 * time.Second, reuseValidate, "stale",
		},
		{"RFC 8246 §2: a reload of what is immutable", cc("max-age=60, immutable"), nil, "max-age=0", 59 * time.Second, reuseFresh, ""},
		{
			"RFC 8246 §2: a forced reload of what is immutable",
			cc("max-age=60, immutable"), nil, "no-cache", 0, reuseValidate, "request",
		},
		{
			"RFC 8246 §2: immutable, and stale",
			cc("max-age=60, immutable"), nil, "max-age=0", 60 * time.Second, reuseValidate, "stale",
		},
		{
			"RFC 8246 §2: immutable doesn't help against min-fresh",
			cc("max-age=60, immutable"), nil, "max-age=0, min-fresh=30", 50 * time.Second, reuseValidate, "request",
		},
		{"RFC 9111 §5.2.1.3: min-fresh, enough", cc("max-age=60"), nil, "min-fresh=10", 50 * time.Second, reuseFresh, ""},
		{
			"RFC 9111 §5.2.1.3: min-fresh, not enough",
			cc("max-age=60"), nil, "min-fresh=10", 51 * time.Second, reuseValidate, "request",
		},
		{
			"RFC 9111 §5.2.1.3: min-fresh beyond 2^31",
			cc("max-age=60"), nil, "min-fresh=99999999999999", 0, reuseValidate, "request",
		},
		{"RFC 9111 §5.2.1.2: max-stale without argument", cc("max-age=60"), nil, "max-stale", 1000 * time.Hour, reuseStale, ""},
		{"RFC 9111 §5.2.1.2: within max-stale", cc("max-age=60"), nil, "max-stale=10", 70 * time.Second, reuseStale, ""},
		{"RFC 9111 §5.2.1.2: beyond max-stale", cc("max-age=60"), nil, "max-stale=10", 71 * time.Second, reuseValidate, "stale"},
		{
			"RFC 9111 §5.2.2.2: must-revalidate forbids max-stale",
			cc("max-age=60, must-revalidate"), nil, "max-stale", 61 * time.Second, reuseValidate, "stale",
		},
		{
			"RFC 9111 §5.2.2.8: proxy-revalidate forbids max-stale",
			cc("max-age=60, proxy-revalidate"), nil, "max-stale", 61 * time.Second, reuseValidate, "stale",
		},
		{
			"RFC 9111 §5.2.2.10: s-maxage forbids max-stale",
			cc("s-maxage=60"), nil, "max-stale", 61 * time.Second, reuseValidate, "stale",
		},
		{"RFC 9111 §5.2.1.7: only-if-cached, fresh", cc("max-age=60"), nil, "only-if-cached", 0, reuseFresh, ""},
		{
			"RFC 9111 §5.2.1.7: only-if-cached, stale",
			cc("max-age=60"), nil, "only-if-cached", 61 * time.Second, reuseRefused, "stale",
		},
		{"RFC 9111 §5.2.1.7: only-if-cached, nothing", nil, nil, "only-if-cached", 0, reuseRefused, "uri-miss"},
		{
			"RFC 9111 §5.2.1.7: only-if-cached and max-stale",
			cc("max-age=60"), nil, "only-if-cached, max-stale", 61 * time.Second, reuseStale, "",
		},

		{"RFC 5861 §3: within", cc("max-age=60, stale-while-revalidate=10"), nil, "", 69 * time.Second, reuseRefresh, ""},
		{"RFC 5861 §3: at the end", cc("max-age=60, stale-while-revalidate=10"), nil, "", 70 * time.Second, reuseValidate, "stale"},
		{
			"RFC 5861 §3: not against must-revalidate",
			cc("max-age=60, stale-while-revalidate=10, must-revalidate"), nil, "", 61 * time.Second, reuseValidate, "stale",
		},
		{"RFC 5861 §3: beside s-maxage", cc("s-maxage=60, stale-while-revalidate=10"), nil, "", 61 * time.Second, reuseRefresh, ""},
		{"the site's stale_while_revalidate", cc("max-age=60"), site, "", 79 * time.Second, reuseRefresh, ""},
		{"the site's, at the end", cc("max-age=60"), site, "", 80 * time.Second, reuseValidate, "stale"},
		{
			"the origin's counts before the site's",
			cc("max-age=60, stale-while-revalidate=0"), site, "", 61 * time.Second, reuseValidate, "stale",
		},
		{
			"the site's, against must-revalidate",
			cc("max-age=60, must-revalidate"), site, "", 61 * time.Second, reuseValidate, "stale",
		},
		{"RFC 9111 §5.2.2.10: the site's, against s-maxage", cc("s-maxage=60"), site, "", 61 * time.Second, reuseValidate, "stale"},
		{"RFC 9211 §2.2: stale goes before request", cc("max-age=60"), site, "no-cache", 61 * time.Second, reuseValidate, "stale"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stored *store.Response
			if c.stored != nil {
				stored = storedAt(nil, c.stored)
			}
			if c.policy == nil {
				c.policy = &Policy{}
			}
			req := field.ParseCacheControl([]string{c.req})
			got := decide(stored, false, &purges.Finding{}, &req, c.policy, received.Add(c.age))
			if got.reuse != c.want || got.fwd != c.fwd || got.why == "" && got.reuse != reuseFresh {
				t.Errorf("%v, request %q, age %s: %+v; want %s, %q", c.stored, c.req, c.age, got, c.want, c.fwd)
			}
		})
	}
}

func TestDecideVaryMiss(t *testing.T) {
	req := field.NoDirectives()
	if d := decide(nil, true, &purges.Finding{}, &req, &Policy{}, received); d.fwd != "vary-miss" || d.reuse != reuseNone { // RFC 9211 §2.2
		t.Errorf("stored for other request fields: %+v", d)
	}
}

func TestOnError(t *testing.T) {
	site := &Policy{StaleIfError: 20 * time.Second}
	for _, c := range []struct {
		name   string
		cc     string
		policy *Policy
		age    time.Duration
		want   bool
		req    string
	}{
		{"nothing allows it", "max-age=60", &Policy{}, 61 * time.Second, false, ""},
		{"RFC 5861 §4: the request's", "max-age=60", &Policy{}, 69 * time.Second, true, "stale-if-error=10"},
		{"RFC 5861 §4: the request's, at the end", "max-age=60", &Policy{}, 70 * time.Second, false, "stale-if-error=10"},
		{"RFC 5861 §4: the longer one", "max-age=60, stale-if-error=5", site, 69 * time.Second, true, "stale-if-error=10"},
		{"RFC 5861 §4: the request's can't shorten", "max-age=60, stale-if-error=10", site, 69 * time.Second, true, "stale-if-error=0"},
		{"RFC 9111 §5.2.2.10: the request's against s-maxage", "s-maxage=60", site, 61 * time.Second, false, "stale-if-error=10"},
		{"RFC 9111 §5.2.2.2: the request's", "max-age=60, must-revalidate", site, 61 * time.Second, false, "stale-if-error=10"},
		{"still fresh", "max-age=60", &Policy{}, 59 * time.Second, true, ""},
		{"RFC 5861 §4: within", "max-age=60, stale-if-error=10", &Policy{}, 69 * time.Second, true, ""},
		{"RFC 5861 §4: at the end", "max-age=60, stale-if-error=10", &Policy{}, 70 * time.Second, false, ""},
		{"the site's", "max-age=60", site, 79 * time.Second, true, ""},
		{"the origin's before the site's", "max-age=60, stale-if-error=10", site, 70 * time.Second, false, ""},
		{"RFC 9111 §5.2.2.10: the site's against s-maxage", "s-maxage=60", site, 61 * time.Second, false, ""},
		{"the origin's own beside s-maxage", "s-maxage=60, stale-if-error=10", site, 61 * time.Second, true, ""},
		{"RFC 9111 §5.2.2.2: must-revalidate", "max-age=60, stale-if-error=10, must-revalidate", site, 61 * time.Second, false, ""},
		{"RFC 9111 §5.2.2.8: proxy-revalidate", "max-age=60, stale-if-error=10, proxy-revalidate", site, 61 * time.Second, false, ""},
		{"RFC 9111 §5.2.2.4: no-cache, though fresh", "max-age=60, no-cache, stale-if-error=10", site, 0, false, ""},
	} {
		r := storedAt(nil, fields("Cache-Control", c.cc))
		req := field.ParseCacheControl([]string{c.req})
		if got, why := onError(r, &purges.Finding{}, &req, c.policy, received.Add(c.age)); got != c.want || why == "" {
			t.Errorf("%s: %t (%s), want %t", c.name, got, why, c.want)
		}
	}
}
