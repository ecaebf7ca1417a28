package edge

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/fault"
)

func priorKnowledge(tr *http.Transport) {
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetUnencryptedHTTP2(true)
}

// protocols are the two ways of framing.
func protocols() map[string]func(*http.Transport) {
	return map[string]func(*http.Transport){"HTTP/1.1": nil, "HTTP/2": priorKnowledge}
}

// Pauses of the origin are not the client's: they may be longer than the limits for clients.
func TestSlowOriginIsNotASlowClient(t *testing.T) {
	const pause = 250 * time.Millisecond
	for name, configure := range protocols() {
		n := start(t, nodeOptions{
			yaml: shopYAML + "\nlimits: {write_timeout: 80ms, body_timeout: 80ms}",
			cache: func(w http.ResponseWriter, r *http.Request, _ *cache.Policy) cache.Outcome {
				one := make([]byte, 1)
				var err error
				for err == nil {
					time.Sleep(pause) // the origin takes its time with the request's body
					_, err = r.Body.Read(one)
				}
				for range 3 {
					_, _ = io.WriteString(w, "event")
					_ = http.NewResponseController(w).Flush()
					time.Sleep(pause) // and with its own
				}
				return cache.Outcome{Verdict: cache.Pass, Status: 200}
			},
		})
		resp, err := client(t, n.http, configure).Post("http://shop.test/", "text/plain", strings.NewReader("ab"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != "eventeventevent" || resp.StatusCode != 200 {
			t.Errorf("%s: status %d, body %q, %v", name, resp.StatusCode, body, err)
		}
	}
}

// A client that stops sending is told so by HTTP/2 too.
func TestSlowBodyOnAStream(t *testing.T) {
	n := start(t, nodeOptions{yaml: shopYAML + "\nlimits: {body_timeout: 100ms}"})
	pr, pw := io.Pipe()
	defer pw.Close()
	resp, err := client(t, n.http, priorKnowledge).Post("http://shop.test/", "text/plain", pr)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout || n.refusals(refusedBodyTimeout) != 1 {
		t.Errorf("status %d, counted %d", resp.StatusCode, n.refusals(refusedBodyTimeout))
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
		endless := func(w http.ResponseWriter, _ *http.Request, _ *cache.Policy) cache.Outcome {
			chunk := bytes.Repeat([]byte("x"), 1<<20)
			for {
				if _, err := w.Write(chunk); err != nil {
					ended <- err
					err = fault.New(fault.Client, "send body", fault.StatusClientClosedRequest, err)
					return cache.Outcome{Verdict: cache.Hit, Status: 200, Err: err}
				}
			}
		}
		n := start(t, nodeOptions{yaml: shopYAML + "\nlimits: {write_timeout: 200ms}", cache: endless})
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
