package edge

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/edge/page"
	"github.com/wherry/wherry/fault"
)

// Each failure has to be told to the client, the log and the metrics alike, without addresses.
func TestFailures(t *testing.T) {
	for _, test := range []struct {
		name    string
		outcome cache.Outcome
		accept  string
		status  int
		words   string
		proxy   string
	}{
		{
			"origin refuses", cache.Outcome{Err: &fault.Error{
				Party: fault.Origin, Op: "connect", Status: 502, Proxy: "connection_refused", Err: errors.New("dial tcp 10.0.0.7:80: refused"),
			}, CacheStatus: "lisbon-1; fwd=uri-miss"}, "*/*", 502, "The origin of this site gave no usable answer.", "connection_refused",
		},
		{
			"origin is slow",
			cache.Outcome{Err: fault.New(fault.Origin, "read header", 504, errors.New("10.0.0.7"))},
			"text/html,*/*;q=0.8", 504,
			"<strong>The origin of this site did not answer in time.</strong>", "destination_unavailable",
		},
		{"our bug", cache.Outcome{Err: errors.New("10.0.0.7 oops")}, "text/plain", 500, "This node of the", "proxy_internal_error"},
		{"nobody answers", cache.Outcome{}, "", 500, "This node", "proxy_internal_error"},
		{"configuration", cache.Outcome{Err: fault.New(fault.Config, "pick", 502, nil)}, "", 502, "not set up", "proxy_configuration_error"},
		{"peer", cache.Outcome{Err: fault.New(fault.Peer, "fetch", 502, nil)}, "", 502, "Another node", "destination_unavailable"},
	} {
		n := start(t, nodeOptions{cache: func(w http.ResponseWriter, _ *http.Request, _ *cache.Policy) cache.Outcome {
			w.Header().Set("Content-Encoding", "gzip") // left over from what failed
			o := test.outcome
			o.Verdict = cache.Failed
			return o
		}})
		resp, body := n.ask("GET / HTTP/1.1\r\nHost: shop.test\r\nAccept: " + test.accept + "\r\n\r\n")
		if resp.StatusCode != test.status || !strings.Contains(body, test.words) || strings.Contains(body, "10.0.0.7") {
			t.Errorf("%s: status %d, body %s", test.name, resp.StatusCode, body)
		}
		h := resp.Header
		if !strings.Contains(body, h.Get(RequestIDField)) || !strings.Contains(body, "lisbon-1") {
			t.Errorf("%s: the page doesn't name request and node", test.name)
		}
		wantCache := test.outcome.CacheStatus
		if wantCache == "" {
			wantCache = "lisbon-1; detail=failed"
		}
		if h.Get("Cache-Control") != "no-store" || h.Get("Proxy-Status") != "lisbon-1; error="+test.proxy || h.Get("Content-Encoding") != "" ||
			h.Get("Cache-Status") != wantCache || isHTML(h.Get("Content-Type")) != isHTML(test.accept) {
			t.Errorf("%s: header %v", test.name, h)
		}
		record := n.records()[0]
		if record["fault"] == nil || record["cache"] != "failed" || record["status"] != float64(test.status) {
			t.Errorf("%s: record %v", test.name, record)
		}
	}
}

func isHTML(value string) bool { return strings.HasPrefix(value, "text/html") }

// A body that ends too early must not look complete, in either framing and protocol.
func TestBrokenResponseLooksBroken(t *testing.T) {
	n := start(t, nodeOptions{cache: func(w http.ResponseWriter, r *http.Request, _ *cache.Policy) cache.Outcome {
		_, _ = io.WriteString(w, "half")
		if r.URL.Path == "/panic" {
			panic("oops")
		}
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
		return cache.Outcome{Verdict: cache.Miss, Status: 200, Err: fault.New(fault.Origin, "read body", 502, io.ErrUnexpectedEOF)}
	}})
	for _, path := range []string{"/", "/panic", "/abort"} {
		for _, configure := range []func(*http.Transport){nil, func(tr *http.Transport) {
			tr.Protocols = new(http.Protocols)
			tr.Protocols.SetUnencryptedHTTP2(true)
		}} {
			resp, err := client(t, n.http, configure).Get("http://shop.test" + path)
			if err != nil {
				continue // broken before the header section: as good
			}
			if body, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("%s by %s: %q looks complete", path, resp.Proto, body)
			}
			resp.Body.Close()
		}
	}
	for _, record := range n.records() {
		if record["aborted"] != true {
			t.Errorf("record %v", record)
		}
	}
}

func TestPanicBeforeTheResponse(t *testing.T) {
	n := start(t, nodeOptions{cache: func(http.ResponseWriter, *http.Request, *cache.Policy) cache.Outcome { panic("oops") }})
	if resp, body := n.ask("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"); resp.StatusCode != 500 || strings.Contains(body, "oops") {
		t.Errorf("status %d, body %s", resp.StatusCode, body)
	}
}

// The client goes: the fetch must end, and the log says 499.
func TestClientLeaves(t *testing.T) {
	asked, left := make(chan struct{}), make(chan struct{})
	n := start(t, nodeOptions{upstream: func(r *http.Request) (*http.Response, error) {
		close(asked)
		<-r.Context().Done()
		close(left)
		return nil, r.Context().Err()
	}})
	w := n.dial()
	w.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	<-asked
	w.Close()
	<-left
	record := n.records()[0]
	if record["status"] != 499.0 || record["fault"] != "client" || record["cache"] != "failed" {
		t.Errorf("record %v", record)
	}
}

func TestPrefersHTML(t *testing.T) {
	for accept, want := range map[string]bool{
		"":    false,
		"*/*": false,
		"text/html,application/xhtml+xml,*/*;q=0.8": true,
		"text/html;q=0":                       false,
		"text/html;q=0.5, text/plain":         false,
		"text/plain;q=0.5, Text/HTML;level=1": true,
		"text/html;q=x":                       false,
	} {
		if got := page.PrefersHTML([]string{accept}); got != want {
			t.Errorf("%q: %t", accept, got)
		}
	}
}

func TestMemberName(t *testing.T) {
	for node, want := range map[string]string{"lisbon-1": "lisbon-1", "1st": `"1st"`} {
		if got := field.TokenOrString(string(node)); got != want {
			t.Errorf("%s: %s", node, got)
		}
	}
}
