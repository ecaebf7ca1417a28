package mesh

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/wherry/wherry/certs"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// The lives of certificates. A node's is short, because removal has to reach everybody only for as long; and it reaches back, and is renewed
// long before its end, because the clocks of machines are wrong by a day at times.
const (
	authorityLife = 20 * 365 * 24 * time.Hour
	nodeLife      = 72 * time.Hour
	renewBefore   = 48 * time.Hour
	clockWrongBy  = 25 * time.Hour
)

// controlName is a name that the certificates of control nodes have, for etcd to check.
const controlName = "control.wherry.internal"

// Who is a node, as its certificate says.
type Who struct {
	Node    config.NodeID
	Roles   []feed.Role
	Issued  time.Time
	Expires time.Time
}

// Authority signs the certificates of a network's nodes. It is safe for use by many goroutines.
type Authority struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

const (
	authorityCert = "ca.crt"
	authorityKey  = "ca.key"
)

// NewAuthority makes the authority of a network, and keeps it in dir.
func NewAuthority(dir, network string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(spki)
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Organization: []string{"Wherry"}, CommonName: "Network " + network}, SubjectKeyId: id[:20],
		NotBefore: now.Add(-clockWrongBy), NotAfter: now.Add(authorityLife), KeyUsage: x509.KeyUsageCertSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return ImportAuthority(dir, encodePEM("CERTIFICATE", der), encodePEM("PRIVATE KEY", secret))
}

// ImportAuthority keeps an authority of another control node in dir.
func ImportAuthority(dir string, cert, key []byte) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	err := errors.Join(certs.WriteSecret(filepath.Join(dir, authorityCert), cert), certs.WriteSecret(filepath.Join(dir, authorityKey), key))
	if err != nil {
		return nil, err
	}
	return OpenAuthority(dir)
}

// OpenAuthority reads the authority in dir.
func OpenAuthority(dir string) (*Authority, error) {
	cert, err := readPEM(filepath.Join(dir, authorityCert), "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	secret, err := readPEM(filepath.Join(dir, authorityKey), "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(cert)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, authorityCert), err)
	}
	key, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, authorityKey), err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || !ec.PublicKey.Equal(root.PublicKey) {
		return nil, fmt.Errorf("%s is not the key of %s: take both from the same backup", filepath.Join(dir, authorityKey), authorityCert)
	}
	return &Authority{root, ec}, nil
}

// Export returns the certificate and the key, for a further control node.
func (a *Authority) Export() (cert, key []byte, err error) {
	secret, err := x509.MarshalPKCS8PrivateKey(a.key)
	return a.PEM(), encodePEM("PRIVATE KEY", secret), err
}

// PEM returns the certificate that nodes trust.
func (a *Authority) PEM() []byte { return encodePEM("CERTIFICATE", a.root.Raw) }

// Pin is the SHA-256 of the authority's public key, by which a node that joins knows it.
func (a *Authority) Pin() [32]byte { return pinOf(a.root) }

func pinOf(c *x509.Certificate) [32]byte { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// Issue makes a certificate for the key of a request (PKCS #10, DER). Who it is for is as who says, not as the request does.
func (a *Authority) Issue(csr []byte, who Who, now time.Time) (certPEM []byte, err error) {
	request, err := x509.ParseCertificateRequest(csr)
	if err == nil {
		err = request.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("certificate request of %s: %w", who.Node, err)
	}
	if !config.IsLabel(string(who.Node)) {
		return nil, fmt.Errorf("%q can't be the name of a node: write a DNS label", who.Node)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: string(who.Node)},
		NotBefore: now.Add(-clockWrongBy), NotAfter: now.Add(nodeLife), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{string(who.Node) + ".node.wherry.internal"}, URIs: []*url.URL{who.uri()},
	}
	for _, r := range who.Roles {
		if r == feed.RoleControl {
			template.DNSNames = append(template.DNSNames, controlName)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, request.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", who.Node, err)
	}
	return append(encodePEM("CERTIFICATE", der), a.PEM()...), nil
}

// uri says who it is: wherry:/node/NAME?role=edge&role=dns.
func (w *Who) uri() *url.URL {
	query := url.Values{}
	for _, r := range w.Roles {
		query.Add("role", string(r))
	}
	return &url.URL{Scheme: "wherry", Path: "/node/" + string(w.Node), RawQuery: query.Encode()}
}

// whoOf reads a certificate whose signature has been verified.
func whoOf(c *x509.Certificate) (Who, error) {
	if len(c.URIs) != 1 || c.URIs[0].Scheme != "wherry" {
		return Who{}, errors.New("not the certificate of a node")
	}
	name, ok := cutNode(c.URIs[0].Path)
	if !ok {
		return Who{}, errors.New("not the certificate of a node")
	}
	w := Who{Node: name, Issued: c.NotBefore.Add(clockWrongBy), Expires: c.NotAfter}
	for _, r := range c.URIs[0].Query()["role"] {
		w.Roles = append(w.Roles, feed.Role(r))
	}
	return w, nil
}

func cutNode(path string) (config.NodeID, bool) {
	const front = "/node/"
	if len(path) <= len(front) || path[:len(front)] != front || !config.IsLabel(path[len(front):]) {
		return "", false
	}
	return config.NodeID(path[len(front):]), true
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func readPEM(file, kind string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if kind == "PRIVATE KEY" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 on it; if somebody may have it, remove the node and let it join again",
			file, info.Mode().Perm())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: no PEM block %q in it", file, kind)
	}
	return block.Bytes, nil
}

// serial returns a positive number that nobody else has (RFC 5280 §4.1.2.2).
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[0] &= 0x7f
	b[15] |= 1
	return new(big.Int).SetBytes(b)
}

// KeyOfRequest is the SHA-256 of the public key of a request for a certificate; nil if it isn't one.
func KeyOfRequest(csr []byte) []byte {
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil || request.CheckSignature() != nil {
		return nil
	}
	sum := sha256.Sum256(request.RawSubjectPublicKeyInfo)
	return sum[:]
}
