package edge

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wherry/wherry/config"
)

func get(target string, fields ...string) string {
	var b strings.Builder
	b.WriteString("GET " + target + " HTTP/1.1\r\nHost: shop.test\r\n")
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	return b.String() + "\r\n"
}

// lanePaths are what the caches are warmed with.
func lanePaths() []string {
	return []string{
		"/big", "/vary", "/nostore", "/nocache", "/short", "/private", "/notype", "/empty", "/204", "/404", "/301", "/299",
		"/behind", "/via", "/trailer", "/static/a.css?x=1", "/sorted?a=1&b=2", "/only?q=1&r=2", "/secret", "/live", "/a%20b", "/a?", "/a??x=%zz",
		"/varies/*", "/varies/Host", "/varies/X-Forwarded-For", "/varies/Cookie", "/varies/Wherry-Request-Id", "/varies/Connection",
	}
}

// warm returns requests for what raw asks for, and for / and /etag, so that the caches have it.
func warm(raw string) []string {
	all := []string{get("/"), get("/etag")}
	for _, path := range lanePaths() {
		if name, _, _ := strings.Cut(path, "?"); strings.Contains(raw, name+" ") || strings.Contains(raw, name+"?") {
			all = append(all, get(path))
		}
	}
	if strings.Contains(raw, "/short ") {
		all = append(all, slices.Repeat([]string{get("/")}, 6)...) // each takes a second, until it is stale
	}
	if strings.Contains(raw, "/keyed?") {
		all = append(all, get("/keyed?b=1&utm_x=1&a=2", "X-Colour: red", "Cookie: id=1; lang=en"))
	}
	if strings.Contains(raw, "/vary ") {
		all = append(all, get("/vary", "Accept-Encoding: gzip, br", "X-Colour: red"))
	}
	return all
}

// laneTest is a request, and whether the lane answers it.
type laneTest struct {
	raw  string
	lane bool
}

func laneTests() []laneTest {
	agent := "User-Agent: Mozilla/5.0 (X11; Linux x86_64) \"quoted\""
	return []laneTest{
		{get("/"), true},
		{get("/", agent, "Referer: https://shop.test/?a=b", "Cookie: a=b; c=d", "Accept: */*", "X-Forwarded-For: 1.2.3.4"), true},
		{get("/", "User-Agent:", "user-agent: second", "referer: a", "Referer: b"), true},
		{get("/", "connection: Keep-Alive"), true},
		{get("/", "X-Padded: \t a \t "), true},
		{get("/", "Empty:"), true},
		{strings.Replace(get("/"), "GET", "HEAD", 1), true},
		{"GET / HTTP/1.1\r\nhOsT: \tSHOP.test.:8080 \r\n\r\n", true},
		{"GET / HTTP/1.1\r\nHost: a.b.shop.test\r\n\r\n", false}, // not stored for this host
		{"GET /static/a.css?y=2 HTTP/1.1\r\nHost: www.shop.test\r\n\r\n", true},
		{"GET / HTTP/1.1\r\nHost: other.shop.test:8080\r\n\r\n", true},
		{"GET /etag HTTP/1.1\r\nHost: A.Other.shop.test\r\nCookie: a=b\r\n\r\n", true},
		{get("/sorted?b=2&a=1"), true},
		{get("/keyed?a=2&b=1&utm_y=z", "X-Colour: red", "Cookie: lang=en; id=7"), true},
		{get("/keyed?a=2&b=1", "Cookie: x=y", "X-Colour: red", "cookie: lang=en"), true},
		{get("/keyed?a=2&b=1", "Cookie: lang=de", "X-Colour: red"), false},
		{get("/keyed?a=2&b=1", "Cookie: lang=en", "X-Colour: blue"), false},
		{get("/keyed?a=2&b=1", "X-Colour: red"), false},
		{get("/keyed?a=2&b=2", "X-Colour: red", "Cookie: lang=en"), false},
		{get("/keyed?a=2&b=1", "X-Colour: red", "Cookie: lang=en", "Accept-Encoding: br"), false},
		{get("/only?r=3&q=1"), true},
		{get("/a%20b"), true},
		{get("/a?"), true},
		{get("/a"), true},
		{get("/a??x=%zz"), true},
		{get("/etag"), true},
		{get("/etag", `If-None-Match: "0", W/"1"`), true},
		{get("/etag", `If-None-Match: "2"`), true},
		{get("/etag", "If-None-Match: *"), true},
		{get("/etag", "If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT"), true},
		{get("/etag", "If-Modified-Since: nonsense"), true},
		{get("/etag", `If-None-Match: "2"`, "If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT"), true},
		{strings.Replace(get("/etag", `If-None-Match: "1"`), "GET", "HEAD", 1), true},
		{get("/404", `If-None-Match: *`), true},
		{get("/big"), true},
		{get("/vary"), true},
		{get("/vary", "accept-encoding:  BR ,gzip", "x-colour: red"), true},
		{get("/vary", "accept-encoding: br", "accept-encoding: gzip", "x-colour: red"), true},
		{get("/vary", "Accept-Encoding: gzip, br", "X-Colour: blue"), false},
		{get("/varies/Cookie"), true},
		{get("/varies/Cookie", "Cookie: a"), false},
		{get("/private"), true},
		{get("/via"), true},
		{get("/empty"), true},
		{get("/404"), true},
		{get("/301"), true},

		{get("/varies/*"), false},
		{get("/299"), false},
		{get("/204"), false},
		{get("/notype"), false},
		{get("/nostore"), false},
		{get("/nocache"), false},
		{get("/short"), false}, // stale by now
		{get("/secret"), false},
		{get("/live"), false},
		{get("/missing"), false},
		{get(config.HealthPath), false},
		{get("/.well-known/wherry/healt%68"), false},
		{get("/", "X: "+strings.Repeat("x", 2000)), false},
		{get("/", "Range: bytes=0-1"), false},
		{get("/etag", `If-Range: "1"`), false},
		{get("/etag", `If-Match: "1"`), false},
		{get("/etag", "If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT"), false},
		{get("/", "Cache-Control: no-cache"), false},
		{get("/", "Pragma: no-cache"), false},
		{get("/", "Authorization: Basic eDp5"), false},
		{get("/", "Via: 1.1 x"), false},
		{get("/", "CDN-Loop: lisbon-1"), false},
		{get("/", "Wherry-Trace: a"), false},
		{get("/", "Connection: close"), false},
		{get("/", "Connection: X-Foo"), false},
		{get("/", "Connection: keep-alive, Host"), false},
		{get("/", "Upgrade: websocket", "Connection: upgrade"), false},
		{get("/", "Expect: 100-continue"), false},
		{get("/", "Expect: nonsense"), false},
		{get("/", "TE: trailers"), false},
		{get("http://shop.test/"), false},
		{get("//shop.test/"), false},
		{get("/../"), false},
		{get("/%"), false},
		{get("/%2"), false},
		{get("/%zz"), false},
		{get("/\"<>"), false},
		{get("/\xff"), false},
		{get("/#a"), false},
		{get("/?a#b"), false},
		{get("*"), false},
		{"OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n", false},
		{"GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n", false},
		{"GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n", false},
		{"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", false},
		{"GET / HTTP/1.1\r\nHost: \r\n\r\n", false},
		{"GET / HTTP/1.1\r\n\r\n", false},
		{"PRI * HTTP/1.1\r\n\r\n", false},
		{"\r\n" + get("/"), false},
		{"\n" + get("/"), false},
		{"", false},
	}
}

// smuggled are what one parser may take for one request and another for two (RFC 9112 §11.2). All of them have to be net/http's.
func smuggled() []string {
	inner := "GET /etag HTTP/1.1\r\nHost: shop.test\r\n\r\n"
	var all []string
	for _, fields := range [][]string{
		{fmt.Sprintf("Content-Length: %d", len(inner))},
		{fmt.Sprintf("Content-Length: %d", len(inner)), fmt.Sprintf("Content-Length: %d", len(inner))},
		{"Content-Length: 0"},
		{"Content-Length: +0"},
		{"Content-Length: 0, 0"},
		{"Content-Length:"},
		{"content-length: 3", "Content-Length: 4"},
		{"Content-Length : 3"},
		{"Content-Length\t: 3"},
		{"Content-Length\x0b: 3"},
		{" Content-Length: 3"},
		{"\tContent-Length: 3"},
		{"X: a", " Content-Length: 3"},
		{"X: a\r\n\tb"},
		{"X: a\rContent-Length: 3"},
		{"X: a\nContent-Length: 3"},
		{"X: a\x00b"},
		{"X\x00: a"},
		{"Transfer-Encoding: chunked"},
		{"Transfer-Encoding: xchunked"},
		{"Transfer-Encoding: identity"},
		{"Transfer-Encoding : chunked"},
		{"Transfer-Encoding: chunked", "Content-Length: 4"},
		{"transfer-encoding:\tchunked"},
		{"Transfer-Encoding:\x0bchunked"},
		{"Transfer-Encoding: chunked", "Transfer-Encoding: x"},
		{"Trailer: Content-Length"},
		{"Host: shop.test"},
		{"Host: bank.test"},
		{"host:shop.test"},
		{"Host : shop.test"},
		{": a"},
		{"X"},
		{"X;: a"},
		{"X(: a"},
		{"X: \x7f"},
		{"X: \xff"},
		{"HTTP2-Settings: a"},
		{"Keep-Alive: 5"},
		{"Proxy-Connection: close"},
		{"Content-Type: a/b"},
		{"Connection: close, keep-alive"},
		{"Connection:"},
	} {
		all = append(all, get("/", fields...)+inner)
	}
	return append(all,
		"GET / HTTP/1.1\nHost: shop.test\n\n"+inner,
		"GET / HTTP/1.1\r\nHost: shop.test\n\r\n"+inner,
		"GET / HTTP/1.1\r\nHost: shop.test\r\n\n"+inner,
		"GET / HTTP/1.1\r\nHost: shop.test\r\n\r"+inner,
		"GET  / HTTP/1.1\r\nHost: shop.test\r\n\r\n"+inner,
		"GET /  HTTP/1.1\r\nHost: shop.test\r\n\r\n"+inner,
		"GET\t/ HTTP/1.1\r\nHost: shop.test\r\n\r\n"+inner,
		"GET / HTTP/1.1 \r\nHost: shop.test\r\n\r\n"+inner,
		"GET / HTTP/1.10\r\nHost: shop.test\r\n\r\n"+inner,
		"GET / HTTP/01.1\r\nHost: shop.test\r\n\r\n"+inner,
		"GET / http/1.1\r\nHost: shop.test\r\n\r\n"+inner,
		"get / HTTP/1.1\r\nHost: shop.test\r\n\r\n"+inner,
		"GETX / HTTP/1.1\r\nHost: shop.test\r\n\r\n"+inner,
		"XGET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"+inner,
		"GET / HTTP/1.1\r\n Host: shop.test\r\n\r\n"+inner,
		"GET / HTTP/1.1\r\nX: y\r\n Host: shop.test\r\n\r\n"+inner,
		"GET /?a b HTTP/1.1\r\nHost: shop.test\r\n\r\n"+inner,
		"GET /\rx HTTP/1.1\r\nHost: shop.test\r\n\r\n"+inner,
		fmt.Sprintf("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: %d\r\n\r\n%s%s", len(inner), inner, inner),
		"POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"+inner,
		"POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"\r\n\"\r\nabc\r\n0\r\nX: y\r\n\r\n"+inner,
		"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n\r\n\r\n"+inner,
		"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nab\r\n"+inner,
	)
}

func TestLaneAnswersAsNetHTTP(t *testing.T) {
	certificate := certificate(t)
	for _, key := range [...]*tls.Certificate{nil, &certificate} {
		for _, test := range laneTests() {
			// Once alone, and once between two others that keep the connection busy.
			if answers := compare(t, key, warm(test.raw), test.raw); answers != 0 != test.lane {
				t.Errorf("%.200q (TLS: %t): %d answers by the lane, want some: %t", test.raw, key != nil, answers, test.lane)
			}
			compare(t, key, warm(test.raw), get("/")+test.raw+get("/etag"), get("/etag"))
		}
	}
}

func TestLaneIsNoWayToSmuggle(t *testing.T) {
	for _, raw := range smuggled() {
		compare(t, nil, warm(""), raw, get("/"))
		compare(t, nil, warm(""), get("/")+raw+get("/"), get("/"))
	}
}

// However a sequence is cut into packets, it is the same sequence.
func TestLanePartialReads(t *testing.T) {
	requests := get("/", "X: y") + get("/missing") + strings.Replace(get("/etag"), "GET", "HEAD", 1) +
		"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nab" + get("/etag") + get("/vary")
	for i := 1; i < len(requests); i++ {
		compare(t, nil, warm(requests), requests[:i], requests[i:], get("/"))
	}
	compare(t, nil, warm(requests), strings.Split(requests, "")...)
}

// net/http's buffer is full, or empty, in the middle of a header section: what comes next looks like a request and is none.
func TestLaneKnowsWhereRequestsBegin(t *testing.T) {
	const window = 4096
	inner := get("/etag")
	for _, size := range []int{window - 2, window - 1, window, window + 1, 2 * window} {
		head := "GET /missing HTTP/1.1\r\nHost: shop.test\r\nX: "
		long := head + strings.Repeat("x", size-len(head))
		compare(t, nil, warm(""), long, inner)
		compare(t, nil, warm(""), long, "\r\n"+inner, inner)
		post := fmt.Sprintf("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: %d\r\n\r\n", len(inner))
		compare(t, nil, warm(""), post+inner+"GET /x HTTP/1.1\r\n", inner)
		compare(t, nil, warm(""), post+inner+"GE", inner)
		compare(t, nil, warm(""), post+inner+"GET ", inner)
		compare(t, nil, warm(""), post, inner, inner)
	}
	var many strings.Builder
	for many.Len() < 3*window {
		many.WriteString(get("/", "X: "+strings.Repeat("x", many.Len()%97)))
	}
	if answers := compare(t, nil, warm(""), many.String(), get("/"), get("/missing"), get("/"), get("/")); answers < 20 {
		t.Errorf("the lane gave only %d answers to many requests", answers)
	}
}

// net/http reads a byte ahead while it waits for a handler: what comes behind that byte is no request.
func TestLaneMindsTheByteThatNetHTTPHolds(t *testing.T) {
	inner := get("/etag")
	for _, test := range []struct {
		pieces      []string
		least, most int64 // answers by the lane
	}{
		{[]string{get("/slow"), "X" + inner, inner}, 0, 0},
		{[]string{get("/slow"), inner, inner}, 1, 1}, // the first one is in two parts
		{[]string{get("/slow"), inner + inner, inner}, 1, 1},
		{[]string{get("/slow") + inner, inner, inner}, 1, 2}, // it depends on who is first at the second one's first byte
		{[]string{get("/slow"), "G", "ET /etag HTTP/1.1\r\nHost: shop.test\r\n\r\n", inner}, 1, 1},
		{[]string{get("/nostore"), get("/"), get("/nostore"), get("/")}, 2, 2},
	} {
		if answers := compare(t, nil, warm(""), test.pieces...); answers < test.least || answers > test.most {
			t.Errorf("%q: %d answers by the lane, want %d to %d", test.pieces, answers, test.least, test.most)
		}
	}
}

func FuzzLane(f *testing.F) {
	for _, test := range laneTests() {
		f.Add(test.raw, uint16(7))
	}
	for _, raw := range smuggled() {
		f.Add(raw, uint16(30))
	}
	f.Fuzz(func(t *testing.T, raw string, cut uint16) {
		if len(raw) > 16<<10 || strings.Contains(raw, "HTTP/2.0") {
			return
		}
		at := int(cut) % (len(raw) + 1)
		compare(t, nil, warm(""), get("/"), raw[:at], raw[at:]+get("/etag"), get("/"))
	})
}
