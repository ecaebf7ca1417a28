package origin

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
)

// TestTrailersAndInterimResponses sends trailers up and down and a 103 before the response, over both versions of HTTP.
func TestTrailersAndInterimResponses(t *testing.T) {
	for _, version := range []int{1, 2} {
		origin, site := tlsOrigin(t, version == 2, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</a.css>")
			w.WriteHeader(http.StatusEarlyHints)
			b, _ := io.ReadAll(r.Body)
			w.Header().Set("Trailer", "Sum")
			_, _ = w.Write(b)
			w.Header().Set("Sum", r.Trailer.Get("Up")+"/down")
		})
		site.Fetch.CAFile = caFile(t, origin.TLS.Certificates[0])
		p := poolsOf(t, nil, site)
		req := newRequest(t, http.MethodPost, "/", io.NopCloser(strings.NewReader("body")))
		req.ContentLength = -1
		req.Trailer = http.Header{"Up": {"up"}}
		var hints int
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				if code == http.StatusEarlyHints && header.Get("Link") != "" {
					hints++
				}
				return nil
			},
		}))
		resp, err := p.Upstream("shop").RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(body) != "body" || resp.Trailer.Get("Sum") != "up/down" || hints != 1 || resp.ProtoMajor != version {
			t.Errorf("%s: body %q, trailer %v, %d interim responses, %v", resp.Proto, body, resp.Trailer, hints, err)
		}
	}
}

// TestContentIsNotDecoded checks that what the cache gets is what the origin sent, and that nothing was asked for.
func TestContentIsNotDecoded(t *testing.T) {
	m := newMemory()
	m.serve(t, "o.test:80", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusFound)
		_, _ = io.WriteString(w, "not really gzip"+r.Header.Get("Accept-Encoding"))
	})
	p := poolsOf(t, m, siteOf(t, defaults(), "http://o.test"))
	if status, body, err := get(t, p, "/"); status != 302 || body != "not really gzip" {
		t.Error(status, body, err)
	}
}

// TestBothDirectionsStream has the origin answer each line before the next one is sent.
func TestBothDirectionsStream(t *testing.T) {
	origin, site := tlsOrigin(t, true, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		flush := http.NewResponseController(w).Flush
		_ = flush()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			_, _ = io.WriteString(w, "echo "+lines.Text()+"\n")
			_ = flush()
		}
	})
	site.Fetch.CAFile = caFile(t, origin.TLS.Certificates[0])
	p := poolsOf(t, nil, site)
	body, client := io.Pipe()
	resp, err := p.Upstream("shop").RoundTrip(newRequest(t, http.MethodPost, "/", body))
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(resp.Body)
	for _, line := range []string{"one", "two"} {
		_, _ = io.WriteString(client, line+"\n")
		if got, err := answers.ReadString('\n'); got != "echo "+line+"\n" {
			t.Fatal(got, err)
		}
	}
	_ = client.Close()
	if rest, err := io.ReadAll(answers); len(rest) > 0 || err != nil {
		t.Error(rest, err)
	}
	_ = resp.Body.Close()
	if n := inFlight(p); n != 0 {
		t.Errorf("%d requests in flight after the end", n)
	}
}

// TestUpgrade goes on in another protocol, also with an origin that would rather speak HTTP/2.
func TestUpgrade(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			return
		}
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = rw.WriteString(line)
			_ = rw.Flush()
		}
	}
	origin, site := tlsOrigin(t, true, echo)
	site.Fetch.CAFile = caFile(t, origin.TLS.Certificates[0])
	site.Fetch.Connections, site.Fetch.ConnectTimeout = 1, 100*time.Millisecond
	p := poolsOf(t, nil, site)
	ask := func() (*http.Response, error) {
		req := newRequest(t, http.MethodGet, "/", nil)
		req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket, Echo"}}
		return p.Upstream("shop").RoundTrip(req)
	}
	if _, _, err := get(t, p, "/"); err != nil {
		t.Fatal(err) // its idle connection must not stand in the way
	}
	resp, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %d, body %T", resp.StatusCode, resp.Body)
	}
	_, _ = io.WriteString(conn, "hello\n")
	if got, err := bufio.NewReader(conn).ReadString('\n'); got != "hello\n" {
		t.Error(got, err)
	}
	if _, err := ask(); err == nil || asFault(t, err).Status != 503 {
		t.Errorf("one upgrade more than connections: %v", err)
	}
	_ = conn.Close()
	resp, err = ask()
	if err != nil {
		t.Fatalf("after the first one closed: %v", err)
	}
	_ = resp.Body.Close()
	if n := inFlight(p); n != 0 {
		t.Errorf("%d requests in flight after the end", n)
	}
}

// TestClientsBodyFails checks that an upload that breaks off is the client's fault, and edge's reason for it stands.
func TestClientsBodyFails(t *testing.T) {
	tooLarge := fault.New(fault.Client, "read request", http.StatusRequestEntityTooLarge, nil)
	for _, tt := range []struct {
		cause error
		want  int
	}{{io.ErrUnexpectedEOF, 400}, {tooLarge, 413}} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			m.serve(t, "a.test:80", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
			p := poolsOf(t, m, siteOf(t, defaults(), "http://a.test", "http://b.test"))
			body, client := io.Pipe()
			go func() {
				_, _ = io.WriteString(client, "some")
				_ = client.CloseWithError(tt.cause)
			}()
			_, _, err := do(t, p, newRequest(t, http.MethodPut, "/", body))
			if err == nil || err.Party != fault.Client || err.Status != tt.want {
				t.Errorf("got %+v, want the client's fault with %d", err, tt.want)
			}
			if s := p.Status()[0]; s.LastError != "" {
				t.Errorf("the origin is blamed: %+v", s)
			}
		})
	}
}

// TestBodyIsClosedOnce checks the promise of http.RoundTripper about request bodies in every way that a request can end.
func TestBodyIsClosedOnce(t *testing.T) {
	tests := []struct {
		name   string
		urls   []string
		method string
	}{
		{"read", []string{"http://reads.test"}, "POST"},
		{"not read", []string{"http://ignores.test"}, "POST"},
		{"refused", []string{"http://nobody.test"}, "POST"},
		{"refused twice", []string{"http://nobody.test", "http://nothing.test"}, "PUT"},
		{"refused, then read", []string{"http://nobody.test", "http://reads.test"}, "POST"},
		{"no origin", nil, "POST"},
		{"tunnel", []string{"http://reads.test"}, "CONNECT"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				m.serve(t, "reads.test:80", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
				m.serve(t, "ignores.test:80", func(http.ResponseWriter, *http.Request) {})
				p := poolsOf(t, m, siteOf(t, defaults(), tt.urls...))
				body := &closeCounter{Reader: strings.NewReader("body")}
				_, _, _ = do(t, p, newRequest(t, tt.method, "/", body))
				synctest.Wait()
				if body.closed != 1 {
					t.Errorf("closed %d times", body.closed)
				}
			})
		})
	}
}

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error {
	c.closed++
	return nil
}

// TestVerifiedTLS asks an origin with a good certificate, a strange one, and one for another name.
func TestVerifiedTLS(t *testing.T) {
	origin, site := tlsOrigin(t, true, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) })
	p := poolsOf(t, nil, site)
	_, _, err := get(t, p, "/")
	if err == nil || err.Op != "tls" || err.Status != 502 || err.Proxy != "tls_certificate_error" || err.Party != fault.Origin {
		t.Errorf("unknown authority: %+v", err)
	}

	site.Fetch.CAFile = caFile(t, origin.TLS.Certificates[0])
	apply(t, p, snapshotOf(site))
	if _, body, err := get(t, p, "/"); body != "shop.test" {
		t.Errorf("known authority: %q, %v", body, err)
	}

	site.Origins[0].URL = &url.URL{Scheme: "https", Host: "other.test"}
	addr := origin.Listener.Addr().String()
	p = New(Options{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}})
	apply(t, p, snapshotOf(site))
	if _, _, err = get(t, p, "/"); err == nil || err.Proxy != "tls_certificate_error" {
		t.Errorf("another name: %+v", err)
	}
}

// TestWhatTLSFailuresAreCalled talks to servers that don't get as far as a certificate.
func TestWhatTLSFailuresAreCalled(t *testing.T) {
	tests := []struct {
		want   string
		origin func(net.Conn)
	}{
		{"tls_protocol_error", func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1<<12))
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}},
		{"connection_terminated", func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1<<12)) }},
		{"tls_alert_received", func(conn net.Conn) {
			_ = tls.Server(conn, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return nil, io.EOF
			}}).HandshakeContext(context.Background())
		}},
	}
	for _, tt := range tests {
		m := newMemory()
		m.raw(t, "o.test:443", tt.origin)
		p := poolsOf(t, m, siteOf(t, defaults(), "https://o.test"))
		if _, _, err := get(t, p, "/"); err == nil || err.Proxy != tt.want || err.Op != "tls" {
			t.Errorf("got %+v, want %s", err, tt.want)
		}
	}
}

// tlsOrigin returns a server on the loopback and a site that has it.
func tlsOrigin(t testing.TB, http2 bool, h http.HandlerFunc) (*httptest.Server, config.Site) {
	t.Helper()
	origin := httptest.NewUnstartedServer(h)
	origin.EnableHTTP2 = http2
	origin.Config.ErrorLog = quiet
	origin.StartTLS()
	t.Cleanup(origin.Close)
	return origin, siteOf(t, defaults(), origin.URL)
}
