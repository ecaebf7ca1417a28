package origin

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/wherry/wherry/config"
)

func serverAt(t testing.TB, raw string) *server {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	f := defaults()
	return newServer(&config.Origin{URL: u}, &f, nil, nil)
}

// asClientSent returns the URL that net/http's server makes of a request target, with the site's scheme and host.
func asClientSent(target string) (*url.URL, error) {
	u, err := url.ParseRequestURI(target)
	if err == nil {
		u.Scheme, u.Host = "http", "shop.test"
	}
	return u, err
}

func TestTargetSurvivesByteForByte(t *testing.T) {
	tests := []struct{ origin, target, want string }{
		{"http://o.test", "/", "/"},
		{"http://o.test/", "/a/b?c=d", "/a/b?c=d"},
		{"http://o.test", "/a%2fb%2Fc", "/a%2fb%2Fc"},
		{"http://o.test", "/%7Euser/~user", "/%7Euser/~user"},
		{"http://o.test", "//double//slash/", "//double//slash/"},
		{"http://o.test", "/a/../b/./c", "/a/../b/./c"},
		{"http://o.test", "/bare?", "/bare?"},
		{"http://o.test", "/q??a=%zz&b=%20+;c", "/q??a=%zz&b=%20+;c"},
		{"http://o.test", "/raw|pipe{brace}^", "/raw|pipe{brace}^"},
		{"http://o.test", "/utf-\xc3\xa9", "/utf-\xc3\xa9"},
		{"http://o.test", "//odd|slash", "http://shop.test//odd|slash"},
		{"http://o.test", "/colon:first;param=1,2", "/colon:first;param=1,2"},
		{"http://o.test", "/%00%ff", "/%00%ff"},
		{"http://o.test", "*", "*"},
		{"http://o.test/base", "/a", "/base/a"},
		{"http://o.test/base/", "/a%2Fb?x", "/base/a%2Fb?x"},
		{"http://o.test/base", "//a|b", "/base//a|b"},
		{"http://o.test/ba%2Fse", "/a", "/ba%2Fse/a"},
		{"http://o.test/base", "/", "/base/"},
		{"http://o.test/base", "*", "*"},
	}
	for _, tt := range tests {
		u, err := asClientSent(tt.target)
		if err != nil {
			t.Errorf("%s: %v", tt.target, err)
			continue
		}
		out := outURL(u, serverAt(t, tt.origin), "shop.test")
		if got := out.RequestURI(); got != tt.want {
			t.Errorf("%s at %s: sent %q, want %q", tt.target, tt.origin, got, tt.want)
		}
		if out.Scheme != "http" || out.Host != "o.test" {
			t.Errorf("%s goes to %s://%s", tt.target, out.Scheme, out.Host)
		}
	}
}

func TestHostRule(t *testing.T) {
	req := newRequest(t, http.MethodGet, "/", nil)
	req.Host = "shop.test:8080"
	s := serverAt(t, "http://o.test:9000")
	for rule, want := range map[string]string{
		"client": "shop.test:8080", "": "shop.test:8080", "origin": "o.test:9000", "fixed.example": "fixed.example",
	} {
		if got := rewrite(t.Context(), req, s, rule).Host; got != want {
			t.Errorf("host: %q sends %q, want %q", rule, got, want)
		}
	}
}

func TestNoFieldIsAdded(t *testing.T) {
	m := newMemory()
	seen := make(chan []string, 1)
	m.raw(t, "o.test:80", func(conn net.Conn) {
		seen <- readHeader(conn)
		_, _ = conn.Write([]byte("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"))
	})
	p := poolsOf(t, m, siteOf(t, defaults(), "http://o.test"))
	req := newRequest(t, http.MethodGet, "/a%2fb?", nil)
	req.Header = http.Header{"Accept": {"*/*"}}
	if status, _, err := do(t, p, req); status != 204 {
		t.Fatal(status, err)
	}
	if got, want := strings.Join(<-seen, "\n"), "GET /a%2fb? HTTP/1.1\nHost: shop.test\nAccept: */*"; got != want {
		t.Errorf("the origin saw\n%s\nwant\n%s", got, want)
	}
	if len(req.Header) != 1 {
		t.Errorf("the caller's header was changed: %v", req.Header)
	}
}
