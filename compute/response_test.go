package compute

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const ok = "HTTP/1.1 200 OK\r\n"

var responses = []struct{ method, output, body, err string }{
	{"GET", ok + "Content-Length: 2\r\n\r\nhi", "hi", ""},
	{"GET", ok + "\r\nto the end", "to the end", ""},
	{"GET", "HTTP/1.0 200\r\n\r\nhi", "hi", ""},
	{"GET", ok + "Transfer-Encoding: chunked\r\n\r\n2;x=1\r\nhi\r\n1\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\n", "hi!", ""},
	{"GET", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok + "\r\nhi", "hi", ""},
	{"HEAD", ok + "Content-Length: 5\r\n\r\n", "", ""},
	{"HEAD", ok + "Content-Length: 5\r\n\r\nhello", "", "stands behind"},
	{"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "", ""},
	{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", ""},
	{"GET", "HTTP/1.1 304 Not Modified\r\n\r\nhello", "", "stands behind"},
	{"GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "", "switches protocols"},
	{"GET", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 9) + ok + "\r\n", "", "more than 8 interim"},
	{"GET", "", "", "wrote none"},
	{"GET", "hello\r\n\r\n", "", "not with a status line"},
	{"GET", "HTTP/2 200 OK\r\n\r\n", "", "not with a status line"},
	{"GET", "HTTP/1.1 2000\r\n\r\n", "", "not with a status line"},
	{"GET", "HTTP/1.1 +20 OK\r\n\r\n", "", "its status"},
	{"GET", "HTTP/1.1 200 OK\n\n", "", "without CR LF"},
	{"GET", ok + "Content-Length: 2\r\n", "", "before it is whole"},
	{"GET", ok + "Content-Length: 3\r\n\r\nhi", "", "before it is whole"},
	{"GET", ok + "Content-Length: 1\r\n\r\nhi", "", "stands behind"},
	{"GET", ok + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "", "Content-Length is"},
	{"GET", ok + "Content-Length: +2\r\n\r\nhi", "", "Content-Length is"},
	{"GET", ok + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", "Transfer-Encoding"},
	{"GET", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "", "Transfer-Encoding"},
	{"GET", ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nhi\r\n0\r\n\r\n", "", "longer than its size"},
	{"GET", ok + "Transfer-Encoding: chunked\r\n\r\nx\r\n", "", "a chunk's size"},
	{"GET", ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", "", "a chunk's size"},
	{"GET", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "", "stands behind"},
	{"GET", ok + "X Y: 1\r\n\r\n", "", "is no field"},
	{"GET", ok + "X : 1\r\n\r\n", "", "is no field"},
	{"GET", ok + "X: 1\r\n folded\r\n\r\n", "", "is no field"},
	{"GET", ok + "X: a\rb\r\n\r\n", "", "is no field"},
	{"GET", ok + strings.Repeat("X: 1\r\n", 257) + "\r\n", "", "more than 256 fields"},
	{"GET", ok + "X: " + strings.Repeat("x", sectionMax) + "\r\n\r\n", "", "a line has more than"},
}

// parse reads the one response to r that output is.
func parse(output []byte, r *http.Request) (*http.Response, error) {
	a := answer{request: r}
	content, err := a.feed(bytes.Clone(output))
	if err == nil && a.more {
		err = errMore
	}
	if err == nil {
		err = a.end()
	}
	if err != nil {
		return nil, err
	}
	a.response.Body = io.NopCloser(bytes.NewReader(content))
	return a.response, nil
}

func TestResponses(t *testing.T) {
	for _, c := range responses {
		response, err := parse([]byte(c.output), httptest.NewRequest(c.method, "/", nil))
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%.80q: %v, want %s", c.output, err, c.err)
			}
		case err != nil:
			t.Errorf("%.80q: %v", c.output, err)
		default:
			if b, _ := io.ReadAll(response.Body); string(b) != c.body {
				t.Errorf("%.80q: %q, want %q", c.output, b, c.body)
			}
		}
	}
}

func TestResponseLengths(t *testing.T) {
	for output, want := range map[string]string{
		ok + "Content-Length: 5\r\n\r\n": "5", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n": "", ok + "\r\n": "",
	} {
		response, err := parse([]byte(output), httptest.NewRequest(http.MethodHead, "/", nil))
		if err != nil || response.Header.Get("Content-Length") != want {
			t.Errorf("%q: %v, %v, want %q", output, response, err, want)
		}
	}
}

// FuzzResponse holds that what is read can be written by net/http and read again as the same.
func FuzzResponse(f *testing.F) {
	for _, c := range responses {
		if len(c.output) < 1000 {
			f.Add(c.method == http.MethodHead, []byte(c.output))
		}
	}
	f.Fuzz(func(t *testing.T, head bool, output []byte) {
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		response, err := parse(output, httptest.NewRequest(method, "/", nil))
		if err != nil {
			return
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || int64(len(body)) > int64(len(output)) {
			t.Fatalf("%d bytes of %d, %v", len(body), len(output), err)
		}
		if response.StatusCode < 200 || response.StatusCode > 599 {
			t.Fatalf("status %d", response.StatusCode)
		}
		for name, values := range response.Header {
			if !isToken(name) || name != "Content-Length" && hopByHop[name] {
				t.Errorf("field %q", name)
			}
			for _, v := range values {
				if !isValue(v) {
					t.Errorf("value %q", v)
				}
			}
		}
	})
}

func TestRequestsThatReadInTwoWays(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"method":       func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX:" },
		"connect":      func(r *http.Request) { r.Method = http.MethodConnect },
		"target":       func(r *http.Request) { r.URL.Opaque = "/ HTTP/1.1\r\nX: 1\r\n" },
		"query":        func(r *http.Request) { r.URL.RawQuery = "a b" },
		"host":         func(r *http.Request) { r.Host = "a\r\nX: 1" },
		"hosts":        func(r *http.Request) { r.Host = "a,b" },
		"name":         func(r *http.Request) { r.Header = http.Header{"X: 1\r\nY": {"1"}} },
		"value":        func(r *http.Request) { r.Header.Set("X", "1\r\nContent-Length: 9") },
		"nul":          func(r *http.Request) { r.Header.Set("X", "\x00") },
		"short":        func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("a")), 2 },
		"large fields": func(r *http.Request) { r.Header.Set("X", strings.Repeat("a", 2000)) },
	} {
		r := httptest.NewRequest(http.MethodGet, "http://a/", nil)
		change(r)
		for _, listens := range []bool{false, true} {
			if x, err := newExchange(&job{request: r}, Limits{Input: 1000}, listens); err == nil {
				t.Errorf("%s: %q", name, x.in)
			}
		}
	}
}
