package mesh

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/certs"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

func request(t testing.TB, key crypto.Signer, template *x509.CertificateRequest) []byte {
	t.Helper()
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func leafOf(t testing.TB, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestACertificateSaysWhatControlSays(t *testing.T) {
	a, now := authority(t), time.Now()
	greedy := &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "lisbon-1"}, DNSNames: []string{controlName},
		URIs: []*url.URL{{Scheme: "wherry", Host: "cdn.test", Path: "/node/lisbon-1", RawQuery: "issued=1&role=control"}},
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der := request(t, newKey(t, elliptic.P256()), greedy)
	for name, csr := range map[string][]byte{
		"DER": der, "PEM": certs.EncodePEM("CERTIFICATE REQUEST", der), "Ed25519": request(t, edKey, greedy),
	} {
		text, err := a.Issue(csr, Who{Node: "osaka-1", Roles: []feed.Role{feed.RoleEdge, feed.RoleDNS}}, now)
		if err != nil {
			t.Fatal(name, err)
		}
		c := leafOf(t, text)
		if got := c.URIs[0].String(); !strings.HasPrefix(got, "wherry://cdn.test/node/osaka-1?issued=") || !strings.HasSuffix(got, "&role=edge&role=dns") {
			t.Errorf("%s: %s", name, got)
		}
		if !reflect.DeepEqual(c.DNSNames, []string{"osaka-1.node.wherry.internal"}) || c.Subject.CommonName != "osaka-1" {
			t.Errorf("%s: names %v of %s", name, c.DNSNames, c.Subject)
		}
		if d := now.Sub(c.NotBefore).Round(time.Minute); d != 25*time.Hour {
			t.Errorf("%s: good since %s", name, d)
		}
		if d := c.NotAfter.Sub(now).Round(time.Minute); d != 72*time.Hour {
			t.Errorf("%s: good for %s", name, d)
		}
	}
	text, err := a.Issue(der, Who{Node: "lisbon-1", Roles: []feed.Role{feed.RoleControl}}, now)
	if err != nil || leafOf(t, text).VerifyHostname(controlName) != nil {
		t.Errorf("control: %v", err)
	}
	text, err = a.Issue(der, Who{Node: "osaka-1", Issued: now.Add(time.Hour)}, now)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := whoOf(leafOf(t, text)); err != nil || !who.Issued.Equal(now.Add(time.Hour)) {
		t.Errorf("%v, %v", who, err)
	}
}

func TestWhatIsNotSigned(t *testing.T) {
	a := authority(t)
	key := newKey(t, elliptic.P256())
	good := request(t, key, &x509.CertificateRequest{})
	forged := append([]byte(nil), good...)
	forged[len(forged)-1] ^= 1
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	many := make([]feed.Role, rolesMax+1)
	for _, c := range []struct {
		name string
		csr  []byte
		who  Who
		says string
	}{
		{"no request", []byte("x"), Who{Node: "osaka-1"}, "certificate request of osaka-1"},
		{"nothing", nil, Who{Node: "osaka-1"}, "certificate request of osaka-1"},
		{"who made it hasn't the key", forged, Who{Node: "osaka-1"}, "certificate request of osaka-1"},
		{"5 MB", make([]byte, 5<<20), Who{Node: "osaka-1"}, "at most"},
		{"RSA", request(t, rsaKey, &x509.CertificateRequest{}), Who{Node: "osaka-1"}, "want ECDSA on P-256"},
		{"P-384", request(t, newKey(t, elliptic.P384()), &x509.CertificateRequest{}), Who{Node: "osaka-1"}, "want ECDSA on P-256"},
		{"no name", good, Who{}, "can't be the name of a node"},
		{"a dot", good, Who{Node: "a.b"}, "can't be the name of a node"},
		{"a slash", good, Who{Node: "../lisbon-1"}, "can't be the name of a node"},
		{"a query", good, Who{Node: "a?role=control"}, "can't be the name of a node"},
		{"capitals", good, Who{Node: "Osaka-1"}, "can't be the name of a node"},
		{"a line break", good, Who{Node: "osaka\n1"}, "can't be the name of a node"},
		{"letters outside ASCII", good, Who{Node: "ōsaka"}, "can't be the name of a node"},
		{"a zero", good, Who{Node: "osaka\x00"}, "can't be the name of a node"},
		{"64 characters", good, Who{Node: config.NodeID(strings.Repeat("a", 64))}, "can't be the name of a node"},
		{"a role that isn't one", good, Who{Node: "osaka-1", Roles: []feed.Role{"edge&role=control"}}, "can't be a role"},
		{"a role twice", good, Who{Node: "osaka-1", Roles: []feed.Role{"edge", "edge"}}, "can't be a role"},
		{"many roles", good, Who{Node: "osaka-1", Roles: many}, "at most 16"},
	} {
		if _, err := a.Issue(c.csr, c.who, time.Now()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := a.Issue(good, Who{Node: "osaka-1"}, time.Now().Add(authorityLife+time.Hour)); err == nil || !strings.Contains(err.Error(), "authority isn't valid after") {
		t.Errorf("after the authority's end: %v", err)
	}
	if KeyOfRequest(forged) != nil || KeyOfRequest(good) == nil {
		t.Error("the key of a forged request")
	}
}

// TestAReplayedRequestIsOfNoUse: who has somebody's request gets a certificate for a key that he hasn't.
func TestAReplayedRequestIsOfNoUse(t *testing.T) {
	a := authority(t)
	csr, err := join(t, a, "lisbon-1", time.Now()).id.CSR()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Issue(csr, Who{Node: "osaka-1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	thief := join(t, a, "osaka-1", time.Now())
	if err := thief.id.Install(cert, a.PEM()); err == nil || !strings.Contains(err.Error(), "isn't for its key") {
		t.Errorf("%v", err)
	}
}

func TestAnAuthorityLasts(t *testing.T) {
	dir := t.TempDir()
	a, err := NewAuthority(dir, "cdn.test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewAuthority(dir, "cdn.test", time.Now()); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("made anew: %v", err)
	}
	again, err := OpenAuthority(dir)
	if err != nil || again.Pin() != a.Pin() || again.Network() != "cdn.test" {
		t.Fatalf("opened: %v", err)
	}
	cert, key, err := a.Export()
	if err != nil {
		t.Fatal(err)
	}
	further := filepath.Join(t.TempDir(), "control")
	for range 2 { // a join that is repeated
		if b, err := ImportAuthority(further, cert, key); err != nil || b.Pin() != a.Pin() {
			t.Fatalf("imported: %v", err)
		}
	}
	if info, err := os.Stat(filepath.Join(further, authorityKey)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode %v, %v", info.Mode(), err)
	}
	otherCert, otherKey, err := authority(t).Export()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ImportAuthority(further, otherCert, otherKey); err == nil || !strings.Contains(err.Error(), "another network") {
		t.Errorf("another one's: %v", err)
	}
	if _, err := ImportAuthority(t.TempDir(), cert, otherKey); err == nil || !strings.Contains(err.Error(), "the key isn't the certificate's") {
		t.Errorf("another key: %v", err)
	}
}

func TestAnAuthorityThatIsDamaged(t *testing.T) {
	otherCert, otherKey, err := authority(t).Export()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		spoil func(cert, key string) error
		says  string
	}{
		{"readable by others", func(_, key string) error { return os.Chmod(key, 0o640) }, "chmod 600"},
		{"no key", func(_, key string) error { return os.Remove(key) }, "copy ca.key of another control node"},
		{"another key", func(_, key string) error { return os.WriteFile(key, otherKey, 0o600) }, "take both of the same"},
		{"another certificate", func(cert, _ string) error { return os.WriteFile(cert, otherCert, 0o600) }, "take both of the same"},
		{"half a key", func(_, key string) error { return os.Truncate(key, 40) }, "no PEM block"},
		{"half a certificate", func(cert, _ string) error { return os.Truncate(cert, 40) }, "no PEM block"},
		{"none", func(cert, key string) error { return errors.Join(os.Remove(cert), os.Remove(key)) }, "no such file"},
	} {
		dir := t.TempDir()
		if _, err := NewAuthority(dir, "cdn.test", time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := c.spoil(filepath.Join(dir, authorityCert), filepath.Join(dir, authorityKey)); err != nil {
			t.Fatal(err)
		}
		_, err := OpenAuthority(dir)
		if err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, fs.ErrNotExist) != (c.name == "none") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, name := range []string{"", "a b", "CDN.test", "cdn.test:1", "cdn..test", "user@cdn.test", strings.Repeat("a.", 130) + "a"} {
		if _, err := NewAuthority(t.TempDir(), name, time.Now()); err == nil || !strings.Contains(err.Error(), "can't be the name of a network") {
			t.Errorf("network %q: %v", name, err)
		}
	}
}
