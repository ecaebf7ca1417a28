package network

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/wherry/wherry/certs"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/simnet"
)

// world is a machine with a part of a network, a second machine, and a client.
type world struct {
	*Network
	lisbon, osaka, client *simnet.Host
}

const (
	lisbonAddr = "192.0.2.1"
	osakaAddr  = "192.0.2.2"
)

// newWorld returns hosts without a Network. It has to be called in a bubble.
func newWorld() *world {
	sim := simnet.New(simnet.Options{Link: simnet.Link{Latency: time.Millisecond}})
	return &world{
		lisbon: sim.Host("lisbon-1", netip.MustParseAddr(lisbonAddr)),
		osaka:  sim.Host("osaka-1", netip.MustParseAddr(osakaAddr)),
		client: sim.Host("client", netip.MustParseAddr("192.0.2.9")),
	}
}

// listen opens a door at a host.
func listen(t *testing.T, h *simnet.Host, at string) net.Listener {
	t.Helper()
	l, err := h.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// run runs a name server with these edges at lisbon until the test ends.
func (w *world) run(t *testing.T, snapshot *config.Snapshot, edges ...EdgeDoors) {
	t.Helper()
	udp, err := w.lisbon.ListenPacket("udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	w.Network = runAt(t, w.lisbon, Options{
		Snapshot: snapshot, Edges: edges, DNS: &DNSDoors{Node: "lisbon-1", UDP: udp, TCP: listen(t, w.lisbon, ":53")},
	})
}

// runAt runs a part of a network at a host until the test ends.
func runAt(t *testing.T, h *simnet.Host, o Options) *Network {
	t.Helper()
	ca, err := certs.OpenLocalCA(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	o.CA, o.Dial, o.Log = ca, h.DialContext, slog.New(slog.DiscardHandler)
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx, func() {}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return n
}

func parse(t testing.TB, yaml string) *config.Snapshot {
	t.Helper()
	s, problems := config.Parse("test.yaml", []byte(yaml))
	if s == nil {
		t.Fatal(problems)
	}
	return s
}

// serial returns the serial number of the certificate that lisbon answers with for a host, or the alert.
func (w *world) serial(t *testing.T, host string) string {
	t.Helper()
	raw, err := w.client.DialContext(t.Context(), "tcp", lisbonAddr+":8443")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err := conn.HandshakeContext(t.Context()); err != nil {
		return err.Error()
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// answer returns the RCODE of the name server's answer for a host.
func (w *world) answer(t *testing.T, host string) string {
	t.Helper()
	conn, err := w.client.DialContext(t.Context(), "udp", lisbonAddr+":53")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m, _, err := new(miekg.Client).ExchangeWithConn(new(miekg.Msg).SetQuestion(host+".", miekg.TypeA), &miekg.Conn{Conn: conn})
	if err != nil {
		t.Fatal(err)
	}
	return miekg.RcodeToString[m.Rcode]
}

// status returns what lisbon's edge says for a host.
func (w *world) status(t *testing.T, host string) int {
	t.Helper()
	transport := &http.Transport{DialContext: w.client.DialContext, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+lisbonAddr+":8080/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// look is what the world outside can see of a configuration.
func (w *world) look(t *testing.T) string {
	t.Helper()
	s := w.Status(t.Context())
	return fmt.Sprintf("own.test %s, late.test: TLS %s, DNS %s, HTTP %d; revision %s, %d sites", w.serial(t, "own.test"),
		w.serial(t, "late.test"), w.answer(t, "late.test"), w.status(t, "late.test"), s.Revision, len(s.Sites))
}

// writePair writes a certificate for own.test with this serial number.
func writePair(t *testing.T, dir string, number int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(number), DNSNames: []string{"own.test"}, NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "own.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, filepath.Join(dir, "own.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// ownSite is the configuration of lisbon-1 and of a site with a certificate in DIR.
const ownSite = `
clusters: [{name: lisbon, nodes: [{name: lisbon-1, addresses: [192.0.2.1]}]}]
sites:
- {name: own, hosts: [own.test], origins: [{url: "http://192.0.2.8"}], tls: {certificate: DIR/own.crt, key: DIR/own.key}}
`

// lateSite is one more site for ownSite.
const lateSite = `- {name: late, hosts: [late.test], origins: [{url: "http://192.0.2.8"}]}` + "\n"

// Whoever refuses a configuration, and whatever is on the disk by then, nothing of it holds.
func TestRefusedReloadChangesNothing(t *testing.T) {
	badCA := strings.Replace(lateSite, "name: late,", "name: late, fetch: {ca_file: DIR/own.key},", 1)
	for _, c := range []struct {
		name, yaml string
		prepare    func(t *testing.T, dir string, next *config.Snapshot)
		says       []string
	}{
		{"a certificate turned bad", ownSite + lateSite, func(t *testing.T, dir string, _ *config.Snapshot) {
			write(t, filepath.Join(dir, "own.crt"), []byte("no certificate"))
		}, []string{"site own", "own.crt"}},
		{"a key is gone", ownSite + lateSite, func(t *testing.T, dir string, _ *config.Snapshot) {
			if err := os.Remove(filepath.Join(dir, "own.key")); err != nil {
				t.Fatal(err)
			}
		}, []string{"site own", "own.key"}},
		{"authorities of an origin that are none", ownSite + badCA, func(t *testing.T, dir string, _ *config.Snapshot) {
			writePair(t, dir, 2)
		}, []string{"site late", "own.key"}},
		{"no DNS name", ownSite + lateSite, func(t *testing.T, dir string, next *config.Snapshot) {
			writePair(t, dir, 2)
			next.Zone = config.Host(strings.Repeat("x", 64))
		}, []string{"no DNS name"}},
		{"two reasons", ownSite + lateSite, func(t *testing.T, dir string, next *config.Snapshot) {
			write(t, filepath.Join(dir, "own.crt"), []byte("no certificate"))
			next.Zone = config.Host(strings.Repeat("x", 64))
		}, []string{"own.crt", "no DNS name"}},
		{
			"without the node that runs here", strings.Replace(ownSite+lateSite, "lisbon-1", "lisbon-2", 1),
			func(t *testing.T, dir string, _ *config.Snapshot) { writePair(t, dir, 2) },
			[]string{"lisbon-1"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			in := func(yaml string) *config.Snapshot { return parse(t, strings.ReplaceAll(yaml, "DIR", dir)) }
			synctest.Test(t, func(t *testing.T) {
				writePair(t, dir, 1)
				w := newWorld()
				w.run(t, in(ownSite), EdgeDoors{"lisbon-1", listen(t, w.lisbon, ":8080"), listen(t, w.lisbon, ":8443"), nil})
				before := w.look(t)
				if !strings.HasPrefix(before, "own.test 1, late.test: TLS remote error: tls: unrecognized name, DNS REFUSED, HTTP 421") {
					t.Fatalf("before: %s", before)
				}
				next := in(c.yaml)
				c.prepare(t, dir, next)
				_, err := w.Reload(next)
				for _, part := range c.says {
					if !strings.Contains(fmt.Sprint(err), part) {
						t.Errorf("error %v, want one about %s", err, part)
					}
				}
				if got := w.look(t); got != before {
					t.Errorf("after the refusal: %s\nbefore:            %s", got, before)
				}

				writePair(t, dir, 3)
				good := in(ownSite + lateSite)
				if _, err := w.Reload(good); err != nil {
					t.Fatal(err)
				}
				got := w.look(t)
				if !strings.HasPrefix(got, "own.test 3, ") || strings.Contains(got, "unrecognized") || !strings.Contains(got, "DNS NOERROR") ||
					strings.Contains(got, "HTTP 421") || !strings.Contains(got, good.Revision+", 2 sites") {
					t.Errorf("after a good reload: %s", got)
				}
			})
		})
	}
}

// What can't be used at the start is an error that names the file.
func TestStartNamesBadFiles(t *testing.T) {
	ca, err := certs.OpenLocalCA(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	_, err = New(Options{Snapshot: parse(t, strings.ReplaceAll(ownSite, "DIR", dir)), CA: ca})
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "own.crt")) {
		t.Errorf("error %v", err)
	}
}
