package origin

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/fault"
)

const ok2 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// loopback is an origin on real sockets, which say when they are closed.
func loopback(t testing.TB, f func(conn net.Conn, number int64)) (url string, conns *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns = new(atomic.Int64)
	serveRaw(t, l, func(conn net.Conn) { f(conn, conns.Add(1)) })
	return "http://" + l.Addr().String(), conns
}

// A connection that the origin has closed, or on which it says what nobody asked for, is not used again, and no request fails for it.
func TestIdleConnectionsThatAreOfNoUse(t *testing.T) {
	for name, after := range map[string]string{"closed": "", "another response": "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"} {
		t.Run(name, func(t *testing.T) {
			answered, spoilt := make(chan struct{}), make(chan struct{})
			url, conns := loopback(t, func(conn net.Conn, _ int64) {
				readHeader(conn)
				_, _ = io.WriteString(conn, ok2)
				<-answered
				if after == "" {
					_ = conn.(*net.TCPConn).CloseWrite()
				} else {
					_, _ = io.WriteString(conn, after)
				}
				spoilt <- struct{}{}
				_, _ = conn.Read(make([]byte, 1))
			})
			p := poolsOf(t, nil, siteOf(t, defaults(), url))
			for range 3 {
				if status, body, err := get(t, p, "/"); status != 200 || body != "ok" {
					t.Errorf("%d %q, %v", status, body, err)
				}
				answered <- struct{}{}
				<-spoilt
			}
			if n := conns.Load(); n != 3 {
				t.Errorf("%d connections for 3 requests", n)
			}
		})
	}
}

// An origin that closes an idle connection at the moment when the next request comes gets the request on another one; if it closes that
// too, it is to blame.
func TestOriginClosesAsTheRequestComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		broken := false
		m.raw(t, "o.test:80", func(conn net.Conn) {
			readHeader(conn)
			if broken {
				return
			}
			_, _ = io.WriteString(conn, ok2)
			readHeader(conn) // and no answer
		})
		p := poolsOf(t, m, siteOf(t, defaults(), "http://o.test"))
		for range 3 {
			if status, body, err := get(t, p, "/"); status != 200 || body != "ok" {
				t.Errorf("%d %q, %v", status, body, err)
			}
		}
		if n := m.dialCount(); n != 3 {
			t.Errorf("%d connections, want one for each request", n)
		}
		broken = true
		if _, _, err := get(t, p, "/"); err == nil || err.Proxy != "connection_terminated" || err.Party != fault.Origin {
			t.Errorf("got %+v", err)
		}
		if n := m.dialCount(); n != 4 {
			t.Errorf("%d connections, want one more", n)
		}
	})
}

// What comes of a response decides on its connection.
func TestWhichConnectionsAreKept(t *testing.T) {
	tests := []struct {
		name, method, response, body string
		kept                         bool
	}{
		{"length", "GET", ok2, "ok", true},
		{"no content", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", true},
		{"HEAD", "HEAD", good + "Content-Length: 20\r\n\r\n", "", true},
		{"OPTIONS", "OPTIONS", good + "Content-Length: 0\r\n\r\n", "", true},
		{"chunks", "GET", good + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok", true},
		{"to the end", "GET", good + "\r\nok", "ok", false},
		{"said to close", "GET", good + "Connection: close\r\nContent-Length: 2\r\n\r\nok", "ok", false},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", false},
		{"HTTP/1.0 that stays", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", "ok", true},
		{"more than it said", "GET", ok2 + "!", "ok", false},
		{"content where none is", "HEAD", ok2, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				m.raw(t, "o.test:80", func(conn net.Conn) {
					for len(readHeader(conn)) > 0 {
						_, _ = io.WriteString(conn, tt.response)
						if !tt.kept {
							return
						}
					}
				})
				limits := defaults()
				limits.Connections = 1 // a slot that leaks shows
				p := poolsOf(t, m, siteOf(t, limits, "http://o.test"))
				for range 3 {
					if _, body, err := do(t, p, newRequest(t, tt.method, "/", nil)); err != nil || body != tt.body {
						t.Errorf("%q, %v", body, err)
					}
				}
				if n := m.dialCount(); n != map[bool]int{true: 1, false: 3}[tt.kept] {
					t.Errorf("%d connections, kept %v", n, tt.kept)
				}
			})
		})
	}
}

// Interim responses and trailers come through without a transport, too.
func TestInterimResponsesAndTrailersOfPlainOrigins(t *testing.T) {
	m := newMemory()
	m.raw(t, "o.test:80", func(conn net.Conn) {
		readHeader(conn)
		_, _ = io.WriteString(conn, strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", 3000)+
			good+"Trailer: Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nSum: 7\r\n\r\n")
	})
	p := poolsOf(t, m, siteOf(t, defaults(), "http://o.test"))
	req, hints := newRequest(t, http.MethodGet, "/", nil), 0
	resp, err := p.Upstream("shop").RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code == http.StatusEarlyHints && h.Get("Link") != "" {
				hints++
			}
			return nil
		},
	})))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); string(b) != "ok" || err != nil || resp.Trailer.Get("Sum") != "7" || hints != 3000 {
		t.Errorf("%q, %v, trailer %v, %d interim responses", b, err, resp.Trailer, hints)
	}
}

// Requests with content go through a transport. The limit is one for both kinds, and neither starves the other.
func TestOneLimitForBothKindsOfConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var open, most atomic.Int64
		release := make(chan struct{})
		m.serve(t, "o.test:80", func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), open.Add(1)))
			defer open.Add(-1)
			if r.URL.Path == "/wait" {
				<-release
			}
		})
		limits := defaults()
		limits.Connections, limits.ConnectTimeout = 1, time.Minute
		p := poolsOf(t, m, siteOf(t, limits, "http://o.test"))
		var all sync.WaitGroup
		ask := func(method, path string) {
			all.Go(func() {
				var body io.Reader
				if method == http.MethodPost {
					body = strings.NewReader("body")
				}
				if status, _, err := do(t, p, newRequest(t, method, path, body)); status != 200 {
					t.Errorf("%s %s: %v", method, path, err)
				}
			})
			synctest.Wait()
		}
		for _, first := range []string{http.MethodGet, http.MethodPost} {
			ask(first, "/wait")
			for range 2 {
				ask(http.MethodPost, "/")
				ask(http.MethodGet, "/")
			}
			release <- struct{}{}
			began := time.Now()
			all.Wait()
			if took := time.Since(began); took != 0 {
				t.Errorf("after a %s the others waited %v", first, took)
			}
		}
		if most.Load() != 1 {
			t.Errorf("%d requests at once over one connection", most.Load())
		}
	})
}

// Who waits for a connection and leaves takes nobody's turn with it.
func TestWaitersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		release := make(chan struct{})
		m.serve(t, "o.test:80", func(http.ResponseWriter, *http.Request) { <-release })
		limits := defaults()
		limits.Connections = 1
		p := poolsOf(t, m, siteOf(t, limits, "http://o.test"))
		go func() { _, _, _ = get(t, p, "/") }()
		synctest.Wait()
		for range 3 {
			ctx, leave := context.WithTimeout(t.Context(), time.Second)
			if _, _, err := do(t, p, newRequest(t, http.MethodGet, "/", nil).WithContext(ctx)); err == nil {
				t.Error("answered over a connection that was in use")
			}
			leave()
		}
		close(release)
		synctest.Wait()
		if status, _, err := get(t, p, "/"); status != 200 {
			t.Error(err)
		}
		c := (*p.sites.Load())["shop"].servers[0].conns
		if c.open != 1 || len(c.idle) != 1 || len(c.waiting) != 0 {
			t.Errorf("%d open, %d idle, %d waiting", c.open, len(c.idle), len(c.waiting))
		}
	})
}

// Connections that nobody uses are closed before the origin does it.
func TestIdleConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		closed := make(chan time.Time, 2)
		m.raw(t, "o.test:80", func(conn net.Conn) {
			for len(readHeader(conn)) > 0 {
				_, _ = io.WriteString(conn, ok2)
			}
			closed <- time.Now()
		})
		p := poolsOf(t, m, siteOf(t, defaults(), "http://o.test"))
		for range 2 {
			if _, _, err := get(t, p, "/"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(idleTimeout - time.Second)
		}
		last := time.Now().Add(time.Second - idleTimeout)
		if kept := (<-closed).Sub(last); kept != idleTimeout {
			t.Errorf("closed after %v, want %v", kept, idleTimeout)
		}
		if _, _, err := get(t, p, "/"); err != nil || m.dialCount() != 2 {
			t.Errorf("%v, %d connections", err, m.dialCount())
		}
	})
}

// A body that is closed while another goroutine waits for more of it ends there, and its connection with it.
func TestBodyIsClosedWhileItIsRead(t *testing.T) {
	m := newMemory()
	m.raw(t, "o.test:80", func(conn net.Conn) {
		readHeader(conn)
		_, _ = io.WriteString(conn, good+"Content-Length: 10\r\n\r\nhalf")
		_, _ = conn.Read(make([]byte, 1))
	})
	p := poolsOf(t, m, siteOf(t, defaults(), "http://o.test"))
	resp, err := p.Upstream("shop").RoundTrip(newRequest(t, http.MethodGet, "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	first, done := make([]byte, 4), make(chan error)
	_, _ = io.ReadFull(resp.Body, first)
	go func() {
		_, err := io.ReadAll(resp.Body)
		done <- err
	}()
	_ = resp.Body.Close()
	if err := <-done; err == nil {
		t.Error("read to its end")
	}
	c := (*p.sites.Load())["shop"].servers[0].conns
	if c.open != 0 || inFlight(p) != 0 {
		t.Errorf("%d connections and %d requests are left", c.open, inFlight(p))
	}
}

// allocsMax is what a request over a kept connection may allocate.
const allocsMax = 10

func TestPlainRequestsAllocateLittle(t *testing.T) {
	url, _ := loopback(t, func(conn net.Conn, _ int64) {
		request := make([]byte, 4<<10)
		for {
			if _, err := conn.Read(request); err != nil {
				return
			}
			_, _ = io.WriteString(conn, ok2)
		}
	})
	p := poolsOf(t, nil, siteOf(t, defaults(), url))
	req := newRequest(t, http.MethodGet, "/a?b", nil)
	req.Header = http.Header{"User-Agent": {"test"}}
	buf := make([]byte, 8)
	n := testing.AllocsPerRun(100, func() {
		resp, err := p.Upstream("shop").RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = resp.Body.Read(buf)
		_ = resp.Body.Close()
	})
	if n > allocsMax {
		t.Errorf("%v allocations a request, more than %d", n, allocsMax)
	}
}
