package mesh

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/certs"
)

// Identity is a node's key and certificate, and whom it trusts, in a directory. It is safe for use by many goroutines.
type Identity struct {
	dir string
	key *ecdsa.PrivateKey
	now func() time.Time

	current atomic.Pointer[credentials]
	metrics atomic.Pointer[Metrics]

	mu      sync.Mutex // one installs or saves at a time; protects unsaved
	unsaved *papers    // in use, but not on disk, which was full; a restart goes back to the former, and renews
}

// papers are the PEM of a certificate with its authority behind it, and of the authorities to trust.
type papers struct{ cert, roots []byte }

// credentials are swapped whole at a renewal.
type credentials struct {
	cert    *tls.Certificate // with the authority's behind it, for those who only know that one's hash
	roots   *x509.CertPool
	who     Who
	since   time.Time // when this process took it
	renewed bool      // it came by Install, not from disk
}

const (
	keyName   = "node.key"
	certName  = "node.crt"
	rootsName = "roots.crt"
)

// OpenIdentity reads the identity in dir. It makes the key if there is none; without a certificate, CSR and Install make one of it.
func OpenIdentity(dir string) (*Identity, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the node's identity: %w", err)
	}
	id := &Identity{dir: dir, now: time.Now}
	certFile, keyFile, rootsFile := id.Files()
	cert, err := os.ReadFile(certFile)
	if errors.Is(err, fs.ErrNotExist) {
		return id, id.openKey(keyFile, true)
	}
	roots, rootsErr := os.ReadFile(rootsFile)
	if err := errors.Join(err, rootsErr, id.openKey(keyFile, false)); err != nil {
		return nil, fmt.Errorf("the node's identity: %w", err)
	}
	c, err := id.parse(papers{cert, roots})
	if err != nil {
		return nil, fmt.Errorf("the node's identity in %s: %w: take the directory out of the way, remove the node, and let it join again", dir, err)
	}
	id.current.Store(c)
	return id, nil
}

func (id *Identity) openKey(file string, make bool) (err error) {
	id.key, err = certs.ReadKey(file)
	switch {
	case errors.Is(err, certs.ErrExposed):
		return fmt.Errorf("%w: whoever has it can be this node; run `chmod 600 %s`, and if somebody may have it, remove the node and let it join again", err, file)
	case errors.Is(err, fs.ErrNotExist) && make:
		id.key, err = certs.MakeKey(file)
	}
	return err
}

// CSR returns a request for a certificate (PKCS #10, DER).
func (id *Identity) CSR() ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, id.key)
}

// Install takes a certificate for the key, with its authority behind it, and the authorities to trust, all in PEM. They are in use at
// once, also if they can't be written, which is an error: a node with a full disk doesn't lose its certificate.
func (id *Identity) Install(cert, roots []byte) error {
	c, err := id.parse(papers{cert, roots})
	if err != nil {
		return err
	}
	c.renewed = true
	id.mu.Lock()
	defer id.mu.Unlock()
	if old := id.current.Load(); old != nil {
		if err := old.succeeds(c); err != nil {
			return err
		}
	}
	id.current.Store(c)
	if m := id.metrics.Load(); m != nil {
		m.expires.Set(float64(c.who.Expires.Unix()))
	}
	id.unsaved = &papers{cert, roots}
	return id.saveLocked()
}

// save writes what couldn't be written at Install.
func (id *Identity) save() (was bool, err error) {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.unsaved != nil, id.saveLocked()
}

// saveLocked writes what isn't written. The roots come first: of two authorities they have both while one takes over from the other,
// so that the old certificate goes with the new roots.
func (id *Identity) saveLocked() error {
	if id.unsaved == nil {
		return nil
	}
	certFile, _, rootsFile := id.Files()
	err := certs.ReplacePublic(rootsFile, id.unsaved.roots)
	if err == nil {
		err = certs.ReplacePublic(certFile, id.unsaved.cert)
	}
	if err != nil {
		return fmt.Errorf("the node's new certificate is in use but not on disk: %w", err)
	}
	id.unsaved = nil
	return nil
}

func (id *Identity) parse(p papers) (*credentials, error) {
	c := &credentials{cert: &tls.Certificate{PrivateKey: id.key}, roots: x509.NewCertPool(), since: id.now()}
	for rest := p.cert; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c.cert.Certificate = append(c.cert.Certificate, block.Bytes)
	}
	if len(c.cert.Certificate) == 0 || !c.roots.AppendCertsFromPEM(p.roots) {
		return nil, errors.New("the node's certificate, or its authority's, isn't PEM")
	}
	leaf, err := x509.ParseCertificate(c.cert.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("the node's certificate: %w", err)
	}
	if !id.key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("the node's certificate isn't for its key")
	}
	// Whether it is good now doesn't matter: who has an expired one can renew it.
	if err := signedBy(leaf, c.roots); err != nil {
		return nil, fmt.Errorf("the node's certificate isn't of the authorities that came with it: %w", err)
	}
	if c.who, err = whoOf(leaf); err != nil {
		return nil, err
	}
	c.cert.Leaf = leaf
	return c, nil
}

func signedBy(leaf *x509.Certificate, roots *x509.CertPool) error {
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: leaf.NotAfter, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

// succeeds says why next can't take the place of c: a renewal changes neither who the node is nor, at once, whom it trusts.
func (c *credentials) succeeds(next *credentials) error {
	if c.who.Node != next.who.Node || c.who.Network != next.who.Network {
		return fmt.Errorf("the certificate is of %s in %s, and this is %s in %s: join with another state directory",
			next.who.Node, next.who.Network, c.who.Node, c.who.Network)
	}
	if err := signedBy(next.cert.Leaf, c.roots); err != nil {
		return fmt.Errorf("the certificate is of an authority that this node doesn't trust yet (%w): if the network was begun anew, join with another "+
			"state directory", err)
	}
	return nil
}

// Who returns who the node is; ok is false before it has a certificate.
func (id *Identity) Who() (who Who, ok bool) {
	c := id.current.Load()
	if c == nil {
		return Who{}, false
	}
	return c.who, true
}

// Expires returns the end of the certificate; zero before there is one.
func (id *Identity) Expires() time.Time {
	who, _ := id.Who()
	return who.Expires
}

// Files are the PEM files of the identity, for who reads them anew at each handshake, as etcd does.
func (id *Identity) Files() (cert, key, roots string) {
	return filepath.Join(id.dir, certName), filepath.Join(id.dir, keyName), filepath.Join(id.dir, rootsName)
}

var errNoCertificate = errors.New("this node has no certificate yet: it has to join a network")

func (id *Identity) credentials() (*credentials, error) {
	c := id.current.Load()
	if c == nil {
		return nil, errNoCertificate
	}
	return c, nil
}
