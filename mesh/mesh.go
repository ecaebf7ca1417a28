package mesh

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// Options are what a Mesh is made of. The zero value is good.
type Options struct {
	// Dial makes the connections below TLS; nil: net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Resolve returns where a node is reached, HOST:PORT, for host names of HostOf; nil: such names aren't known.
	Resolve func(config.NodeID) (address string, ok bool)
	// Revoked are the nodes that were removed, as SetRevoked takes them.
	Revoked map[config.NodeID]time.Time
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: slog.Default
	Metrics *Metrics         // nil: nobody looks
}

// Mesh makes and takes connections between nodes. It is safe for use by many goroutines.
type Mesh struct {
	id       *Identity
	o        Options
	sometime rate.Sometimes // a flood of bad connections is no flood of log lines

	cutting atomic.Pointer[cut] // nil: nothing is cut; changes under mu

	mu      sync.Mutex // protects what follows; lost with the process
	revoked map[config.NodeID]time.Time
	links   map[*link]struct{}
	parked  []net.Conn
}

// New returns the mesh of a node.
func New(id *Identity, o Options) *Mesh {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	id.metrics.Store(o.Metrics)
	if who, ok := id.Who(); ok {
		o.Metrics.expires.Set(float64(who.Expires.Unix()))
	}
	return &Mesh{
		id: id, o: o, sometime: rate.Sometimes{First: 10, Interval: time.Second}, revoked: maps.Clone(o.Revoked), links: map[*link]struct{}{},
	}
}

// SetRevoked says which nodes were removed, and when: what was issued to them by then isn't good, and their connections are closed.
func (m *Mesh) SetRevoked(nodes map[config.NodeID]time.Time) {
	m.mu.Lock()
	m.revoked = maps.Clone(nodes)
	var gone []*link
	for l := range m.links {
		if who := l.who.Load(); who != nil && m.isRevoked(*who) {
			gone = append(gone, l)
		}
	}
	m.mu.Unlock()
	for _, l := range gone {
		_ = l.Close() // what it was used for fails
	}
	if len(gone) > 0 {
		m.o.Log.Info("connections with nodes that were removed are closed", "connections", len(gone))
	}
}

// Revoked says whether a certificate is of a node that was removed.
func (m *Mesh) Revoked(who Who) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.isRevoked(who)
}

// isRevoked is Revoked with m.mu held.
func (m *Mesh) isRevoked(who Who) bool {
	at, ok := m.revoked[who.Node]
	return ok && !who.Issued.After(at)
}

// Verify says who shows these certificates, the first of which is his, and whether it is good: of this network, now, unless expired ones
// are let in, and not of a node that was removed.
func (m *Mesh) Verify(chain []*x509.Certificate, expired bool) (Who, error) {
	return m.verify(chain, x509.ExtKeyUsageClientAuth, expired)
}

func (m *Mesh) verify(chain []*x509.Certificate, usage x509.ExtKeyUsage, expired bool) (Who, error) {
	c, err := m.id.credentials()
	if err != nil {
		return Who{}, err
	}
	if len(chain) == 0 {
		return Who{}, refusal{"anonymous", errors.New("a node must show its certificate")}
	}
	who, err := verify(chain[0], c.roots, usage, m.o.Now(), expired)
	if err != nil {
		return Who{}, err
	}
	if who.Network != c.who.Network {
		return Who{}, refusal{"foreign", fmt.Errorf("certificate of %s is of the network %s, and this is %s", who.Node, who.Network, c.who.Network)}
	}
	if m.Revoked(who) {
		return Who{}, errRemoved(who)
	}
	return who, nil
}

func errRemoved(who Who) error {
	return refusal{"removed", fmt.Errorf("the node %s was removed from the network: it can join again with a new token", who.Node)}
}

// DialContext connects to a node of the network; which one, Expect or a host of HostOf may say.
func (m *Mesh) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return m.dial(ctx, network, address, nil)
}

func (m *Mesh) dial(ctx context.Context, network, address string, roles []feed.Role) (net.Conn, error) {
	want, address, err := m.destination(ctx, address)
	if err != nil {
		return nil, err
	}
	if err := m.waitHealed(ctx, want); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	raw, err := m.o.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	k := m.link(raw, want, m.o.Metrics.dialed)
	conn := tls.Client(k, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"},
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
				err = expected(who, want, roles)
			}
			if err == nil {
				err = k.identify(who)
			}
			k.endIn(who.Expires.Sub(m.o.Now()))
			return err
		},
	})
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = k.Close() // the handshake's error says why
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return conn, nil
}

type expectKey struct{}

// Expect returns a context in which connections are made to that node alone. A transport keeps connections by host: to make sure of the
// node in each request, use HostOf.
func Expect(ctx context.Context, id config.NodeID) context.Context {
	return context.WithValue(ctx, expectKey{}, id)
}

// destination says which node is wanted, if one in particular is, and where.
func (m *Mesh) destination(ctx context.Context, address string) (want config.NodeID, at string, err error) {
	want, _ = ctx.Value(expectKey{}).(config.NodeID)
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", "", err
	}
	name, ok := strings.CutSuffix(host, nodeDomain)
	if !ok {
		return want, address, nil
	}
	if want != "" && want != config.NodeID(name) {
		return "", "", fmt.Errorf("connect to %s: %s is wanted", address, want)
	}
	want = config.NodeID(name)
	if m.o.Resolve != nil {
		if at, ok := m.o.Resolve(want); ok {
			return want, at, nil
		}
	}
	return "", "", fmt.Errorf("connect to %s: no node of that name is known", name)
}

func expected(who Who, want config.NodeID, roles []feed.Role) error {
	if want != "" && want != who.Node {
		return fmt.Errorf("the node there is %s, not %s", who.Node, want)
	}
	for _, r := range roles {
		if !who.Has(r) {
			return fmt.Errorf("the node there, %s, isn't of the role %s", who.Node, r)
		}
	}
	return nil
}

// Transport returns a transport over the mesh, for URLs of the scheme https, to nodes that have all of the roles. A connection that stands
// still is found and closed.
func (m *Mesh) Transport(roles ...feed.Role) *http.Transport {
	return &http.Transport{
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return m.dial(ctx, network, address, roles)
		},
		DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
			return nil, fmt.Errorf("BUG: %s is asked without TLS: nodes speak https alone", address)
		},
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
		HTTP2: &http.HTTP2Config{SendPingTimeout: 2 * time.Second, PingTimeout: 2 * time.Second},
	}
}

// PeerOf returns the node that sent a request, which came through a Listener; ok is false if nobody knows, or its certificate has expired.
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

// AnsweredBy returns the node that sent a response, which came through a Transport.
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
