package overlay

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/wherry/wherry/overlay/wire"
)

const heldMax = 32 // packets that wait until there are keys for them

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
			if p, err := wire.ParseParams(s.Extra[n-1]); err == nil {
				c.peer, ok = p, true
				c.sendLimit, c.openMax = p.Data, p.Streams
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
	s.Extra = append(s.Extra, c.peer.Append(nil))
	return c.quic.StoreSession(s)
}

var errShrunk = errors.New("the peer allows less than when it gave the ticket; connect again")

// limits takes the peer's parameters. Streams that were opened early go on with them.
func (c *Conn) limits(p wire.Params) error {
	if c.opened > 0 && (p.Data < c.peer.Data || p.Stream < c.peer.Stream || p.Streams < c.peer.Streams) {
		return errShrunk
	}
	c.peer = p
	c.sendLimit, c.openMax = p.Data, p.Streams
	for _, s := range c.streams {
		s.out.limit = max(s.out.limit, p.Stream)
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
	frames, err := c.hs.earlyOpen.Open(p.bytes, wire.LongSize, 0, number, &nonce)
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

// hold keeps a packet until the handshake is so far.
func (c *Conn) hold(b []byte, from remote) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hs != nil && c.err == nil && c.opener.Load() == nil && len(c.held) < heldMax {
		c.held = append(c.held, helloPacket{bytes: bytes.Clone(b), from: from})
	}
}

// release takes the packets that were held, once there are keys for them.
func (c *Conn) release(now time.Time) {
	var nonce [12]byte
	for len(c.held) > 0 && c.err == nil && c.opener.Load() != nil {
		h := c.held[0]
		c.held = c.held[1:]
		o, ok := c.open(h.bytes, h.from, &nonce)
		if !ok {
			c.stats.Damaged++
		} else if err := c.take(now, &o); err != nil {
			c.fail(err, true)
		}
	}
}
