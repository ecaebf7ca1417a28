package overlay

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/wherry/wherry/overlay/wire"
)

const (
	ticketsMax = 4096 // sessions that an endpoint keeps for peers that come back; the oldest go first
	heldMax    = 32   // packets that wait until there are keys for them
)

// tickets are the sessions that peers may resume, each once (RFC 8446 §8.1): who shows a ticket again makes a handshake from the beginning, so that
// early data can't be replayed. All are lost with the process, and so nothing from before a restart is taken a second time after it.
type tickets struct {
	mu       sync.Mutex // protects what follows
	sessions map[[16]byte]*tls.SessionState
	order    [][16]byte // as they were given out; used ones stay in it until it is their turn
}

// wrap keeps a session, and returns the ticket for it.
func (t *tickets) wrap(_ tls.ConnectionState, s *tls.SessionState) ([]byte, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sessions == nil {
		t.sessions = map[[16]byte]*tls.SessionState{}
	}
	if len(t.order) == ticketsMax {
		delete(t.sessions, t.order[0])
		t.order = append(t.order[:0], t.order[1:]...)
	}
	t.sessions[id], t.order = s, append(t.order, id)
	return id[:], nil
}

// unwrap gives a session out for its ticket, once.
func (t *tickets) unwrap(ticket []byte, _ tls.ConnectionState) (*tls.SessionState, error) {
	if len(ticket) != 16 {
		return nil, nil
	}
	id := [16]byte(ticket)
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[id]
	delete(t.sessions, id)
	return s, nil
}

// Handshakes counts the handshakes of the connections that came to an endpoint.
type Handshakes struct {
	Full    uint64 // with certificates
	Resumed uint64 // by a ticket
	Early   uint64 // of those, with early data
}

// Handshakes returns the counts until now.
func (e *Endpoint) Handshakes() Handshakes {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.handshakes
}

// DialEarly is Dial for who has something to say that may arrive twice: it returns as soon as a stream of OpenEarly can leave. That is at once where
// the node gave us a ticket in an earlier connection, and else when it has shown its certificate, a round trip before Dial does.
func (e *Endpoint) DialEarly(ctx context.Context, addr netip.AddrPort, name string) (*Conn, error) {
	c, err := e.dial(ctx, addr, name)
	if err != nil {
		return nil, err
	}
	if err := e.wait(ctx, c, c.begun); err != nil {
		return nil, err
	}
	return c, nil
}

// Established is closed when both sides have proven who they are.
func (c *Conn) Established() <-chan struct{} { return c.established }

// OpenEarly is OpenStream for what may be sent twice and is harmless then, as a request with a safe method (RFC 9110 §9.2.1): it doesn't wait for the
// end of the handshake. What the peer doesn't take early is sent again after it.
func (c *Conn) OpenEarly(ctx context.Context) (*Stream, error) { return c.openStream(ctx, true) }

// resuming is told that a session is about to be resumed.
func (c *Conn) resuming(s *tls.SessionState) {
	if c.dialed {
		// The last of what is kept beside the session is what the peer allowed (RFC 9000 §7.4.1).
		ok := false
		if n := len(s.Extra); n > 0 {
			if p, err := parseParams(s.Extra[n-1]); err == nil {
				c.peer, ok = p, true
				c.sendLimit, c.openMax = p.data, p.streams
			}
		}
		s.EarlyData = s.EarlyData && ok
		return
	}
	// Who comes back from the same address has proven it; others may not have answers sent there before they have.
	ip := c.hs.to.addr.Addr().AsSlice()
	s.EarlyData = s.EarlyData && c.hs.to.label == 0 && len(s.Extra) > 0 && bytes.Equal(s.Extra[0], ip)
	c.hs.resumed = true
}

// giveTicket lets the peer come back.
func (c *Conn) giveTicket() error {
	ip := c.primary.remote.addr.Addr().AsSlice()
	if err := c.quic.SendSessionTicket(tls.QUICSessionTicketOptions{EarlyData: true, Extra: [][]byte{ip}}); err != nil {
		return fmt.Errorf("session ticket: %w", err)
	}
	return nil
}

// storeSession keeps the peer's ticket, with what the peer allows.
func (c *Conn) storeSession(s *tls.SessionState) error {
	s.Extra = append(s.Extra, c.peer.append(nil))
	return c.quic.StoreSession(s)
}

var errShrunk = errors.New("the peer allows less than when it gave the ticket; connect again")

// limits takes the peer's parameters. Streams that were opened early go on with them.
func (c *Conn) limits(p params) error {
	if c.opened > 0 && (p.data < c.peer.data || p.stream < c.peer.stream || p.streams < c.peer.streams) {
		return errShrunk
	}
	c.peer = p
	c.sendLimit, c.openMax = p.data, p.streams
	for _, s := range c.streams {
		s.out.limit = max(s.out.limit, p.stream)
	}
	return nil
}

// begins says that streams can leave, if only early ones.
func (c *Conn) begins() {
	if c.dialed {
		c.beginOnce.Do(func() { close(c.begun) })
	}
	c.openCond.Broadcast()
}

// refusedEarly takes back what was sent early: the peer has thrown it away.
func (c *Conn) refusedEarly(now time.Time) {
	c.hs.earlySeal = nil
	c.stats.EarlyRefused = true
	c.abandon(now, c.primary)
}

// admitEarly lets a peer in that has resumed a session with early data; the rest of its handshake follows.
func (c *Conn) admitEarly(now time.Time) error {
	h := c.hs
	if h == nil || c.dialed || h.earlyOpen == nil || c.writeKey == nil || c.sealer != nil || h.verified == nil {
		return nil
	}
	name, err := c.endpoint.options.Admit(*h.verified)
	if err != nil {
		return &CloseError{Code: CodeRefused, Reason: err.Error()}
	}
	c.name, c.tls = name, *h.verified
	c.sealer = c.writeKey
	c.lastHeard, c.lastSent = now, now
	h.proven, c.primary.valid = true, true
	c.endpoint.arrive(c)
	return nil
}

// earlyArrived takes an early packet.
func (c *Conn) earlyArrived(now time.Time, p *helloPacket) error {
	if c.hs.earlyOpen == nil || c.sealer == nil {
		return nil // refused, or before what it depends on: it is sent again
	}
	number := wire.Expand(p.header.Number, c.newest[0].Load())
	var nonce [12]byte
	frames, err := c.hs.earlyOpen.open(p.bytes, wire.LongSize, 0, number, &nonce)
	if err != nil {
		c.stats.Damaged++
		return nil
	}
	return c.take(now, &opened{path: 0, number: number, size: len(p.bytes), frames: frames, from: p.from, early: true})
}

// allowedEarly says whether a frame may come in an early packet (RFC 9000 §12.5).
func allowedEarly(t wire.Type) bool {
	switch t {
	case wire.Padding, wire.Ping, wire.Stream, wire.Reset, wire.Stop:
		return true
	}
	return false
}

// heldPacket is a packet that came before there were keys for it.
type heldPacket struct {
	bytes []byte
	from  remote
}

// hold keeps a packet until the handshake is so far.
func (c *Conn) hold(b []byte, from remote) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hs != nil && c.err == nil && c.opener.Load() == nil && len(c.held) < heldMax {
		c.held = append(c.held, heldPacket{bytes.Clone(b), from})
	}
}

// release takes the packets that were held, once there are keys for them.
func (c *Conn) release(now time.Time) {
	if len(c.held) == 0 || c.opener.Load() == nil {
		return
	}
	held := c.held
	c.held = nil
	var nonce [12]byte
	for _, h := range held {
		o, ok := c.open(h.bytes, h.from, &nonce)
		if !ok {
			c.stats.Damaged++
			continue
		}
		if err := c.take(now, &o); err != nil {
			c.fail(err, true)
		}
		if c.err != nil {
			return
		}
	}
}
