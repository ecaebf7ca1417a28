package mesh

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
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
}

// credentials are swapped whole at a renewal.
type credentials struct {
	cert  *tls.Certificate // with the authority's behind it, for those who only know that one's hash
	roots *x509.CertPool
	who   Who
}

const (
	keyName   = "node.key"
	certName  = "node.crt"
	rootsName = "roots.crt"
)

// OpenIdentity reads the identity in dir. It makes the key if there is none; without a certificate, CSR and Install make one of it.
func OpenIdentity(dir string) (*Identity, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	id := &Identity{dir: dir, now: time.Now}
	der, err := readPEM(filepath.Join(dir, keyName), "PRIVATE KEY")
	if errors.Is(err, fs.ErrNotExist) {
		return id, id.makeKey()
	}
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, keyName), err)
	}
	var ok bool
	if id.key, ok = key.(*ecdsa.PrivateKey); !ok {
		return nil, fmt.Errorf("%s: key is %T, want ECDSA", filepath.Join(dir, keyName), key)
	}
	cert, err := os.ReadFile(filepath.Join(dir, certName))
	if errors.Is(err, fs.ErrNotExist) {
		return id, nil
	}
	roots, rootsErr := os.ReadFile(filepath.Join(dir, rootsName))
	if err := errors.Join(err, rootsErr); err != nil {
		return nil, err
	}
	return id, id.load(cert, roots)
}

func (id *Identity) makeKey() (err error) {
	if id.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(id.key)
	if err != nil {
		return err
	}
	return certs.WriteSecret(filepath.Join(id.dir, keyName), encodePEM("PRIVATE KEY", der))
}

// CSR returns a request for a certificate (PKCS #10, DER).
func (id *Identity) CSR() ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, id.key)
}

// Install takes a certificate for the key, with its authority behind it, and the authorities to trust, all in PEM.
func (id *Identity) Install(cert, roots []byte) error {
	if err := id.load(cert, roots); err != nil {
		return err
	}
	return errors.Join(certs.WriteSecret(filepath.Join(id.dir, rootsName), roots), certs.WriteSecret(filepath.Join(id.dir, certName), cert))
}

func (id *Identity) load(cert, roots []byte) error {
	c := &credentials{cert: &tls.Certificate{PrivateKey: id.key}, roots: x509.NewCertPool()}
	for rest := cert; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c.cert.Certificate = append(c.cert.Certificate, block.Bytes)
	}
	if len(c.cert.Certificate) == 0 || !c.roots.AppendCertsFromPEM(roots) {
		return errors.New("the node's certificate, or its authority's, isn't PEM: let the node join again")
	}
	leaf, err := x509.ParseCertificate(c.cert.Certificate[0])
	if err != nil {
		return fmt.Errorf("the node's certificate: %w", err)
	}
	if !id.key.PublicKey.Equal(leaf.PublicKey) {
		return errors.New("the node's certificate isn't for its key: let the node join again")
	}
	if c.who, err = whoOf(leaf); err != nil {
		return err
	}
	c.cert.Leaf = leaf
	id.current.Store(c)
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

// Files are the PEM files of the identity, for who reads them anew at each handshake.
func (id *Identity) Files() (cert, key, roots string) {
	return filepath.Join(id.dir, certName), filepath.Join(id.dir, keyName), filepath.Join(id.dir, rootsName)
}

// How long to wait between two attempts to renew.
const (
	renewRetryMin = 5 * time.Second
	renewRetryMax = 10 * time.Minute
)

// Run renews the certificate when its time comes, until ctx ends. renew asks control. A failure is repeated, for as long as it takes:
// control renews certificates that have expired, too.
func (id *Identity) Run(ctx context.Context, log *slog.Logger, renew func(ctx context.Context, csr []byte) (cert, roots []byte, err error)) error {
	retry := renewRetryMin
	for {
		who, _ := id.Who()
		wait := who.Expires.Add(-renewBefore).Sub(id.now())
		if wait <= 0 {
			csr, err := id.CSR()
			var cert, roots []byte
			if err == nil {
				cert, roots, err = renew(ctx, csr)
			}
			if err == nil {
				err = id.Install(cert, roots)
			}
			if err == nil {
				retry = renewRetryMin
				log.Info("the node's certificate was renewed", "expires", id.current.Load().who.Expires)
				continue
			}
			if ctx.Err() == nil {
				log.Warn("the node's certificate wasn't renewed; trying again", "expires", who.Expires, "in", retry, "error", err)
			}
			wait, retry = retry, min(2*retry, renewRetryMax)
		}
		wait += mathrand.N(wait/10 + 1)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}
