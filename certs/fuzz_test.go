package certs

import (
	"crypto/x509"
	"strings"
	"testing"
)

// FuzzHostName looks for names from clients that are accepted, but not good for a certificate that the client then accepts.
func FuzzHostName(f *testing.F) {
	for _, s := range []string{
		"shop.test", "a", "a-b.c", "_x.test", "1.2.3.4", "1.2.3.a", "xn--nxasmq6b.test", "-a.test", "a..b", "*.a", "\x00", "",
	} {
		f.Add(s)
	}
	ca := newCA(f)
	roots := x509.NewCertPool()
	roots.AddCert(ca.root)
	f.Fuzz(func(t *testing.T, s string) {
		if !isHostName(s) {
			return
		}
		if strings.ContainsAny(s, " /:*@\x00") || strings.ToLower(s) != s {
			t.Fatalf("%q accepted", s)
		}
		leaf, err := ca.issue(s, epoch)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if _, err := leaf.Leaf.Verify(x509.VerifyOptions{DNSName: s, Roots: roots, CurrentTime: epoch}); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
	})
}
