package overlay

import (
	"crypto/hmac"
	"time"

	"github.com/wherry/wherry/overlay/seal"
	"github.com/wherry/wherry/overlay/wire"
)

// unknown answers a packet for a connection that isn't there. The answer is shorter than the packet, so that two nodes never go on at it.
func (e *Endpoint) unknown(b []byte, id wire.ID, from remote) {
	if len(b) > wire.ResetSize+wire.EnvelopeSize {
		e.reply(wire.AppendReset(nil, id, seal.Token(e.options.Secret, id)), from)
	}
}

func (e *Endpoint) reply(b []byte, to remote) {
	if to.label != 0 {
		b = append(wire.AppendEnvelope(nil, to.label), b...)
	}
	_ = e.socket.Write(b, len(b), to.addr)
}

// hello takes a packet of a handshake: of a connection that is there, or of a new one.
func (e *Endpoint) hello(b []byte, from remote) {
	var h wire.Header
	if h.Parse(b) != nil {
		return
	}
	key := stranger{from, h.To}
	e.mu.RLock()
	c := e.conns[h.To]
	if c == nil {
		c = e.strange[key]
	}
	half := e.halfOpen
	e.mu.RUnlock()
	p := helloPacket{h, append([]byte(nil), b...), from}
	switch {
	case c != nil:
		c.helloArrived(p)
	case h.Kind == wire.KindInitial && len(b) >= packetMin && half < halfOpenMax:
		e.stranger(p, key, half >= halfOpenFree)
	}
}

// stranger begins a connection that another node opens. When many are half open already, it must show first that its address is its own.
func (e *Endpoint) stranger(p helloPacket, key stranger, strict bool) {
	client, _, err := seal.Initial(p.header.To)
	if err != nil {
		return
	}
	var nonce [12]byte
	frames, err := client.Open(append([]byte(nil), p.bytes...), wire.LongSize, 0, uint64(p.header.Number), &nonce)
	if err != nil {
		return
	}
	proven := e.cookieIn(frames, p.from)
	if strict && !proven {
		e.reply(wire.AppendRetry(nil, p.header.From, 0, seal.Cookie(e.secret[:], p.from.addr, time.Now())), p.from)
		return
	}
	c, err := e.newConn(false, p.from)
	if err != nil {
		return
	}
	c.stranger = key
	c.mu.Lock()
	if err = c.startHandshake(e.options.Server, p.header.To, p.from, time.Now()); err == nil {
		c.hs.proven = proven
		c.hs.queue = append(c.hs.queue, p)
	}
	c.mu.Unlock()
	if err == nil {
		err = e.start(c)
	}
	if err != nil {
		_ = c.quic.Close()
		return
	}
	c.wakeUp()
}

func (e *Endpoint) cookieIn(b []byte, from remote) bool {
	var f wire.Frame
	if _, err := f.Parse(b); err != nil || f.Type != wire.Cookie {
		return false
	}
	return seal.CookieGood(e.secret[:], f.Data, from.addr, time.Now())
}

// retry takes the demand to come again with a cookie.
func (c *Conn) retry(b []byte) {
	cookie, err := wire.ParseRetry(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || c.hs == nil || !c.dialed || c.hs.cookie != nil {
		return
	}
	c.hs.cookie = cookie[:]
	c.hs.due = time.Time{}
	c.wakeUp()
}

// wasReset is told that the peer doesn't know the connection; it is believed if it knows the token.
func (c *Conn) wasReset(b []byte) {
	token, err := wire.ParseReset(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && hmac.Equal(token[:], c.peer.Token[:]) && c.sealer != nil {
		c.fail(ErrReset, false)
	}
}
