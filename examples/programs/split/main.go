package main

import (
	"hash/fnv"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// cookie is what remembers a visitor's variant.
const cookie = "variant"

func main() {
	site := &url.URL{Scheme: "http", Host: "edge"} // the site that the request is for
	http.Handle("/", &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(site)
			r.Out.URL.Path, r.Out.URL.RawPath = "/"+variantOf(r.In)+r.In.URL.Path, ""
			r.Out.Header.Del("Cookie") // one copy for all
		},
		ModifyResponse: func(r *http.Response) error {
			variant := r.Request.URL.Path[1:2]
			r.Header.Add("Set-Cookie", (&http.Cookie{Name: cookie, Value: variant, Path: "/", MaxAge: 30 * 24 * 3600, HttpOnly: true}).String())
			r.Header.Set("Cache-Control", "private") // the next visitor may get the other one
			return nil
		},
	})
	log.Fatal(http.ListenAndServe(":8080", nil))
}

// variantOf is what a visitor has had before, or one by the address and the browser.
func variantOf(r *http.Request) string {
	if c, err := r.Cookie(cookie); err == nil && (c.Value == "a" || c.Value == "b") {
		return c.Value
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(r.Header.Get("X-Forwarded-For") + r.Header.Get("User-Agent"))) // never fails
	return string("ab"[h.Sum32()%2])
}
