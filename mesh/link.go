package mesh

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/config"
)

// link is a connection below TLS, which can be made to stand still. Who is at its other end is known after the handshake.
type link struct {
	net.Conn
	m      *Mesh
	who    Who // under m.mu until identify, then constant
	known  atomic.Bool
	closed chan struct{}
	once   sync.Once

	deadlines [2]atomic.Int64 // of reading and writing, in nanoseconds since 1970; 0: none
}

const (
	reading = iota
	writing
)

func (m *Mesh) link(conn net.Conn) *link {
	l := &link{Conn: conn, m: m, closed: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.links[l] = struct{}{}
	return l
}

// identify notes who is at the other end. A node that was removed meanwhile is refused.
func (l *link) identify(who Who) error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.isRevoked(who) {
		return os.ErrClosed
	}
	l.who = who
	l.known.Store(true)
	return nil
}

func (l *link) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.m.mu.Lock()
		delete(l.m.links, l)
		l.m.mu.Unlock()
	})
	return l.Conn.Close()
}

func (l *link) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 { // what had arrived when the link was cut arrives when it is healed
		if stands := l.pass(reading); stands != nil {
			return 0, stands
		}
	}
	return n, err
}

func (l *link) Write(p []byte) (int, error) {
	if err := l.pass(writing); err != nil {
		return 0, err
	}
	return l.Conn.Write(p)
}

func (l *link) SetDeadline(t time.Time) error {
	l.note(reading, t)
	l.note(writing, t)
	return l.Conn.SetDeadline(t)
}

func (l *link) SetReadDeadline(t time.Time) error {
	l.note(reading, t)
	return l.Conn.SetReadDeadline(t)
}

func (l *link) SetWriteDeadline(t time.Time) error {
	l.note(writing, t)
	return l.Conn.SetWriteDeadline(t)
}

func (l *link) note(way int, t time.Time) {
	if t.IsZero() {
		l.deadlines[way].Store(0)
		return
	}
	l.deadlines[way].Store(t.UnixNano())
}

// pass waits while the link is cut.
func (l *link) pass(way int) error {
	for {
		healed, cut := l.m.cuts(l)
		if !cut {
			return nil
		}
		// A deadline may be set while this waits, so it is looked at again and again.
		if at := l.deadlines[way].Load(); at != 0 && time.Now().UnixNano() >= at {
			return os.ErrDeadlineExceeded
		}
		select {
		case <-l.closed:
			return net.ErrClosed
		case <-healed:
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (m *Mesh) cuts(l *link) (healed <-chan struct{}, cut bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.healed, m.cutAll || l.known.Load() && m.cut[l.who.Node]
}

// Cut makes the connections with these nodes, or with all, stand still in both directions without closing them, as a network does that
// loses all packets; Cut(false) heals everything. It is for labs and tests.
func (m *Mesh) Cut(all bool, nodes ...config.NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cutAll, m.cut = all, map[config.NodeID]bool{}
	for _, id := range nodes {
		m.cut[id] = true
	}
	close(m.healed)
	m.healed = make(chan struct{})
}

// waitHealed waits while this node is cut off.
func (m *Mesh) waitHealed(ctx context.Context) error {
	for {
		m.mu.Lock()
		healed, all := m.healed, m.cutAll
		m.mu.Unlock()
		if !all {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-healed:
		}
	}
}
