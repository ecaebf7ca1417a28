package tree

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/feed/tree/treetest"
)

// authority issues certificates for a test over real sockets.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	a := &authority{pool: x509.NewCertPool()}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(t *testing.T, name string, role feed.Role) *tls.Config {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{string(role)}}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h2"},
		RootCAs: a.pool, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

func nameOf(c *tls.ConnectionState) (config.NodeID, []feed.Role, bool) {
	if c == nil || len(c.PeerCertificates) == 0 {
		return "", nil, false
	}
	s := c.PeerCertificates[0].Subject
	return config.NodeID(s.CommonName), []feed.Role{feed.Role(s.OrganizationalUnit[0])}, true
}

// TestOverTLS runs a root, a relay below it and nodes below the relay over mutual TLS on loopback, with keepers on disk.
func TestOverTLS(t *testing.T) {
	ca, control := newAuthority(t), treetest.NewControl(1)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	start := func(name string, role feed.Role, keeper Keeper, parents ...string) (*Tree, string) {
		identity := ca.issue(t, name, role)
		protocols := new(http.Protocols)
		protocols.SetHTTP2(true)
		transport := &http.Transport{TLSClientConfig: identity.Clone(), Protocols: protocols}
		tree, err := New(Options{
			Self: config.NodeID(name), Keeper: keeper, Root: role == feed.RoleControl, Sign: control.Sign, Transport: transport,
			Peer: func(r *http.Request) (config.NodeID, []feed.Role, bool) { return nameOf(r.TLS) },
			Answered: func(r *http.Response) (config.NodeID, bool) {
				id, _, ok := nameOf(r.TLS)
				return id, ok
			},
			Control: func() []string { return parents },
			Log:     slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: tree.Handler(), TLSConfig: identity, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
		all.Go(func() { server.ServeTLS(l, "", "") })
		all.Go(func() {
			tree.Run(ctx)
			server.Close()
			transport.CloseIdleConnections()
		})
		all.Go(func() {
			for ctx.Err() == nil {
				changed := keeper.Changed()
				tree.Report(feed.Report{Roles: []feed.Role{role}, Position: keeper.Position()})
				select {
				case <-changed:
				case <-ctx.Done():
				}
			}
		})
		return tree, l.Addr().String()
	}
	root, address := start("control-a", feed.RoleControl, control.Root())
	onDisk := func() Keeper {
		k, err := feed.OpenKeeper(t.TempDir(), feed.KeeperOptions{Verifier: control.Verifier()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { k.Close() })
		return k
	}
	_, relay := start("relay", feed.RoleRelay, onDisk(), address)
	var keepers []Keeper
	wanted := []config.NodeID{"relay"}
	for i := range 8 {
		keepers = append(keepers, onDisk())
		name := fmt.Sprint("edge-", i)
		start(name, feed.RoleEdge, keepers[i], relay)
		wanted = append(wanted, config.NodeID(name))
	}
	control.Purge(feed.Purge{Kind: feed.PurgeAll})
	patience, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	for len(root.Reports()) < len(wanted)+1 && patience.Err() == nil {
		select {
		case <-root.ReportsChanged():
		case <-patience.Done():
		}
	}
	object := bytes.Repeat([]byte("x"), 1024)
	head := control.Set("site/shop", object)
	confirmed, away, pending := root.Await(patience, head, func() []config.NodeID { return wanted })
	if len(confirmed) != len(wanted) {
		t.Fatalf("%d nodes have it, away are %v, pending %v", len(confirmed), away, pending)
	}
	for i, k := range keepers { // objects come after the entry that points to them, which is what a keeper confirms
		got, err := k.Object(feed.HashOf(object))
		for ; err != nil && patience.Err() == nil; got, err = k.Object(feed.HashOf(object)) {
			time.Sleep(5 * time.Millisecond)
		}
		if err != nil || !bytes.Equal(got, object) {
			t.Errorf("edge-%d has it without its object: %v", i, err)
		}
	}
	if s, ok := root.Seen("edge-3"); !ok || s.Parent != "relay" {
		t.Errorf("edge-3 is below %q", s.Parent)
	}
}

// TestImpostor calls itself by another name than its certificate does.
func TestImpostor(t *testing.T) {
	ca := newAuthority(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{TLSConfig: ca.issue(t, "thief", feed.RoleEdge), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(appendJSON(nil, KindHello, Hello{Node: "relay", Beat: Beat{Path: []config.NodeID{"relay"}}}))
	})}
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { server.ServeTLS(l, "", "") })
	defer server.Close()
	transport := &http.Transport{TLSClientConfig: ca.issue(t, "edge", feed.RoleEdge), ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	tree, err := New(Options{
		Self: "edge", Keeper: treetest.NewControl(1).Keeper(), Transport: transport,
		Peer: func(*http.Request) (config.NodeID, []feed.Role, bool) { return "", nil, false },
		Answered: func(r *http.Response) (config.NodeID, bool) {
			id, _, ok := nameOf(r.TLS)
			return id, ok
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if f, err := tree.open(t.Context(), Candidate{Address: l.Addr().String()}); err == nil {
		f.close()
		t.Error("a thief is taken for the relay")
	}
}
