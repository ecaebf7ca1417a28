package exchange_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/wherry/wherry/overlay/exchange"
	"github.com/wherry/wherry/overlay/exchange/exchangetest"
)

// serve answers requests over a session in memory and returns what asks.
func serve(t testing.TB, h http.Handler, limits exchange.Limits) (*exchange.Transport, *exchangetest.Session) {
	t.Helper()
	client, server := exchangetest.Pair("edge", "parent", 1<<14)
	var wg sync.WaitGroup
	s := &exchange.Server{Handler: h, Limits: limits, Log: slog.New(slog.DiscardHandler)}
	wg.Go(func() { _ = s.Serve(t.Context(), server) })
	t.Cleanup(func() {
		client.Kill()
		wg.Wait()
	})
	return &exchange.Transport{Session: func(context.Context) (exchange.Session, error) { return client, nil }}, client
}

// conformance is what both net/http and exchange are asked.
var conformance = []struct {
	name    string
	handler http.HandlerFunc
	request func(base string) *http.Request
	broken  bool // the client must see that the response isn't whole, and may see part of it
}{
	{name: "hello", handler: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }},
	{name: "nothing", handler: func(http.ResponseWriter, *http.Request) {}},
	{name: "large", handler: func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("0123456789"), 50_000))
	}},
	{name: "large with length", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "500000")
		_, _ = w.Write(bytes.Repeat([]byte("0123456789"), 50_000))
	}},
	{name: "many small", handler: func(w http.ResponseWriter, _ *http.Request) {
		for i := range 3000 {
			fmt.Fprintln(w, i)
		}
	}},
	{name: "flushed", handler: func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "a")
		w.(http.Flusher).Flush()
		fmt.Fprint(w, "b")
	}},
	{name: "head", request: head, handler: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }},
	{name: "head with length", request: head, handler: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "77") }},
	{name: "head of much", request: head, handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 100_000)) }},
	{name: "204", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		_, err := fmt.Fprint(w, "no")
		panicUnless(err == http.ErrBodyNotAllowed)
	}},
	{name: "304", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Etag", `"x"`)
		w.WriteHeader(http.StatusNotModified)
	}},
	{name: "404", handler: http.NotFound},
	{name: "redirect", handler: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }},
	{name: "fields", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-Two"] = []string{"1", "2"}
		w.Header().Add("Set-Cookie", "a=b")
		w.Header().Add("Set-Cookie", "c=d; Path=/")
		w.Header().Set("X-Empty", "")
		w.Header().Set("X-Spaces", "  inner  space ")
		w.Header().Set("Content-Encoding", "br")
		fmt.Fprint(w, "hello")
	}},
	{name: "no date, no type", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
		fmt.Fprint(w, "<html>")
	}},
	{name: "fields after the header", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		w.Header().Set("X-Late", "1")
		fmt.Fprint(w, "short and stout")
	}},
	{name: "echo", handler: echo, request: post(strings.Repeat("content ", 20_000), -1)},
	{name: "echo with length", handler: echo, request: post("content", 7)},
	{name: "post nothing", handler: echo, request: post("", 0)},
	{name: "what is received", handler: dump, request: func(base string) *http.Request {
		r := get(base + "/a%20b/c?d=e&f")
		r.Header.Add("Accept", "text/html")
		r.Header.Add("Accept", "text/plain")
		r.Header.Set("Cookie", "a=b; c=d")
		r.Header.Set("X-Custom", "yes")
		r.Header.Set("Te", "trailers")
		return r
	}},
	{name: "received with content", handler: dump, request: post("12345", 5)},
	{name: "received chunked", handler: dump, request: post("12345", -1)},
	{name: "options", handler: dump, request: method("OPTIONS")},
	{name: "delete", handler: dump, request: method("DELETE")},
	{name: "put nothing", handler: dump, request: method("PUT")},
	{name: "own method", handler: dump, request: method("PURGE")},
	{name: "unread content", request: post("12345", 5), handler: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "whatever") }},
	{name: "announced trailers", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-Count")
		fmt.Fprint(w, "content")
		w.Header().Set("X-Sum", "abc")
		w.Header().Set("X-Count", "7")
	}},
	{name: "trailers nobody announced", handler: func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "content")
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Sum", "abc")
	}},
	{name: "request trailers", handler: dump, request: func(base string) *http.Request {
		r := post("content", -1)(base)
		r.Trailer = http.Header{"X-Sum": {"abc"}}
		return r
	}},
	{name: "early hints", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		fmt.Fprint(w, "hello")
	}},
	{name: "continue", handler: echo, request: expecting("content")},
	{name: "no continue", request: expecting("content"), handler: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusExpectationFailed)
	}},
	{name: "panic", handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	{name: "panic in content", broken: true, handler: func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}},
	{name: "less than promised", broken: true, handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "half")
	}},
	{name: "more than promised", broken: true, handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4")
		_, err := fmt.Fprint(w, "1234567")
		panicUnless(err == http.ErrContentLength)
		fmt.Fprint(w, "1234")
	}},
	{name: "superfluous status", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusOK)
	}},
	{name: "upgrade", request: upgrade, handler: switching},
	{name: "upgrade that is declined", request: upgrade, handler: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) }},
}

// TestConformance has the same handler answer behind net/http over HTTP/1.1 and behind exchange.
func TestConformance(t *testing.T) {
	for _, c := range conformance {
		t.Run(c.name, func(t *testing.T) {
			if c.request == nil {
				c.request = get
			}
			server := httptest.NewUnstartedServer(c.handler)
			server.Config.ErrorLog = quiet
			server.Start()
			defer server.Close()
			tr := &http.Transport{DisableCompression: true}
			defer tr.CloseIdleConnections()
			want := ask(tr, c.request(server.URL))

			over, session := serve(t, c.handler, exchange.Limits{})
			for range 3 { // once without a dictionary, once to fill it, once with it
				r := c.request("http://" + server.Listener.Addr().String())
				got := ask(over, r)
				if c.broken {
					if strings.Contains(got+want, "whole true") {
						t.Fatalf("a broken response looks whole:\n%s\n%s", got, want)
					}
					continue
				}
				if got != want {
					t.Fatalf("over exchange:\n%s\nover net/http:\n%s", got, want)
				}
			}
			waitUntil(t, func() bool { return session.Streams() == 0 })
		})
	}
}

// ask returns all that a client sees, as text.
func ask(rt http.RoundTripper, r *http.Request) string {
	var b strings.Builder
	r.Header.Set("User-Agent", "test")
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			fmt.Fprintln(&b, "interim", code, http.Header(h))
			return nil
		},
	}))
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return b.String() + "no response\n"
	}
	fmt.Fprintln(&b, resp.StatusCode, "length", resp.ContentLength)
	if conn, ok := resp.Body.(io.ReadWriteCloser); ok {
		fmt.Fprint(conn, "ping\n")
		answer, err := bufio.NewReader(conn).ReadString('\n')
		fmt.Fprintf(&b, "over the connection: %q %v\n", answer, err)
		_ = conn.Close()
		return b.String() + lines(resp.Header)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	fmt.Fprintf(&b, "%d bytes, %.100q, whole %v\n", len(body), body, err == nil)
	return b.String() + lines(resp.Header) + "trailer\n" + lines(resp.Trailer)
}

// lines is a header without what differs between connections.
func lines(h http.Header) string {
	var all []string
	for name, values := range h {
		switch name {
		case "Connection", "Transfer-Encoding":
			continue
		case "Date":
			values = []string{fmt.Sprint(len(values[0]))}
		}
		all = append(all, fmt.Sprintf("%s: %q\n", name, values))
	}
	sort.Strings(all)
	return strings.Join(all, "")
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	panicUnless(err == nil)
	_, _ = w.Write(body)
}

func dump(w http.ResponseWriter, r *http.Request) {
	announced := slices.Sorted(func(yield func(string) bool) {
		for name := range r.Trailer {
			if !yield(name) {
				return
			}
		}
	})
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintln(w, r.Method, r.URL, r.RequestURI, r.Host, r.ContentLength, len(body), announced, r.Trailer)
	fmt.Fprint(w, lines(r.Header))
}

func switching(w http.ResponseWriter, r *http.Request) {
	panicUnless(r.Header.Get("Upgrade") == "echo" && r.Header.Get("Connection") == "Upgrade")
	conn, rw, err := http.NewResponseController(w).Hijack()
	panicUnless(err == nil)
	defer conn.Close()
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Key: 7\r\n\r\n")
	_ = rw.Flush()
	line, _ := rw.ReadString('\n')
	fmt.Fprint(rw, strings.ToUpper(line))
	_ = rw.Flush()
}

func get(base string) *http.Request {
	r, _ := http.NewRequest(http.MethodGet, base, nil)
	return r
}

func head(base string) *http.Request { return method(http.MethodHead)(base) }

func method(m string) func(base string) *http.Request {
	return func(base string) *http.Request {
		r := get(base + "/path")
		r.Method = m
		return r
	}
}

func post(content string, length int64) func(base string) *http.Request {
	return func(base string) *http.Request {
		r, _ := http.NewRequest(http.MethodPost, base, io.NopCloser(strings.NewReader(content)))
		r.ContentLength = length
		if length == 0 {
			r.Body = http.NoBody
		}
		r.Header.Set("Content-Type", "text/plain")
		return r
	}
}

func expecting(content string) func(base string) *http.Request {
	return func(base string) *http.Request {
		r := post(content, int64(len(content)))(base)
		r.Header.Set("Expect", "100-continue")
		return r
	}
}

func upgrade(base string) *http.Request {
	r := get(base)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	return r
}

func panicUnless(ok bool) {
	if !ok {
		panic("the handler sees something else than it should")
	}
}

var _ net.Conn = (*exchange.Conn)(nil)
