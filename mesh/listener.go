package mesh

import (
	"container/list"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
)

// ListenOptions say whom a listener lets in. The zero value lets in all nodes.
type ListenOptions struct {
	// Anonymous lets in who shows no certificate, or one that has expired: PeerOf doesn't know them. They have two minutes.
	Anonymous bool
	// Allow refuses nodes; nil: all nodes are let in.
	Allow func(Who) error
	// HandshakeTimeout is how long a client has to say who it is; 0: 10 s.
	HandshakeTimeout time.Duration
	// PendingMax bounds those who haven't said who they are, and, apart, those who won't: the longest there makes room. 0: 256.
	PendingMax int
	// ConnectionsMax bounds all connections; 0: 16384.
	ConnectionsMax int
	// NodeConnectionsMax bounds the connections of one node; 0: 256.
	NodeConnectionsMax int
}

const (
	handshakeTimeout = 10 * time.Second
	anonymousLife    = 2 * time.Minute

	pendingMax         = 256
	connectionsMax     = 16384
	nodeConnectionsMax = 256
)

// Listener returns a listener for the connections of nodes. They are *tls.Conn after their handshake, for HTTP/2 and HTTP/1.1. Its first
// Accept starts goroutines, of which all are gone when Close returns.
func (m *Mesh) Listener(raw net.Listener, o ListenOptions) net.Listener {
	orElse(&o.HandshakeTimeout, handshakeTimeout)
	orElse(&o.PendingMax, pendingMax)
	orElse(&o.ConnectionsMax, connectionsMax)
	orElse(&o.NodeConnectionsMax, nodeConnectionsMax)
	l := &listener{raw: raw, m: m, o: o, taken: make(chan taken), done: make(chan struct{}), nodes: map[config.NodeID]int{}}
	l.config = &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"},
		// A resumed session would tell of the certificate that the node had when it began. Each connection is verified anew.
		SessionTicketsDisabled: true,
		ClientAuth:             tls.RequestClientCert, // verified below, where the error can say more
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c, err := m.id.credentials()
			if err != nil {
				return nil, err
			}
			return c.cert, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := l.verify(cs.PeerCertificates)
			return err
		},
	}
	return l
}

func orElse[T comparable](value *T, standard T) {
	if *value == *new(T) {
		*value = standard
	}
}

type listener struct {
	raw    net.Listener
	m      *Mesh
	o      ListenOptions
	config *tls.Config

	taken chan taken
	done  chan struct{}
	start sync.Once
	wg    sync.WaitGroup

	mu        sync.Mutex // protects what follows; lost with the process
	closed    bool
	pending   list.List // of *link, which have no handshake yet
	anonymous list.List // of *link, of nobody we know
	nodes     map[config.NodeID]int
	total     int
}

// taken is what Accept returns.
type taken struct {
	conn net.Conn
	err  error
}

func (l *listener) Addr() net.Addr { return l.raw.Addr() }

func (l *listener) Accept() (net.Conn, error) {
	l.start.Do(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.closed {
			l.wg.Go(l.acceptAll)
		}
	})
	select {
	case t := <-l.taken:
		return t.conn, t.err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	var waiting []*link
	for e := l.pending.Front(); e != nil; e = e.Next() {
		waiting = append(waiting, e.Value.(*link))
	}
	l.mu.Unlock()
	if first {
		close(l.done)
	}
	var err error
	if first {
		err = l.raw.Close()
	}
	for _, k := range waiting {
		_ = k.Close() // nobody has it yet
	}
	l.wg.Wait()
	return err
}

func (l *listener) acceptAll() {
	for {
		raw, err := l.raw.Accept()
		if err != nil {
			// Who accepts knows what to do, such as to wait when there are too many open files.
			if !l.hand(taken{nil, err}) || errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		k := l.m.link(raw, "", l.m.o.Metrics.accepted)
		if place, ok := l.wait(k); ok {
			l.wg.Go(func() { l.shake(k, place) })
		}
	}
}

func (l *listener) hand(t taken) bool {
	select {
	case l.taken <- t:
		return true
	case <-l.done:
		return false
	}
}

// wait puts a link among those that have no handshake yet.
func (l *listener) wait(k *link) (*list.Element, bool) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		_ = k.Close() // nobody has it
		return nil, false
	}
	place, longest := enqueue(&l.pending, k, l.o.PendingMax)
	l.mu.Unlock()
	l.evict(longest)
	return place, true
}

// enqueue appends k, and returns who has to make room for it. Whoever closes that one must not hold l.mu.
func enqueue(q *list.List, k *link, most int) (place *list.Element, longest *link) {
	if q.Len() >= most {
		longest = q.Remove(q.Front()).(*link)
	}
	return q.PushBack(k), longest
}

func (l *listener) evict(k *link) {
	if k == nil {
		return
	}
	l.m.o.Metrics.refused.WithLabelValues("evicted").Inc()
	_ = k.Close() // it is of nobody we know
}

// shake does the handshake of one link, and hands it over.
func (l *listener) shake(k *link, place *list.Element) {
	ctx, cancel := context.WithTimeout(context.Background(), l.o.HandshakeTimeout)
	defer cancel()
	conn := tls.Server(k, l.config)
	err := conn.HandshakeContext(ctx)
	if err == nil {
		err = l.admit(k, conn.ConnectionState().PeerCertificates)
	}
	l.mu.Lock()
	l.pending.Remove(place) // unless it was evicted
	l.mu.Unlock()
	if err != nil {
		l.refuse(k, err)
		return
	}
	if !l.hand(taken{conn, nil}) {
		_ = k.Close() // nobody has it
	}
}

func (l *listener) refuse(k *link, err error) {
	reason := reasonOf(err)
	if errors.Is(err, context.DeadlineExceeded) {
		reason = "timeout"
	}
	_ = k.Close() // the handshake's error says why
	l.m.o.Metrics.refused.WithLabelValues(reason).Inc()
	l.m.sometime.Do(func() {
		l.m.o.Log.Warn("a connection was refused", "from", k.RemoteAddr().String(), "reason", reason, "error", err)
	})
}

// verify says who is there; the zero Who is let in without a name.
func (l *listener) verify(chain []*x509.Certificate) (Who, error) {
	if len(chain) == 0 && l.o.Anonymous {
		return Who{}, nil
	}
	who, err := l.m.verify(chain, x509.ExtKeyUsageClientAuth, l.o.Anonymous)
	if err == nil && l.o.Allow != nil {
		if refused := l.o.Allow(who); refused != nil {
			err = refusal{"role", fmt.Errorf("the node %s: %w", who.Node, refused)}
		}
	}
	return who, err
}

// admit counts a link, and notes whose it is.
func (l *listener) admit(k *link, chain []*x509.Certificate) error {
	who := Who{}
	if len(chain) > 0 {
		var err error
		if who, err = whoOf(chain[0]); err != nil {
			return refusal{"malformed", err}
		}
	}
	known := who.Node != "" && !l.m.o.Now().After(who.Expires)
	l.mu.Lock()
	if l.total >= l.o.ConnectionsMax || known && l.nodes[who.Node] >= l.o.NodeConnectionsMax {
		l.mu.Unlock()
		return refusal{"full", fmt.Errorf("too many connections: there are %d, at most %d in all and %d of a node", l.total, l.o.ConnectionsMax, l.o.NodeConnectionsMax)}
	}
	l.total++
	var place *list.Element
	var longest *link
	if known {
		l.nodes[who.Node]++
	} else {
		place, longest = enqueue(&l.anonymous, k, l.o.PendingMax)
	}
	l.mu.Unlock()
	k.setOnClose(func() { l.leave(who.Node, place) })
	l.evict(longest)
	if who.Node != "" {
		if err := k.identify(who); err != nil {
			return err
		}
	}
	if known {
		k.endIn(who.Expires.Sub(l.m.o.Now()))
	} else {
		k.endIn(anonymousLife)
	}
	return nil
}

func (l *listener) leave(id config.NodeID, anonymous *list.Element) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if anonymous != nil {
		l.anonymous.Remove(anonymous) // unless it was evicted
		return
	}
	if l.nodes[id]--; l.nodes[id] <= 0 {
		delete(l.nodes, id)
	}
}
