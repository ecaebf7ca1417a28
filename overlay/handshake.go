package overlay

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/wherry/wherry/overlay/seal"
	"github.com/wherry/wherry/overlay/wire"
)

const (
	helloWait     = 250 * time.Millisecond // until a flight that wasn't answered leaves again; twice as long each time
	helloWaitMax  = 2 * time.Second
	helloBytesMax = 64 << 10 // of TLS's messages of one level
	helloQueueMax = 16       // packets that wait for pump
)

// handshake is TLS 1.3 between the two nodes, carried in flights: what isn't confirmed leaves again, all of it. It belongs to conn.mu, and only
// pump works on it, so that certificates are checked in the connection's own goroutine and not in the reader's.
type handshake struct {
	levels         [2]level // initial, handshake
	original       wire.ID  // that the first packet was sent to; the initial keys come from it
	to             remote
	cookie         []byte
	proven         bool      // the peer's address is its own
	in, out        int       // bytes, for the guard against amplification
	left, answered bool      // this side's first flight was
	flown          time.Time // when this side's first flight left; zero: it left more than once, or has been answered

	earlySeal, earlyOpen *seal.Key // of packets before the handshake is done
	offered              bool      // such packets may have left, and weren't refused
	resumed              bool
	verified             *tls.ConnectionState // what TLS has verified, as soon as it has
	began                time.Time
	due                  time.Time
	wait                 time.Duration
	queue                []helloPacket
	refusal              []byte // the close frame to send
}

// level is one of TLS's encryption levels.
type level struct {
	seal, open *seal.Key
	number     uint64
	out        []byte // all that TLS wrote
	acked      int    // of it
	got        int    // bytes that were given to TLS
	ack        bool   // the peer wants to know
}

type helloPacket struct {
	header wire.Header
	bytes  []byte
	from   remote
}

func levelOf(k wire.Kind) (int, tls.QUICEncryptionLevel) {
	if k == wire.KindInitial {
		return 0, tls.QUICEncryptionLevelInitial
	}
	return 1, tls.QUICEncryptionLevelHandshake
}

// startHandshake prepares TLS and lets it say its first words.
func (c *Conn) startHandshake(config *tls.Config, original wire.ID, to remote, now time.Time) error {
	client, server, err := seal.Initial(original)
	if err != nil {
		return err
	}
	h := &handshake{original: original, to: to, began: now, due: now, wait: helloWait}
	if !c.dialed {
		config = c.verifying(config, h)
	}
	q := &tls.QUICConfig{TLSConfig: config, EnableSessionEvents: true}
	if c.dialed {
		h.levels[0].seal, h.levels[0].open = client, server
		h.proven = true
		c.quic = tls.QUICClient(q)
	} else {
		h.levels[0].seal, h.levels[0].open = server, client
		c.quic = tls.QUICServer(q)
	}
	c.hs = h
	c.quic.SetTransportParameters(c.own.Append(nil))
	if err := c.quic.Start(context.Background()); err != nil {
		return err
	}
	if err := c.tlsEvents(now); err != nil {
		return err
	}
	if c.dialed {
		c.unanswered = now
	}
	if h.earlySeal != nil {
		h.offered = true
		c.begins()
	}
	return nil
}

// verifying notes what TLS verifies while the handshake goes on.
func (c *Conn) verifying(config *tls.Config, h *handshake) *tls.Config {
	config = config.Clone()
	verify := config.VerifyConnection
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		if verify != nil {
			if err := verify(cs); err != nil {
				return err
			}
		}
		h.verified = &cs
		return nil
	}
	return config
}

// tlsEvents does what TLS asks for.
func (c *Conn) tlsEvents(now time.Time) error {
	for {
		switch e := c.quic.NextEvent(); e.Kind {
		case tls.QUICNoEvent:
			return c.admitEarly(now)
		case tls.QUICSetReadSecret, tls.QUICSetWriteSecret:
			if err := c.secret(e); err != nil {
				return err
			}
		case tls.QUICWriteData:
			c.tlsWrites(e.Level, e.Data)
		case tls.QUICTransportParameters:
			p, err := wire.ParseParams(e.Data)
			if err != nil {
				return err
			}
			if err := c.limits(p); err != nil {
				return err
			}
		case tls.QUICHandshakeDone:
			if err := c.shaken(now); err != nil {
				return err
			}
		case tls.QUICStoreSession:
			if err := c.storeSession(e.SessionState); err != nil {
				return err
			}
		case tls.QUICResumeSession:
			c.resuming(e.SessionState)
		case tls.QUICRejectedEarlyData:
			c.refusedEarly(now)
		}
	}
}

func (c *Conn) secret(e tls.QUICEvent) error {
	k, err := seal.New(e.Suite, append([]byte(nil), e.Data...))
	if err != nil {
		return err
	}
	read := e.Kind == tls.QUICSetReadSecret
	switch {
	case e.Level == tls.QUICEncryptionLevelEarly && read:
		c.hs.earlyOpen = k
	case e.Level == tls.QUICEncryptionLevelEarly:
		c.hs.earlySeal = k
	case e.Level == tls.QUICEncryptionLevelHandshake && read:
		c.hs.levels[1].open = k
	case e.Level == tls.QUICEncryptionLevelHandshake:
		c.hs.levels[1].seal = k
	case e.Level == tls.QUICEncryptionLevelApplication && read:
		next, err := k.Next()
		if err != nil {
			return err
		}
		// TLS may give this key after it says that it is done.
		if c.readKeys = (&openers{now: k, next: next}); c.shook {
			c.opener.Store(c.readKeys)
		}
	case e.Level == tls.QUICEncryptionLevelApplication:
		c.writeKey = k
	}
	return nil
}

func (c *Conn) tlsWrites(l tls.QUICEncryptionLevel, b []byte) {
	switch l {
	case tls.QUICEncryptionLevelInitial:
		c.hs.levels[0].out = append(c.hs.levels[0].out, b...)
	case tls.QUICEncryptionLevelHandshake:
		c.hs.levels[1].out = append(c.hs.levels[1].out, b...)
	case tls.QUICEncryptionLevelApplication:
		const piece = 1000
		for len(b) > 0 {
			n := min(piece, len(b))
			c.control(wire.AppendBytes(nil, wire.Crypto, b[:n], c.cryptoSent))
			c.cryptoSent += uint64(n)
			b = b[n:]
		}
	}
}

// shaken is told that both sides know who the other is, if the endpoint lets it in.
func (c *Conn) shaken(now time.Time) error {
	state := c.quic.ConnectionState()
	name, err := c.endpoint.options.Admit(state)
	if err != nil {
		return &CloseError{Code: CodeRefused, Reason: err.Error()}
	}
	early := c.sealer != nil
	c.name, c.tls, c.shook = name, state, true
	c.sealer = c.writeKey
	c.opener.Store(c.readKeys)
	c.lastHeard, c.lastSent = now, now
	c.primary.valid = true
	c.endpoint.known(c, early)
	if c.dialed {
		c.begins()
		return nil
	}
	c.settled()
	c.control([]byte{byte(wire.Done)})
	if err := c.giveTicket(); err != nil {
		return err
	}
	if !early {
		c.endpoint.arrive(c)
	}
	return nil
}

// confirm ends the handshake of who dialed: the peer's packet shows that it has our last flight.
func (c *Conn) confirm() {
	if c.hs != nil && c.dialed && c.shook {
		c.settled()
	}
}

// settled ends the handshake.
func (c *Conn) settled() {
	c.hs, c.confirmed = nil, true
	close(c.established)
	c.openCond.Broadcast()
}

// helloArrived queues a packet of the handshake for pump.
func (c *Conn) helloArrived(p helloPacket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hs != nil && len(c.hs.queue) < helloQueueMax {
		c.hs.queue = append(c.hs.queue, p)
		c.wakeUp()
	}
}

// hsWork takes the packets that wait.
func (c *Conn) hsWork(now time.Time) {
	for c.hs != nil && c.err == nil && len(c.hs.queue) > 0 {
		p := c.hs.queue[0]
		c.hs.queue = c.hs.queue[1:]
		if err := c.hello(now, &p); err != nil {
			c.failHandshake(err)
		}
	}
	if c.err == nil {
		c.release(now)
	}
}

func (c *Conn) failHandshake(err error) {
	var alert tls.AlertError
	var closed *CloseError
	switch {
	case errors.As(err, &closed):
	case errors.As(err, &alert):
		err = &CloseError{Code: CodeHandshake + uint64(alert), Reason: err.Error()}
	default:
		err = &CloseError{Code: CodeHandshake, Reason: err.Error()}
	}
	c.fail(err, true)
}

// hello takes one packet of the handshake.
func (c *Conn) hello(now time.Time, p *helloPacket) error {
	if p.header.Kind == wire.KindEarly {
		return c.earlyArrived(now, p)
	}
	i, tlsLevel := levelOf(p.header.Kind)
	l := &c.hs.levels[i]
	if l.open == nil {
		return nil // its turn comes when the peer sends it again
	}
	var nonce [12]byte
	b, err := l.open.Open(p.bytes, wire.LongSize, 0, uint64(p.header.Number), &nonce)
	if err != nil {
		c.stats.Damaged++
		return nil
	}
	c.hs.in += len(p.bytes)
	c.unanswered = time.Time{}
	if t := c.hs.flown; !t.IsZero() {
		c.primary.track.RTT.Add(now, now.Sub(t), 0)
		c.hs.flown, c.hs.answered = time.Time{}, true
	}
	c.hs.proven = c.hs.proven || i == 1
	if c.remote == 0 || c.dialed && i == 0 && c.remote == c.hs.original {
		c.remote = p.header.From
	}
	var f wire.Frame
	for len(b) > 0 {
		if b, err = f.Parse(b); err != nil {
			return err
		}
		if err := c.helloFrame(now, l, tlsLevel, &f); err != nil || c.hs == nil || c.err != nil {
			return err
		}
	}
	if l.ack || len(l.out) > l.acked {
		c.hs.due = now
	}
	return nil
}

func (c *Conn) helloFrame(now time.Time, l *level, tlsLevel tls.QUICEncryptionLevel, f *wire.Frame) error {
	switch f.Type {
	case wire.Crypto:
		end := int(f.Offset) + len(f.Data)
		l.ack = true
		if int(f.Offset) > l.got || end <= l.got {
			return nil
		}
		if end > helloBytesMax {
			return errors.New("the handshake is too long")
		}
		fresh := f.Data[l.got-int(f.Offset):]
		l.got = end
		c.hs.wait = helloWait
		if err := c.quic.HandleData(tlsLevel, fresh); err != nil {
			return err
		}
		return c.tlsEvents(now)
	case wire.CryptoAck:
		if n := int(f.Offset); n > l.acked && n <= len(l.out) {
			l.acked = n
			c.hs.wait = helloWait
		}
	case wire.Close:
		c.fail(&CloseError{Code: f.Code, Reason: string(f.Data), Remote: true}, false)
	}
	return nil
}

// hsExpire gives up when the handshake takes too long.
func (c *Conn) hsExpire(now time.Time) {
	if now.Sub(c.hs.began) >= c.endpoint.options.HandshakeTimeout {
		c.fail(errHandshakeTime, false)
	}
}

// hsPackets are the datagrams of the handshake that leave now.
func (c *Conn) hsPackets(now time.Time) (list [][]byte) {
	h := c.hs
	if h == nil {
		return nil
	}
	if c.closing != nil && c.sealer == nil {
		h.refusal, c.closing = c.closing, nil
	}
	if now.Before(h.due) && h.refusal == nil {
		return nil
	}
	for i := range h.levels {
		l := &h.levels[i]
		if l.seal == nil {
			continue
		}
		for at := l.acked; ; {
			b, next := c.hsPacket(i, l, at)
			if b == nil || !h.proven && h.out+len(b) > 3*h.in {
				break
			}
			h.out += len(b)
			list = append(list, b)
			if at = next; at >= len(l.out) || h.refusal != nil {
				break
			}
		}
	}
	switch {
	case len(list) == 0:
	case h.left || h.answered:
		h.flown = time.Time{}
	default:
		h.flown, h.left = now, true
	}
	h.refusal = nil
	h.due = now.Add(h.wait)
	h.wait = min(2*h.wait, helloWaitMax)
	return list
}

// hsPacket puts one packet together with what TLS wrote from at on; nil if there is nothing to say.
func (c *Conn) hsPacket(i int, l *level, at int) (b []byte, next int) {
	h := c.hs
	if !l.ack && at >= len(l.out) && h.refusal == nil {
		return nil, at
	}
	kind := wire.KindInitial
	if i == 1 {
		kind = wire.KindHandshake
	}
	header := wire.Header{Kind: kind, To: c.remote, From: c.local, Number: uint32(l.number)}
	if c.remote == 0 {
		header.To = h.original
	}
	b = header.Append(make([]byte, 0, packetMin))
	if i == 0 && h.cookie != nil {
		b = append(append(b, byte(wire.Cookie)), h.cookie...)
	}
	if l.ack {
		b = wire.AppendInts(b, wire.CryptoAck, uint64(l.got))
		l.ack = false
	}
	if h.refusal != nil {
		b = append(b, h.refusal...)
	} else if n := min(len(l.out)-at, packetMin-wire.TagSize-len(b)-12); n > 0 {
		b = wire.AppendBytes(b, wire.Crypto, l.out[at:at+n], uint64(at))
		at += n
	}
	if i == 0 && c.dialed {
		b = append(b, make([]byte, packetMin-wire.TagSize-len(b))...) // RFC 9000 §14.1: the answer may be three times as long
	}
	var nonce [12]byte
	b = l.seal.Seal(b, wire.LongSize, 0, l.number, &nonce)
	l.number++
	return b, at
}

// ticket takes TLS's words that come in data packets.
func (c *Conn) ticket(f *wire.Frame) error {
	ready, err := c.crypto.Add(f.Offset, f.Data)
	for _, b := range ready {
		if err := c.quic.HandleData(tls.QUICEncryptionLevelApplication, b); err != nil {
			return err
		}
		if err := c.tlsEvents(time.Now()); err != nil {
			return err
		}
	}
	return err
}
