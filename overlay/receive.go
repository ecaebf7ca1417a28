package overlay

import (
	"errors"
	"fmt"
	"time"

	"github.com/wherry/wherry/overlay/seal"
	"github.com/wherry/wherry/overlay/wire"
)

// openers are the keys that open what comes: of this generation and the next. What of the one before is late is lost; that happens once in
// seal.PacketsMax packets. They are swapped whole, so that the reader needs no lock.
type openers struct {
	now, next *seal.Key
	phase     byte
}

// opened is a packet whose frames are plain.
type opened struct {
	path   byte
	number uint64
	size   int
	frames []byte
	from   remote
	phase  byte
	early  bool // sealed before the handshake was done
}

const _ = uint(wire.PathsMax - pathsMax) // a data packet's header tells no more paths apart

// open decrypts a data packet in its place; ok is false for what isn't the peer's.
func (c *Conn) open(b []byte, from remote, nonce *[12]byte) (o opened, ok bool) {
	var h wire.Header
	keys := c.opener.Load()
	if keys == nil || h.Parse(b) != nil || h.Path >= pathsMax {
		return o, false
	}
	number := wire.Expand(h.Number, c.newest[h.Path].Load())
	k := keys.now
	if h.Phase != keys.phase {
		k = keys.next
	}
	plain, err := k.Open(b, wire.HeaderSize, h.Path, number, nonce)
	if err != nil {
		return o, false
	}
	return opened{path: h.Path, number: number, size: len(b), frames: plain, from: from, phase: h.Phase}, true
}

// process takes packets that were opened, in the order in which they came.
func (c *Conn) process(now time.Time, packets []opened, damaged int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Damaged += uint64(damaged)
	for i := range packets {
		if c.err != nil {
			return
		}
		if err := c.take(now, &packets[i]); err != nil {
			c.fail(err, true)
		}
	}
}

func (c *Conn) take(now time.Time, o *opened) error {
	p, err := c.arrivedOn(o)
	if p == nil || err != nil {
		return err
	}
	p.bytesIn += uint64(o.size)
	c.stats.PacketsReceived++
	c.stats.BytesReceived += uint64(o.size)
	fresh, inOrder := p.received.Add(o.number)
	if !fresh {
		c.stats.Duplicates++
		return nil
	}
	if keys := c.opener.Load(); !o.early && o.phase != keys.phase {
		if err := c.turnKeys(keys); err != nil {
			return err
		}
	}
	c.lastHeard, p.heard, c.unanswered = now, now, time.Time{}
	if next := p.received.Next(); o.number+1 == next {
		c.newest[p.id].Store(next)
		p.newestAt = now
		if o.from != p.remote {
			c.moved(now, p, o.from)
		}
	}
	if c.hs != nil && !c.hs.offered {
		c.confirm()
	}
	elicits := false
	var f wire.Frame
	f.Ranges = c.endpoint.ranges[:0]
	for b := o.frames; len(b) > 0; {
		if b, err = f.Parse(b); err != nil {
			return err
		}
		elicits = elicits || f.Type.Elicits()
		if o.early && !allowedEarly(f.Type) {
			return errState
		}
		if err := c.frame(now, p, o, &f); err != nil {
			return err
		}
		if c.err != nil {
			return nil
		}
	}
	if elicits {
		p.acks.Want(now, inOrder, min(p.track.RTT.Smoothed/16, paceSlack), ackDelayMax)
	}
	return nil
}

// arrivedOn finds the path of a packet, or makes the one that the peer opens with it. nil: it isn't one that we can hold.
func (c *Conn) arrivedOn(o *opened) (*path, error) {
	old := c.paths[o.path]
	if old != nil && (c.dialed || !old.retired || o.number < old.received.Next()) {
		return old, nil
	}
	if c.dialed {
		return nil, fmt.Errorf("packet on path %d, which isn't open", o.path)
	}
	p, err := c.newPath(o.path, o.from)
	if err != nil {
		return nil, err
	}
	p.succeed(old)
	c.paths[o.path] = p
	p.demand()
	return p, nil
}

// moved is told that the peer's packets come from elsewhere: it is followed there when it has answered a challenge (RFC 9000 §9).
func (c *Conn) moved(now time.Time, p *path, to remote) {
	if p.moving == to {
		return
	}
	p.moving = to
	p.challenged, p.challenges = time.Time{}, 0
	p.demand()
	c.wakeUp()
}

// turnKeys goes on to the peer's next generation of keys, and to ours.
func (c *Conn) turnKeys(keys *openers) error {
	next, err := keys.next.Next()
	if err != nil {
		return err
	}
	c.opener.Store(&openers{now: keys.next, next: next, phase: keys.phase ^ 1})
	if c.sealPhase != keys.phase^1 {
		c.changeKey()
	}
	return nil
}

var (
	errState         = errors.New("frame that isn't allowed here")
	errFrameOfRepair = errors.New("parity that can't be")
)

// frame takes one frame of a packet.
func (c *Conn) frame(now time.Time, p *path, o *opened, f *wire.Frame) error {
	switch f.Type {
	case wire.Padding, wire.Ping:
		return nil
	case wire.Done:
		c.confirm()
		return nil
	case wire.TypeAck:
		return c.acked(now, f)
	case wire.Stream:
		return c.streamFrame(f)
	case wire.Repair:
		return c.repairFrame(f)
	case wire.Reset, wire.Stop, wire.MaxStream:
		return c.streamControl(f)
	case wire.MaxData:
		if f.Offset > c.sendLimit {
			c.sendLimit = f.Offset
		}
		return nil
	case wire.MaxStreams:
		c.openMax = max(c.openMax, f.Offset)
		c.openCond.Broadcast()
		return nil
	case wire.Challenge:
		if len(p.proofs) < proofsMax {
			p.proofs = append(p.proofs, [8]byte(f.Data))
			p.proofsTo = append(p.proofsTo, o.from)
			c.wakeUp()
		}
		return nil
	case wire.Response:
		if p.answered(f.Data) {
			if p == c.primary {
				c.at.Store(&p.remote.addr)
			}
			c.recovered(now, p)
		}
		return nil
	case wire.Close:
		c.fail(&CloseError{Code: f.Code, Reason: string(f.Data), Remote: true}, false)
		return nil
	case wire.Datagram:
		if len(c.inbox) < datagramsMax {
			c.inbox = append(c.inbox, append([]byte(nil), f.Data...))
			c.inboxCond.Signal()
		}
		return nil
	case wire.Crypto:
		return c.ticket(f)
	case wire.RouteOpen, wire.RouteLabel, wire.RouteClose:
		return c.routeFrame(f)
	case wire.PathUse, wire.PathState:
		c.pathState(now, f)
		return nil
	}
	return errState
}

func (c *Conn) streamFrame(f *wire.Frame) error {
	s, err := c.stream(f.ID)
	if s == nil || err != nil {
		return err
	}
	fresh, err := s.take(f.Offset, f.Data, f.Fin)
	if err != nil {
		return err
	}
	return c.count(fresh)
}

// count holds the peer to the connection's flow control.
func (c *Conn) count(fresh uint64) error {
	c.got += fresh
	c.tail.budget.Earn(fresh, repairBack)
	if c.got > c.gotLimit {
		return errFlow
	}
	return nil
}

func (c *Conn) streamControl(f *wire.Frame) error {
	s, err := c.stream(f.ID)
	if s == nil || err != nil {
		return err
	}
	switch f.Type {
	case wire.Reset:
		fresh, err := s.broken(f.Code, f.Offset)
		if err != nil {
			return err
		}
		return c.count(fresh)
	case wire.Stop:
		s.reset(f.Code, &StreamError{f.Code})
	case wire.MaxStream:
		if f.Offset > s.out.limit {
			s.out.limit = f.Offset
			c.activate(s)
		}
	}
	return nil
}

// acked takes an acknowledgement, for whichever path.
func (c *Conn) acked(now time.Time, f *wire.Frame) error {
	if f.ID >= pathsMax || c.paths[f.ID] == nil {
		return errState
	}
	p := c.paths[f.ID]
	delay := time.Duration(min(f.Delay, uint64(ackDelayMax/time.Microsecond))) * time.Microsecond
	r, err := p.track.Ack(now, f.Ranges, delay, p.arrived, p.gone)
	if err != nil {
		return err
	}
	if r.Ack.Bytes == 0 {
		return nil
	}
	if r.Loss.Bytes > 0 {
		p.controller.OnLoss(r.Loss)
		if !p.open() && c.pending() {
			p.probes = max(p.probes, 1) // fast retransmit: at once, and not when the smaller window has room (RFC 5681 §3.2 step 3, RFC 6675 §5 (4.3))
		}
	}
	p.controller.OnAck(r.Ack)
	if p.track.InFlight() == 0 {
		p.idleSince = now
	}
	c.recovered(now, p)
	return nil
}
