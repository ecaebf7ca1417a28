package certs

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// clock is a Now that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// snapshotOf returns the configuration of sites, each a line of hosts; a third of them may be the files of a certificate:
// "shop a.test,b.test a.crt,a.key".
func snapshotOf(t testing.TB, sites ...string) *config.Snapshot {
	t.Helper()
	var b strings.Builder
	b.WriteString("sites:\n")
	for _, s := range sites {
		fields := strings.Fields(s)
		fmt.Fprintf(&b, "- name: %s\n  hosts: [\"%s\"]\n  origins: [{url: \"http://192.0.2.1\"}]\n",
			fields[0], strings.ReplaceAll(fields[1], ",", `","`))
		if len(fields) > 2 {
			certificate, key, _ := strings.Cut(fields[2], ",")
			fmt.Fprintf(&b, "  tls: {certificate: %q, key: %q}\n", certificate, key)
		}
	}
	snap, problems := config.Parse("test.yaml", []byte(b.String()))
	if snap == nil {
		t.Fatal(problems)
	}
	return snap
}

func newCA(t testing.TB) *CA {
	t.Helper()
	ca, err := OpenLocalCA(t.TempDir(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func keeperOf(t testing.TB, ca *CA, c *clock, sites ...string) *Keeper {
	t.Helper()
	k := NewKeeper(Options{CA: ca, Now: c.Now})
	apply(t, k, snapshotOf(t, sites...))
	return k
}

// apply makes k answer by snap.
func apply(t testing.TB, k *Keeper, snap *config.Snapshot) {
	t.Helper()
	commit, err := k.Prepare(snap)
	if err != nil {
		t.Fatal(err)
	}
	commit()
}

// rootOf returns what a client that imported the authority's root trusts.
func rootOf(t testing.TB, ca *CA) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(ca.RootFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("no certificate in the root file")
	}
	return pool
}

// writePair writes a certificate for host by ca as PEM files and returns "CERTIFICATE,KEY" for snapshotOf.
func writePair(t testing.TB, ca *CA, dir, host string, now time.Time) string {
	t.Helper()
	c, err := ca.issue(host, now)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(c.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	crt, key := filepath.Join(dir, "site.crt"), filepath.Join(dir, "site.key")
	write := func(file, kind string, der []byte) {
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(crt, "CERTIFICATE", c.Certificate[0])
	write(key, "EC PRIVATE KEY", der)
	return crt + "," + key
}

// addressed is a connection that says where it arrived.
type addressed struct {
	net.Conn
	local net.Addr
}

func (a addressed) LocalAddr() net.Addr { return a.local }

// handshake connects as a client with c to k's listener at address at.
func handshake(t testing.TB, k *Keeper, at string, c *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	return handshakeWith(t, k.TLSConfig(), at, c)
}

func handshakeWith(t testing.TB, server *tls.Config, at string, c *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	near, far := net.Pipe()
	local, err := net.ResolveTCPAddr("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		conn := tls.Server(addressed{far, local}, server)
		if conn.Handshake() == nil {
			_, _ = conn.Write([]byte("x")) // brings the session ticket along
		}
	}()
	conn := tls.Client(near, c)
	err = conn.Handshake()
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	state := conn.ConnectionState()
	_ = near.Close()
	<-done
	return state, err
}

func TestHandshakes(t *testing.T) {
	c := &clock{now: epoch}
	ca := newCA(t)
	pair := writePair(t, ca, t.TempDir(), "own.test", epoch)
	k := keeperOf(t, ca, c, "shop shop.test,*.shop.test,*.wide", "own own.test "+pair)
	tests := []struct {
		name, at, sni string
		names         string // in the certificate; empty means refused
	}{
		{"exact", "192.0.2.7:443", "shop.test", "shop.test"},
		{"case doesn't count", "192.0.2.7:443", "SHOP.test", "shop.test"},
		{"one label below a wildcard", "192.0.2.7:443", "a.shop.test", "*.shop.test"},
		{"another", "192.0.2.7:443", "b.shop.test", "*.shop.test"},
		{"two labels below", "192.0.2.7:443", "a.b.shop.test", "a.b.shop.test"},
		{"below a top-level domain", "192.0.2.7:443", "a.wide", "a.wide"},
		{"the site's own", "192.0.2.7:443", "own.test", "own.test"},
		{"nobody's", "192.0.2.7:443", "stranger.test", ""},
		{"no host", "192.0.2.7:443", "", "192.0.2.7"},
		{"no host, mapped", "[::ffff:192.0.2.7]:443", "", "192.0.2.7"},
		{"no host, IPv6", "[2001:db8::1]:443", "", "2001:db8::1"},
		{"no host name", "192.0.2.7:443", "-.shop.test", ""},
		{"control bytes", "192.0.2.7:443", "a\x01.shop.test", ""},
		{"port", "192.0.2.7:443", "shop.test:443", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			state, err := handshake(t, k, tt.at, &tls.Config{ServerName: tt.sni, InsecureSkipVerify: true})
			if tt.names == "" {
				if err == nil || err.Error() != "remote error: tls: unrecognized name" {
					t.Fatalf("got %v, want the alert unrecognized_name", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			leaf := state.PeerCertificates[0]
			names := strings.Join(leaf.DNSNames, " ")
			for _, ip := range leaf.IPAddresses {
				names += ip.String()
			}
			if names != tt.names {
				t.Errorf("certificate for %s, want %s", names, tt.names)
			}
			verify := tt.sni
			if verify == "" {
				verify = tt.names
			}
			if _, err := leaf.Verify(x509.VerifyOptions{DNSName: verify, Roots: rootOf(t, ca), CurrentTime: epoch}); err != nil {
				t.Errorf("a client that trusts the root refuses: %v", err)
			}
		})
	}
}

func TestProtocols(t *testing.T) {
	k := keeperOf(t, newCA(t), &clock{now: epoch}, "shop *")
	for _, tt := range []struct {
		offer []string
		want  string
	}{{[]string{"h2", "http/1.1"}, "h2"}, {[]string{"http/1.1"}, "http/1.1"}, {nil, ""}} {
		client := &tls.Config{ServerName: "a.test", InsecureSkipVerify: true, NextProtos: tt.offer}
		state, err := handshake(t, k, "192.0.2.7:443", client)
		if err != nil || state.NegotiatedProtocol != tt.want {
			t.Errorf("%v: %q, %v", tt.offer, state.NegotiatedProtocol, err)
		}
	}
	old := &tls.Config{ServerName: "a.test", InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if _, err := handshake(t, k, "192.0.2.7:443", old); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
}

func TestSessionsResume(t *testing.T) {
	k := keeperOf(t, newCA(t), &clock{now: epoch}, "shop shop.test")
	server := k.TLSConfig()
	client := clientOf(tls.NewLRUClientSessionCache(1))
	for i := range 2 {
		state, err := handshakeWith(t, server, "192.0.2.7:443", client)
		if err != nil || state.DidResume != (i == 1) {
			t.Errorf("handshake %d: resumed %v, %v", i, state.DidResume, err)
		}
	}
}

// clientOf returns a client of shop.test in the tests' time.
func clientOf(sessions tls.ClientSessionCache) *tls.Config {
	return &tls.Config{
		ServerName: "shop.test", InsecureSkipVerify: true, ClientSessionCache: sessions,
		Time: func() time.Time { return epoch },
	}
}

func hello(host string) *tls.ClientHelloInfo { return &tls.ClientHelloInfo{ServerName: host} }

func TestReloadKeepsTheGood(t *testing.T) {
	c := &clock{now: epoch}
	ca := newCA(t)
	dir := t.TempDir()
	pair := writePair(t, ca, dir, "own.test", epoch)
	snap := snapshotOf(t, "own own.test "+pair, "shop shop.test")
	k := NewKeeper(Options{CA: ca, Now: c.Now})
	apply(t, k, snap)
	get := func() *tls.Certificate {
		t.Helper()
		certificate, err := k.GetCertificate(hello("own.test"))
		if err != nil {
			t.Fatal(err)
		}
		return certificate
	}
	first := get()
	crt, _, _ := strings.Cut(pair, ",")
	if err := os.WriteFile(crt, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	next := snapshotOf(t, "own own.test "+pair, "shop shop.test", "new new.test")
	commit, err := k.Prepare(next)
	if err == nil || commit != nil || fault.Of(err).Party != fault.Config {
		t.Errorf("error %v", err)
	}
	for _, part := range []string{"site own", crt} {
		if !strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("error %v doesn't name %s", err, part)
		}
	}
	if get() != first {
		t.Error("a bad file replaced the certificate")
	}
	if _, err := k.GetCertificate(hello("new.test")); !errors.Is(err, ErrUnknownHost) {
		t.Errorf("a site of the refused configuration: %v", err)
	}
	writePair(t, ca, dir, "own.test", epoch)
	apply(t, k, snap)
	if get() == first {
		t.Error("a good file didn't replace the certificate")
	}
}

// All files that can't be used are named, so that one look is enough.
func TestUnusableFilesAreAllNamed(t *testing.T) {
	k := NewKeeper(Options{CA: newCA(t)})
	_, err := k.Prepare(snapshotOf(t, "a a.test /nowhere/a.crt,/nowhere/a.key", "b b.test /nowhere/b.crt,/nowhere/b.key", "c c.test"))
	for _, file := range []string{"/nowhere/a.crt", "/nowhere/b.crt"} {
		if !strings.Contains(fmt.Sprint(err), file) {
			t.Errorf("error %v doesn't name %s", err, file)
		}
	}
}

// Nothing changes before commit: somebody else may refuse the snapshot.
func TestPrepareChangesNothing(t *testing.T) {
	k := keeperOf(t, newCA(t), &clock{now: epoch}, "shop shop.test")
	commit, err := k.Prepare(snapshotOf(t, "late late.test"))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		known, unknown string
		next           func()
	}{{"shop.test", "late.test", commit}, {"late.test", "shop.test", func() {}}} {
		if _, err := k.GetCertificate(hello(step.known)); err != nil {
			t.Error(err)
		}
		if _, err := k.GetCertificate(hello(step.unknown)); !errors.Is(err, ErrUnknownHost) {
			t.Errorf("%s: %v", step.unknown, err)
		}
		step.next()
	}
}

func TestLeafIsReplacedInTime(t *testing.T) {
	c := &clock{now: epoch}
	k := keeperOf(t, newCA(t), c, "shop shop.test")
	changes, last := 0, (*tls.Certificate)(nil)
	for range 4 * 7 {
		certificate, err := k.GetCertificate(hello("shop.test"))
		if err != nil {
			t.Fatal(err)
		}
		if left := certificate.Leaf.NotAfter.Sub(c.Now()); left < leafRenewal {
			t.Errorf("a client gets a certificate with %v left", left)
		}
		if certificate != last {
			changes, last = changes+1, certificate
		}
		c.pass(24 * time.Hour)
	}
	if changes != 7 {
		t.Errorf("%d certificates in 4 weeks, want one each 4 days", changes)
	}
}

func TestOneLeafForManyAtOnce(t *testing.T) {
	k := keeperOf(t, newCA(t), &clock{now: epoch}, "shop shop.test")
	var wg sync.WaitGroup
	got := make([]*tls.Certificate, 50)
	for i := range got {
		wg.Go(func() { got[i], _ = k.GetCertificate(hello("shop.test")) })
	}
	wg.Wait()
	for _, c := range got {
		if c == nil || c != got[0] {
			t.Fatal("two certificates were made for one name")
		}
	}
}

// TestFlood has a client make up names, and looks at what that costs us and the others.
func TestFlood(t *testing.T) {
	c := &clock{now: epoch}
	k := keeperOf(t, newCA(t), c, "shop shop.test,*.shop.test", "rest *")
	mine, err := k.GetCertificate(hello("shop.test"))
	if err != nil {
		t.Fatal(err)
	}
	issued := func(names int) (n int) {
		for i := range names {
			certificate, err := k.GetCertificate(hello(fmt.Sprintf("x%d-%d.made-up.test", i, c.Now().Unix())))
			if certificate != nil {
				n++
			} else if fault.Of(err).Party != fault.Edge {
				t.Fatalf("refused with %v", err)
			}
		}
		return n
	}
	if n := issued(1000); n != guessedBurst {
		t.Errorf("%d issued at once, want %d", n, guessedBurst)
	}
	if c, err := k.GetCertificate(hello("new.shop.test")); c == nil {
		t.Errorf("a host of the configuration is refused during the flood: %v", err)
	}
	for range 60 {
		c.pass(time.Second)
		if n := issued(100); n != guessedPerSecond {
			t.Fatalf("%d issued in a second, want %d", n, guessedPerSecond)
		}
	}
	if n := k.guessed.recent.Len(); n != guessedMax || len(k.guessed.byName) != n {
		t.Errorf("%d leaves are kept, want %d", n, guessedMax)
	}
	if again, _ := k.GetCertificate(hello("shop.test")); again != mine {
		t.Error("the flood displaced a host of the configuration")
	}
}

func TestReloadForgetsWhatIsGone(t *testing.T) {
	k := keeperOf(t, newCA(t), &clock{now: epoch}, "shop shop.test,old.test")
	keep, _ := k.GetCertificate(hello("shop.test"))
	_, _ = k.GetCertificate(hello("old.test"))
	apply(t, k, snapshotOf(t, "shop shop.test"))
	if _, err := k.GetCertificate(hello("old.test")); !errors.Is(err, ErrUnknownHost) || fault.Of(err).Party != fault.Client {
		t.Errorf("a host that is gone: %v", err)
	}
	if again, _ := k.GetCertificate(hello("shop.test")); again != keep {
		t.Error("a host that stayed got a new certificate")
	}
	if len(k.named.byName) != 1 {
		t.Errorf("%d leaves are kept", len(k.named.byName))
	}
}

func TestWithoutAuthority(t *testing.T) {
	k := keeperOf(t, nil, &clock{now: epoch}, "shop *")
	if _, err := k.GetCertificate(hello("shop.test")); !errors.Is(err, ErrUnknownHost) {
		t.Errorf("got %v", err)
	}
}
