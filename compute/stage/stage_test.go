package stage

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wherry/wherry/fault"
)

type tripper func(*http.Request) (*http.Response, error)

func (t tripper) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// serving is a handler as whoever answers programs' requests.
func serving(h http.HandlerFunc) tripper {
	return func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		if r.Body == nil {
			r.Body = http.NoBody
		}
		h(w, r)
		return w.Result(), nil
	}
}

func TestBefore(t *testing.T) {
	for _, c := range []struct {
		name   string
		says   func(w http.ResponseWriter)
		status int    // of an answer; 0: it goes on
		target string // when it goes on
		fields string
		bad    string
	}{
		{name: "goes on", says: func(w http.ResponseWriter) { w.WriteHeader(204) }, target: "/a?b=1", fields: "x=1"},
		{name: "answers", says: func(w http.ResponseWriter) { http.Error(w, "who are you?", http.StatusUnauthorized) }, status: 401},
		{name: "redirects", says: func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(302) }, status: 302},
		{name: "another target", says: set(TargetField, "/b/%2F?c"), target: "/b/%2F?c", fields: "x=1"},
		{name: "a field", says: set("Wherry-Set-X", "2"), target: "/a?b=1", fields: "x=2"},
		{name: "no field", says: set("Wherry-Set-X", ""), target: "/a?b=1", fields: "x="},
		{name: "a host", says: set(TargetField, "//evil.example/"), bad: "say a path"},
		{name: "a URL", says: set(TargetField, "http://evil.example/"), bad: "say a path"},
		{name: "a framing field", says: set("Wherry-Set-Content-Length", "5"), bad: "the edge says"},
		{name: "a hop field", says: set("Wherry-Set-Transfer-Encoding", "chunked"), bad: "the edge says"},
		{name: "an address", says: set("Wherry-Set-X-Forwarded-For", "::1"), bad: "the edge says"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "http://shop.example/a?b=1", strings.NewReader("content"))
			r.Header.Set("X", "1")
			r.Header.Set("Wherry-Set-Admin", "yes") // what a client says in these isn't passed on
			d, err := Before(context.Background(), serving(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				if len(b) > 0 || r.Header.Get(Field) != "request" || r.Header.Get("Wherry-Set-Admin") != "" {
					t.Errorf("asked with %q, %v", b, r.Header)
				}
				c.says(w)
			}), r)
			var f *fault.Error
			switch {
			case c.bad != "":
				if !errors.As(err, &f) || f.Status != 502 || !strings.Contains(err.Error(), c.bad) {
					t.Errorf("%v", err)
				}
			case err != nil:
				t.Error(err)
			case c.status != 0:
				if d.Answer == nil || d.Answer.StatusCode != c.status {
					t.Errorf("%+v", d)
				}
			default:
				d.Apply(r)
				if got := "x=" + r.Header.Get("X"); d.Answer != nil || r.URL.RequestURI() != c.target || r.RequestURI != c.target && d.Target != nil || got != c.fields {
					t.Errorf("%+v: %s, %s", d, r.URL.RequestURI(), got)
				}
			}
		})
	}
}

func set(name, value string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set(name, value)
		w.WriteHeader(204)
	}
}

func TestAfter(t *testing.T) {
	origin := serving(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=9")
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Type", "text/plain")
		if r.URL.Path == "/part" {
			w.WriteHeader(206)
		}
		_, _ = io.WriteString(w, "ahoy")
	})
	upper := serving(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || r.Header.Get(Field) != "response" || r.Header.Get(StatusField) != "200" || r.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("asked by %s with %v", r.Method, r.Header)
		}
		if r.URL.Path == "/same" {
			w.WriteHeader(204)
			return
		}
		w.Header().Set("Content-Type", "text/shout")
		w.WriteHeader(203)
		_, _ = io.WriteString(w, strings.ToUpper(string(b)))
	})
	broken := tripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("limit cpu") })
	for _, c := range []struct {
		name, method, path string
		program            http.RoundTripper
		status             int
		body, kind, tag    string
	}{
		{"changed", "GET", "/", upper, 203, "AHOY", "text/shout", ""},
		{"the same", "GET", "/same", upper, 200, "ahoy", "text/plain", `"1"`},
		{"a part", "GET", "/part", upper, 206, "ahoy", "text/plain", `"1"`},
		{"HEAD", "HEAD", "/", upper, 200, "ahoy", "text/plain", `"1"`},
		{"broken", "GET", "/", broken, 0, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &After{Next: origin, Program: c.program}
			response, err := a.RoundTrip(httptest.NewRequest(c.method, "http://shop.example"+c.path, nil))
			if c.status == 0 {
				if err == nil {
					t.Error("a broken program's response is the origin's")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(response.Body)
			response.Body.Close()
			h := response.Header
			if response.StatusCode != c.status || string(b) != c.body || h.Get("Content-Type") != c.kind || h.Get("Etag") != c.tag || h.Get("Cache-Control") != "max-age=9" {
				t.Errorf("%d %q %v", response.StatusCode, b, h)
			}
		})
	}
}

// FuzzDecide has a program say anything.
func FuzzDecide(f *testing.F) {
	f.Add("/b?c", "X", "1")
	f.Add("//x/", "Content-Length", "1")
	f.Fuzz(func(t *testing.T, target, name, value string) {
		h := http.Header{TargetField: {target}, "Wherry-Set-" + name: {value}}
		d, err := decide(h)
		if err != nil {
			return
		}
		r := httptest.NewRequest("GET", "http://shop.example/a", nil)
		d.Apply(r)
		if r.URL.Host != "shop.example" || !strings.HasPrefix(r.URL.RequestURI(), "/") {
			t.Errorf("%q leads to %q at %q", target, r.URL.RequestURI(), r.URL.Host)
		}
	})
}
