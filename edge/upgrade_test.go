package edge

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// switching is an upstream that switches to protocol and hands its side of the connection to serve.
func switching(protocol string, serve func(net.Conn)) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		ours, theirs := net.Pipe()
		go serve(ours)
		resp := respond(http.StatusSwitchingProtocols, "")
		resp.Header.Set("Upgrade", protocol)
		resp.Header.Set("Connection", "Upgrade, X-Hop")
		resp.Header.Set("X-Hop", "1")
		resp.Header.Set("Sec-Websocket-Accept", r.Header.Get("Sec-Websocket-Key")+"!")
		resp.Body = theirs
		return resp, nil
	}
}

const websocket = "GET /chat HTTP/1.1\r\nHost: shop.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Key: k\r\n\r\n"

func TestUpgradeCarriesBothWays(t *testing.T) {
	n := start(t, nodeOptions{upstream: switching("websocket", func(c net.Conn) {
		defer c.Close()
		_, _ = io.Copy(c, c)
	})})
	w := n.dial()
	w.send(websocket + "early") // behind the request, before the answer
	resp, err := http.ReadResponse(w.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := resp.Header
	if resp.StatusCode != 101 || h.Get("Upgrade") != "websocket" || h.Get("Sec-Websocket-Accept") != "k!" || h.Get("X-Hop") != "" ||
		h.Get("Cache-Status") != "lisbon-1; fwd=bypass; detail=upgrade; fwd-status=101" || h.Get("Date") == "" || h.Get(RequestIDField) == "" ||
		h.Get("Via") != "1.1 lisbon-1" {
		t.Fatalf("%s %v", resp.Status, h)
	}
	for _, message := range []string{"early", "second", strings.Repeat("x", 100_000)} {
		if message != "early" {
			go func() { _, _ = io.WriteString(w, message) }()
		}
		got := make([]byte, len(message))
		if _, err := io.ReadFull(w.r, got); err != nil || string(got) != message {
			t.Fatalf("got %d bytes back, %v", len(got), err)
		}
	}
	w.Close()
	record := n.records()[0]
	if record["status"] != 101.0 || record["cache"] != "pass" || record["request_body_bytes"] != 100_011.0 ||
		record["response_body_bytes"] != 100_011.0 {
		t.Errorf("record %v", record)
	}
}

// One side has finished: the other may still talk. Real TCP on both sides, through net/http's Transport.
func TestUpgradeHalfClose(t *testing.T) {
	origin := listen(t)
	defer origin.Close()
	go func() {
		c, err := origin.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		w := &wire{c, t, nil}
		buf := make([]byte, 4096)
		_, _ = c.Read(buf)
		w.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tally\r\n\r\n")
		sent, _ := io.ReadAll(c) // until the client has finished
		fmt.Fprintf(c, "%d bytes", len(sent))
	}()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	n := start(t, nodeOptions{upstream: func(r *http.Request) (*http.Response, error) {
		r.URL.Host = origin.Addr().String()
		return transport.RoundTrip(r)
	}})
	w := n.dial()
	w.send("GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: tally\r\n\r\n")
	if _, err := http.ReadResponse(w.r, nil); err != nil {
		t.Fatal(err)
	}
	w.send("12345")
	if err := w.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(w.r); err != nil || string(got) != "5 bytes" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestUpgradeThatIsNone(t *testing.T) {
	for _, test := range []struct {
		name     string
		upstream roundTrip
		status   int
		fault    any
	}{
		{"declined", func(*http.Request) (*http.Response, error) { return respond(403, "no"), nil }, 403, nil},
		{"to something else", switching("other", func(c net.Conn) { c.Close() }), 502, "origin"},
		{"failed", func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, 500, "edge"},
	} {
		n := start(t, nodeOptions{upstream: test.upstream})
		resp, _ := n.ask(websocket)
		if resp.StatusCode != test.status || resp.Header.Get("Cache-Status") == "" {
			t.Errorf("%s: status %d, %v", test.name, resp.StatusCode, resp.Header)
		}
		if record := n.records()[0]; record["fault"] != test.fault {
			t.Errorf("%s: record %v", test.name, record)
		}
	}
}

func TestUpgradeEnds(t *testing.T) {
	for _, test := range []struct {
		name, limits, detail string
		end                  func(*node)
	}{
		{"when idle", "{idle_timeout: 100ms}", "upgrade ended: idle", func(*node) {}},
		{"when the node stops", "{drain_timeout: 100ms}", "upgrade ended: node stopped", func(n *node) {
			if err := n.stop(); err != nil {
				t.Error(err)
			}
		}},
	} {
		gone := make(chan struct{})
		n := start(t, nodeOptions{yaml: shopYAML + "\nlimits: " + test.limits, upstream: switching("websocket", func(c net.Conn) {
			_, _ = io.Copy(io.Discard, c)
			close(gone)
		})})
		w := n.dial()
		w.send(websocket)
		if _, err := http.ReadResponse(w.r, nil); err != nil {
			t.Fatal(err)
		}
		test.end(n)
		w.closed()
		<-gone
		if record := n.records()[0]; record["cache_detail"] != test.detail {
			t.Errorf("%s: record %v", test.name, record)
		}
	}
}

// Traffic in one direction alone keeps a tunnel open.
func TestUpgradeIsNotIdleWhileOneSideTalks(t *testing.T) {
	const messages = 6
	n := start(t, nodeOptions{yaml: shopYAML + "\nlimits: {idle_timeout: 400ms}", upstream: switching("websocket", func(c net.Conn) {
		defer c.Close()
		tick := time.NewTicker(120 * time.Millisecond)
		defer tick.Stop()
		for range messages {
			<-tick.C
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
		}
	})})
	w := n.dial()
	w.send(websocket)
	if _, err := http.ReadResponse(w.r, nil); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, messages)
	if _, err := io.ReadFull(w.r, got); err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
