package mesh

import (
	"crypto/elliptic"
	"crypto/x509"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// FuzzWho: what is taken for the name of a node is written in one way, and has a label for a name.
func FuzzWho(f *testing.F) {
	for _, seed := range []string{
		"wherry://cdn.test/node/osaka-1?issued=1&role=edge&role=dns", "wherry://cdn.test/node/osaka-1?issued=1", "wherry:/node/osaka-1",
		"wherry://cdn.test/node/osaka-1?role=control&issued=1", "wherry://cdn.test/node/osaka%2d1?issued=1", "wherry://cdn.test/node/a/b?issued=1",
		"wherry://u@cdn.test:1/node/osaka-1?issued=1#role=control", "wherry://cdn.test/node/osaka-1?issued=-1&role=", "wherry://cdn.test/node/a?issued=1;role=x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		w, err := parseURI(u)
		if err != nil {
			return
		}
		if !config.IsLabel(string(w.Node)) || w.check() != nil {
			t.Errorf("%q is taken for %q", text, w.Node)
		}
		again, err := url.Parse(w.uri().String())
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if w2, err := parseURI(again); err != nil || !reflect.DeepEqual(w, w2) {
			t.Errorf("%q: %v, then %v, %v", text, w, w2, err)
		}
	})
}

// FuzzCertificate: nothing that is sent for a certificate is taken, but those of the authority.
func FuzzCertificate(f *testing.F) {
	a := authority(f)
	csr := request(f, newKey(f, elliptic.P256()), &x509.CertificateRequest{})
	text, err := a.Issue(csr, Who{Node: "osaka-1", Roles: []feed.Role{feed.RoleEdge}}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	good := leafOf(f, text)
	m := join(f, a, "lisbon-1", time.Now())
	f.Add(good.Raw)
	f.Add(a.root.Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		_, _ = whoOf(c) // must not panic
		if who, err := m.Verify([]*x509.Certificate{c}, true); err == nil && string(c.RawTBSCertificate) != string(good.RawTBSCertificate) {
			t.Errorf("taken for %v", who)
		}
	})
}
