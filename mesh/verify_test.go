package mesh

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// present makes a certificate as who shouldn't could make it with the authority's key.
func present(t *testing.T, a *Authority, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	now := time.Now()
	who := Who{Network: "cdn.test", Node: "osaka-1", Issued: now}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "osaka-1"}, NotBefore: now.Add(-clockWrongBy), NotAfter: now.Add(nodeLife),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, URIs: []*url.URL{who.uri()},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, newKey(t, elliptic.P256()).Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestVerify(t *testing.T) {
	a := authority(t)
	m := join(t, a, "lisbon-1", time.Now())
	m.SetRevoked(map[config.NodeID]time.Time{"removed-1": time.Now().Add(time.Minute)})
	now := time.Now()
	with := func(u string) func(*x509.Certificate) {
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		return func(c *x509.Certificate) { c.URIs = []*url.URL{parsed} }
	}
	for _, c := range []struct {
		name           string
		cert           *x509.Certificate
		reason, says   string
		goodIfMayBeOld bool
	}{
		{name: "a good one", cert: present(t, a, func(*x509.Certificate) {}), goodIfMayBeOld: true},
		{"of another network", present(t, authority(t), func(*x509.Certificate) {}), "foreign", `osaka-1 is of another network ("Network cdn.test")`, false},
		{"of another network with the same authority", present(t, a, with("wherry://other.test/node/osaka-1?issued=1")), "foreign", "of the network other.test, and this is cdn.test", false},
		{"expired", present(t, a, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }), "expired", "osaka-1 isn't valid after " + stamp(now.Add(-time.Hour)) + ": this machine's clock says ", true},
		{"not yet valid", present(t, a, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) }), "early", "osaka-1 isn't valid before " + stamp(now.Add(time.Hour)) + ": this machine's clock says ", false},
		{"for servers alone", present(t, a, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "usage", "isn't for what it is used for here", false},
		{"for code", present(t, a, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }), "usage", "isn't for what it is used for here", false},
		{"of a removed node", present(t, a, with("wherry://cdn.test/node/removed-1?issued=1")), "removed", "removed-1 was removed from the network", false},
		{"of nobody", present(t, a, func(c *x509.Certificate) { c.URIs = nil }), "malformed", "not the certificate of a node", false},
		{"of two", present(t, a, func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }), "malformed", "not the certificate of a node", false},
		{"of a website", present(t, a, with("https://cdn.test/node/osaka-1?issued=1")), "malformed", "not the certificate of a node", false},
		{"with an odd name", present(t, a, with("wherry://cdn.test/node/osaka%2F1?issued=1")), "malformed", "can't be the name of a node", false},
		{"with a subject to confuse logs", present(t, authority(t), func(c *x509.Certificate) { c.Subject.CommonName = "a\nERROR b" }), "foreign", `"a\nERROR b"`, false},
		{"none", nil, "anonymous", "must show its certificate", false},
	} {
		for _, mayBeOld := range []bool{false, true} {
			var chain []*x509.Certificate
			if c.cert != nil {
				chain = append(chain, c.cert)
			}
			who, err := m.Verify(chain, mayBeOld)
			switch {
			case c.reason == "" || mayBeOld && c.goodIfMayBeOld:
				if err != nil || who.Node != "osaka-1" {
					t.Errorf("%s: %v, %v", c.name, who, err)
				}
			case err == nil || reasonOf(err) != c.reason || !strings.Contains(err.Error(), c.says):
				t.Errorf("%s: %s, %v", c.name, reasonOf(err), err)
			}
		}
	}
}

// tail keeps what a listener says of whom it refused.
type tail struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestWhoIsRefused(t *testing.T) {
	a := authority(t)
	good := join(t, a, "lisbon-1", time.Now(), feed.RoleControl)
	edge := join(t, a, "paris-1", time.Now(), feed.RoleEdge)
	old := join(t, a, "oslo-1", time.Now().Add(-nodeLife-time.Hour))
	foreign := join(t, authority(t), "osaka-1", time.Now())
	onlyControl := ListenOptions{Allow: func(w Who) error {
		if !w.Has(feed.RoleControl) {
			return fmt.Errorf("isn't control")
		}
		return nil
	}}
	for _, c := range []struct {
		name           string
		client, server *Mesh
		o              ListenOptions
		client_, says  string // what each side says
	}{
		{"a foreign client", foreign, good, ListenOptions{}, "osaka-1", ""},
		{"a foreign server", good, foreign, ListenOptions{}, "certificate of osaka-1 is of another network", ""},
		{"an expired client", old, good, ListenOptions{}, "", "certificate of oslo-1 isn't valid after"},
		{"an expired server", good, old, ListenOptions{}, "certificate of oslo-1 isn't valid after", ""},
		{"a role that isn't let in", edge, good, onlyControl, "", "paris-1: isn't control"},
		{"a foreign client where anonymous ones are let in", foreign, good, ListenOptions{Anonymous: true}, "", ""},
	} {
		log := &tail{}
		server := New(c.server.id, Options{Log: slog.New(slog.NewTextHandler(log, nil))})
		address := serve(t, server, c.o)
		got, err := ask(t, c.client.Transport(), t.Context(), address)
		if c.name == "a foreign client" {
			c.client_ = "another network" // it doesn't know the server either
		}
		if err == nil || !strings.Contains(err.Error(), c.client_) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
		for deadline := time.Now().Add(10 * time.Second); !strings.Contains(log.String(), c.says); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("%s: the log says %s", c.name, log.String())
				break
			}
		}
	}
	address := serve(t, good, ListenOptions{Anonymous: true})
	if got, err := ask(t, old.Transport(), t.Context(), address); !strings.HasPrefix(got, "oslo-1 [] false true") {
		t.Errorf("an expired client that wants to renew: %q, %v", got, err)
	}
}

func TestANodeThatFloodsIsCut(t *testing.T) {
	a := authority(t)
	server := join(t, a, "lisbon-1", time.Now())
	address := serve(t, server, ListenOptions{NodeConnectionsMax: 3})
	flood, other := join(t, a, "osaka-1", time.Now()), join(t, a, "oslo-1", time.Now()).Transport()
	for range 10 {
		conn, err := flood.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := ask(t, other, t.Context(), address); err != nil {
			t.Fatalf("another node: %v", err)
		}
	}
	refused := server.o.Metrics.refused.WithLabelValues("full")
	for deadline := time.Now().Add(10 * time.Second); testutil.ToFloat64(refused) != 7; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%v were refused", testutil.ToFloat64(refused))
		}
	}
}

// TestWhoSaysNothingMakesRoom: a crowd that never finishes its handshake keeps nobody out.
func TestWhoSaysNothingMakesRoom(t *testing.T) {
	a := authority(t)
	server := join(t, a, "lisbon-1", time.Now(), feed.RoleControl)
	address := serve(t, server, ListenOptions{PendingMax: 4, Anonymous: true})
	for range 50 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if _, err := ask(t, join(t, a, "osaka-1", time.Now()).Transport(), t.Context(), address); err != nil {
		t.Errorf("a node: %v", err)
	}
	token := NewJoinToken([]string{address}, a.Pin())
	for n := range 20 { // anonymous ones that stay
		transport := JoinTransport(token)
		transport.DisableKeepAlives = false
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatalf("after %d others: %v", n, err)
		}
		defer resp.Body.Close()
	}
}
