package overlay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/wherry/wherry/overlay/wire"
)

// unknown answers a packet for a connection that isn't there. The answer is shorter than the packet, so that two nodes never go on at it.
func (e *Endpoint) unknown(b []byte, id wire.ID, from remote) {
	if len(b) > wire.ResetSize+wire.EnvelopeSize {
		e.reply(wire.AppendReset(nil, id, e.token(id)), from)
	}
}

func (e *Endpoint) reply(b []byte, to remote) {
	if to.label != 0 {
		b = append(wire.AppendEnvelope(nil, to.label), b...)
	}
	_ = e.socket.Write(b, len(b), to.addr)
}

// token is the proof that a reset comes from this node: only it and the peer of the connection know it.
func (e *Endpoint) token(id wire.ID) (t [16]byte) {
	secret := e.options.Secret
	if len(secret) == 0 {
		secret = e.secret[:]
	}
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("reset"))
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(id)))
	copy(t[:], m.Sum(nil))
	return t
}

// cookie proves that who shows it was reached at that address within the last minute.
func (e *Endpoint) cookie(from remote, minute int64) (c [wire.CookieSize]byte) {
	m := hmac.New(sha256.New, e.secret[:])
	m.Write([]byte("cookie"))
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(minute)))
	m.Write([]byte(from.addr.String()))
	return [wire.CookieSize]byte(m.Sum(nil))
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
	client, _, err := initialKeys(p.header.To)
	if err != nil {
		return
	}
	var nonce [12]byte
	frames, err := client.open(append([]byte(nil), p.bytes...), wire.LongSize, 0, uint64(p.header.Number), &nonce)
	if err != nil {
		return
	}
	proven := e.cookieIn(frames, p.from)
	if strict && !proven {
		e.reply(wire.AppendRetry(nil, p.header.From, 0, e.cookie(p.from, time.Now().Unix()/60)), p.from)
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
	minute := time.Now().Unix() / 60
	for _, m := range []int64{minute, minute - 1} {
		if want := e.cookie(from, m); hmac.Equal(f.Data, want[:]) {
			return true
		}
	}
	return false
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
	if err == nil && hmac.Equal(token[:], c.peer.token[:]) && c.sealer != nil {
		c.fail(ErrReset, false)
	}
}
