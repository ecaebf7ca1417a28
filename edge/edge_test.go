package edge

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/config"
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

func TestHealth(t *testing.T) {
	n := start(t, nodeOptions{})
	resp, body := n.ask("GET " + config.HealthPath + " HTTP/1.1\r\nHost: whatever\r\n\r\n")
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

// The names of the steps are words of traces and docs, so each is unique and stands in the package's documentation.
func TestStepNames(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range steps() {
		if !strings.Contains(string(doc), "─ "+s.name) {
			t.Errorf("step %s is not in the drawing in doc.go", s.name)
		}
		if s.name == "" || s.do == nil || seen[s.name] {
			t.Errorf("step %q is unnamed, empty or there twice", s.name)
		}
		seen[s.name] = true
	}
}
