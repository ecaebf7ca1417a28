package overlay

import (
	"time"

	"github.com/wherry/wherry/overlay/loss"
	"github.com/wherry/wherry/overlay/seal"
	"github.com/wherry/wherry/overlay/udp"
	"github.com/wherry/wherry/overlay/wire"
)

// batch is packets of one path that leave with one call: all as long as the first, but the last. They are put together under the
// connection's lock, and sealed and sent without it.
type batch struct {
	buffer  []byte
	items   []item
	segment int
	header  int // bytes of the header of the packet that is put together
	to      remote
	path    byte
	key     *seal.Key
	nonce   [12]byte
}

// item is a packet in a batch.
type item struct {
	start, header, end int // of the envelope or header; of the frames; of the frames' end, where the tag goes
	number             uint64
}

func newBatch() *batch { return &batch{buffer: make([]byte, 0, udp.BatchMax+1024)} }

func (b *batch) reset(p *path, k *seal.Key) {
	b.buffer, b.items = b.buffer[:0], b.items[:0]
	b.segment, b.to, b.path, b.key = 0, p.remote, p.id, k
}

// send seals the packets and lets them go.
func (b *batch) send(s *udp.Socket) error {
	envelope := b.to.envelope()
	for _, it := range b.items {
		head := it.start + envelope
		b.key.Seal(b.buffer[head:it.end:it.end+wire.TagSize], it.header-head, b.path, it.number, &b.nonce)
	}
	return s.Write(b.buffer, b.segment, b.to.addr)
}

// pump sends what is to be sent until the connection is over.
func (c *Conn) pump() {
	b := newBatch()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.mu.Lock()
		now := time.Now()
		c.hsWork(now)
		c.expire(now)
		hello, to := c.hsPackets(now), c.primary.remote
		c.fill(now, b)
		over := c.err != nil && len(b.items) == 0
		due := c.due()
		c.looks = due
		c.mu.Unlock()
		for _, p := range hello {
			c.endpoint.reply(p, to)
		}
		if len(b.items) > 0 {
			c.transmit(b)
			continue
		}
		if over {
			return
		}
		timer.Reset(max(time.Until(due), 0))
		select {
		case <-c.wake:
		case <-timer.C:
		}
	}
}

// transmit sends a batch and deals with what the socket says of it.
func (c *Conn) transmit(b *batch) {
	err := b.send(c.endpoint.socket)
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.paths[b.path]; p != nil {
		c.unsendable(p, err)
	}
}

// afterwards is for the reader when it has processed packets: it sends acknowledgements itself if that is all that there is to send, and wakes pump
// for everything else that is due earlier than pump would look.
func (c *Conn) afterwards(now time.Time, b *batch) {
	c.mu.Lock()
	b.items = b.items[:0]
	wake := c.err != nil || c.sealer == nil || c.sendsNow(now)
	if !wake {
		for _, p := range c.paths {
			if p != nil && p.acks.Now && len(b.items) == 0 {
				b.reset(p, c.key())
				c.packet(now, p, b, p.size.Size, false)
			}
		}
		due := c.due()
		wake = !due.IsZero() && due.Before(c.looks)
	}
	c.mu.Unlock()
	if len(b.items) > 0 {
		c.transmit(b)
	}
	if wake {
		c.wakeUp()
	}
}

// sendsNow says whether pump would find more to send now than acknowledgements.
func (c *Conn) sendsNow(now time.Time) bool {
	for _, p := range c.paths {
		if p != nil && (len(p.proofs) > 0 || p.demanded || p.probes > 0) {
			return true
		}
	}
	for _, p := range c.order() {
		if p != nil && p.room(now) && c.pendingOn(p) {
			return true
		}
	}
	return false
}

// key is what packets are sealed with now; nil: there is none yet.
func (c *Conn) key() *seal.Key {
	if c.sealer == nil && c.hs != nil {
		return c.hs.earlySeal
	}
	return c.sealer
}

// fill puts the next packets into b; none if there is nothing to send now.
func (c *Conn) fill(now time.Time, b *batch) {
	b.items = b.items[:0]
	if c.key() == nil || c.err != nil && c.closing == nil {
		return
	}
	if c.closing != nil {
		b.reset(c.primary, c.key())
		c.packet(now, c.primary, b, packetMin, false)
		c.closing = nil
		return
	}
	for _, p := range c.paths {
		if p != nil && c.fillOwn(now, p, b) {
			return
		}
	}
	for _, p := range c.order() {
		if p == nil {
			break
		}
		if c.fillData(now, p, b) {
			return
		}
	}
}

// fillOwn puts together what only this path can carry: acknowledgements, proofs, sizes to try.
func (c *Conn) fillOwn(now time.Time, p *path, b *batch) bool {
	if c.sealer == nil {
		return false // early packets carry streams, and nothing else
	}
	b.reset(p, c.key())
	if len(p.proofs) > 0 {
		b.to = p.proofsTo[0]
		c.packet(now, p, b, packetMin, false)
		return len(b.items) > 0
	}
	if due := p.challengeDue(); !p.retired && (p.demanded || !due.IsZero() && !now.Before(due)) {
		if p.moving != (remote{}) {
			b.to = p.moving
		}
		p.prove(now)
		p.proving = true
		c.packet(now, p, b, packetMin, false)
		p.proving = false
		return len(b.items) > 0
	}
	if size := p.nextSize(now, int(c.peer.Size)); size > 0 && p.track.InFlight()+size <= p.controller.Window() {
		c.sizeProbe(now, p, b, size)
		return true
	}
	if p.acks.Ready(now) && !c.hasData(p, now) {
		c.packet(now, p, b, p.size.Size, false)
		return len(b.items) > 0
	}
	return false
}

// hasData says that a packet with more than an acknowledgement can leave on p now, so that the acknowledgement goes with it.
func (c *Conn) hasData(p *path, now time.Time) bool {
	return p == c.primary && p.usable() && (p.probes > 0 || p.room(now)) && c.pending()
}

// pending says whether there is anything that the window holds back.
func (c *Conn) pending() bool {
	if c.sealer != nil && (len(c.frames) > 0 || c.raiseAll || c.raiseCount || len(c.raised) > 0 || len(c.outbox) > 0) {
		return true
	}
	for i := range c.active {
		for _, s := range c.active[i] {
			if c.sendable(s) {
				return true
			}
		}
	}
	return false
}

// sendable says whether a stream on the list can send something within the connection's flow control.
func (c *Conn) sendable(s *Stream) bool {
	out := &s.out
	return s.ready() && (len(out.lost) > 0 || c.sentFresh < c.sendLimit || out.fin && out.sent == out.written)
}

// fillData puts packets with data together for as long as window and pace allow.
func (c *Conn) fillData(now time.Time, p *path, b *batch) bool {
	b.reset(p, c.key())
	quantum := udp.BatchMax
	if rate := p.controller.Rate(); rate > 0 {
		quantum = min(max(int(rate*paceSlack.Seconds()), 2*p.size.Size), udp.BatchMax)
	}
	size := p.size.Size + p.remote.envelope()
	// The pace counts where a batch begins: a batch is as much as leaves in a slack, so that nobody wakes up for each packet.
	paced := !now.Before(p.pace)
	for len(b.items) < udp.SegmentsMax && len(b.buffer) < quantum && len(b.buffer)+size <= udp.BatchMax {
		forced := p.probes > 0
		if !forced && !(paced && p.open()) {
			break
		}
		if !forced && !c.pendingOn(p) {
			p.track.Limited()
			break
		}
		start := len(b.buffer)
		if !c.packet(now, p, b, p.size.Size, true) {
			break
		}
		if forced {
			p.probes--
		}
		if len(b.buffer)-start < size {
			break // only the last of a batch may be shorter
		}
	}
	return len(b.items) > 0
}

// sizeProbe tries whether a larger packet gets through.
func (c *Conn) sizeProbe(now time.Time, p *path, b *batch, size int) {
	p.size.Sent()
	start := c.begin(p, b)
	b.buffer = append(b.buffer, byte(wire.Ping))
	pad := size + p.remote.envelope() - wire.TagSize - (len(b.buffer) - start)
	b.buffer = append(b.buffer, make([]byte, pad)...)
	c.finish(now, p, b, start, loss.Packet[cargo]{Eliciting: true, Probe: true})
}

// begin writes envelope and header.
func (c *Conn) begin(p *path, b *batch) (start int) {
	start = len(b.buffer)
	if b.to.label != 0 {
		b.buffer = wire.AppendEnvelope(b.buffer, b.to.label)
	}
	h := wire.Header{Kind: wire.KindData, Phase: c.sealPhase, To: c.remote, Path: p.id, Number: uint32(p.track.Next())}
	if c.sealer == nil {
		h = wire.Header{Kind: wire.KindEarly, To: c.remote, From: c.local, Number: uint32(p.track.Next())}
	}
	b.buffer = h.Append(b.buffer)
	b.header = h.Size()
	return start
}

// finish hands the packet to the tracker and leaves room for the tag.
func (c *Conn) finish(now time.Time, p *path, b *batch, start int, sent loss.Packet[cargo]) {
	end := len(b.buffer)
	b.buffer = append(b.buffer, make([]byte, wire.TagSize)...)
	n := len(b.buffer) - start
	b.items = append(b.items, item{start, start + b.to.envelope() + b.header, end, p.track.Next()})
	b.segment = max(b.segment, n)
	if sent.Eliciting && p.track.InFlight() == 0 && !p.idleSince.IsZero() {
		p.controller.OnIdle(now, now.Sub(p.idleSince))
		p.idleSince = time.Time{}
	}
	sent.Number, sent.Bytes = p.track.Next(), n
	p.track.Sent(now, sent)
	if sent.Eliciting {
		p.controller.OnSent(now, n, p.track.InFlight())
		p.left(now, n)
		c.lastSent = now
		if c.unanswered.IsZero() {
			c.unanswered = now
		}
	}
	p.bytesOut += uint64(n)
	c.seals++
	if c.sealer == nil {
		c.stats.Early++
	}
	c.stats.PacketsSent++
	c.stats.BytesSent += uint64(n)
}

// packetLeast is room for a header, an acknowledgement and a proof.
const packetLeast = 100

// packet puts one packet together: an acknowledgement if one is due, and, if data is set, what else there is. It says whether the packet
// has anything in it.
func (c *Conn) packet(now time.Time, p *path, b *batch, size int, data bool) bool {
	size = min(size+b.to.envelope(), p.allowed())
	if size < packetLeast {
		return false
	}
	start := c.begin(p, b)
	first := len(b.buffer)
	most := start + size - wire.TagSize
	var sent loss.Packet[cargo]
	if (p.acks.Ready(now) || data && p.acks.Waiting > 0) && len(p.received.Ranges()) > 0 {
		c.appendAck(now, p, b)
		c.retellAcks(now, p, b, most)
	}
	switch {
	case c.closing != nil:
		b.buffer = append(b.buffer, c.closing...)
	case len(p.proofs) > 0:
		b.buffer = wire.AppendProof(b.buffer, wire.Response, p.proofs[0])
		p.proofs, p.proofsTo = p.proofs[1:], p.proofsTo[1:]
	case p.proving:
		// As long as every path must carry, so that the answer may be too (RFC 9000 §8.2.1).
		b.buffer = wire.AppendProof(b.buffer, wire.Challenge, p.challenge)
		b.buffer = append(b.buffer, make([]byte, max(most-len(b.buffer), 0))...)
		sent.Eliciting = p.valid && p.moving == (remote{})
	case data:
		if c.sealer != nil && p == c.primary {
			c.appendControl(b, most, &sent)
			c.appendDatagrams(b, most, &sent)
		}
		c.appendStreams(b, most, &sent, p != c.primary)
		if p == c.primary {
			c.appendRepairs(b, most, &sent)
		}
		if !sent.Eliciting && p.probes > 0 {
			b.buffer = append(b.buffer, byte(wire.Ping))
			sent.Eliciting = true
		}
	}
	if len(b.buffer) == first {
		b.buffer = b.buffer[:start]
		return false
	}
	c.finish(now, p, b, start, sent)
	return true
}

const ackRanges = 32 // the newest; older ones were in earlier acknowledgements

func (c *Conn) appendAck(now time.Time, p *path, b *batch) {
	ranges := p.received.Ranges()
	delay := max(now.Sub(p.newestAt).Microseconds(), 0)
	b.buffer = wire.AppendAck(b.buffer, p.id, uint64(delay), ranges[:min(len(ranges), ackRanges)])
	p.acks.Left(now)
}

// retellAcks acknowledges on this path what came on others: their own acknowledgements may be lost with them.
func (c *Conn) retellAcks(now time.Time, p *path, b *batch, most int) {
	if c.retell == 0 {
		return
	}
	c.retell--
	for _, o := range c.paths {
		if o != nil && o != p && len(o.received.Ranges()) > 0 && most-len(b.buffer) > 16*ackRanges {
			c.appendAck(now, o, b)
		}
	}
}

// appendControl writes the frames that steer the connection.
func (c *Conn) appendControl(b *batch, most int, sent *loss.Packet[cargo]) {
	const small = 20 // more than any frame of integers has here
	for len(c.frames) > 0 && len(b.buffer)+len(c.frames[0]) <= most {
		b.buffer = append(b.buffer, c.frames[0]...)
		sent.Frames.Add(frame{control: c.frames[0]})
		c.frames = c.frames[1:]
		sent.Eliciting = true
	}
	if c.raiseAll && len(b.buffer)+small <= most {
		b.buffer = wire.AppendInts(b.buffer, wire.MaxData, c.gotLimit)
		sent.Frames.Add(frame{raiseAll: true})
		c.raiseAll, sent.Eliciting = false, true
	}
	if c.raiseCount && len(b.buffer)+small <= most {
		b.buffer = wire.AppendInts(b.buffer, wire.MaxStreams, c.takenMax)
		sent.Frames.Add(frame{raiseCount: true})
		c.raiseCount, sent.Eliciting = false, true
	}
	for len(c.raised) > 0 && len(b.buffer)+small <= most {
		s := c.raised[0]
		c.raised = c.raised[1:]
		if s.in.settled || s.in.known || s.in.stopped {
			continue
		}
		b.buffer = wire.AppendInts(b.buffer, wire.MaxStream, s.id, s.in.limit)
		sent.Frames.Add(frame{raised: s})
		sent.Eliciting = true
	}
}

func (c *Conn) appendDatagrams(b *batch, most int, sent *loss.Packet[cargo]) {
	for len(c.outbox) > 0 {
		if len(b.buffer)+len(c.outbox[0])+5 > most {
			if sent.Eliciting {
				return
			}
			c.outbox = c.outbox[1:] // the path has become narrower
			continue
		}
		b.buffer = wire.AppendBytes(b.buffer, wire.Datagram, c.outbox[0])
		c.outbox = c.outbox[1:]
		sent.Eliciting = true
	}
}

// appendStreams writes bytes of the streams: those of the highest priority first, in turns among equals; large says that only large ones go.
func (c *Conn) appendStreams(b *batch, most int, sent *loss.Packet[cargo], large bool) {
	for i := range c.active {
		for tries := len(c.active[i]); tries > 0 && len(c.active[i]) > 0; tries-- {
			if most-len(b.buffer) < 24+repairHead {
				return
			}
			s := c.active[i][0]
			c.active[i] = c.active[i][1:]
			if c.sendable(s) && (!large || s.bulk()) {
				c.appendStream(b, most, s, sent)
			}
			s.out.queued = false
			c.activate(s)
		}
	}
}

func (c *Conn) appendStream(b *batch, most int, s *Stream, sent *loss.Packet[cargo]) {
	out := &s.out
	offset := out.sent
	if len(out.lost) > 0 {
		offset = out.lost[0].Start
	}
	room := most - len(b.buffer) - wire.StreamOverhead(s.id, offset)
	full := room
	if c.tail.on && !s.bulk() {
		room -= repairHead // so that a row as long as the longest piece fits
	}
	piece, fin, fresh := s.next(room, c.sendLimit-c.sentFresh)
	n := int(piece.End - piece.Start)
	if n == 0 && !fin {
		return
	}
	c.sentFresh += fresh
	c.tail.budget.Earn(fresh, repairShare)
	out.largest = max(out.largest, n)
	whole := n == full
	if !whole && n+wire.IntSize(uint64(n)) > full {
		// The length wouldn't fit: the frame goes to the end of the packet, as if it had filled it.
		whole = true
	}
	b.buffer = wire.AppendStream(b.buffer, s.id, piece.Start, n, fin, whole)
	at := len(b.buffer)
	b.buffer = b.buffer[:at+n]
	out.buffer.Read(piece.Start, b.buffer[at:])
	sent.Frames.Add(frame{stream: s, start: piece.Start, end: piece.End, fin: fin})
	if fin && fresh > 0 {
		c.protect(s)
	}
	sent.Eliciting = true
}
