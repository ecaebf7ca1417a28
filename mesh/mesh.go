package mesh

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
)

// Mesh makes and takes connections between nodes. It is safe for use by many goroutines.
type Mesh struct {
	id  *Identity
	now func() time.Time

	mu      sync.Mutex // protects what follows; lost with the process
	revoked map[config.NodeID]time.Time
	links   map[*link]struct{}
	cutAll  bool
	cut     map[config.NodeID]bool
	healed  chan struct{} // closed when what is cut changes
}

// New returns the mesh of a node.
func New(id *Identity) *Mesh {
	return &Mesh{id: id, now: time.Now, links: map[*link]struct{}{}, healed: make(chan struct{})}
}

// SetRevoked says which nodes were removed, and when: what was issued to them by then isn't good, and their connections are closed.
func (m *Mesh) SetRevoked(nodes map[config.NodeID]time.Time) {
	m.mu.Lock()
	m.revoked = maps.Clone(nodes)
	var gone []*link
	for l := range m.links {
		if l.who.Node != "" && m.isRevoked(l.who) {
			gone = append(gone, l)
		}
	}
	m.mu.Unlock()
	for _, l := range gone {
		_ = l.Close() // what it was used for fails
	}
}

// isRevoked says whether a certificate is of a node that was removed. m.mu is held.
func (m *Mesh) isRevoked(who Who) bool {
	at, ok := m.revoked[who.Node]
	return ok && !who.Issued.After(at)
}

// ListenOptions say whom a listener lets in.
type ListenOptions struct {
	// Anonymous lets in who shows no certificate, or one that has expired: PeerOf doesn't know them.
	Anonymous bool
	// Allow refuses nodes; nil: all nodes are let in.
	Allow func(Who) error
}

// Listener returns a listener for the connections of nodes, which are *tls.Conn before their handshake, for HTTP/2 and HTTP/1.1.
func (m *Mesh) Listener(l net.Listener, o ListenOptions) net.Listener {
	return &listener{Listener: l, m: m, o: o}
}

type listener struct {
	net.Listener
	m *Mesh
	o ListenOptions
}

func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	k := l.m.link(raw)
	return tls.Server(k, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}, SessionTicketsDisabled: true,
		ClientAuth: tls.RequestClientCert, // verified below, where the error can say more
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return l.m.certificate()
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				if l.o.Anonymous {
					return nil
				}
				return errors.New("a node must show its certificate")
			}
			who, err := l.m.verify(cs.PeerCertificates, x509.ExtKeyUsageClientAuth, l.o.Anonymous)
			if err == nil && l.o.Allow != nil {
				err = l.o.Allow(who)
			}
			if err != nil {
				return err
			}
			return k.identify(who)
		},
	}), nil
}

func (m *Mesh) certificate() (*tls.Certificate, error) {
	c := m.id.current.Load()
	if c == nil {
		return nil, errors.New("this node has no certificate yet: it has to join a network")
	}
	return c.cert, nil
}

// verify says who shows these certificates, and whether they are good: of this network, now (unless expired ones are let in), and not of a
// node that was removed.
func (m *Mesh) verify(chain []*x509.Certificate, usage x509.ExtKeyUsage, expired bool) (Who, error) {
	c := m.id.current.Load()
	if c == nil {
		return Who{}, errors.New("this node has no certificate yet: it has to join a network")
	}
	leaf, now := chain[0], m.now()
	at := now
	if now.After(leaf.NotAfter) && expired {
		at = leaf.NotAfter
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: c.roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}})
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Who{}, fmt.Errorf("the certificate of %s is good from %s to %s, and it is %s by this machine's clock: look at both clocks",
			leaf.Subject.CommonName, stamp(leaf.NotBefore), stamp(leaf.NotAfter), stamp(now))
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return Who{}, fmt.Errorf("the certificate of %s is of another network (%s)", leaf.Subject.CommonName, leaf.Issuer.CommonName)
	case err != nil:
		return Who{}, fmt.Errorf("the certificate of %s: %w", leaf.Subject.CommonName, err)
	}
	who, err := whoOf(leaf)
	if err != nil {
		return Who{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isRevoked(who) {
		return Who{}, fmt.Errorf("the node %s was removed from the network", who.Node)
	}
	return who, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

type expectKey struct{}

// Expect returns a context in which connections are made to that node alone.
func Expect(ctx context.Context, id config.NodeID) context.Context {
	return context.WithValue(ctx, expectKey{}, id)
}

// DialContext connects to a node of the network; which one, Expect may say.
func (m *Mesh) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := m.waitHealed(ctx); err != nil {
		return nil, err
	}
	raw, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	k := m.link(raw)
	conn := tls.Client(k, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"},
		InsecureSkipVerify: true, // verified below, where the error can say more
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return m.certificate()
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			who, err := m.verify(cs.PeerCertificates, x509.ExtKeyUsageServerAuth, false)
			if err != nil {
				return err
			}
			if want, ok := ctx.Value(expectKey{}).(config.NodeID); ok && want != who.Node {
				return fmt.Errorf("the node at %s is %s, not %s", address, who.Node, want)
			}
			return k.identify(who)
		},
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return conn, nil
}

// Transport returns a transport over the mesh, for URLs of the scheme https. A connection that stands still is found and closed.
func (m *Mesh) Transport() *http.Transport {
	return &http.Transport{
		DialTLSContext: m.DialContext, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
		HTTP2: &http.HTTP2Config{SendPingTimeout: 2 * time.Second, PingTimeout: 2 * time.Second},
	}
}

// PeerOf returns the node that sent a request; ok is false if nobody knows, or its certificate has expired.
func PeerOf(r *http.Request) (who Who, ok bool) {
	who, expired, ok := RenewingPeerOf(r)
	return who, ok && !expired
}

// RenewingPeerOf is PeerOf for requests to renew a certificate, which may have expired.
func RenewingPeerOf(r *http.Request) (who Who, expired, ok bool) {
	if r.TLS == nil {
		return Who{}, false, false
	}
	return stateOf(r.TLS)
}

// AnsweredBy returns the node that sent a response.
func AnsweredBy(r *http.Response) (who Who, ok bool) {
	if r.TLS == nil {
		return Who{}, false
	}
	who, _, ok = stateOf(r.TLS)
	return who, ok
}

func stateOf(cs *tls.ConnectionState) (who Who, expired, ok bool) {
	if len(cs.PeerCertificates) == 0 {
		return Who{}, false, false
	}
	who, err := whoOf(cs.PeerCertificates[0])
	return who, time.Now().After(who.Expires), err == nil
}
