package cache

import (
	"net/http"
	"testing"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"
)

func TestStorable(t *testing.T) {
	lastModified := []string{"Date", at(0), "Last-Modified", at(-1e12)}
	for _, c := range []struct {
		name   string
		req    http.Header
		status int
		fields http.Header
		want   bool
	}{
		{"RFC 9111 §3: explicit freshness", nil, 200, fields("Cache-Control", "max-age=1"), true},
		{"RFC 9111 §3: Expires", nil, 200, fields("Expires", at(1e10)), true},
		{"RFC 9111 §3: nothing to be fresh or validated by", nil, 200, fields(), false},
		{"RFC 9111 §3: a validator alone", nil, 200, fields("Etag", `"a"`), true},
		{"RFC 9111 §3: heuristic", nil, 200, fields(lastModified...), true},
		{"RFC 9111 §3: heuristic, status that may", nil, 410, fields(lastModified...), true},
		{"RFC 9111 §3: heuristic, status that may not", nil, 302, fields(lastModified...), false},
		{"RFC 9111 §3: explicit, any final status", nil, 302, fields("Cache-Control", "max-age=1"), true},
		{"RFC 9111 §3: explicit, unknown status", nil, 299, fields("Cache-Control", "max-age=1"), true},
		{"RFC 9111 §3: explicit, server error", nil, 503, fields("Cache-Control", "max-age=1"), true},
		{"RFC 9111 §3.3: incomplete", nil, 206, fields("Cache-Control", "max-age=1"), false},
		{"RFC 9111 §4.3.4: 304 is no response to store", nil, 304, fields("Cache-Control", "max-age=1"), false},
		{
			"RFC 9111 §5.2.1.5: request no-store",
			fields("Cache-Control", "no-store"), 200, fields("Cache-Control", "max-age=1"), false,
		},
		{"RFC 9111 §5.2.2.5: no-store", nil, 200, fields("Cache-Control", "max-age=1, no-store"), false},
		{"RFC 9111 §5.2.2.7: private", nil, 200, fields("Cache-Control", "max-age=1, private"), false},
		{"RFC 9111 §5.2.2.7: private for a field", nil, 200, fields("Cache-Control", `max-age=1, private="x"`), true},
		{"RFC 9111 §5.2.2.7: private beats public", nil, 200, fields("Cache-Control", "max-age=1, private, public"), false},
		{"RFC 9111 §5.2.2.7: private beats s-maxage", nil, 200, fields("Cache-Control", "s-maxage=1, private"), false},
		{"RFC 9111 §5.2.2.3: must-understand, known", nil, 200, fields("Cache-Control", "max-age=1, must-understand"), true},
		{
			"RFC 9111 §5.2.2.3: must-understand overrides no-store",
			nil, 200, fields("Cache-Control", "max-age=1, must-understand, no-store"), true,
		},
		{"RFC 9111 §5.2.2.3: must-understand, unknown", nil, 299, fields("Cache-Control", "max-age=1, must-understand"), false},
		{"RFC 9111 §5.2.2.4: no-cache with a validator", nil, 200, fields("Cache-Control", "no-cache", "Etag", `"a"`), true},
		{"RFC 9111 §5.2.2.4: no-cache without", nil, 200, fields("Cache-Control", "no-cache, max-age=1"), false},
		{"RFC 9111 §3.5: Authorization", fields("Authorization", "x"), 200, fields("Cache-Control", "max-age=1"), false},
		{"RFC 9111 §3.5: an empty Authorization", fields("Authorization", ""), 200, fields("Cache-Control", "max-age=1"), false},
		{"RFC 9111 §3.5: public", fields("Authorization", "x"), 200, fields("Cache-Control", "max-age=1, public"), true},
		{
			"RFC 9111 §3.5: must-revalidate",
			fields("Authorization", "x"), 200, fields("Cache-Control", "max-age=1, must-revalidate"), true,
		},
		{"RFC 9111 §3.5: s-maxage", fields("Authorization", "x"), 200, fields("Cache-Control", "s-maxage=1"), true},
		{
			"RFC 9111 §3.5: proxy-revalidate isn't in the list",
			fields("Authorization", "x"), 200, fields("Cache-Control", "max-age=1, proxy-revalidate"), false,
		},
		{"RFC 9111 §4.1: Vary: *", nil, 200, fields("Cache-Control", "max-age=1", "Vary", "*"), false},
		{"RFC 9111 §4.1: Vary: * among others", nil, 200, fields("Cache-Control", "max-age=1", "Vary", "Accept, *"), false},
		{"RFC 9111 §4.1: Vary", nil, 200, fields("Cache-Control", "max-age=1", "Vary", "Accept"), true},
		{
			"RFC 9111 §7.3: Set-Cookie with explicit freshness",
			nil, 200, fields("Cache-Control", "max-age=1", "Set-Cookie", "a=b"), true,
		},
		{"RFC 9111 §7.3: Set-Cookie by a guess", nil, 200, fields(append(lastModified, "Set-Cookie", "a=b")...), false},
		{
			"RFC 9111 §7.3: Set-Cookie and public",
			nil, 200, fields(append(lastModified, "Set-Cookie", "a=b", "Cache-Control", "public")...), true,
		},
		{"max-age=0 without validator", nil, 200, fields("Cache-Control", "max-age=0"), false},
		{"max-age=0 with one", nil, 200, fields("Cache-Control", "max-age=0", "Etag", `"a"`), true},
		{"arrives stale, without validator", nil, 200, fields("Cache-Control", "max-age=10", "Age", "10"), false},
		{"RFC 5861 §3: arrives stale, but useful", nil, 200, fields("Cache-Control", "max-age=0, stale-while-revalidate=10"), true},
		{
			"RFC 9213 §2.2: targeted no-store",
			nil, 200, fields("Cache-Control", "max-age=1", "CDN-Cache-Control", "no-store"), false,
		},
		{
			"RFC 9213 §2.2: targeted beats no-store",
			nil, 200, fields("Cache-Control", "no-store", "CDN-Cache-Control", "max-age=1"), true,
		},
		{
			"RFC 9213 §2.2: targeted beats private",
			nil, 200, fields("Cache-Control", "private", "CDN-Cache-Control", "max-age=1"), true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := field.RequestDirectives(c.req)
			resp := store.NewResponse("k", c.req, c.status, c.fields, received, received)
			got, why := storable(c.req, &req, resp)
			if got != c.want {
				t.Errorf("%d %v: %t (%s), want %t", c.status, c.fields, got, why, c.want)
			}
			if got != (why == "") {
				t.Errorf("%t with the reason %q", got, why)
			}
		})
	}
}

func TestUnderstoodIncludesHeuristicallyCacheable(t *testing.T) {
	for status := 100; status < 600; status++ {
		if store.HeuristicallyCacheable(status) && !understood(status) {
			t.Errorf("%d is cached by heuristics, but not understood", status)
		}
	}
}

// TestHeuristicStatuses tries every status with Last-Modified alone, and with explicit freshness.
func TestHeuristicStatuses(t *testing.T) {
	heuristic := map[int]bool{200: true, 203: true, 204: true, 300: true, 301: true, 308: true, 404: true, 405: true, 410: true, 414: true, 501: true}
	nothing := field.NoDirectives()
	for status := 200; status < 600; status++ {
		if status == http.StatusPartialContent || status == http.StatusNotModified {
			continue // have rules of their own
		}
		guess := store.NewResponse("k", nil, status, fields("Date", at(0), "Last-Modified", at(-1e12)), received, received)
		if got, _ := storable(nil, &nothing, guess); got != heuristic[status] || got != (guess.Fresh.Left(received) > 0) {
			t.Errorf("RFC 9110 §15.1: %d without freshness is stored: %t, for %s", status, got, guess.Fresh.Left(received))
		}
		explicit := store.NewResponse("k", nil, status, fields("Cache-Control", "max-age=1"), received, received)
		if got, why := storable(nil, &nothing, explicit); !got {
			t.Errorf("RFC 9111 §3: %d with max-age isn't stored: %s", status, why)
		}
		unknown := store.NewResponse("k", nil, status, fields("Cache-Control", "max-age=1, must-understand, no-store"), received, received)
		if got, _ := storable(nil, &nothing, unknown); got != understood(status) {
			t.Errorf("RFC 9111 §5.2.2.3: %d with must-understand is stored: %t", status, got)
		}
	}
}
