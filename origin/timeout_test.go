package origin

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
)

// stop is an origin that stops in one phase, and what becomes of the request.
type stop struct {
	name, url string
	origin    func(conn net.Conn)
	body      io.Reader
	want      fault.Error
	after     time.Duration
}

func stops(limits *config.Fetch) []stop {
	silent := func(net.Conn) {}
	return []stop{
		{
			name: "connect", url: "http://void.test",
			want: fault.Error{Op: "connect", Status: 504, Proxy: "connection_timeout"}, after: limits.ConnectTimeout,
		},
		{
			name: "tls", url: "https://o.test", origin: silent,
			want: fault.Error{Op: "tls", Status: 504, Proxy: "connection_timeout"}, after: limits.TLSTimeout,
		},
		{
			name: "write header", url: "http://o.test", origin: silent,
			want: fault.Error{Op: "read header", Status: 504, Proxy: "http_response_timeout"}, after: limits.HeaderTimeout,
		},
		{
			name: "write body", url: "http://o.test", origin: func(conn net.Conn) { readHeader(conn) },
			body: strings.NewReader(strings.Repeat("x", 1<<20)),
			want: fault.Error{Op: "write request", Status: 504, Proxy: "connection_write_timeout"}, after: limits.BodyTimeout,
		},
		{
			name: "read header", url: "http://o.test", origin: func(conn net.Conn) { readHeader(conn) },
			want: fault.Error{Op: "read header", Status: 504, Proxy: "http_response_timeout"}, after: limits.HeaderTimeout,
		},
		{
			name: "read header, begun", url: "http://o.test", origin: func(conn net.Conn) {
				readHeader(conn)
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-")
			},
			want: fault.Error{Op: "read header", Status: 504, Proxy: "http_response_timeout"}, after: limits.HeaderTimeout,
		},
		{
			name: "read body", url: "http://o.test", origin: func(conn net.Conn) {
				readHeader(conn)
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab")
				for range 3 {
					time.Sleep(limits.BodyTimeout - time.Second)
					_, _ = io.WriteString(conn, "c")
				}
			},
			want:  fault.Error{Op: "read body", Status: 504, Proxy: "connection_read_timeout"},
			after: 3*(limits.BodyTimeout-time.Second) + limits.BodyTimeout,
		},
	}
}

// TestEachPhaseHasItsLimit lets an origin stop in each phase and looks at when and how the request ends.
func TestEachPhaseHasItsLimit(t *testing.T) {
	limits := defaults()
	limits.ConnectTimeout, limits.TLSTimeout = 3*time.Second, 5*time.Second
	limits.HeaderTimeout, limits.BodyTimeout = 7*time.Second, 11*time.Second
	for _, tt := range stops(&limits) {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				m.void["void.test:80"] = true
				over := make(chan struct{})
				if tt.origin != nil {
					addr := map[bool]string{true: "o.test:443", false: "o.test:80"}[strings.HasPrefix(tt.url, "https")]
					m.raw(t, addr, func(conn net.Conn) {
						tt.origin(conn)
						<-over
					})
				}
				p := poolsOf(t, m, siteOf(t, limits, tt.url))
				began := time.Now()
				method := http.MethodGet
				if tt.body != nil {
					method = http.MethodPost
				}
				_, _, got := do(t, p, newRequest(t, method, "/", tt.body))
				close(over)
				if got == nil || got.Party != fault.Origin || got.Op != tt.want.Op || got.Status != tt.want.Status ||
					got.Proxy != tt.want.Proxy {
					t.Errorf("got %+v, want %+v", got, tt.want)
				}
				if took := time.Since(began); took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}
				if n := inFlight(p); n != 0 {
					t.Errorf("%d requests in flight after the end", n)
				}
			})
		})
	}
}

// TestSlowReaderIsNotASlowOrigin checks that only waiting for the origin counts.
func TestSlowReaderIsNotASlowOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.serve(t, "o.test:80", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<16))
		})
		p := poolsOf(t, m, siteOf(t, defaults(), "http://o.test"))
		resp, err := p.Upstream("shop").RoundTrip(newRequest(t, http.MethodGet, "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		total, buf := 0, make([]byte, 1<<12)
		for {
			n, err := resp.Body.Read(buf)
			if total += n; err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		if total != 1<<16 {
			t.Errorf("%d bytes", total)
		}
	})
}

// TestSlowUploadIsNotASlowOrigin checks that a client may take its time to send.
func TestSlowUploadIsNotASlowOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.serve(t, "o.test:80", func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			_, _ = w.Write(b)
		})
		p := poolsOf(t, m, siteOf(t, defaults(), "http://o.test"))
		body, client := io.Pipe()
		go func() {
			for range 3 {
				time.Sleep(time.Hour)
				_, _ = io.WriteString(client, "x")
			}
			_ = client.Close()
		}()
		if status, got, err := do(t, p, newRequest(t, http.MethodPost, "/", body)); got != "xxx" {
			t.Error(status, got, err)
		}
	})
}

// TestConnectionLimit fills the connections and looks at what becomes of those who wait.
func TestConnectionLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		release := make(chan struct{})
		m.serve(t, "o.test:80", func(w http.ResponseWriter, _ *http.Request) { <-release })
		limits := defaults()
		limits.Connections = 1
		p := poolsOf(t, m, siteOf(t, limits, "http://o.test"))
		results := make(chan *fault.Error, 100)
		ask := func() {
			_, _, err := get(t, p, "/")
			results <- err
		}
		began := time.Now()
		go ask()
		synctest.Wait()
		for range waitersPerConnection {
			go ask()
		}
		synctest.Wait()

		_, _, err := get(t, p, "/")
		if err == nil || err.Status != 503 || err.Proxy != "connection_limit_reached" || time.Since(began) != 0 {
			t.Errorf("one too many got %v after %v, want 503 at once", err, time.Since(began))
		}
		for range waitersPerConnection {
			err := <-results
			if err == nil || err.Status != 503 || err.Proxy != "connection_limit_reached" || time.Since(began) != limits.ConnectTimeout {
				t.Errorf("who waited got %v after %v, want 503 after %v", err, time.Since(began), limits.ConnectTimeout)
			}
		}
		close(release)
		if err := <-results; err != nil {
			t.Errorf("who had the connection got %v", err)
		}
		if status, _, err := get(t, p, "/"); status != 200 {
			t.Errorf("after that: %v", err)
		}
		if n := m.dialCount(); n != 1 {
			t.Errorf("%d connections were opened, want 1", n)
		}
		if s := p.Status()[0]; !s.Healthy || s.InFlight != 0 {
			t.Errorf("a full origin isn't a dead one: %+v", s)
		}
		if n := (*p.sites.Load())["shop"].servers[0].waiters.Load(); n != 0 {
			t.Errorf("%d waiters are left", n)
		}
	})
}

// TestConnectionLimitOfHTTP2 sends more requests than fit as streams into the connections that are allowed.
func TestConnectionLimitOfHTTP2(t *testing.T) {
	var open, most atomic.Int64
	release := make(chan struct{})
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	origin.EnableHTTP2 = true
	origin.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1}
	origin.Config.ErrorLog = quiet
	origin.StartTLS()
	t.Cleanup(origin.Close)
	site := siteOf(t, defaults(), origin.URL)
	site.Fetch.CAFile = caFile(t, origin.TLS.Certificates[0])
	site.Fetch.Connections, site.Fetch.ConnectTimeout = 2, time.Second
	p := New(Options{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			most.Store(max(most.Load(), open.Add(1)))
			conn = &countedConn{Conn: conn, closed: sync.OnceFunc(func() { open.Add(-1) })}
		}
		return conn, err
	}})
	apply(t, p, snapshotOf(site))
	t.Cleanup(func() { apply(t, p, snapshotOf()) })
	results := make(chan *fault.Error, 5)
	for range cap(results) {
		go func() {
			_, _, err := get(t, p, "/")
			results <- err
		}()
	}
	for range cap(results) - 2 {
		if err := <-results; err == nil || err.Status != 503 || err.Proxy != "connection_limit_reached" {
			t.Errorf("got %v, want 503", err)
		}
	}
	close(release)
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if most.Load() != 2 {
		t.Errorf("%d connections, want 2", most.Load())
	}
}

// TestClientLeaves checks in each phase that a client who leaves ends its request and counts against nobody.
func TestClientLeaves(t *testing.T) {
	tests := []struct {
		name, url, op string
		origin        func(conn net.Conn)
	}{
		{"connect", "http://void.test", "connect", nil},
		{"tls", "https://o.test", "connect", func(net.Conn) {}},
		{"read header", "http://o.test", "read header", func(conn net.Conn) { readHeader(conn) }},
		{"read body", "http://o.test", "read body", func(conn net.Conn) {
			readHeader(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				m.void["void.test:80"] = true
				over := make(chan struct{})
				if tt.origin != nil {
					for _, addr := range []string{"o.test:80", "o.test:443"} {
						m.raw(t, addr, func(conn net.Conn) {
							tt.origin(conn)
							<-over
						})
					}
				}
				p := poolsOf(t, m, siteOf(t, defaults(), tt.url))
				for range failuresMax + 1 {
					ctx, leave := context.WithCancel(t.Context())
					time.AfterFunc(time.Second, leave)
					_, _, err := do(t, p, newRequest(t, http.MethodGet, "/", nil).WithContext(ctx))
					if err == nil || err.Party != fault.Client || err.Status != fault.StatusClientClosedRequest || err.Op != tt.op {
						t.Errorf("got %+v, want the client's fault in %q", err, tt.op)
					}
				}
				close(over)
				time.Sleep(time.Minute) // a dial goes on for whoever comes next
				if s := p.Status()[0]; !s.Healthy || s.LastError != "" || s.InFlight != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}
