package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/internal/simnet"
)

func askDemo(h http.Handler, method, target, body string, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestDemoLessons(t *testing.T) {
	for _, tt := range []struct {
		name, method, target, body string
		fields                     []string
		status                     int
		cacheControl               string
		want                       string // a part of the body
	}{
		{"page", "GET", "/", "", nil, 200, "public, max-age=60, stale-while-revalidate=600", "<h1>"},
		{"picture", "GET", "/river.jpg", "", nil, 200, "public, max-age=86400", "\xff\xd8\xff"},
		{"clock", "GET", "/clock", "", nil, 200, "public, max-age=5", "at the origin"},
		{"news", "GET", "/news", "", nil, 200, "public, max-age=5, stale-while-revalidate=30", "Edition 1"},
		{"language by default", "GET", "/language", "", nil, 200, "public, max-age=60", "Good day. (en"},
		{"language", "GET", "/language", "", []string{"Accept-Language: pt"}, 200, "public, max-age=60", "Bom dia. (pt"},
		{"language by weight", "GET", "/language", "", []string{"Accept-Language: de, en;q=0.5, ja-JP;q=0.8"}, 200, "public, max-age=60", "(ja"},
		{"language not wanted", "GET", "/language", "", []string{"Accept-Language: pt;q=0, ja;q=x"}, 200, "public, max-age=60", "(en"},
		{"private", "GET", "/private", "", nil, 200, "no-store", "request 1 "},
		{"range of lines", "GET", "/big", "", []string{"Range: bytes=1600-1663"}, 206, "public, max-age=3600", "line 000050 of a large file ...\nline 000051 "},
		{"echo", "POST", "/echo?a=1", "hello", []string{"X-Seen: yes"}, 200, "no-store", "POST /echo?a=1 HTTP/1.1\nHost: example.com\nX-Seen: yes\n\nhello"},
		{"echo too large", "POST", "/echo", strings.Repeat("x", demoBodyBytes+1), nil, 413, "no-store", "stops at 65536"},
		{"error", "GET", "/error", "", nil, 500, "no-store", "on purpose"},
		{"nothing there", "GET", "/nowhere", "", nil, 404, "public, max-age=10", "listed at /"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := askDemo(newDemoOrigin(), tt.method, tt.target, tt.body, tt.fields...)
			if w.Code != tt.status || w.Header().Get("Cache-Control") != tt.cacheControl || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d, Cache-Control %q, body %.200q; want %d, %q, %q", w.Code, w.Header().Get("Cache-Control"), w.Body, tt.status,
					tt.cacheControl, tt.want)
			}
		})
	}
	if w := askDemo(newDemoOrigin(), "POST", "/clock", ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /clock got %d", w.Code)
	}
	if v := askDemo(newDemoOrigin(), "GET", "/language", "").Header().Get("Vary"); v != "Accept-Language" {
		t.Errorf("/language has Vary %q", v)
	}
}

// All that the page refers to is there.
func TestDemoPageIsWhole(t *testing.T) {
	h := newDemoOrigin()
	page := askDemo(h, "GET", "/", "").Body.String()
	found := regexp.MustCompile(`(?:href|src)="(/[^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(found) < 14 {
		t.Fatalf("the page refers to %d things", len(found))
	}
	for _, f := range found {
		if f[1] == "/slow" || f[1] == "/stream" {
			continue // they take their time and have tests of their own
		}
		want := http.StatusOK
		if f[1] == "/error" {
			want = http.StatusInternalServerError
		}
		if w := askDemo(h, "GET", f[1], ""); w.Code != want {
			t.Errorf("%s got %d", f[1], w.Code)
		}
	}
}

func TestDemoFilesRevalidate(t *testing.T) {
	h := newDemoOrigin()
	for _, path := range []string{"/", "/style.css", "/app.js", "/logo.svg", "/river.jpg", "/big"} {
		first := askDemo(h, "GET", path, "")
		etag, modified := first.Header().Get("ETag"), first.Header().Get("Last-Modified")
		if etag == "" || strings.HasPrefix(etag, "W/") || modified == "" {
			t.Errorf("%s has ETag %q, Last-Modified %q; want both, strong", path, etag, modified)
		}
		for _, field := range []string{"If-None-Match: " + etag, "If-Modified-Since: " + modified} {
			if w := askDemo(h, "GET", path, "", field); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
				t.Errorf("%s with %s got %d and %d bytes", path, field, w.Code, w.Body.Len())
			}
		}
	}
}

// onNetwork serves the demo over a network in memory.
func onNetwork(t *testing.T, do func(t *testing.T, client *http.Client)) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Options{})
		l, err := n.Host("origin").Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: newDemoOrigin()}
		done := make(chan struct{})
		go func() { defer close(done); s.Serve(l) }()
		transport := &http.Transport{DialContext: n.Host("client").DialContext}
		do(t, &http.Client{Transport: transport})
		transport.CloseIdleConnections()
		s.Close()
		<-done
	})
}

func TestDemoSlowCountsItsRequests(t *testing.T) {
	onNetwork(t, func(t *testing.T, client *http.Client) {
		for _, want := range []string{"asked 1 times", "asked 2 times"} {
			began := time.Now()
			response, err := client.Get("http://origin/slow")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if took := time.Since(began); err != nil || !strings.Contains(string(body), want) || took != demoSlow {
				t.Errorf("got %q, %v after %v; want %q after %v", body, err, took, want, demoSlow)
			}
		}
	})
}

func TestDemoStreamComesInPieces(t *testing.T) {
	onNetwork(t, func(t *testing.T, client *http.Client) {
		response, err := client.Get("http://origin/stream")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		lines := bufio.NewReader(response.Body)
		for i := range demoChunks {
			began := time.Now()
			line, err := lines.ReadString('\n')
			if want := fmt.Sprintf("piece %d of %d at ", i+1, demoChunks); !strings.HasPrefix(line, want) || err != nil {
				t.Errorf("got %q, %v; want %q", line, err, want)
			}
			if took := time.Since(began); i > 0 && took != demoChunkPause {
				t.Errorf("piece %d came after %v", i+1, took)
			}
		}
		if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
			t.Errorf("then came %q, %v", rest, err)
		}
	})
}

// A client that leaves must not keep its request waiting at the origin.
func TestDemoSlowStopsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		began := time.Now()
		newDemoOrigin().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/slow", nil))
		if took := time.Since(began); took != time.Second || w.Body.Len() > 0 {
			t.Errorf("went on for %v and wrote %q", took, w.Body)
		}
	})
}
