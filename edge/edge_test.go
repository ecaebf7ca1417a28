package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/trace"
)

func TestProtocols(t *testing.T) {
	n := start(t, nodeOptions{yaml: `sites: [{name: all, hosts: ["*"], origins: [{url: "http://127.0.0.1:9000"}]}]`})
	for _, test := range []struct {
		name, url, addr, proto string
		configure              func(*http.Transport)
	}{
		{"HTTP/1.1", "http://a.test/x", n.http, "HTTP/1.1", nil},
		{"HTTP/2 by prior knowledge", "http://a.test/x", n.http, "HTTP/2.0", func(tr *http.Transport) {
			tr.Protocols = new(http.Protocols)
			tr.Protocols.SetUnencryptedHTTP2(true)
		}},
		{"HTTP/1.1 over TLS", "https://a.test/x", n.https, "HTTP/1.1", nil},
		{"HTTP/2 over TLS", "https://a.test/x", n.https, "HTTP/2.0", func(tr *http.Transport) { tr.Protocols.SetHTTP2(true) }},
	} {
		c := client(t, test.addr, test.configure)
		body := strings.Repeat("0123456789", 50_000)
		resp, err := c.Post(test.url, "text/plain", strings.NewReader(body))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(got) != body || resp.Proto != test.proto {
			t.Errorf("%s: %s, %d bytes, %v", test.name, resp.Proto, len(got), err)
		}
		if resp.Header.Get("Date") == "" || resp.Header.Get("Cache-Status") == "" || resp.Header.Get(RequestIDField) == "" {
			t.Errorf("%s: header %v", test.name, resp.Header)
		}
		c.CloseIdleConnections()
	}
	for _, record := range n.records() {
		if record["request_body_bytes"] != 500_000.0 || record["response_body_bytes"] != 500_000.0 || record["site"] != "all" {
			t.Errorf("record %v", record)
		}
	}
}

// A connection that was opened for one site must not reach another through its Host.
func TestSNIAndHost(t *testing.T) {
	n := start(t, nodeOptions{yaml: `sites:
- {name: shop, hosts: [shop.test, www.shop.test], origins: [{url: "http://127.0.0.1:9000"}]}
- {name: bank, hosts: [bank.test], origins: [{url: "http://127.0.0.1:9001"}]}`})
	for _, test := range []struct {
		sni, host string
		status    int
	}{
		{"shop.test", "shop.test", 200},
		{"shop.test", "www.shop.test:8443", 200},
		{"", "bank.test", 200},
		{"shop.test", "bank.test", 421},
		{"nobody.test", "bank.test", 421},
		{"shop.test", "nobody.test", 421},
	} {
		c := client(t, n.https, func(tr *http.Transport) { tr.TLSClientConfig.ServerName = test.sni })
		url := "https://" + test.sni + "/"
		if test.sni == "" {
			url = "https://127.0.0.1/" // an address is never sent as a name
		}
		r, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = test.host
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != test.status {
			t.Errorf("SNI %q, Host %q: status %d, want %d", test.sni, test.host, resp.StatusCode, test.status)
		}
		c.CloseIdleConnections()
	}
}

func TestFieldsForTheOrigin(t *testing.T) {
	const yaml = `sites:
- {name: shop, hosts: [shop.test], origins: [{url: "http://127.0.0.1:9000"}]}
- {name: shared, hosts: ["*.shared.test"], origins: [{url: "http://127.0.0.1:9000"}], fetch: {host: origin}, cache: {key: {host: false}}}`
	for _, test := range []struct {
		name, host, fields string
		want               map[string]string // "" means absent
	}{
		{"nothing sent", "Shop.test:80", "", map[string]string{
			"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "Shop.test:80", "Cdn-Loop": "lisbon-1",
			"Forwarded": "",
		}},
		{"forged", "shop.test",
			"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\n" +
				"X-Real-IP: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\nWherry-Request-Id: mine\r\n", map[string]string{
				"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "shop.test", "X-Forwarded-Port": "",
				"Forwarded": "", "X-Real-Ip": "", "True-Client-Ip": "",
			}},
		{"Connection names fields", "shop.test",
			"Connection: close, X-Foo, X-Forwarded-For, CDN-Loop\r\nX-Foo: 1\r\nX-Bar: 2\r\nCDN-Loop: other\r\n", map[string]string{
				"X-Foo": "", "X-Bar": "2", "Connection": "", "X-Forwarded-For": "127.0.0.1", "Cdn-Loop": "other|lisbon-1",
			}},
		{"shared copy", "a.shared.test", "X-Forwarded-Host: a.shared.test\r\nX-Host: evil\r\nX-Original-Host: evil\r\n", map[string]string{
			"X-Forwarded-Host": "", "X-Host": "", "X-Original-Host": "", "X-Forwarded-For": "127.0.0.1",
		}},
		{"h2c upgrade", "shop.test", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", map[string]string{
			"Upgrade": "", "Http2-Settings": "", "Connection": "",
		}},
		{"wrong trace", "shop.test", "Wherry-Trace: id.1.mac\r\n", map[string]string{"Wherry-Trace": ""}},
		{"right trace", "shop.test", "Wherry-Trace: " + trace.Credential(testToken, "t1", time.Now()) + "\r\n", map[string]string{"Wherry-Trace": ""}},
	} {
		got := make(chan *http.Request, 1)
		n := start(t, nodeOptions{yaml: yaml, upstream: func(r *http.Request) (*http.Response, error) {
			got <- r
			return respond(200, ""), nil
		}})
		resp, _ := n.ask("GET /a%2Fb?c HTTP/1.1\r\nHost: " + test.host + "\r\n" + test.fields + "\r\n")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", test.name, resp.StatusCode)
			continue
		}
		r := <-got
		for name, want := range test.want {
			if have := strings.Join(r.Header[name], "|"); have != want {
				t.Errorf("%s: %s is %q at the origin, want %q", test.name, name, have, want)
			}
		}
		if id := resp.Header.Get(RequestIDField); r.Header.Get(RequestIDField) != id || id == "mine" {
			t.Errorf("%s: request id %q at the origin, %q at the client", test.name, r.Header.Get(RequestIDField), id)
		}
		if r.URL.String() != "http://"+test.host+"/a%2Fb?c" {
			t.Errorf("%s: URL is %s", test.name, r.URL)
		}
	}
}

func TestTrace(t *testing.T) {
	n := start(t, nodeOptions{})
	now := time.Now()
	for _, test := range []struct {
		name, id string
		fields   []string
		accepted bool
	}{
		{"right", "t1", []string{trace.Credential(testToken, "t1", now)}, true},
		{"wrong token", "t2", []string{trace.Credential("guess", "t2", now)}, false},
		{"old", "t3", []string{trace.Credential(testToken, "t3", now.Add(-time.Hour))}, false},
		{"twice", "t4", []string{trace.Credential(testToken, "t4", now), trace.Credential(testToken, "t4", now)}, false},
		{"junk", "t5", []string{"t5"}, false},
	} {
		fields := ""
		for _, f := range test.fields {
			fields += trace.Field + ": " + f + "\r\n"
		}
		// The report is there when the connection is closed: the steps are over then.
		w := n.dial()
		w.send("GET /x HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n" + fields + "\r\n")
		resp, _ := w.response(http.MethodGet)
		w.closed()
		report, ok := n.Trace(test.id)
		if ok != test.accepted || resp.StatusCode != 200 {
			t.Errorf("%s: traced %t, status %d", test.name, ok, resp.StatusCode)
		}
		if !ok {
			continue
		}
		var names []string
		for _, s := range report.Steps {
			if s.Room == "edge" && !slices.Contains(names, s.Step) {
				names = append(names, s.Step)
			}
		}
		if want := []string{"receive", "admit", "route", "forward", "serve", "record"}; !slices.Equal(names, want) {
			t.Errorf("%s: steps %v, want %v", test.name, names, want)
		}
		if report.URL != "http://shop.test/x" || report.Site != "shop" || report.Status != 200 || report.Node != "lisbon-1" {
			t.Errorf("%s: report %+v", test.name, report)
		}
	}
}

func TestRules(t *testing.T) {
	const yaml = `
sites:
- name: shop
  hosts: [shop.test]
  origins: [{url: "http://127.0.0.1:9000"}]
  rules:
  - {name: secret, match: {paths: ["/secret/*"]}, refuse: 404}
  - {name: live, match: {paths: ["/live"]}, cache: {enabled: false}}
  - {name: images, match: {paths: ["*.jpg"]}, cache: {key: {host: false, query: drop}, stale_if_error: 1h}}`
	policies := make(chan cache.Policy, 1)
	n := start(t, nodeOptions{yaml: yaml, cache: func(w http.ResponseWriter, _ *http.Request, p *cache.Policy) cache.Outcome {
		policies <- *p
		w.WriteHeader(204)
		return cache.Outcome{Verdict: cache.Hit, Status: 204}
	}})
	ask := func(path string) *http.Response {
		resp, _ := n.ask("GET " + path + " HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		return resp
	}
	if resp := ask("/secret/x"); resp.StatusCode != 404 || n.refusals(refusedRule) != 1 {
		t.Errorf("refused path: status %d", resp.StatusCode)
	}
	ask("/live")
	if p := <-policies; p.Bypass != "rule live" {
		t.Errorf("bypass is %q", p.Bypass)
	}
	ask("/a.jpg?x")
	p := <-policies
	if p.Bypass != "" || p.StaleIfError != time.Hour || !p.Keys.IgnoreHost || !p.Keys.DropQuery || p.Host != "shop.test" || p.Scheme != "http" {
		t.Errorf("policy %+v", p)
	}
	got := map[any]any{}
	for _, record := range n.records() {
		got[record["path"]] = record["rule"]
	}
	if got["/secret/x"] != "secret" || got["/live"] != "live" || got["/a.jpg"] != "images" {
		t.Errorf("rules in the log: %v", got)
	}
}

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
			"origin is slow", cache.Outcome{Err: fault.New(fault.Origin, "read header", 504, errors.New("10.0.0.7"))}, "text/html,*/*;q=0.8", 504,
			"<strong>The origin of this site did not answer in time.</strong>", "destination_unavailable",
		},
		{"our bug", cache.Outcome{Err: errors.New("10.0.0.7 oops")}, "text/plain", 500, "This node of the delivery network could not", "proxy_internal_error"},
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
			h.Get("Cache-Status") != wantCache || fmt.Sprint(strings.HasPrefix(h.Get("Content-Type"), "text/html")) != fmt.Sprint(strings.HasPrefix(test.accept, "text/html")) {
			t.Errorf("%s: header %v", test.name, h)
		}
		record := n.records()[0]
		if record["fault"] == nil || record["cache"] != "failed" || record["status"] != float64(test.status) {
			t.Errorf("%s: record %v", test.name, record)
		}
	}
}

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

func TestInterimResponsesPass(t *testing.T) {
	n := start(t, nodeOptions{cache: func(w http.ResponseWriter, _ *http.Request, _ *cache.Policy) cache.Outcome {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.WriteHeader(http.StatusOK)
		return cache.Outcome{Verdict: cache.Pass, Status: 200}
	}})
	w := n.dial()
	w.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	if resp, _ := w.response(http.MethodGet); resp.StatusCode != http.StatusEarlyHints || resp.Header.Get("Link") == "" {
		t.Errorf("first: %d %v", resp.StatusCode, resp.Header)
	}
	if resp, _ := w.response(http.MethodGet); resp.StatusCode != http.StatusOK {
		t.Errorf("second: %d", resp.StatusCode)
	}
}

func TestExpectContinue(t *testing.T) {
	n := start(t, nodeOptions{})
	w := n.dial()
	w.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
	if resp, _ := w.response(http.MethodPost); resp.StatusCode != http.StatusContinue {
		t.Fatalf("status %d", resp.StatusCode)
	}
	w.send("abc")
	if resp, body := w.response(http.MethodPost); resp.StatusCode != 200 || body != "abc" {
		t.Errorf("status %d, body %q", resp.StatusCode, body)
	}
}

// A client that doesn't read is let go after limits.write_timeout, by whatever protocol.
func TestUnreadResponse(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		ended := make(chan error, 1)
		n := start(t, nodeOptions{yaml: shopYAML + "\nlimits: {write_timeout: 200ms}", cache: func(w http.ResponseWriter, _ *http.Request, _ *cache.Policy) cache.Outcome {
			chunk := bytes.Repeat([]byte("x"), 1<<20)
			for {
				if _, err := w.Write(chunk); err != nil {
					ended <- err
					return cache.Outcome{Verdict: cache.Hit, Status: 200, Err: fault.New(fault.Client, "send body", fault.StatusClientClosedRequest, err)}
				}
			}
		}})
		c := client(t, n.http, func(tr *http.Transport) {
			if protocol == "HTTP/2.0" {
				tr.Protocols = new(http.Protocols)
				tr.Protocols.SetUnencryptedHTTP2(true)
			}
		})
		resp, err := c.Get("http://shop.test/")
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: still writing", protocol)
		}
		resp.Body.Close()
	}
}

func TestHealth(t *testing.T) {
	n := start(t, nodeOptions{})
	resp, body := n.ask("GET " + HealthPath + " HTTP/1.1\r\nHost: whatever\r\n\r\n")
	if resp.StatusCode != 200 || body != "ok\n" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("status %d, body %q, header %v", resp.StatusCode, body, resp.Header)
	}
	if s := n.Stats(); s.Requests != 0 {
		t.Errorf("a health check was counted: %+v", s)
	}
	if got := n.records(); len(got) != 0 {
		t.Errorf("a health check was logged: %v", got)
	}
}

func TestSetSnapshotForRequestsToCome(t *testing.T) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	n := start(t, nodeOptions{upstream: func(*http.Request) (*http.Response, error) {
		close(asked)
		<-goOn
		return respond(200, ""), nil
	}})
	w := n.dial()
	w.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	<-asked
	n.SetSnapshot(parse(t, strings.ReplaceAll(shopYAML, "shop", "bank")))
	if resp, _ := n.ask("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"); resp.StatusCode != 421 {
		t.Errorf("a removed site answers %d", resp.StatusCode)
	}
	close(goOn)
	if resp, _ := w.response(http.MethodGet); resp.StatusCode != 200 {
		t.Errorf("the request under way got %d", resp.StatusCode)
	}
}

func TestStats(t *testing.T) {
	n := start(t, nodeOptions{cache: func(w http.ResponseWriter, _ *http.Request, _ *cache.Policy) cache.Outcome {
		_, _ = io.WriteString(w, "12345")
		return cache.Outcome{Verdict: cache.Hit, Status: 200}
	}})
	w := n.dial()
	for range 3 {
		w.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		w.response(http.MethodGet)
	}
	w.send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n")
	_, page := w.response(http.MethodGet)
	if got := n.Stats().Connections; got != 1 {
		t.Errorf("%d connections", got)
	}
	w.Close()
	n.conns.wait()
	want := Stats{Requests: 4, Hits: 3, Refused: 1, BodyBytes: 15 + int64(len(page))}
	if got := n.Stats(); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

func TestNewAndServeSayWhatIsMissing(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New without anything succeeded")
	}
	e := &Edge{}
	if e.Serve(context.Background(), Listeners{}) == nil {
		t.Error("Serve without a listener succeeded")
	}
	l := listen(t)
	defer l.Close()
	if e.Serve(context.Background(), Listeners{HTTPS: l}) == nil {
		t.Error("Serve of HTTPS without TLS succeeded")
	}
}
