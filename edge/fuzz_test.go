package edge

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/config"
)

// Requests are routed by parseHost, names of the configuration and of TLS by config.CanonicalHost: they have to agree.
func FuzzParseHost(f *testing.F) {
	for _, s := range []string{
		"shop.test", "SHOP.test.", "shop.test:80", "shop.test:", "127.0.0.1:8080", "[2001:DB8::1]:443", "[::1]", "[::1%25eth0]", "a..b", ".a",
		"a_b.test", "a/b", "a@b", "x:y", ":80", "", "[", "[]", "a:99999", "::1", "xn--bcher-kva.test", "a.test..",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, authority string) {
		host, ok := parseHost(authority)
		if !ok {
			if host != "" {
				t.Errorf("%q is refused but gives %q", authority, host)
			}
			return
		}
		if want := config.CanonicalHost(authority); host != want {
			t.Errorf("%q gives %q, config.CanonicalHost %q", authority, host, want)
		}
		if strings.ContainsAny(string(host), "/@?#\\ \"'<>%") {
			t.Errorf("%q gives %q", authority, host)
		}
	})
}

// Whatever a client sends in Connection, no field that it names and none of the forged ones gets through.
func FuzzForwardedFields(f *testing.F) {
	f.Add("close, X-Foo", "websocket", "evil")
	f.Add("x-forwarded-for,,\t upgrade", "h2c, websocket", "lisbon-1;a")
	f.Add(",", "HTTP/2.0", ",")
	f.Fuzz(func(t *testing.T, connection, upgrade, loop string) {
		r := &http.Request{ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{
			"Connection": {connection}, "Upgrade": {upgrade}, "Cdn-Loop": {loop}, "X-Forwarded-For": {"6.6.6.6"}, "X-Foo": {"1"},
		}}
		if protocols := strings.ToLower(upgradeOf(r)); strings.Contains(protocols, "h2c") && !strings.Contains(protocols, "h2c-") {
			for p := range strings.SplitSeq(protocols, ",") {
				if name, _, _ := strings.Cut(strings.TrimSpace(p), "/"); name == "h2c" {
					t.Errorf("%q lets h2c through: %q", upgrade, protocols)
				}
			}
		}
		cache.EndHop(r.Header)
		removeForwardingFields(r.Header)
		if r.Header["X-Forwarded-For"] != nil || r.Header["Connection"] != nil || r.Header["Upgrade"] != nil {
			t.Errorf("left over: %v", r.Header)
		}
		if hasToken([]string{connection}, "x-foo") && r.Header["X-Foo"] != nil {
			t.Errorf("%q leaves X-Foo", connection)
		}
		if r.Header["Cdn-Loop"] == nil {
			t.Errorf("%q removes CDN-Loop", connection)
		}
		(&Edge{node: "lisbon-1", cdnLoop: "lisbon-1"}).looped(r.Header)
	})
}
