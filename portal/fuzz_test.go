package portal_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/wherry/wherry/portal"
)

// Whatever an operator sends, the network is asked only for absolute http and https URLs, and the answer is a success or a
// problem of the client's.
func FuzzPurge(f *testing.F) {
	for _, body := range []string{
		purgeOf, `{"url": "https://[::1]:8443/a?b#c"}`, `{"url": "//shop.test/"}`, `{"url": null}`, `{"url": "http://"}`, `{}`, `[]`, ``,
		purgeOf + `x`, `{"url": "http://shop.test/", "url": "file:///"}`, `{"URL": "http://shop.test:0x50/\u0000"}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		purged := ""
		p := newPortal(&network{purge: func(rawURL string) (portal.PurgeResult, error) {
			purged = rawURL
			return portal.PurgeResult{URL: rawURL}, nil
		}})
		w := ask(p, "POST", "/api/purge", body, bearer, jsonType)
		switch u, err := url.Parse(purged); {
		case w.Code == http.StatusOK && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == ""):
			t.Errorf("%q purged %q", body, purged)
		case w.Code != http.StatusOK && (purged != "" || w.Code < 400 || w.Code >= 500):
			t.Errorf("%q got %d and purged %q", body, w.Code, purged)
		}
	})
}
