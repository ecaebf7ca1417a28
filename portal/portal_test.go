package portal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/internal/simnet"
	"github.com/wherry/wherry/portal"
	"github.com/wherry/wherry/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "s3cret-of-the-operator"

// began is when the network of the tests started; now is when they look at it.
var (
	began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now   = began.Add(90 * time.Minute)
)

// network is a Network with two edges, of which one may be down.
type network struct {
	down, starting, empty bool
	asked                 atomic.Int64 // how often Status was called
	delay                 time.Duration
}

func (n *network) Status(ctx context.Context) portal.Status {
	asked := n.asked.Add(1)
	select {
	case <-time.After(n.delay):
	case <-ctx.Done():
	}
	if n.empty {
		return portal.Status{Ready: true, Started: began}
	}
	node := func(name, address string, up bool) portal.Node {
		return portal.Node{
			Name: config.NodeID(name), Addresses: []netip.Addr{netip.MustParseAddr(address)}, HTTP: address + ":8080", Up: up,
			Since: began, Requests: 1000, Hits: 900, SentBytes: 5 << 20, StoredObjects: 7, StoredBytes: 64 << 20, StoredLimitBytes: 256 << 20,
			Disk: &portal.Disk{Objects: 9, Bytes: 3 << 30, LimitBytes: 8 << 30, Volumes: []portal.Volume{
				{Dir: "/cache/a", State: "ok", Since: began}, {Dir: "/cache/b", State: "failing", Since: began, LastError: "input/output error"},
			}},
		}
	}
	s := portal.Status{
		Revision: "0123456789ab", Started: began, Ready: !n.starting, DNS: "127.0.0.1:8053", CAFile: "/ca/root.pem",
		Clusters: []portal.Cluster{
			{Name: "lisbon", Nodes: []portal.Node{node("lisbon-1", "127.0.0.1", true)}},
			{Name: "osaka", Nodes: []portal.Node{node("osaka-1", "127.0.0.2", !n.down)}},
		},
		Sites: []portal.Site{{Name: "shop", Hosts: []config.HostPattern{"shop.test"}, Origins: []portal.Origin{
			{URL: &url.URL{Scheme: "http", Host: "127.0.0.1:9000", User: url.UserPassword("u", "hidden")}, Healthy: true, Since: began},
		}}},
		Programs: []portal.Program{{
			Name: "hello", Tenant: "shop", Machine: "kvm", Isolation: "request", Calls: 2000, CPU: 5 * time.Second, Errors: map[string]uint64{"cpu": 3, "crash": 4}, Ready: 2, Busy: 1,
			MemoryBytes: 6 << 20, SnapshotBytes: 4 << 20, Files: 12, FileBytes: 1 << 20,
		}},
		Commands: []portal.Command{{Purpose: "Ask an edge", Line: "curl -i http://127.0.0.1:8080/?a=1&b=<2>"}},
	}
	s.Clusters[0].Nodes[0].Requests += uint64(asked)
	if n.down {
		s.Clusters[1].Nodes[0].Error = "connection refused"
		s.Incidents = []portal.Incident{{At: began, Party: fault.Edge, Subject: "osaka-1", Text: "<script>alert(1)</script>", Action: "Start it again."}}
	}
	return s
}

func (n *network) ProgramLog(name string) ([]portal.ProgramLine, bool) {
	return []portal.ProgramLine{{Text: "a line"}}, name == "hello"
}

func (n *network) Trace(id string) (trace.Report, bool) {
	if id != "t1" {
		return trace.Report{}, false
	}
	return trace.Report{ID: id, Node: "lisbon-1", Steps: []trace.Step{{Room: "cache", Step: "lookup", Decision: "hit"}}}, true
}

func newPortal(n *network, change ...func(*portal.Options)) *portal.Portal {
	o := portal.Options{
		Network: n, OperatorToken: token, Version: "1.2.3", Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "wherry_up 1\n") }),
	}
	for _, c := range change {
		c(&o)
	}
	return portal.New(o)
}

// ask sends one request; fields are NAME: VALUE.
func ask(h http.Handler, method, target, body string, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8088"
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const (
	bearer   = "Authorization: Bearer " + token
	jsonType = "Content-Type: application/json"
)

func TestRoutes(t *testing.T) {
	for _, tt := range []struct {
		name, method, target, body string
		fields                     []string
		status                     int
		want                       string // a part of the body
	}{
		{"page", "GET", "/", "", nil, 200, "All 2 edges answer"},
		{"page by localhost", "GET", "/", "", []string{"Host: localhost:8088"}, 200, "lisbon-1"},
		{"page by IPv6", "GET", "/", "", []string{"Host: [::1]:8088"}, 200, "lisbon-1"},
		{"page by a configured name", "GET", "/", "", []string{"Host: Status.Test"}, 200, "lisbon-1"},
		{"rebinding", "GET", "/", "", []string{"Host: evil.test"}, 421, "none of its names"},
		{"rebinding by a name like an address", "GET", "/api/status", "", []string{"Host: 127.0.0.1.evil.test"}, 421, "http://127.0.0.1"},
		{"no host", "GET", "/api/status", "", []string{"Host: "}, 421, "none of its names"},
		{"health", "GET", "/healthz", "", nil, 200, "ready\n"},
		{"metrics", "GET", "/metrics", "", nil, 200, "wherry_up 1"},
		{"status", "GET", "/api/status", "", nil, 200, `"stored_limit_bytes": 268435456`},
		{"status has the version", "GET", "/api/status", "", nil, 200, `"version": "1.2.3"`},
		{"status hides passwords", "GET", "/api/status", "", nil, 200, `"url": "http://u:xxxxx@127.0.0.1:9000"`},
		{"status as page", "GET", "/api/status", "", []string{"Accept: text/html"}, 200, `<h1 id="headline">All 2 edges answer</h1>`},
		{"status for a browser", "GET", "/api/status", "", []string{"Accept: text/html,application/xhtml+xml,*/*;q=0.8"}, 200, `"clusters": [`},
		{"unknown", "GET", "/nowhere", "", nil, 404, "GET /api/traces/{id}"},
		{"the old purge", "POST", "/api/purge", "{}", []string{bearer, jsonType}, 404, "GET /api/v1/openapi.json"},
		{"unknown for a browser", "GET", "/nowhere", "", []string{"Accept: text/html"}, 404, "<h1>404 Not Found</h1>"},
		{"old asset", "GET", "/assets/portal.000000000000.js", "", nil, 404, "another version"},
		{"wrong method", "DELETE", "/api/status", "", nil, 405, "Use GET, HEAD."},
		{"trace", "GET", "/api/traces/t1", "", []string{bearer}, 200, `"decision": "hit"`},
		{"trace without token", "GET", "/api/traces/t1", "", nil, 401, "has no token"},
		{"what a program said", "GET", "/api/programs/hello/log", "", []string{bearer}, 200, `"text": "a line"`},
		{"what a program said, without token", "GET", "/api/programs/hello/log", "", nil, 401, "has no token"},
		{"what nobody said", "GET", "/api/programs/nobody/log", "", []string{bearer}, 404, "no program nobody"},
		{"trace unknown", "GET", "/api/traces/t2", "", []string{bearer}, 404, "wherry trace URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPortal(&network{}, func(o *portal.Options) { o.Hosts = []config.Host{"status.test"} })
			w := ask(p, tt.method, tt.target, tt.body, tt.fields...)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d, want %d with %q in\n%s", w.Code, tt.status, tt.want, w.Body)
			}
			h := w.Header()
			if h.Get("X-Content-Type-Options") != "nosniff" || strings.Contains(h.Get("Content-Security-Policy"), "unsafe") ||
				!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("security header missing: %v", h)
			}
			if (w.Code == 401) != strings.HasPrefix(h.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%d with WWW-Authenticate %q", w.Code, h.Get("WWW-Authenticate"))
			}
			if (w.Code == 405) != (h.Get("Allow") != "") {
				t.Errorf("%d with Allow %q", w.Code, h.Get("Allow"))
			}
			if w.Code >= 400 && h.Get("Content-Type") != "text/html; charset=utf-8" {
				checkProblem(t, w)
			}
		})
	}
}

func checkProblem(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	var p struct {
		Title, Detail, Action string
		Status                int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Fatalf("no problem+json: %v, %s", err, w.Body)
	}
	if p.Status != w.Code || p.Title != http.StatusText(w.Code) || p.Detail == "" || p.Action == "" {
		t.Errorf("incomplete problem: %+v", p)
	}
}

// The API is asked by its own pages and by programs, with bodies as large as it likes, and not by others' pages.
func TestAPI(t *testing.T) {
	for _, tt := range []struct {
		name   string
		none   bool
		fields []string
		status int
		want   string
	}{
		{"a program", false, []string{bearer}, 200, "POST /api/v1/purges 20000"},
		{"the page itself", false, []string{bearer, "Sec-Fetch-Site: same-origin"}, 200, "POST /api/v1/purges 20000"},
		{"a foreign page", false, []string{bearer, "Sec-Fetch-Site: cross-site"}, 403, "another origin"},
		{"a foreign origin", false, []string{bearer, "Origin: http://evil.test"}, 403, "another origin"},
		{"rebinding", false, []string{bearer, "Host: evil.test"}, 421, "none of its names"},
		{"no token", false, nil, 401, ""},
		{"no API", true, []string{bearer}, 404, "has nothing at /api/v1/purges"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			p := newPortal(&network{}, func(o *portal.Options) {
				o.Count = portal.NewMetrics(reg)
				if tt.none {
					return
				}
				o.API = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Authorization") == "" {
						w.WriteHeader(http.StatusUnauthorized)
						return
					}
					n, _ := io.Copy(io.Discard, r.Body)
					fmt.Fprintf(w, "%s %s %d", r.Method, r.URL.Path, n)
				})
			})
			w := ask(p, "POST", "/api/v1/purges", strings.Repeat("a", 20_000), tt.fields...)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d, want %d with %q in\n%s", w.Code, tt.status, tt.want, w.Body)
			}
			if w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("security header missing: %v", w.Header())
			}
			if n := testutil.CollectAndCount(reg, "wherry_portal_refused_total"); (n == 1) != (w.Code == 401 || w.Code == 403 || w.Code == 421) {
				t.Errorf("%d refused, and it got %d", n, w.Code)
			}
		})
	}
}

func TestNoTokenOpensNothing(t *testing.T) {
	p := newPortal(&network{}, func(o *portal.Options) { o.OperatorToken = "" })
	for _, field := range []string{"Authorization: Bearer ", "Authorization: Bearer x", "X-Nothing: x"} {
		if w := ask(p, "GET", "/api/traces/t1", "", field); w.Code != http.StatusUnauthorized {
			t.Errorf("%q got %d, want 401", field, w.Code)
		}
	}
}

func TestPageStates(t *testing.T) {
	for _, tt := range []struct {
		name    string
		network *network
		health  int
		want    []string
		not     []string
	}{
		{
			"all up", &network{},
			200,
			[]string{
				`class="health calm"`, "1 site, 1 origin, none failing.", "up</span>", "1,001", "90 %", "5.0 MiB", `value="0.2500"`,
				"64 MiB of 256 MiB", "on disk 3.0 GiB of 8.0 GiB, 9 objects", "/cache/b is failing", "?a=1&amp;b=&lt;2&gt;", "Nothing went wrong lately", "/ca/root.pem",
				`<h2 id="programs">Programs</h2>`, "of shop, on kvm", "2,000", "2.5ms", "cpu 3", "crash 4", "6.0 MiB", "snapshot 4.0 MiB, 12 files", "u:xxxxx@",
			},
			[]string{"down</span>", "hidden@", "style="},
		},
		{
			"one down", &network{down: true},
			200,
			[]string{`class="health worried"`, "1 of 2 edges does not answer", "down</span>", "connection refused", "Start it again.", "&lt;script&gt;alert"},
			[]string{"<script>alert"},
		},
		{"starting", &network{starting: true}, 503, []string{`class="health waiting"`, "The network is starting"}, nil},
		{"empty", &network{empty: true}, 200, []string{"There are no edges yet", "No edge is configured", "wherry config sample"}, []string{"<table"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPortal(tt.network)
			page := ask(p, "GET", "/", "").Body.String()
			for _, want := range tt.want {
				if !strings.Contains(page, want) {
					t.Errorf("page lacks %q", want)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(page, not) {
					t.Errorf("page has %q", not)
				}
			}
			if got := ask(p, "GET", "/healthz", "").Code; got != tt.health {
				t.Errorf("healthz %d, want %d", got, tt.health)
			}
			if status := ask(p, "GET", "/api/status", "").Body.String(); strings.Contains(status, "null") {
				t.Errorf("a list is null:\n%s", status)
			}
		})
	}
}

// Each file that the page names is there, and may be kept for ever.
func TestAssets(t *testing.T) {
	p := newPortal(&network{})
	found := regexp.MustCompile(`/assets/[^"]+`).FindAllString(ask(p, "GET", "/", "").Body.String(), -1)
	if len(found) < 3 {
		t.Fatalf("page names %v", found)
	}
	for _, path := range found {
		w := ask(p, "GET", path, "")
		if w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Body.Len() == 0 {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
}

func TestRefusalsAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	p := newPortal(&network{}, func(o *portal.Options) { o.Count = portal.NewMetrics(reg) })
	ask(p, "GET", "/", "", "Host: evil.test")
	ask(p, "GET", "/api/traces/t1", "")
	ask(p, "GET", "/api/traces/t1", "", bearer)
	want := `
# HELP wherry_portal_refused_total Requests that the portal refused: a Host that isn't its own, a page of another origin, a missing or wrong token, a method, a body.
# TYPE wherry_portal_refused_total counter
wherry_portal_refused_total{reason="host"} 1
wherry_portal_refused_total{reason="token"} 1
# HELP wherry_portal_requests_total Requests to the portal by route and status.
# TYPE wherry_portal_requests_total counter
wherry_portal_requests_total{route="/api/traces/{id}",status="200"} 1
wherry_portal_requests_total{route="/api/traces/{id}",status="401"} 1
wherry_portal_requests_total{route="/{$}",status="421"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// serve runs p on a host of a network in memory until stop is called, which returns what Serve returned.
func serve(t *testing.T, p *portal.Portal) (client *http.Client, stop func() error) {
	t.Helper()
	n := simnet.New(simnet.Options{Link: simnet.Link{Latency: time.Millisecond}})
	server := n.Host("portal", netip.MustParseAddr("192.0.2.1"))
	l, err := server.Listen("tcp", ":8088")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, l) }()
	transport := &http.Transport{DialContext: n.Host("browser").DialContext}
	return &http.Client{Transport: transport}, func() error {
		cancel()
		err := <-done
		transport.CloseIdleConnections()
		return err
	}
}

func TestServeDrains(t *testing.T) {
	for _, tt := range []struct {
		name  string
		delay time.Duration
		drain time.Duration
		ok    bool
	}{
		{"a request that finishes is answered", 3 * time.Second, 2 * time.Second, true},
		{"a request that takes too long is cut off", time.Hour, 5 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, stop := serve(t, newPortal(&network{delay: tt.delay}))
				answered := make(chan error, 1)
				go func() {
					// Not a loopback address: the Host isn't checked.
					response, err := client.Get("http://portal:8088/healthz")
					if err == nil {
						response.Body.Close()
					}
					answered <- err
				}()
				time.Sleep(time.Second)
				began := time.Now()
				if err := stop(); err != nil {
					t.Errorf("Serve returned %v", err)
				}
				// Shutdown looks for idle connections at growing intervals of up to half a second.
				if took := time.Since(began); took < tt.drain || took > tt.drain+time.Second {
					t.Errorf("stopped after %v, want %v", took, tt.drain)
				}
				if err := <-answered; (err == nil) != tt.ok {
					t.Errorf("the request in flight got %v", err)
				}
			})
		})
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := newPortal(&network{}).Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want that the listener is closed", err)
	}
}
