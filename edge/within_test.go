package edge

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wherry/wherry/feed"
)

// TestFromProgram has a program ask for what it stands before, for what another rule refuses to clients, and for what isn't its site's.
func TestFromProgram(t *testing.T) {
	var n *node
	var asked atomic.Int32
	var seen sync.Map // path to the request that the origin got
	within := func(r *http.Request, host, path string) string {
		inner := httptest.NewRequest("GET", path, nil).WithContext(FromProgram(r.Context(), "shop"))
		inner.Host, inner.RemoteAddr = host, r.Header.Get("X-Forwarded-For")+":0"
		inner.Header = r.Header.Clone() // as a program does that passes on what it got
		w := httptest.NewRecorder()
		n.ServeHTTP(w, inner)
		return fmt.Sprint(w.Code, " ", strings.TrimSpace(w.Body.String()))
	}
	n = start(t, nodeOptions{
		yaml: `
programs: {cart: {image: ./cart}}
sites:
- name: shop
  hosts: [shop.test]
  origins: [{url: "http://127.0.0.1:9000"}]
  rules:
  - {name: cart, match: {paths: ["/cart/*"]}, program: cart}
  - {name: gate, match: {paths: ["/gate/*"]}, request_program: cart}
  - {name: hidden, match: {paths: ["/hidden"]}, refuse: 403}
- name: other
  hosts: [other.test]
  origins: [{url: "http://127.0.0.1:9000"}]`,
		cacher: realCache(t),
		upstream: func(r *http.Request) (*http.Response, error) {
			seen.Store(r.URL.Path, r.Header.Clone())
			resp := respond(200, fmt.Sprintf("the origin's %s, %d", r.URL.Path, asked.Add(1)))
			resp.Header.Set("Cache-Control", "max-age=60")
			return resp, nil
		},
		program: roundTrip(func(r *http.Request) (*http.Response, error) {
			resp := respond(200, strings.Join([]string{
				"program", within(r, "shop.test", r.URL.Path), within(r, "shop.test", r.URL.Path), within(r, "shop.test", "/hidden"),
				within(r, "other.test", "/"), within(r, "nobody.test", "/"),
			}, "\n"))
			resp.Header.Set("Cache-Control", "max-age=60")
			return resp, nil
		}),
	})
	get := func(path string) string {
		_, body := n.ask("GET " + path + " HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		return body
	}
	want := []string{"program", "200 the origin's /cart/1, 1", "200 the origin's /cart/1, 1", "200 the origin's /hidden, 2"}
	for range 2 { // the second is the cache's
		lines := strings.Split(get("/cart/1"), "\n")
		if len(lines) < 6 || strings.Join(lines[:4], "\n") != strings.Join(want, "\n") {
			t.Fatalf("%q", lines)
		}
		if text := strings.Join(lines[4:], ""); strings.Count(text, "is none of them") != 2 {
			t.Errorf("what isn't the site's: %q", text)
		}
	}
	if !strings.Contains(get("/hidden"), "403") {
		t.Error("clients get what is for programs alone")
	}
	h, _ := seen.Load("/cart/1")
	if from := h.(http.Header).Get("X-Forwarded-For"); from != "127.0.0.1" {
		t.Errorf("the origin hears of the client %q", from)
	}
	if got := testutil.ToFloat64(n.metrics.within.WithLabelValues("shop", "hit")); got != 1 {
		t.Errorf("%v hits of programs counted", got)
	}

	// A purge is about both copies.
	if _, err := n.Purge(feed.Purge{Kind: feed.PurgeURL, Value: "http://shop.test/cart/1"}, 1); err != nil {
		t.Fatal(err)
	}
	if lines := get("/cart/1"); !strings.Contains(lines, "the origin's /cart/1, 3") {
		t.Errorf("after a purge: %q", lines)
	}
	if _, err := n.Purge(feed.Purge{Kind: feed.PurgePrefix, Value: "http://shop.test/cart/"}, 2); err != nil {
		t.Fatal(err)
	}
	if lines := get("/cart/1"); !strings.Contains(lines, "the origin's /cart/1, 4") {
		t.Errorf("after a purge of the prefix: %q", lines)
	}

	// Who decides before the cache isn't asked about its own requests.
	if got := within(httptest.NewRequestWithContext(context.Background(), "GET", "/", nil), "shop.test", "/gate/1"); !strings.HasPrefix(got, "200 the origin's /gate/1") {
		t.Errorf("%q", got)
	}
	if records := n.records(); len(records) != 5 {
		t.Errorf("%d records in the access log", len(records))
	}
}
