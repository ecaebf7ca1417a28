package overlay

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// authority is a CA for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

var testAuthority = sync.OnceValue(func() *authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	cert := must(x509.ParseCertificate(der))
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert, key, pool}
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var testCertificates sync.Map

func certificate(name string) tls.Certificate {
	if c, ok := testCertificates.Load(name); ok {
		return c.(tls.Certificate)
	}
	a := testAuthority()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key))
	c := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	testCertificates.Store(name, c)
	return c
}

// options are for a node of that name.
func options(name string) Options {
	a := testAuthority()
	cache := tls.NewLRUClientSessionCache(16)
	return Options{
		Server: &tls.Config{
			Certificates: []tls.Certificate{certificate(name)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool,
		},
		Client: func(peer string) *tls.Config {
			return &tls.Config{Certificates: []tls.Certificate{certificate(name)}, RootCAs: a.pool, ServerName: peer, ClientSessionCache: cache}
		},
		Admit: func(s tls.ConnectionState) (string, error) {
			if len(s.PeerCertificates) == 0 {
				return "", errors.New("no certificate")
			}
			return s.PeerCertificates[0].Subject.CommonName, nil
		},
	}
}

// run starts an endpoint over conn and ends it with the test.
func run(t testing.TB, conn net.PacketConn, o Options) *Endpoint {
	t.Helper()
	e, err := New(conn, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return e
}

func loopback(t testing.TB) net.PacketConn {
	t.Helper()
	return must(net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0"))))
}

// pair are two endpoints on loopback, connected.
func pair(t testing.TB, change ...func(*Options)) (client, server *Conn) {
	t.Helper()
	oa, ob := options("alice"), options("bob")
	for _, f := range change {
		f(&oa)
		f(&ob)
	}
	a, b := run(t, loopback(t), oa), run(t, loopback(t), ob)
	return connect(t, a, b, "bob")
}

func connect(t testing.TB, a, b *Endpoint, name string) (client, server *Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := a.Dial(ctx, b.Addr(), name)
	if err != nil {
		t.Fatal(err)
	}
	server, err = b.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}
