package edge

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/cache"
)

// rawTest is what a client may send as raw bytes, and what it gets. What may be read in two ways is in smugglingTests.
type rawTest struct {
	name, raw string
	status    int
	why       reason
	body      string // a part of it
}

func rawTests() []rawTest {
	get := func(target, fields string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: shop.test\r\n" + fields + "\r\n"
	}
	post := func(fields, rest string) string {
		return "POST / HTTP/1.1\r\nHost: shop.test\r\n" + fields + "\r\n" + rest
	}
	long := strings.Repeat("x", 33<<10)
	return []rawTest{
		{name: "plain", raw: get("/a", ""), status: 200},
		{name: "host in capitals with port and dot", raw: "GET / HTTP/1.1\r\nHost: SHOP.test.:8080\r\n\r\n", status: 200},
		{name: "absolute form", raw: "GET http://shop.test/a?b HTTP/1.1\r\nHost: other.test\r\n\r\n", status: 200},
		{name: "absolute form without a path", raw: get("http://shop.test", ""), status: 200},
		{name: "HTTP/1.0 with Host", raw: "GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n", status: 200},
		{name: "OPTIONS for the node", raw: "OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n", status: 204},
		{name: "OPTIONS that may go no further", raw: "OPTIONS /a HTTP/1.1\r\nHost: shop.test\r\nMax-Forwards: 0\r\n\r\n", status: 204},
		{name: "chunked", raw: post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"), status: 200, body: "abc"},

		{name: "no Host in HTTP/1.0", raw: "GET / HTTP/1.0\r\n\r\n", status: 400, why: refusedHost},
		{name: "empty Host", raw: "GET / HTTP/1.1\r\nHost:\r\n\r\n", status: 400, why: refusedHost},
		{name: "Host with a path", raw: "GET / HTTP/1.1\r\nHost: shop.test/x\r\n\r\n", status: 400, why: refusedHost},
		{name: "Host with user", raw: "GET / HTTP/1.1\r\nHost: a@shop.test\r\n\r\n", status: 400, why: refusedHost},
		{name: "Host with a bad port", raw: "GET / HTTP/1.1\r\nHost: shop.test:65536\r\n\r\n", status: 400, why: refusedHost},
		{name: "unknown host", raw: "GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n", status: 421, why: refusedNoSite, body: "nobody.test"},
		{name: "user in the target", raw: get("http://a:b@shop.test/", ""), status: 400, why: refusedTarget},
		{name: "fragment in the target", raw: get("/a#b", ""), status: 400, why: refusedTarget},
		{name: "asterisk for GET", raw: get("*", ""), status: 400, why: refusedTarget},
		{name: "https on cleartext", raw: get("https://shop.test/", ""), status: 421, why: refusedMisdirected},
		{name: "ftp", raw: get("ftp://shop.test/", ""), status: 421, why: refusedMisdirected},
		{name: "TRACE", raw: "TRACE / HTTP/1.1\r\nHost: shop.test\r\n\r\n", status: 405, why: refusedMethod},
		{name: "CONNECT", raw: "CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n\r\n", status: 405, why: refusedMethod},
		{name: "our CDN-Loop", raw: get("/", "CDN-Loop: a, lisbon-1; x=y\r\n"), status: 508, why: refusedLoop},
		{name: "our Via", raw: get("/", "Via: 1.1 a, 2.0 lisbon-1 (w)\r\n"), status: 508, why: refusedLoop},
		{name: "endless CDN-Loop", raw: get("/", "CDN-Loop: "+strings.Repeat("a,", 20)+"a\r\n"), status: 508, why: refusedLoop},
		{name: "large header", raw: get("/", "X: "+long+"\r\n"), status: 431, why: refusedHeaderSize},
		{name: "long target", raw: get("/"+long, ""), status: 431, why: refusedHeaderSize},

		{name: "two Hosts", raw: get("/", "Host: shop.test\r\n"), status: 400, why: refusedHost},
		{name: "no Host", raw: "GET / HTTP/1.1\r\n\r\n", status: 400, why: refusedHost},
		{name: "Host with a space", raw: "GET / HTTP/1.1\r\nHost: shop test\r\n\r\n", status: 400, why: refusedHost},
		{name: "NUL in the target", raw: get("/\x00", ""), status: 400, why: refusedMalformed},
		{name: "NUL in a field", raw: get("/", "X: a\x00b\r\n"), status: 400, why: refusedMalformed},
		{name: "space before the colon", raw: "GET / HTTP/1.1\r\nHost: shop.test\r\nContent-Length : 3\r\n\r\nabc", status: 400, why: refusedMalformed},
		{name: "two lengths", raw: post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), status: 400, why: refusedMalformed},
		{name: "signed length", raw: post("Content-Length: +3\r\n", "abc"), status: 400, why: refusedMalformed},
		{name: "gzip, chunked", raw: post("Transfer-Encoding: gzip, chunked\r\n", ""), status: 501, why: refusedMalformed},
		{name: "HTTP/3.0", raw: "GET / HTTP/3.0\r\nHost: shop.test\r\n\r\n", status: 505, why: refusedMalformed},
		{name: "no HTTP at all", raw: "\x16\x03\x01\x02 is no HTTP\r\n\r\n", status: 400, why: refusedMalformed},
		{name: "huge header", raw: get("/", "X: "+long+long+long+"\r\n"), status: 431, why: refusedHeaderSize},
	}
}

func TestRawRequests(t *testing.T) {
	tests := rawTests()
	n := start(t, nodeOptions{})
	for _, test := range tests {
		before := 0
		if test.why != "" {
			before = n.refusals(test.why)
		}
		resp, body := n.ask(test.raw)
		if resp.StatusCode != test.status || !strings.Contains(body, test.body) {
			t.Errorf("%s: status %d, body %q; want %d with %q", test.name, resp.StatusCode, body, test.status, test.body)
		}
		if resp.Header.Get("Date") == "" || resp.Header.Get("Cache-Status") == "" || len(resp.Header.Get(RequestIDField)) != 24 {
			t.Errorf("%s: response without Date, Cache-Status or request id: %v", test.name, resp.Header)
		}
		if resp.Header.Get("Server") != "" {
			t.Errorf("%s: response tells the server's name", test.name)
		}
		if test.why != "" {
			if got := n.refusals(test.why); got != before+1 {
				t.Errorf("%s: %d counted as %s, want 1", test.name, got-before, test.why)
			}
			if status := resp.Header.Get("Proxy-Status"); !strings.HasPrefix(status, "lisbon-1; error="+test.why.proxyError()) {
				t.Errorf("%s: Proxy-Status is %q", test.name, status)
			}
		}
		if test.status == 405 && resp.Header.Get("Allow") == "" {
			t.Errorf("%s: no Allow", test.name)
		}
	}
}

func TestSlowHeader(t *testing.T) {
	n := start(t, nodeOptions{yaml: shopYAML + "\nlimits: {header_timeout: 100ms}"})
	w := n.dial()
	w.send("GET /slow HTTP/1.1\r\nHost: shop")
	if resp, _ := w.response(http.MethodGet); resp.StatusCode != http.StatusRequestTimeout || !resp.Close {
		t.Errorf("status %d, close %t", resp.StatusCode, resp.Close)
	}
	w.closed()
	if record := n.records()[0]; record["refused"] != "header_timeout" || record["path"] != "/slow" {
		t.Errorf("record %v", record)
	}
	if got := n.refusals(refusedHeaderTimeout); got != 1 {
		t.Errorf("%d counted, want 1", got)
	}
}

func TestSlowBody(t *testing.T) {
	for _, framing := range []string{"Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"} {
		n := start(t, nodeOptions{yaml: shopYAML + "\nlimits: {body_timeout: 100ms}"})
		w := n.dial()
		w.send("POST / HTTP/1.1\r\nHost: shop.test\r\n" + framing)
		resp, body := w.response(http.MethodPost)
		if resp.StatusCode != http.StatusRequestTimeout || !resp.Close || !strings.Contains(body, "fault: client") {
			t.Errorf("status %d, close %t, body %q", resp.StatusCode, resp.Close, body)
		}
		w.closed()
		record := n.records()[0]
		if record["refused"] != "body_timeout" || record["fault"] != "client" || record["request_body_bytes"] != 3.0 {
			t.Errorf("record %v", record)
		}
		if got := n.refusals(refusedBodyTimeout); got != 1 {
			t.Errorf("%d counted, want 1", got)
		}
	}
}

// A client that takes its time but goes on sending isn't silent.
func TestSteadyBodyOutlastsTheTimeout(t *testing.T) {
	const pieces = 8
	n := start(t, nodeOptions{yaml: shopYAML + "\nlimits: {body_timeout: 400ms}"})
	w := n.dial()
	w.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: %d\r\n\r\n", pieces))
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range pieces {
		<-tick.C
		w.send("x")
	}
	if resp, body := w.response(http.MethodPost); resp.StatusCode != http.StatusOK || body != "xxxxxxxx" {
		t.Errorf("status %d, body %q", resp.StatusCode, body)
	}
	// The body's deadline must not outlive the body: the connection is good for more.
	w.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	if resp, _ := w.response(http.MethodGet); resp.StatusCode != http.StatusOK {
		t.Errorf("next request: status %d", resp.StatusCode)
	}
}

func TestBodyTooLarge(t *testing.T) {
	const yaml = `sites: [{name: shop, hosts: [shop.test], body_size: 8, origins: [{url: "http://127.0.0.1:9000"}]}]`
	for name, test := range map[string]struct {
		framing string
		status  int
	}{
		"fits":            {"Content-Length: 8\r\n\r\n12345678", 200},
		"announced":       {"Content-Length: 9\r\n\r\n123456789", 413},
		"chunked fits":    {"Transfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n0\r\n\r\n", 200},
		"chunked too big": {"Transfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n", 413},
	} {
		n := start(t, nodeOptions{yaml: yaml})
		resp, _ := n.ask("POST / HTTP/1.1\r\nHost: shop.test\r\n" + test.framing)
		want := 0
		if test.status == 413 {
			want = 1
		}
		if resp.StatusCode != test.status || n.refusals(refusedBodySize) != want {
			t.Errorf("%s: status %d, counted %d", name, resp.StatusCode, n.refusals(refusedBodySize))
		}
	}
}

// A body that a step refused to read must not be taken for the next request.
func TestUnreadBodyIsNotTheNextRequest(t *testing.T) {
	n := start(t, nodeOptions{})
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n"
	w := n.dial()
	w.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: nobody.test\r\nContent-Length: %d\r\n\r\n%s", len(smuggled), smuggled))
	if resp, _ := w.response(http.MethodPost); resp.StatusCode != 421 {
		t.Errorf("status %d", resp.StatusCode)
	}
	w.send("GET /next HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	_, _ = io.ReadAll(io.LimitReader(w.r, 1))
	w.Close()
	for _, record := range n.records() {
		if record["path"] == "/smuggled" {
			t.Error("the body was served as a request")
		}
	}
}

func TestConnectionLimit(t *testing.T) {
	hold := make(chan struct{})
	n := start(t, nodeOptions{
		yaml: shopYAML + "\nlimits: {connections: 2}",
		upstream: func(r *http.Request) (*http.Response, error) {
			<-hold
			return respond(200, ""), nil
		},
	})
	first, second := n.dial(), n.dial()
	first.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	second.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	resp, body := n.ask("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	if resp.StatusCode != 503 || !resp.Close || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "fault: edge") {
		t.Errorf("third connection: status %d, %v, %q", resp.StatusCode, resp.Header, body)
	}
	newWire(t, n.https).closed()
	if got := n.refusals(refusedConnections); got != 2 {
		t.Errorf("%d counted, want 2", got)
	}
	close(hold)
	for _, w := range []*wire{first, second} {
		if resp, _ := w.response(http.MethodGet); resp.StatusCode != 200 {
			t.Errorf("status %d for a connection within the limit", resp.StatusCode)
		}
	}
}

// A client that speaks HTTP/1.0 takes the first header section for the response (RFC 9110 §15.2).
func TestInterimResponsesGoToThoseWhoKnowThem(t *testing.T) {
	n := start(t, nodeOptions{cache: func(w http.ResponseWriter, _ *http.Request, _ *cache.Policy) cache.Outcome {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNoContent)
		return cache.Outcome{Verdict: cache.Miss, Status: http.StatusNoContent}
	}})
	for protocol, want := range map[string]string{"HTTP/1.0": "204", "HTTP/1.1": "103"} {
		w := n.dial()
		w.send("GET / " + protocol + "\r\nHost: shop.test\r\n\r\n")
		line, err := w.r.ReadString('\n')
		if err != nil || !strings.Contains(line, want) {
			t.Errorf("%s: first line %q, %v; want %s", protocol, line, err, want)
		}
	}
}
