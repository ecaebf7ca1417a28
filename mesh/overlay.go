package mesh

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// ServerTLS is for transports that make their own handshakes: it shows this node's certificate and asks for the other's. Admit has to be asked
// when a handshake is done. Sessions may be resumed: TLS then has the certificates of the first handshake verified here again.
func (m *Mesh) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAnyClientCert, // verified below, where the error can say more
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c, err := m.id.credentials()
			if err != nil {
				return nil, err
			}
			return c.cert, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := m.verify(cs.PeerCertificates, x509.ExtKeyUsageClientAuth, false)
			return err
		},
	}
}

// ClientTLS is ServerTLS's counterpart for a connection to one node.
func (m *Mesh) ClientTLS(want config.NodeID) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: HostOf(want), ClientSessionCache: tickets{m.id},
		InsecureSkipVerify: true, // verified below, where the error can say more
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c, err := m.id.credentials()
			if err != nil {
				return nil, err
			}
			return c.cert, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			who, err := m.verify(cs.PeerCertificates, x509.ExtKeyUsageServerAuth, false)
			if err == nil {
				err = expected(who, want, []feed.Role(nil))
			}
			return err
		},
	}
}

// Admit says who is at the other end of a handshake that ServerTLS or ClientTLS has verified. It is for asking again later, too: a node may have
// been removed, or its certificate expired, since.
func (m *Mesh) Admit(cs tls.ConnectionState) (Who, error) {
	if len(cs.PeerCertificates) == 0 {
		return Who{}, errors.New("the other side shows no certificate of a node")
	}
	who, err := whoOf(cs.PeerCertificates[0])
	switch {
	case err != nil:
		return Who{}, err
	case m.Revoked(who):
		return Who{}, errRemoved(who)
	case m.o.Now().After(who.Expires):
		return Who{}, errors.New("the certificate of " + string(who.Node) + " has expired: it didn't reach control to renew it")
	}
	return who, nil
}
