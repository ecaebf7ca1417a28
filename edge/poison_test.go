package edge

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/store"
)

// caching returns a real cache with nothing in it.
func caching(t testing.TB) cacheFunc {
	t.Helper()
	memory, err := store.NewMemory(16<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return cache.New(cache.Options{Name: "lisbon-1", Store: memory, Metrics: cache.NewMetrics(prometheus.NewRegistry())}).Serve
}

// askAs asks over a protocol with fields and returns what came.
func (n *node) askAs(protocol, method, target, content string, more ...string) (status, body string) {
	n.t.Helper()
	if protocol == "HTTP/2" {
		f := n.dialFrames(false)
		defer f.Close()
		if err := f.open(pseudo(method, "http", target, more...), content == ""); err != nil {
			n.t.Fatal(err)
		}
		if content != "" {
			if err := f.WriteData(f.stream, true, []byte(content)); err != nil {
				n.t.Fatal(err)
			}
		}
		o := f.outcome()
		return o.status, o.body
	}
	raw := method + " " + target + " HTTP/1.1\r\nHost: shop.test\r\n"
	for i := 0; i < len(more); i += 2 {
		raw += more[i] + ": " + more[i+1] + "\r\n"
	}
	if content != "" {
		raw += fmt.Sprintf("Content-Length: %d\r\n", len(content))
	}
	resp, body := n.ask(raw + "\r\n" + content)
	return fmt.Sprint(resp.StatusCode), body
}

// An origin that believes all that it is told and lets the outcome be shared doesn't make one client's words another one's page.
func TestCachePoisoning(t *testing.T) {
	n := start(t, nodeOptions{cache: caching(t), upstream: func(r *http.Request) (*http.Response, error) {
		said := r.Host
		for name, values := range r.Header {
			if name != "User-Agent" {
				said += " " + name + "=" + strings.Join(values, ",")
			}
		}
		if r.Body != nil {
			content, _ := io.ReadAll(r.Body)
			said += " " + string(content)
		}
		resp := respond(200, said)
		resp.Header.Set("Cache-Control", "max-age=600")
		return resp, nil
	}})
	page := 0
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		for _, name := range []string{
			"x-forwarded-host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-scheme", "x-forwarded-port", "x-forwarded-prefix",
			"x-forwarded-server", "x-forwarded-path", "forwarded", "x-host", "x-original-host", "x-http-host-override", "x-original-url",
			"x-rewrite-url", "x-http-method-override", "x-http-method", "x-method-override", "x-real-ip", "true-client-ip",
			"x-client-ip", "x-cluster-client-ip", "front-end-https", "x_forwarded_host", "x-forwarded_host", "x_original_url", "wherry-request-id",
		} {
			page++
			target := fmt.Sprintf("/%d", page)
			if status, _ := n.askAs(protocol, "GET", target, "", name, "evil"); status != "200" {
				t.Errorf("%s %s: status %s", protocol, name, status)
			}
			if status, body := n.askAs(protocol, "GET", target, ""); status != "200" || strings.Contains(body, "evil") {
				t.Errorf("%s %s: the next one gets %s %q", protocol, name, status, body)
			}
		}
		// The content of a GET is part of no key.
		page++
		target := fmt.Sprintf("/%d", page)
		if status, body := n.askAs(protocol, "GET", target, "evil"); status != "200" || !strings.Contains(body, "evil") {
			t.Errorf("%s: GET with content gets %s %q", protocol, status, body)
		}
		if status, body := n.askAs(protocol, "GET", target, ""); status != "200" || strings.Contains(body, "evil") {
			t.Errorf("%s: after a GET with content the next one gets %s %q", protocol, status, body)
		}
		if _, body := n.askAs(protocol, "GET", target, "mine"); !strings.Contains(body, "mine") {
			t.Errorf("%s: GET with content gets what is stored for those without: %q", protocol, body)
		}
	}
	// The authority of the target counts, whatever Host says (RFC 9112 §3.2.2), and other hosts have other keys.
	if resp, body := n.ask("GET http://shop.test/host HTTP/1.1\r\nHost: evil.test\r\n\r\n"); resp.StatusCode != 200 || strings.Contains(body, "evil") {
		t.Errorf("absolute form: %d %q", resp.StatusCode, body)
	}
}

// A page of one user that pretends to be a file of everybody is stored only if the origin, or the operator, says that it may be.
func TestCacheDeception(t *testing.T) {
	var mu sync.Mutex
	said := map[string]string{} // Cache-Control by path
	n := start(t, nodeOptions{
		yaml: `sites:
- name: shop
  hosts: [shop.test]
  origins: [{url: "http://127.0.0.1:9000"}]
  rules:
  - {name: account, match: {paths: ["/account/*", "/account"]}, cache: {enabled: false}}
  - {name: files, match: {paths: ["/static/*", "*.css"]}, cache: {key: {query: drop}}}`,
		cache: caching(t),
		upstream: func(r *http.Request) (*http.Response, error) {
			resp := respond(200, "page of "+r.Header.Get("Cookie"))
			mu.Lock()
			defer mu.Unlock()
			resp.Header.Set("Content-Type", "text/html")
			if v := said[r.URL.EscapedPath()]; v != "" {
				resp.Header.Set("Cache-Control", v)
			}
			return resp, nil
		},
	})
	for _, test := range []struct{ path, says string }{
		{"/account.php/x.css", ""},
		{"/account.php;x.css", ""},
		{"/account.php%3bx.css", ""},
		{"/account.php%2fx.css", ""},
		{"/account.php?x.css", ""},
		{"/account.php/a.css", "private"},
		{"/account.php/b.css", "no-store"},
		{"/account.php/c.css", "no-cache"},
		// The site's rule holds for every spelling of its paths, even if the origin makes the mistake of letting the page be shared.
		{"/account/x.css", "max-age=600"},
		{"/account%2fx.css", "max-age=600"},
		{"//account/x.css", "max-age=600"},
		{"/static/../account/x.css", "max-age=600"},
		{"/static/..%2faccount/x", "max-age=600"},
		{"/static/%2e%2e/account/x", "max-age=600"},
		{"/./%61ccount/x.css", "max-age=600"},
		{"/account/.", "max-age=600"},
	} {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
			mu.Lock()
			said[strings.Split(test.path, "?")[0]] = test.says
			mu.Unlock()
			for _, user := range []string{"alice", "mallory"} {
				if status, body := n.askAs(protocol, "GET", test.path, "", "cookie", user); status != "200" || body != "page of "+user {
					t.Errorf("%s %s: %s gets %s %q", protocol, test.path, user, status, body)
				}
			}
		}
	}
}

// Two spellings of a path are two keys and go to the origin as they came: nothing is decoded, so that nothing is decoded twice.
func TestPathTricks(t *testing.T) {
	n := start(t, nodeOptions{cache: caching(t), upstream: func(r *http.Request) (*http.Response, error) {
		resp := respond(200, r.URL.RequestURI())
		resp.Header.Set("Cache-Control", "max-age=600")
		return resp, nil
	}})
	for _, test := range []struct{ target, atOrigin, status string }{
		{"/a/b", "", "200"},
		{"//a/b", "", "200"},
		{"/a//b", "", "200"},
		{"/a%2fb", "", "200"},
		{"/a%2Fb", "", "200"},
		{"/a%252fb", "", "200"},
		{"/../a", "", "200"},
		{"/a/../b", "", "200"},
		{"/%2e%2e/a", "", "200"},
		{"/a;b", "", "200"},
		{"/%61/b", "", "200"},
		{"/A/b", "", "200"},
		{"/%ff%c0%af", "", "200"},
		{"/%0d%0aX:%20y", "", "200"},
		{"/?a=%0d%0ab", "", "200"},
		{"/?a=%00", "", "200"},
		{"/\xff", "/%FF", "200"},
		{`/\a`, "/%5Ca", "200"}, // what no URI has is encoded (RFC 3986 §2.1)
		{"/a%00b", "", "400"},
		{"/%zz", "", "400"},
		{"/a%", "", "400"},
		{"/a#b", "", "400"},
	} {
		want := test.atOrigin
		if want == "" {
			want = test.target
		}
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
			status, body := n.askAs(protocol, "GET", test.target, "")
			if status == "" {
				status = "400" // HTTP/2 may reset the stream
			}
			if status != test.status || status == "200" && body != want {
				t.Errorf("%s %q: %s %q; want %s %q", protocol, test.target, status, body, test.status, want)
			}
		}
	}
}

// What a client says doesn't become a field of a response: the node's own answers repeat nothing but the host's name, which has
// the characters of host names, and an origin's answer is one response whatever its fields hold.
func TestResponseSplitting(t *testing.T) {
	n := start(t, nodeOptions{upstream: func(r *http.Request) (*http.Response, error) {
		resp := respond(302, "")
		if strings.HasPrefix(r.URL.Path, "/evil") { // of an upstream other than origin, whose parser finds no such field
			resp.Header["Location"] = []string{"/x\r\nSet-Cookie: evil=1\r\n\r\n<html>evil"}
			resp.Header["X-Evil\r\nSet-Cookie"] = []string{"evil=2"}
			return resp, nil
		}
		resp.Header["Location"] = []string{r.URL.RequestURI()}
		return resp, nil
	}})
	for _, target := range []string{"/evil", "/%0d%0aSet-Cookie:%20evil=1", "/?x=%0aSet-Cookie:evil", "/%E5%98%8A%E5%98%8DSet-Cookie:evil"} {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
			if protocol == "HTTP/2" {
				f := n.dialFrames(false)
				if err := f.open(pseudo("GET", "http", target), true); err != nil {
					t.Fatal(err)
				}
				if o := f.outcome(); strings.Contains(o.body, "evil") || o.status != "302" && !o.reset {
					t.Errorf("%s %s: %+v", protocol, target, o)
				}
				continue
			}
			resp, body := n.ask("GET " + target + " HTTP/1.1\r\nHost: shop.test\r\n\r\n")
			if len(resp.Cookies()) > 0 || body != "" || resp.StatusCode != 302 {
				t.Errorf("%s %s: status %d, %v, %q", protocol, target, resp.StatusCode, resp.Header, body)
			}
		}
	}
	for _, host := range []string{"evil.test\"><script>", "evil.test%0d%0aSet-Cookie:a=b", "a'b.test"} {
		resp, body := n.ask("GET / HTTP/1.1\r\nAccept: text/html\r\nHost: " + host + "\r\n\r\n")
		if resp.StatusCode != 400 || strings.Contains(body, "evil") || len(resp.Cookies()) > 0 {
			t.Errorf("host %q: status %d, %q", host, resp.StatusCode, body)
		}
	}
}
