package policy

import (
	"strings"
	"testing"

	"github.com/wherry/wherry/config"
)

// Requests are routed by ParseHost, names of the configuration and of TLS by config.CanonicalHost: they have to agree.
func FuzzParseHost(f *testing.F) {
	for _, s := range []string{
		"shop.test", "SHOP.test.", "shop.test:80", "shop.test:", "127.0.0.1:8080", "[2001:DB8::1]:443", "[::1]", "[::1%25eth0]", "a..b", ".a",
		"a_b.test", "a/b", "a@b", "x:y", ":80", "", "[", "[]", "a:99999", "::1", "xn--bcher-kva.test", "a.test..",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, authority string) {
		host, ok := ParseHost(authority)
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
