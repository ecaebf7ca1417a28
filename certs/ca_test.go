package certs

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func readFile(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAuthorityStays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on", "the", "way")
	first, err := OpenLocalCA(dir, epoch)
	if err != nil {
		t.Fatal(err)
	}
	before := readFile(t, first.RootFile())
	for file, want := range map[string]os.FileMode{"ca.key": 0o600, "ca.crt": 0o644} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", file, info.Mode(), err, want)
		}
	}
	second, err := OpenLocalCA(dir, epoch.Add(8*365*24*time.Hour))
	if err != nil || !bytes.Equal(before, readFile(t, second.RootFile())) {
		t.Errorf("the root changed after 8 years (%v)", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	root := first.root
	if !root.IsCA || !root.MaxPathLenZero || root.KeyUsage&x509.KeyUsageCertSign == 0 || root.NotAfter.Sub(epoch) != rootLife {
		t.Errorf("root %+v", root)
	}
}

func TestAuthorityIsRenewed(t *testing.T) {
	dir := t.TempDir()
	first, err := OpenLocalCA(dir, epoch)
	if err != nil {
		t.Fatal(err)
	}
	imported := rootOf(t, first)
	later := epoch.Add(rootLife - rootRenewal + time.Hour)
	second, err := OpenLocalCA(dir, later)
	if err != nil {
		t.Fatal(err)
	}
	if got := second.root.NotAfter.Sub(later); got != rootLife {
		t.Errorf("new root is good for %v", got)
	}
	leaf, err := second.issue("shop.test", later)
	if err != nil {
		t.Fatal(err)
	}
	for name, roots := range map[string]*x509.CertPool{"old": imported, "new": rootOf(t, second)} {
		if _, err := leaf.Leaf.Verify(x509.VerifyOptions{DNSName: "shop.test", Roots: roots, CurrentTime: later}); err != nil {
			t.Errorf("whoever imported the %s root refuses: %v", name, err)
		}
	}
}

// TestAuthorityRefuses damages an authority in each way and looks for what the message says to do.
func TestAuthorityRefuses(t *testing.T) {
	other := newCA(t)
	otherKey := readFile(t, filepath.Join(filepath.Dir(other.RootFile()), "ca.key"))
	tests := []struct {
		name   string
		damage func(crt, key string) error
		want   string // in the message; empty means it opens
	}{
		{"loose permissions", func(_, key string) error { return os.Chmod(key, 0o640) }, "chmod 600"},
		{"another key", func(_, key string) error { return os.WriteFile(key, otherKey, 0o600) }, "put the right one back"},
		{"no key", func(_, key string) error { return os.Remove(key) }, "put"},
		{"no root", func(crt, _ string) error { return os.Remove(crt) }, ""},
		{"empty key", func(_, key string) error { return os.Truncate(key, 0) }, "delete ca.crt and ca.key"},
		{"empty root", func(crt, _ string) error { return os.Truncate(crt, 0) }, "delete ca.crt and ca.key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			ca, err := OpenLocalCA(dir, epoch)
			if err != nil {
				t.Fatal(err)
			}
			key := filepath.Join(dir, "ca.key")
			if err := tt.damage(ca.RootFile(), key); err != nil {
				t.Fatal(err)
			}
			_, err = OpenLocalCA(dir, epoch)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestAuthorityMadeByTwo(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := OpenLocalCA(dir, epoch); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := OpenLocalCA(dir, epoch); err != nil {
		t.Error(err)
	}
}

func TestLeafDoesNotOutliveRoot(t *testing.T) {
	ca := newCA(t)
	leaf, err := ca.issue("shop.test", ca.root.NotAfter.Add(-time.Hour))
	if err != nil || leaf.Leaf.NotAfter.After(ca.root.NotAfter) {
		t.Errorf("good until %v, the root until %v (%v)", leaf.Leaf.NotAfter, ca.root.NotAfter, err)
	}
}
