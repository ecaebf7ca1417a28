package origin

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/trace"
)

func TestUnknownSite(t *testing.T) {
	_, _, err := get(t, New(Options{}), "/")
	if err == nil || err.Party != fault.Config || err.Status != 500 || err.Proxy != "proxy_configuration_error" {
		t.Errorf("got %+v", err)
	}
}

// TestApplyKeepsWhatIsTheSame counts connections while the configuration changes around a site, and in it.
func TestApplyKeepsWhatIsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.serve(t, "a.test:80", func(http.ResponseWriter, *http.Request) {})
		site := siteOf(t, defaults(), "http://a.test", "http://b.test")
		p := poolsOf(t, m, site)
		upstream := p.Upstream("shop")
		ask := func(wantDials int, why string) {
			t.Helper()
			before := m.dialCount()
			resp, err := upstream.RoundTrip(newRequest(t, http.MethodGet, "/", nil))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if n := m.dialCount() - before; n != wantDials {
				t.Errorf("%s: %d new connections, want %d", why, n, wantDials)
			}
		}
		for range 2 * failuresMax {
			resp, err := upstream.RoundTrip(newRequest(t, http.MethodGet, "/", nil))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		}
		other := siteOf(t, defaults(), "http://c.test")
		other.Name = "other"
		same := siteOf(t, defaults(), "http://a.test", "http://b.test")
		same.BodySize = 7
		apply(t, p, snapshotOf(other, same))
		ask(0, "another site came")
		if p.Status()[2].Healthy {
			t.Error("what was known of b.test is forgotten")
		}
		apply(t, p, snapshotOf(same))
		ask(0, "another site went")
		same.Fetch.Retries = 1
		apply(t, p, snapshotOf(same))
		ask(1, "fetch changed")
	})
}

// TestRetiredPoolFinishes takes a site away while a response is being read: it's read to its end, and then the connection goes.
func TestRetiredPoolFinishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		release, closed := make(chan struct{}), make(chan struct{})
		m.raw(t, "a.test:80", func(conn net.Conn) {
			readHeader(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nbegun, ")
			<-release
			_, _ = io.WriteString(conn, "done")
			_, _ = conn.Read(make([]byte, 1))
			close(closed)
		})
		p := poolsOf(t, m, siteOf(t, defaults(), "http://a.test"))
		resp, err := p.Upstream("shop").RoundTrip(newRequest(t, http.MethodGet, "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		apply(t, p, snapshotOf())
		close(release)
		if b, err := io.ReadAll(resp.Body); string(b) != "begun, done" {
			t.Errorf("%q, %v", b, err)
		}
		_ = resp.Body.Close()
		began := time.Now()
		<-closed
		if kept := time.Since(began); kept != 0 {
			t.Errorf("the connection stayed for %v", kept)
		}
	})
}

// TestLateRequestOfRetiredPool has a request that found its pool just before the pool was retired.
func TestLateRequestOfRetiredPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		closed := make(chan struct{})
		m.raw(t, "a.test:80", func(conn net.Conn) {
			readHeader(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			_, _ = conn.Read(make([]byte, 1))
			close(closed)
		})
		p := poolsOf(t, m, siteOf(t, defaults(), "http://a.test"))
		found := (*p.sites.Load())["shop"]
		apply(t, p, snapshotOf())
		resp, err := found.roundTrip(newRequest(t, http.MethodGet, "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		began := time.Now()
		<-closed
		if kept := time.Since(began); kept != 0 {
			t.Errorf("the connection stayed for %v", kept)
		}
	})
}

func TestCAFile(t *testing.T) {
	origin, site := tlsOrigin(t, false, func(http.ResponseWriter, *http.Request) {})
	file := caFile(t, origin.TLS.Certificates[0])
	site.Fetch.CAFile = file
	p := New(Options{})
	t.Cleanup(func() { apply(t, p, snapshotOf()) })
	other := siteOf(t, defaults(), "http://192.0.2.1")
	other.Name = "other"
	refused := func(why string, sites ...config.Site) {
		t.Helper()
		_, err := p.Prepare(snapshotOf(sites...))
		if err == nil || fault.Of(err).Party != fault.Config || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "shop") {
			t.Errorf("%s: error %v, want one that names the site and the file", why, err)
		}
	}
	write := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	write([]byte("no certificate"))
	refused("bad file at the start", site)
	write(good)
	apply(t, p, snapshotOf(site))
	if status, _, err := get(t, p, "/"); status != 200 {
		t.Errorf("good file: %v", err)
	}
	write([]byte("no certificate again"))
	refused("bad file on reload", site, other)
	if status, _, err := get(t, p, "/"); status != 200 || len(p.Status()) != 1 {
		t.Errorf("a refused configuration changes something: %v, %+v", err, p.Status())
	}
	write(pemOf(selfSigned(t, "elsewhere.test")))
	apply(t, p, snapshotOf(site))
	if _, _, err := get(t, p, "/"); err == nil || err.Proxy != "tls_certificate_error" {
		t.Errorf("another authority in the same file: %+v", err)
	}
}

// TestChecks lets an origin go and come back with only Run asking, and the configuration end the checks.
func TestChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var status, checks atomic.Int64
		status.Store(204)
		m.serve(t, "a.test:80", func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.URL.Path != "/base/alive" || r.Host != "shop.test" {
				t.Errorf("check asks %s %s at %s", r.Method, r.URL.Path, r.Host)
			}
			checks.Add(1)
			if status.Load() == 0 {
				<-r.Context().Done()
				return
			}
			w.WriteHeader(int(status.Load()))
		})
		site := siteOf(t, defaults(), "http://a.test/base/")
		site.Fetch.Health = &config.Health{Path: "/alive", Interval: 5 * time.Second, Timeout: 2 * time.Second}
		p := New(Options{Dial: m.dial})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()
		apply(t, p, snapshotOf(site))

		expect := func(healthy bool, after time.Duration, why string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if s := p.Status()[0]; s.Healthy != healthy {
				t.Errorf("%s: healthy %v (%s)", why, s.Healthy, s.LastError)
			}
		}
		expect(true, 0, "at once")
		if checks.Load() != 1 {
			t.Errorf("%d checks at the start, want 1", checks.Load())
		}
		status.Store(500)
		expect(true, 5*time.Second, "one bad answer")
		expect(false, 5*time.Second, "two bad answers")
		status.Store(302)
		expect(false, 5*time.Second, "one good answer")
		expect(true, 5*time.Second, "two good answers")
		status.Store(0)
		expect(true, 7*time.Second, "one timeout")
		expect(false, 5*time.Second, "two timeouts")

		apply(t, p, snapshotOf())
		before := checks.Load()
		time.Sleep(time.Minute)
		if n := checks.Load(); n != before {
			t.Errorf("%d checks after the site went", n-before)
		}
		apply(t, p, snapshotOf(site))
		expect(true, time.Second, "the site came back")
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.serve(t, "b.test:80", func(http.ResponseWriter, *http.Request) {})
		registry := prometheus.NewRegistry()
		p := New(Options{Dial: m.dial, Metrics: NewMetrics(registry)})
		apply(t, p, snapshotOf(siteOf(t, defaults(), "http://a.test", "http://b.test/")))
		for range 2 * failuresMax {
			_, _, _ = get(t, p, "/")
		}
		want := `
# HELP wherry_origin_healthy 1 if the origin is healthy, 0 if it is left alone.
# TYPE wherry_origin_healthy gauge
wherry_origin_healthy{origin="http://a.test",site="shop"} 0
wherry_origin_healthy{origin="http://b.test",site="shop"} 1
# HELP wherry_origin_retries_total Requests sent again, to another origin.
# TYPE wherry_origin_retries_total counter
wherry_origin_retries_total{site="shop"} 3
`
		err := testutil.GatherAndCompare(registry, strings.NewReader(want), "wherry_origin_healthy", "wherry_origin_retries_total")
		if err != nil {
			t.Error(err)
		}
		requests := p.metrics.requests
		if ok, refused := testutil.ToFloat64(requests.WithLabelValues("shop", "2xx")),
			testutil.ToFloat64(requests.WithLabelValues("shop", "connection_refused")); ok != 6 || refused != 3 {
			t.Errorf("%v good, %v refused", ok, refused)
		}
		if n := testutil.CollectAndCount(p.metrics.seconds); n != 1 {
			t.Errorf("%d histograms", n)
		}
		apply(t, p, snapshotOf())
		if n, err := testutil.GatherAndCount(registry); n != 0 {
			t.Errorf("%d series are left of a site that is gone (%v)", n, err)
		}
	})
}

func TestTraceTellsTheSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.serve(t, "b.test:80", func(http.ResponseWriter, *http.Request) {})
		p := poolsOf(t, m, siteOf(t, defaults(), "http://a.test", "http://b.test"))
		record := trace.New("id")
		req := newRequest(t, http.MethodGet, "/x", nil)
		_, _, _ = do(t, p, req.WithContext(trace.With(req.Context(), record)))
		_, _, _ = get(t, p, "/")
		_, _, _ = do(t, p, req.WithContext(trace.With(req.Context(), record)))
		steps, _ := record.Steps()
		var got []string
		for _, s := range steps {
			if s.Room != "origin" {
				t.Errorf("room %s", s.Room)
			}
			got = append(got, s.Step+": "+s.Decision)
		}
		want := []string{
			"pick: http://a.test: weight 1 of 2",
			"response: none after 0s: origin: connect: dial tcp: connection refused",
			"retry: connect: connection_refused: asking another origin",
			"pick: http://b.test: weight 1 of 1",
			"connect: new to pipe, after 0s",
			"send: GET /x, Host shop.test",
			"response: 200 HTTP/1.1 after 0s",
		}
		if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
			t.Errorf("steps\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		reused := func(s string) bool { return strings.HasPrefix(s, "connect: reused to pipe, idle for") }
		if !slices.ContainsFunc(got[len(want):], reused) {
			t.Errorf("no reuse in\n%s", strings.Join(got[len(want):], "\n"))
		}
	})
}
