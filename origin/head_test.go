package origin

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// plainHeads are read without net/http.
var plainHeads = []string{
	good + "Content-Length: 5\r\n\r\n",
	good + "content-type:text/html \r\nCache-Control: max-age=60\r\ncontent-length: 0\r\n\r\n",
	"HTTP/1.1 404\r\nContent-Length: 7\r\nConnection: Keep-Alive\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nEtag: \"a\"\r\n\r\n",
	good + "Set-Cookie: a=b\r\nSet-Cookie: c=d\r\nVary:\r\nX-\xc3\xa9: no\r\n\r\n",
	good + "X: \xc3\xa9\t\r\nContent-Length: 1\r\n\r\n",
}

// doubtful are net/http's to read or to refuse, or have nothing that a plain response has.
var doubtful = []string{
	good + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
	good + "Content-Length: +5\r\n\r\n",
	good + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	good + "Content-Length : 5\r\n\r\n",
	good + "X: a\r\n b\r\nContent-Length: 5\r\n\r\n",
	good + "X: a\rb\r\nContent-Length: 5\r\n\r\n",
	good + "X: a\x00\r\nContent-Length: 5\r\n\r\n",
	good + "Content-Length: 5\r\nConnection: close\r\n\r\n",
	good + "Content-Length: 5\r\nPragma: no-cache\r\n\r\n",
	good + "\r\n",
	"HTTP/1.1  200 OK\r\nContent-Length: 5\r\n\r\n",
	"HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\n",
	"HTTP/1.1 +20 OK\r\nContent-Length: 5\r\n\r\n",
	"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
	"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
}

func parsePlain(head string) (*http.Response, bool) {
	w := &wire{}
	w.r = bufio.NewReaderSize(strings.NewReader(head), wireBufferSize)
	plain, size := w.plainHead()
	resp := new(http.Response)
	return resp, size > 0 && plain.parse(resp)
}

func TestPlainHeads(t *testing.T) {
	for i, head := range append(slices.Clone(plainHeads), doubtful...) {
		want := i < len(plainHeads) && !strings.Contains(head, "X-\xc3\xa9")
		if _, ok := parsePlain(head); ok != want {
			t.Errorf("%q: plain %v, want %v", head, ok, want)
		}
	}
}

// FuzzPlainHead looks for header sections that we read ourselves and net/http would read in another way.
func FuzzPlainHead(f *testing.F) {
	for _, head := range append(slices.Clone(plainHeads), doubtful...) {
		f.Add(head)
	}
	for _, evil := range append(evilHeads(), evilFraming()...) {
		f.Add(evil.response[:min(len(evil.response), 1<<10)])
	}
	f.Fuzz(func(t *testing.T, head string) {
		got, ok := parsePlain(head)
		if !ok {
			return
		}
		want, err := http.ReadResponse(bufio.NewReader(strings.NewReader(head)), &http.Request{Method: http.MethodGet})
		if err != nil {
			t.Fatalf("%q: net/http says %v", head, err)
		}
		if len(want.TransferEncoding) > 0 || want.Trailer != nil || want.Close || (want.Body == http.NoBody) != (got.ContentLength == 0) {
			t.Errorf("%q: net/http finds more in it: %+v", head, want)
		}
		want.Body, want.Request = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: read as\n%+v\nby net/http as\n%+v", head, got, want)
		}
		for name, values := range got.Header {
			if cap(values) != len(values) && len(values) == 1 {
				t.Errorf("an append to %s would change another field", name)
			}
		}
	})
}

// FuzzPlainRequest looks for requests that an origin would read other than as they are meant.
func FuzzPlainRequest(f *testing.F) {
	f.Add("/a/b?c=d", "shop.test", "Accept", "*/*", "")
	f.Add("/a%2fb??", "shop.test:80", "X", " a ", "/base")
	f.Add("//x", "o|", "A\r\nB", "a\r\nb: c", "")
	f.Add("*", "[::1]:80", "Content-Length", "5", "")
	f.Add("*", "0", "Content-length", "1", "") // as no http.Header should have it
	f.Add("/ HTTP/1.1\r\nX: y", "a\r\n", "Host", "evil", "")
	f.Fuzz(func(t *testing.T, target, host, name, value, prefix string) {
		if strings.Trim(prefix, "/abc%2F") != "" || strings.HasSuffix(prefix, "/") || prefix != "" && prefix[0] != '/' {
			t.Skip()
		}
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Scheme != "" || strings.Contains(target, "#") {
			t.Skip()
		}
		req := &http.Request{Method: http.MethodGet, URL: u, Host: host, Header: http.Header{name: {value}, "X-Last": {"1"}}}
		out, ok := plainRequest(nil, req, &server{scheme: "http", host: "o.test", wires: "o.test:80", prefix: prefix}, "client")
		if !ok {
			return
		}
		in := bufio.NewReader(bytes.NewReader(out))
		got, err := http.ReadRequest(in)
		if err != nil {
			return // refused, and not misunderstood
		}
		if target == "*" {
			prefix = ""
		}
		if got.RequestURI != prefix+target || host != "" && got.Host != host || got.Header.Get("X-Last") != "1" || got.ContentLength != 0 {
			t.Errorf("%q, %q is sent as %q", target, host, out)
		}
		if len(got.Header) > 2 {
			t.Errorf("%q: %q makes more than one field of %q", out, value, name)
		}
		if rest, _ := io.ReadAll(in); len(rest) > 0 {
			t.Errorf("%q has %q behind it", out, rest)
		}
	})
}
