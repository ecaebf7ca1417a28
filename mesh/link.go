package mesh

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/config"
)

// link is a connection below TLS. It knows who is at its other end after the handshake, is closed when that one's certificate ends, and can
// be made to stand still.
type link struct {
	net.Conn
	m        *Mesh
	wanted   config.NodeID // of a connection to a node in particular
	who      atomic.Pointer[Who]
	closed   chan struct{}
	once     sync.Once
	gauge    prometheus.Gauge
	closeErr error // before closed is closed

	readMu  sync.Mutex // one reads at a time; protects held and heldErr
	held    []byte     // what arrived while the link was cut
	heldErr error

	mu        sync.Mutex // protects what follows
	deadlines [2]time.Time
	changed   chan struct{} // closed when a deadline changes; nil: nobody waits for that
	end       *time.Timer   // closes the link
	onClose   func()        // of the listener
}

const (
	reading = iota
	writing
)

func (m *Mesh) link(conn net.Conn, wanted config.NodeID, gauge prometheus.Gauge) *link {
	l := &link{Conn: conn, m: m, wanted: wanted, closed: make(chan struct{}), gauge: gauge}
	gauge.Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.links[l] = struct{}{}
	return l
}

// identify notes who is at the other end. A node that was removed meanwhile is refused.
func (l *link) identify(who Who) error {
	l.m.mu.Lock()
	if l.m.isRevoked(who) {
		l.m.mu.Unlock()
		return errRemoved(who)
	}
	l.who.Store(&who)
	l.m.mu.Unlock()
	return nil
}

// endIn closes the link after a while.
func (l *link) endIn(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.isClosed() {
		l.end = time.AfterFunc(d, func() { _ = l.Close() }) // what it is used for fails, and is repeated with a new certificate
	}
}

// setOnClose has f called when the link is closed, or now if it is.
func (l *link) setOnClose(f func()) {
	l.mu.Lock()
	closed := l.isClosed()
	if !closed {
		l.onClose = f
	}
	l.mu.Unlock()
	if closed {
		f()
	}
}

func (l *link) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

func (l *link) Close() error {
	l.once.Do(func() {
		l.mu.Lock()
		close(l.closed)
		if l.end != nil {
			l.end.Stop()
		}
		onClose := l.onClose
		l.mu.Unlock()
		l.m.mu.Lock()
		delete(l.m.links, l)
		l.m.mu.Unlock()
		l.gauge.Dec()
		if onClose != nil {
			onClose()
		}
		if l.cut() == nil || !l.m.park(l.Conn) {
			l.closeErr = l.Conn.Close()
		}
	})
	return l.closeErr
}

func (l *link) Read(p []byte) (int, error) {
	l.readMu.Lock()
	defer l.readMu.Unlock()
	for {
		if c := l.cut(); c != nil {
			if err := l.stand(reading, c); err != nil {
				return 0, err
			}
			continue
		}
		if len(l.held) > 0 {
			n := copy(p, l.held)
			l.held = l.held[n:]
			return n, nil
		}
		if err := l.heldErr; err != nil {
			l.heldErr = nil
			return 0, err
		}
		n, err := l.Conn.Read(p)
		if l.isClosed() {
			return 0, net.ErrClosed
		}
		if l.cut() == nil || n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		l.held, l.heldErr = append(l.held[:0], p[:n]...), err
	}
}

func (l *link) Write(p []byte) (int, error) {
	for {
		c := l.cut()
		if c == nil {
			return l.Conn.Write(p)
		}
		if err := l.stand(writing, c); err != nil {
			return 0, err
		}
	}
}

func (l *link) SetDeadline(t time.Time) error {
	l.note(t, reading, writing)
	return l.Conn.SetDeadline(t)
}

func (l *link) SetReadDeadline(t time.Time) error {
	l.note(t, reading)
	return l.Conn.SetReadDeadline(t)
}

func (l *link) SetWriteDeadline(t time.Time) error {
	l.note(t, writing)
	return l.Conn.SetWriteDeadline(t)
}

func (l *link) note(t time.Time, ways ...int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, way := range ways {
		l.deadlines[way] = t
	}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// cut is what is cut, until it is over.
type cut struct {
	all   bool
	nodes map[config.NodeID]bool
	over  chan struct{}
}

// parkedMax bounds the connections that were closed while they were cut.
const parkedMax = 1024

// Cut makes the connections with these nodes, or with all, stand still in both directions without closing them, as a network does that
// loses all packets; what was cut before and isn't named is healed, so Cut(false) heals everything. New connections stand still too: those
// with all, and those to a node in particular, before anything is sent; others once the handshake has said who is there. What a side
// closes meanwhile, the other one doesn't hear of until it is healed. It is for labs and tests.
func (m *Mesh) Cut(all bool, nodes ...config.NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.cutting.Load()
	var next *cut
	if all || len(nodes) > 0 {
		next = &cut{all, map[config.NodeID]bool{}, make(chan struct{})}
		for _, id := range nodes {
			next.nodes[id] = true
		}
	}
	m.cutting.Store(next)
	if old != nil {
		close(old.over)
	}
	if next == nil {
		for _, conn := range m.parked {
			_ = conn.Close() // its user has closed it already
		}
		m.parked = nil
	}
}

// park keeps a connection open that its user has closed: the other side can't hear of that yet.
func (m *Mesh) park(conn net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cutting.Load() == nil || len(m.parked) >= parkedMax {
		return false
	}
	_ = conn.SetDeadline(time.Unix(1, 0)) // wakes who reads or writes
	m.parked = append(m.parked, conn)
	return true
}

// cut returns what cuts the link, or nil.
func (l *link) cut() *cut {
	c := l.m.cutting.Load()
	if c == nil {
		return nil
	}
	id := l.wanted
	if who := l.who.Load(); who != nil {
		id = who.Node
	}
	if c.all || c.nodes[id] {
		return c
	}
	return nil
}

// stand waits until what is cut changes.
func (l *link) stand(way int, c *cut) error {
	for {
		l.mu.Lock()
		at := l.deadlines[way]
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		var late <-chan time.Time
		if !at.IsZero() {
			if time.Until(at) <= 0 {
				return os.ErrDeadlineExceeded
			}
			late = time.After(time.Until(at))
		}
		select {
		case <-l.closed:
			return net.ErrClosed
		case <-c.over:
			return nil
		case <-changed:
		case <-late:
		}
	}
}

// waitHealed waits while this node is cut off, or cut off from the wanted one.
func (m *Mesh) waitHealed(ctx context.Context, wanted config.NodeID) error {
	for {
		c := m.cutting.Load()
		if c == nil || !c.all && !c.nodes[wanted] {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.over:
		}
	}
}
