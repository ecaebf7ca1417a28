package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/simnet"
)

func TestWhereANodeIsChecked(t *testing.T) {
	for _, c := range []struct {
		name, network, node string
		doors               map[config.NodeID]Door
		want                Door
	}{
		{name: "defaults", want: Door{Port: 8080}},
		{name: "the network's port", network: `http: ":81"`, want: Door{Port: 81}},
		{name: "the node's port", network: `http: ":81"`, node: `http: ":82"`, want: Door{Port: 82}},
		{name: "http off", network: `http: off, https: ":444"`, want: Door{444, true}},
		{name: "the node's http off", node: `http: off, https: ":445"`, want: Door{445, true}},
		{name: "http at a port that the system chooses", node: `http: ":0"`, want: Door{8443, true}},
		{name: "both", node: `http: ":0", https: ":0"`, want: Door{}},
		{
			name: "a door of this process", network: `http: ":81"`, node: `http: off`,
			doors: map[config.NodeID]Door{"lisbon-1": {1234, true}, "osaka-1": {Port: 99}}, want: Door{1234, true},
		},
		{
			name: "a door of another node", network: `http: ":81"`,
			doors: map[config.NodeID]Door{"osaka-1": {Port: 99}}, want: Door{Port: 81},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			snapshot := nodeListening(t, c.network, c.node)
			s, err := New(Options{Snapshot: snapshot, Doors: c.doors})
			if err != nil {
				t.Fatal(err)
			}
			node, _ := snapshot.Node("lisbon-1")
			if got := s.doorOf(snapshot, node); got != c.want {
				t.Errorf("door %+v, want %+v", got, c.want)
			}
		})
	}
}

// nodeListening returns the configuration of lisbon-1 at 192.0.2.1, with these listen settings of the network and of the node.
func nodeListening(t *testing.T, network, node string) *config.Snapshot {
	t.Helper()
	return parseSnapshot(t, fmt.Sprintf(`
listen: {%s}
clusters: [{name: lisbon, nodes: [{name: lisbon-1, addresses: [192.0.2.1], listen: {%s}}]}]
sites: [{name: shop, hosts: [shop.test], origins: [{url: "http://192.0.2.9"}]}]
`, network, node))
}

// A reload that moves the nodes' doors also moves the checks.
func TestChecksFollowTheSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(simnet.Options{})
		lisbon := net.Host("lisbon-1", netip.MustParseAddr("192.0.2.1"))
		names := net.Host("names", netip.MustParseAddr("192.0.2.53"))
		s, err := New(Options{
			Snapshot: nodeListening(t, `http: ":8080"`, ""), Dial: names.DialContext, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		expect := func(when string, up bool) {
			t.Helper()
			time.Sleep(5 * time.Second)
			if h := s.Health()[0]; h.Up != up {
				t.Errorf("%s: %+v", when, h)
			}
		}
		stop := serveHealth(t, lisbon, ":8080")
		expect("at the first port", true)
		stop()
		stop = serveHealth(t, lisbon, ":9090")
		defer stop()
		expect("moved, and nobody told", false)
		reload(t, s, nodeListening(t, `http: ":9090"`, ""))
		expect("reloaded", true)
	})
}

// serveHealth answers checks at an address of a host.
func serveHealth(t *testing.T, host *simnet.Host, at string) (stop func()) {
	t.Helper()
	l, err := host.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	return func() {
		_ = server.Close()
		<-done
	}
}

// Over real sockets, one node of two answers, with a certificate that nobody signed in the one case.
func TestRealProbe(t *testing.T) {
	for scheme, listen := range map[string]string{"http": `http: "127.0.0.1:%s"`, "https": `http: off, https: "127.0.0.1:%s"`} {
		t.Run(scheme, func(t *testing.T) {
			asked := make(chan string, 100)
			edge := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				asked <- r.Method + " " + r.URL.Path
			}))
			if scheme == "https" {
				edge.StartTLS()
			} else {
				edge.Start()
			}
			defer edge.Close()
			_, port, _ := net.SplitHostPort(edge.Listener.Addr().String())
			snapshot := parseSnapshot(t, fmt.Sprintf(`
listen: {%s}
dns: {health_interval: 100ms}
clusters: [{name: lisbon, nodes: [{name: lisbon-1, addresses: [127.0.0.1]}, {name: lisbon-2, addresses: [127.0.0.2]}]}]
sites: [{name: shop, hosts: [shop.test], origins: [{url: "http://127.0.0.1:9"}]}]
`, fmt.Sprintf(listen, port)))
			turned := make(chan string, 1)
			s, err := New(Options{Snapshot: snapshot, Log: slog.New(slog.NewTextHandler(lineWriter(turned), nil))})
			if err != nil {
				t.Fatal(err)
			}
			run(t, s)
			if got, want := <-asked, "GET "+config.HealthPath; got != want {
				t.Errorf("asked %q, want %q", got, want)
			}
			// Nothing listens at 127.0.0.2.
			if line := <-turned; !strings.Contains(line, "edge is out of the answers") || !strings.Contains(line, "lisbon-2") {
				t.Errorf("log: %s", line)
			}
			if got := addresses(t, s, "lisbon.clusters.wherry.test. A"); !slices.Equal(got, []string{"127.0.0.1"}) {
				t.Errorf("answers %v", got)
			}
		})
	}
}

// Whatever an edge does, a check ends with its context and reads no more than it may.
func TestProbeEnds(t *testing.T) {
	silence := func(net.Conn) {}
	for _, c := range []struct {
		name    string
		serve   func(net.Conn)
		overTLS bool
	}{
		{"says nothing", silence, false},
		{"no TLS", silence, true},
		{"an endless header", func(conn net.Conn) {
			for err := error(nil); err == nil; {
				_, err = conn.Write([]byte("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1000)))
			}
		}, false},
		{"no HTTP", func(conn net.Conn) { _, _ = conn.Write([]byte("220 mail.test ESMTP\r\n")) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				served := make(chan struct{})
				go func() {
					defer close(served)
					go c.serve(far)
					for buf := make([]byte, 1<<10); ; {
						if _, err := far.Read(buf); err != nil {
							return
						}
					}
				}()
				p := probe{func(context.Context, string, string) (net.Conn, error) { return near, nil }}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				status, err := p.ask(ctx, netip.MustParseAddrPort("192.0.2.1:80"), c.overTLS)
				if err == nil || time.Since(began) > time.Second {
					t.Errorf("status %d after %v", status, time.Since(began))
				}
				<-served // the connection is closed
				_ = far.Close()
			})
		})
	}
}

// A dialer that is slow to give up isn't waited for longer than it takes to.
func TestProbeHasNothingUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialing := 0
		p := probe{func(ctx context.Context, _, _ string) (net.Conn, error) {
			dialing++
			defer func() { dialing-- }()
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.ask(ctx, netip.MustParseAddrPort("192.0.2.1:80"), false); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if dialing != 0 {
			t.Error("the check is over and its connection still being opened")
		}
	})
}
