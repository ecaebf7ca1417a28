package edge

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/compute"
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

// overlapping is a program that has answered before it reads the request's body.
type overlapping struct{ body chan string }

func (o overlapping) Over(*compute.Connection) http.RoundTripper { return o }

func (o overlapping) RoundTrip(r *http.Request) (*http.Response, error) {
	out, in := io.Pipe()
	go func() {
		for range 2 { // when the second is taken, the head and the first were sent
			_, _ = io.WriteString(in, strings.Repeat("x", 8<<10))
		}
		all, err := io.ReadAll(r.Body)
		o.body <- string(all)
		in.CloseWithError(err)
	}()
	resp := respond(200, "")
	resp.Body, resp.ContentLength = out, -1
	return resp, nil
}

// TestAnswerBeforeTheBody has a program get all of a body that it reads when it has answered. Whatever comes behind that isn't taken for a request, as nobody has looked how it ends.
func TestAnswerBeforeTheBody(t *testing.T) {
	const yaml = "sites:\n- {name: shop, hosts: [shop.test], rules: [{name: p, match: {paths: [/x]}, program: p}], origins: [{url: \"http://127.0.0.1:9000\"}]}\n" +
		"programs: {p: {image: p}}\n"
	const behind = "GET /behind HTTP/1.1\r\nHost: shop.test\r\n\r\n"
	for body, want := range map[string]string{
		"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n":   "onetwo",
		"3\r\none\r\n3\r\ntwo!!\r\n0\r\n\r\n": "onetwo",
		"3\r\none\r\nffffffffffffffffff\r\n":  "one",
	} {
		program := overlapping{make(chan string, 1)}
		n := start(t, nodeOptions{yaml: yaml, program: program, upstream: func(*http.Request) (*http.Response, error) {
			t.Error("what stands behind the body is taken for a request")
			return respond(200, ""), nil
		}})
		w := n.dial()
		w.send("POST /x HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n" + body + behind)
		resp, err := http.ReadResponse(w.r, &http.Request{Method: http.MethodPost})
		if err != nil {
			t.Fatal(err)
		}
		if !resp.Close {
			t.Errorf("%q: the connection isn't closed", body)
		}
		if _, err = io.Copy(io.Discard, resp.Body); (err == nil) != strings.HasSuffix(body, "two\r\n0\r\n\r\n") {
			t.Errorf("%q: the answer ends with %v", body, err)
		}
		if got := <-program.body; got != want {
			t.Errorf("%q: the program got %q", body, got)
		}
		_, _ = io.Copy(io.Discard, w.r) // until it is closed
	}
}
