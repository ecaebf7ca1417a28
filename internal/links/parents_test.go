package links

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/simnet"
)

// originAt answers what nobody may cache, and ends each connection, as many servers of dynamic content do.
func originAt(t *testing.T, p *places) {
	t.Helper()
	l, err := p.hosts["origin"].Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "dynamic")
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// toOrigin asks the origin from a host.
func toOrigin(host *simnet.Host) *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return host.DialContext(ctx, "tcp", "origin:80")
	}}
}

// passing is an edge that asks the origin for each request.
func passing(direct http.RoundTripper) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host, out.RequestURI, out.Body = "http", "shop.test", "", nil
		out.Header = http.Header{}
		resp, err := direct.RoundTrip(out)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.Copy(w, resp.Body)
	})
}

// farParents are three places, of which osaka is near the origin.
func farParents(t *testing.T) *places {
	t.Helper()
	p := newPlacesWith(t, func(p *places, o *Options) {
		direct := toOrigin(p.hosts[o.Self])
		o.Edge = func() http.Handler { return passing(direct) }
		o.Parent = func(config.SiteName) config.Parent { return config.ParentAuto }
		o.Good = func(string) error { return nil }
		o.Near = func(ctx context.Context, _ config.SiteName) time.Duration {
			began := time.Now()
			conn, err := p.hosts[o.Self].DialContext(ctx, "tcp", "origin:80")
			if err != nil {
				return 0
			}
			_ = conn.Close()
			return time.Since(began)
		}
	}, "lisbon", "paris", "osaka")
	p.hosts["origin"] = p.net.Host("origin")
	originAt(t, p)
	p.path("lisbon", "origin", 50*time.Millisecond)
	p.path("paris", "origin", 45*time.Millisecond)
	p.path("osaka", "origin", time.Millisecond)
	p.path("lisbon", "osaka", 50*time.Millisecond)
	p.path("paris", "osaka", 45*time.Millisecond)
	p.path("lisbon", "paris", 10*time.Millisecond)
	return p
}

// dynamic asks for something that can't be cached, and returns how long that took.
func (p *places) dynamic(t *testing.T, from config.NodeID) time.Duration {
	t.Helper()
	began := time.Now()
	r := httptest.NewRequest(http.MethodGet, "http://shop.test/cart", nil)
	r.RequestURI, r.Body = "", nil
	resp, err := p.links[from].Upstream("shop", toOrigin(p.hosts[from])).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); string(text) != "dynamic" || err != nil {
		t.Fatalf("%q, %v", text, err)
	}
	return time.Since(began)
}

// Of three places that which is near the origin becomes the parent of the others, by what was measured, and what can't be cached goes through it over a
// warm connection: without the handshake with the far origin. One that is near the origin and far from everybody doesn't.
func TestTheParentNearTheOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := farParents(t)
		time.Sleep(time.Second)
		direct := p.dynamic(t, "lisbon")
		time.Sleep(30 * time.Second)
		through := p.dynamic(t, "lisbon")
		if got := p.links["lisbon"].parents.of("shop"); got != "osaka" {
			t.Fatalf("lisbon has %q for a parent: %+v", got, p.links["lisbon"].parents.tell())
		}
		t.Logf("an uncacheable GET, origin at 100 ms: %v direct, %v through the parent", direct, through)
		if through > direct*3/5 {
			t.Errorf("%v direct, %v through the parent", direct, through)
		}
		p.dynamic(t, "osaka")
		time.Sleep(30 * time.Second)
		if got := p.links["osaka"].parents.of("shop"); got != "" {
			t.Errorf("osaka, which is at the origin, has %q for a parent", got)
		}

		p.path("lisbon", "osaka", 200*time.Millisecond)
		p.path("paris", "osaka", 200*time.Millisecond)
		for range 30 {
			p.dynamic(t, "lisbon")
			time.Sleep(2 * time.Second)
		}
		if got := p.links["lisbon"].parents.of("shop"); got != "" {
			t.Errorf("lisbon asks %q, which is farther than the origin: %+v", got, p.links["lisbon"].parents.tell())
		}
	})
}
