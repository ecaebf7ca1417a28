package edge

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/config"
)

func TestDrainLetsRequestsFinish(t *testing.T) {
	asked, goOn := make(chan struct{}, 2), make(chan struct{})
	n := start(t, nodeOptions{yaml: "limits: {drain_delay: 200ms}\n" + shopYAML, upstream: func(*http.Request) (*http.Response, error) {
		asked <- struct{}{}
		<-goOn
		return respond(200, "done"), nil
	}})
	idle := n.dial() // never sends a byte: must not hold up the end
	watcher := n.dial()
	watcher.send("GET " + config.HealthPath + " HTTP/1.1\r\nHost: x\r\n\r\n")
	watcher.response(http.MethodGet)
	first := n.dial()
	first.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	h2 := client(t, n.http, func(tr *http.Transport) {
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetUnencryptedHTTP2(true)
	})
	second := make(chan error, 1)
	go func() {
		resp, err := h2.Get("http://shop.test/")
		if err == nil {
			err = resp.Body.Close()
		}
		second <- err
	}()
	<-asked
	<-asked

	stopped := make(chan error, 1)
	began := time.Now()
	go func() { stopped <- n.stop() }()
	for { // until the end of ctx has got there
		watcher.send("GET " + config.HealthPath + " HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, body := watcher.response(http.MethodGet)
		if resp.StatusCode == http.StatusServiceUnavailable && body == "draining\n" {
			break
		}
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("health: %d %q", resp.StatusCode, body)
		}
	}
	idle.closed()
	// A listener may still be there for a moment, but what comes to it isn't served.
	if c, err := net.Dial("tcp", n.http); err == nil {
		late := &wire{Conn: c, t: t}
		_, _ = io.WriteString(late, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		if n, _ := late.Read(make([]byte, 1)); n > 0 {
			t.Error("a connection that came while draining was served")
		}
		late.Close()
	}
	close(goOn)
	if resp, body := first.response(http.MethodGet); resp.StatusCode != 200 || body != "done" {
		t.Errorf("request in flight: %d %q", resp.StatusCode, body)
	}
	if err := <-second; err != nil {
		t.Errorf("HTTP/2 request in flight: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("draining took %v: did it wait for the unused connection?", took)
	}
}

func TestDrainCutsOffWhatTakesTooLong(t *testing.T) {
	asked, ended := make(chan struct{}), make(chan struct{})
	upstream := func(r *http.Request) (*http.Response, error) {
		close(asked)
		<-r.Context().Done()
		close(ended)
		return nil, r.Context().Err()
	}
	n := start(t, nodeOptions{yaml: shopYAML + "\nlimits: {drain_timeout: 100ms}", upstream: upstream})
	w := n.dial()
	w.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	<-asked
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	default:
		t.Error("Serve returned before its request had ended")
	}
	if s := n.Stats(); s.Connections != 0 {
		t.Errorf("%d connections are open after Serve", s.Connections)
	}
}

func TestServeTellsWhenAListenerFails(t *testing.T) {
	e, err := New(Options{
		Node: "lisbon-1", Snapshot: parse(t, shopYAML), Cache: cacheFunc(forwarding), Metrics: NewMetrics(prometheus.NewRegistry()),
		Upstream: func(config.SiteName, *config.Rule) http.RoundTripper { return roundTrip(echo) },
	})
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	l.Close()
	if err := e.Serve(t.Context(), Listeners{HTTP: l}); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

// TestNewConnectionsMayAsk: a client that has just connected when the node stops hasn't been told that it comes too late.
func TestNewConnectionsMayAsk(t *testing.T) {
	for _, secure := range []bool{false, true} {
		n := start(t, nodeOptions{})
		w := n.dialAs(secure)
		if c, ok := w.Conn.(*tls.Conn); ok {
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
		}
		for n.Stats().Connections == 0 {
			time.Sleep(time.Millisecond)
		}
		stopped := make(chan error, 1)
		go func() { stopped <- n.stop() }()
		<-n.Left()
		if c, err := net.Dial("tcp", w.RemoteAddr().String()); err == nil {
			c.Close()
			t.Error("a connection was taken after the doors were closed")
		}
		w.send("GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		if resp, _ := w.response("GET"); resp.StatusCode != 200 {
			t.Errorf("TLS %t: status %d", secure, resp.StatusCode)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	}
}

func TestServerLogIsBounded(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(1000, 0)
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := &serverLog{log: log, now: func() time.Time { return now }}
	for range 100 {
		_, _ = s.Write([]byte("TLS handshake error\n"))
	}
	now = now.Add(time.Second)
	_, _ = s.Write([]byte("another\n"))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != serverLogPerSecond+1 || !strings.Contains(lines[serverLogPerSecond], "skipped=95") {
		t.Errorf("%d lines, last %q", len(lines), lines[len(lines)-1])
	}
}
