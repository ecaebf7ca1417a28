package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// The lives of certificates. A leaf is made in a moment and lives in memory only, so its life can be short; a client with a
// wrong clock should still accept it.
const (
	rootLife     = 10 * 365 * 24 * time.Hour
	rootRenewal  = 365 * 24 * time.Hour // before its end
	leafLife     = 7 * 24 * time.Hour
	leafRenewal  = 3 * 24 * time.Hour // before its end
	clockWrongBy = 24 * time.Hour
)

// The files of the authority in its directory.
const (
	rootName = "ca.crt"
	keyName  = "ca.key"
)

// CA is a certificate authority that a user trusts by importing its root. It is safe for use by many goroutines.
type CA struct {
	file string
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

// OpenLocalCA returns the authority in dir, and makes it if there is none. A root near its end is replaced by one with the same
// key and name, so that the old one stays good to its end wherever it was imported.
func OpenLocalCA(dir string, now time.Time) (*CA, error) {
	ca := &CA{file: filepath.Join(dir, rootName)}
	keyFile := filepath.Join(dir, keyName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("local authority: %w", err)
	}
	root, err := readRoot(ca.file)
	noRoot := errors.Is(err, fs.ErrNotExist)
	if err != nil && !noRoot {
		return nil, err
	}
	ca.key, err = readKey(keyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && noRoot:
		ca.key, err = MakeKey(keyFile)
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%s has no key beside it: put %s back, or delete %s to make a new authority (clients then have to import "+
			"the new root)", ca.file, keyFile, ca.file)
	}
	if err != nil {
		return nil, err
	}
	if root != nil && !ca.key.PublicKey.Equal(root.PublicKey) {
		return nil, fmt.Errorf("%s is not the key of %s: put the right one back, or delete both to make a new authority (clients then "+
			"have to import the new root)", keyFile, ca.file)
	}
	if root == nil || root.NotAfter.Sub(now) < rootRenewal {
		if root, err = makeRoot(ca.file, ca.key, now); err != nil {
			return nil, err
		}
	}
	ca.root = root
	return ca, nil
}

// RootFile returns the PEM file that clients have to trust, such as with curl --cacert.
func (ca *CA) RootFile() string { return ca.file }

func readRoot(file string) (*x509.Certificate, error) {
	der, err := ReadPEM(file, "CERTIFICATE")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, orBegin(err)
	}
	root, err := x509.ParseCertificate(der)
	if err == nil && !root.IsCA {
		err = errors.New("not an authority's certificate")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; put the right file back, or delete it to have it made from the key", file, err)
	}
	return root, nil
}

func readKey(file string) (*ecdsa.PrivateKey, error) {
	key, err := ReadKey(file)
	switch {
	case errors.Is(err, ErrExposed):
		return nil, fmt.Errorf("%w: whoever has it can be any site to whom trusts this authority; run `chmod 600 %s`, or delete it and %s "+
			"if somebody may have it", err, file, rootName)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, orBegin(err)
	}
	return key, err
}

func orBegin(err error) error {
	return fmt.Errorf("%w; put the right file back, or delete %s and %s to make a new authority", err, rootName, keyName)
}

func makeRoot(file string, key *ecdsa.PrivateKey, now time.Time) (*x509.Certificate, error) {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("make the authority's root: %w", err)
	}
	id := sha256.Sum256(der)
	template := &x509.Certificate{
		SerialNumber: serial(),
		// The name tells apart the authorities of several machines in one browser.
		Subject:      pkix.Name{Organization: []string{"Wherry"}, CommonName: "Wherry local CA " + hex.EncodeToString(id[:4])},
		SubjectKeyId: id[:20],
		NotBefore:    now.Add(-clockWrongBy), NotAfter: now.Add(rootLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err = x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make the authority's root: %w", err)
	}
	if err := ReplacePublic(file, EncodePEM("CERTIFICATE", der)); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// issue makes a leaf for a host, a wildcard or an address.
func (ca *CA) issue(name string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("issue for %q: %w", name, err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		NotBefore:    now.Add(-clockWrongBy), NotAfter: now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if template.NotAfter.After(ca.root.NotAfter) {
		template.NotAfter = ca.root.NotAfter // of a process that has run for most of a year without a restart
	}
	// Subject stays empty: clients look at the alternative names only (RFC 9110 §4.3.4), and a common name ends at 64 bytes.
	if addr, err := netip.ParseAddr(name); err == nil {
		template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.root, &key.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("issue for %q: %w", name, err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("issue for %q: %w", name, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}, nil
}

// renewal returns when a leaf is due to be replaced.
func renewal(c *tls.Certificate) time.Time { return c.Leaf.NotAfter.Add(-leafRenewal) }

// serial returns a positive number that nobody else has (RFC 5280 §4.1.2.2).
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[0] &= 0x7f
	b[15] |= 1
	return new(big.Int).SetBytes(b)
}
