package mesh

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/wherry/wherry/certs"
	"github.com/wherry/wherry/feed"
)

// The lives of certificates. A node's is short, so that one that hears of no removal doesn't trust a removed node for long; and it reaches
// back, and is renewed long before its end, because the clocks of machines are wrong by a day at times.
const (
	authorityLife = 20 * 365 * 24 * time.Hour
	nodeLife      = 72 * time.Hour
	clockWrongBy  = 25 * time.Hour
)

const requestMax = 16 << 10

// Authority signs the certificates of a network's nodes. It is safe for use by many goroutines.
type Authority struct {
	network string
	root    *x509.Certificate
	key     *ecdsa.PrivateKey
}

const (
	authorityCert = "ca.crt"
	authorityKey  = "ca.key"
)

// NewAuthority makes the authority of a network, and keeps it in dir, which must have none: with its key all nodes' certificates would be
// lost.
func NewAuthority(dir, network string, now time.Time) (*Authority, error) {
	if err := checkNetwork(network); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, authorityCert)); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is an authority in %s already: this machine is control of a network, or was to become it; to begin another one, use another state directory", dir)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the network's authority: %w", err)
	}
	der, err := selfSigned(key, network, now)
	if err != nil {
		return nil, fmt.Errorf("make the network's authority: %w", err)
	}
	secret, err := certs.EncodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("make the network's authority: %w", err)
	}
	return ImportAuthority(dir, certs.EncodePEM("CERTIFICATE", der), secret)
}

func selfSigned(key *ecdsa.PrivateKey, network string, now time.Time) ([]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(spki)
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Organization: []string{"Wherry"}, CommonName: "Network " + network}, SubjectKeyId: id[:20],
		NotBefore: now.Add(-clockWrongBy), NotAfter: now.Add(authorityLife), KeyUsage: x509.KeyUsageCertSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true, URIs: []*url.URL{{Scheme: uriScheme, Host: network}},
	}
	return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
}

// ImportAuthority keeps in dir what another control node exported. To do so again changes nothing; another network's authority isn't
// replaced.
func ImportAuthority(dir string, cert, key []byte) (*Authority, error) {
	block, _ := pem.Decode(cert)
	keyBlock, _ := pem.Decode(key)
	if block == nil || keyBlock == nil {
		return nil, errors.New("the network's authority isn't PEM")
	}
	a, err := parseAuthority(block.Bytes, keyBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the network's authority: %w", err)
	}
	certFile, keyFile := filepath.Join(dir, authorityCert), filepath.Join(dir, authorityKey)
	if old, err := certs.ReadPEM(certFile, "CERTIFICATE"); err == nil && !bytes.Equal(old, a.root.Raw) {
		return nil, fmt.Errorf("%s is the authority of another network, or of an earlier one: use another state directory", certFile)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// The certificate comes last: it says that the authority is complete.
	if err := certs.WriteSecret(keyFile, key); err != nil {
		return nil, err
	}
	return a, certs.ReplacePublic(certFile, cert)
}

// OpenAuthority reads the authority in dir; the error is fs.ErrNotExist if there is none.
func OpenAuthority(dir string) (*Authority, error) {
	certFile, keyFile := filepath.Join(dir, authorityCert), filepath.Join(dir, authorityKey)
	cert, err := certs.ReadPEM(certFile, "CERTIFICATE")
	if err != nil {
		return nil, fmt.Errorf("the network's authority: %w", err)
	}
	key, err := certs.ReadKey(keyFile)
	switch {
	case errors.Is(err, certs.ErrExposed):
		return nil, fmt.Errorf("%w: whoever has it can be any node of this network; run `chmod 600 %s`, and if somebody may have it, begin the network anew", err, keyFile)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s has no key beside it: copy %s of another control node, or of a backup", certFile, authorityKey)
	case err != nil:
		return nil, fmt.Errorf("%w: copy it of another control node, or of a backup", err)
	}
	a, err := newAuthority(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w: take both of the same control node, or of the same backup", certFile, authorityKey, err)
	}
	return a, nil
}

func parseAuthority(cert, key []byte) (*Authority, error) {
	ec, err := certs.ParseKey(key)
	if err != nil {
		return nil, err
	}
	return newAuthority(cert, ec)
}

func newAuthority(cert []byte, key *ecdsa.PrivateKey) (*Authority, error) {
	root, err := x509.ParseCertificate(cert)
	if err != nil {
		return nil, err
	}
	if !root.IsCA || len(root.URIs) != 1 || root.URIs[0].Scheme != uriScheme || checkNetwork(root.URIs[0].Host) != nil {
		return nil, errors.New("not the certificate of a network's authority")
	}
	if !key.PublicKey.Equal(root.PublicKey) {
		return nil, errors.New("the key isn't the certificate's")
	}
	return &Authority{root.URIs[0].Host, root, key}, nil
}

// Export returns the certificate and the key in PEM, for a further control node.
func (a *Authority) Export() (cert, key []byte, err error) {
	key, err = certs.EncodeKey(a.key)
	return a.PEM(), key, err
}

// Network is the network's name.
func (a *Authority) Network() string { return a.network }

// PEM returns the certificate that nodes trust.
func (a *Authority) PEM() []byte { return certs.EncodePEM("CERTIFICATE", a.root.Raw) }

// Pin is the SHA-256 of the authority's public key, by which a node that joins knows it.
func (a *Authority) Pin() [32]byte { return pinOf(a.root) }

func pinOf(c *x509.Certificate) [32]byte { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// Issue makes a certificate for the key of a request (PKCS #10, DER or PEM). The name and the roles are those of who, whatever the
// request says. The certificate says that it was issued at who.Issued; zero: now. That is what a removal is compared with, and need not be what this
// machine's clock says: control puts it after what other control nodes, whose clocks may be ahead, have said of a node of that name. It is good until
// who.Expires, if that is before a node's certificate would end.
func (a *Authority) Issue(csr []byte, who Who, now time.Time) (certPEM []byte, err error) {
	request, err := parseRequest(csr)
	if err != nil {
		return nil, fmt.Errorf("certificate request of %.80s: %w", who.Node, err)
	}
	who.Network = a.network
	if who.Issued.IsZero() {
		who.Issued = now
	}
	if err := who.check(); err != nil {
		return nil, err
	}
	if now.After(a.root.NotAfter) {
		return nil, fmt.Errorf("the network's authority isn't valid after %s: this machine's clock says %s", stamp(a.root.NotAfter), stamp(now))
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: string(who.Node)},
		NotBefore: now.Add(-clockWrongBy), NotAfter: now.Add(nodeLife), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{HostOf(who.Node)}, URIs: []*url.URL{who.uri()},
	}
	if who.Has(feed.RoleControl) {
		template.DNSNames = append(template.DNSNames, controlName)
	}
	if !who.Expires.IsZero() && template.NotAfter.After(who.Expires) {
		template.NotAfter = who.Expires
	}
	if template.NotAfter.After(a.root.NotAfter) {
		template.NotAfter = a.root.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, request.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", who.Node, err)
	}
	return append(certs.EncodePEM("CERTIFICATE", der), a.PEM()...), nil
}

// parseRequest reads a request, and verifies that who made it has the key.
func parseRequest(csr []byte) (*x509.CertificateRequest, error) {
	if len(csr) > requestMax {
		return nil, fmt.Errorf("has %d bytes, at most %d can be right", len(csr), requestMax)
	}
	if block, _ := pem.Decode(csr); block != nil {
		csr = block.Bytes
	}
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, err
	}
	switch key := request.PublicKey.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return nil, fmt.Errorf("key on %s, want ECDSA on P-256 or Ed25519", key.Params().Name)
		}
	default:
		return nil, fmt.Errorf("key of type %s, want ECDSA on P-256 or Ed25519", request.PublicKeyAlgorithm)
	}
	return request, request.CheckSignature()
}

// KeyOfRequest is the SHA-256 of the public key of a request for a certificate; nil if it isn't a good one.
func KeyOfRequest(csr []byte) []byte {
	request, err := parseRequest(csr)
	if err != nil {
		return nil
	}
	sum := sha256.Sum256(request.RawSubjectPublicKeyInfo)
	return sum[:]
}

// serial returns a positive number that nobody else has (RFC 5280 §4.1.2.2).
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[0] &= 0x7f
	b[15] |= 1
	return new(big.Int).SetBytes(b)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
