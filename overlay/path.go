package overlay

import (
	"bytes"
	"crypto/rand"
	"net/netip"
	"time"

	"github.com/wherry/wherry/overlay/congest"
	"github.com/wherry/wherry/overlay/loss"
	"github.com/wherry/wherry/overlay/mtu"
	"github.com/wherry/wherry/overlay/udp"
	"github.com/wherry/wherry/overlay/wire"
)

const (
	pathsMax       = 8
	packetMin      = wire.PacketMin
	ackDelayMax    = 5 * time.Millisecond
	proofsMax      = 4                      // challenges that wait for an answer
	challengeFirst = 250 * time.Millisecond // until a challenge is repeated; twice as long each time
	challengeLast  = 5 * time.Second
	overhead       = wire.HeaderSize + wire.TagSize
)

// remote is where packets of a path go: to an address, or in an envelope with a label to a node that forwards them.
type remote struct {
	addr  netip.AddrPort
	label wire.ID
}

func (r remote) envelope() int {
	if r.label != 0 {
		return wire.EnvelopeSize
	}
	return 0
}

// path is one way to the peer. It belongs to conn.mu.
type path struct {
	id      byte
	remote  remote
	valid   bool    // the peer has answered a challenge on it, or did the handshake
	dead    bool    // it doesn't answer; nothing but challenges is sent
	was     bool    // it was the primary one until it fell silent
	retired bool    // it was dropped
	free    bool    // and the peer knows
	bulk    bool    // large streams go on it, beside the primary one
	rateMax float64 // bytes a second for that; 0: what it carries

	track      *loss.Tracker[cargo]
	controller congest.Controller
	pace       time.Time // when the next packet may leave
	idleSince  time.Time // nothing was in flight since
	probes     int       // packets that may leave whatever the window says

	received loss.Received
	newestAt time.Time // when the newest packet came
	heard    time.Time // when anything came
	acks     loss.Acks

	arrived, gone func(*loss.Packet[cargo]) // what happens to the packets

	challenge  [8]byte
	demanded   bool      // a challenge is to be sent now
	proving    bool      // the packet that is put together carries it
	challenged time.Time // when it left; zero: none is under way
	challenges int       // in a row without an answer
	moving     remote    // where the peer seems to have moved to
	proofs     [][8]byte // challenges of the peer's to answer
	proofsTo   []remote
	size       mtu.Search // of packets, without the envelope

	bytesIn, bytesOut uint64 // while not valid: no amplification (RFC 9000 §8)
}

func (c *Conn) newPath(id byte, r remote) (*path, error) {
	controller, err := congest.New(c.endpoint.options.Controller, congest.Options{Packet: packetMin, Max: c.endpoint.options.SendBufferMax})
	if err != nil {
		return nil, err
	}
	p := &path{id: id, remote: r, track: loss.New[cargo](ackDelayMax), controller: controller}
	p.size.Reset(packetMin)
	p.arrived = func(sent *loss.Packet[cargo]) {
		p.size.Delivered(sent.Bytes - p.remote.envelope())
		if sent.Probe {
			p.size.Arrived(sent.Bytes - p.remote.envelope())
			p.controller.SetPacket(p.size.Size)
		}
		c.packetArrived(sent)
	}
	p.gone = func(sent *loss.Packet[cargo]) {
		if now := time.Now(); sent.Probe {
			p.size.Lost(now)
		} else if p.size.Missed(now, sent.Bytes-p.remote.envelope()) {
			p.shrink(now)
		}
		c.packetLost(sent)
	}
	return p, nil
}

// succeed goes on with the packet numbers of the path that had the same number before, if there was one: a number seals one packet.
func (p *path) succeed(old *path) {
	if old != nil {
		p.track.Continue(old.track.Next())
		p.received = old.received
	}
}

func (p *path) usable() bool { return p.valid && !p.dead }

// demand asks for a challenge to be sent as soon as it can.
func (p *path) demand() { p.demanded = true }

// prove notes that a challenge leaves now.
func (p *path) prove(now time.Time) {
	if p.challenged.IsZero() {
		_, _ = rand.Read(p.challenge[:])
	}
	p.demanded, p.challenged = false, now
	p.challenges++
}

// challengeDue is when the challenge that is under way must leave again; zero: none is.
func (p *path) challengeDue() time.Time {
	if p.challenged.IsZero() {
		return time.Time{}
	}
	return p.challenged.Add(min(challengeFirst<<min(p.challenges-1, 8), challengeLast))
}

// answered takes a response to a challenge and says whether it is the right one.
func (p *path) answered(proof []byte) bool {
	if p.challenged.IsZero() || !bytes.Equal(proof, p.challenge[:]) {
		return false
	}
	p.challenged, p.challenges = time.Time{}, 0
	p.valid, p.dead = true, false
	if p.moving != (remote{}) {
		p.remote, p.moving = p.moving, remote{}
		p.size.Reset(packetMin)
	}
	return true
}

// allowed is how many bytes may be sent to an address that isn't proven yet (RFC 9000 §8.1: three times what came).
func (p *path) allowed() int {
	if p.valid {
		return udp.BatchMax
	}
	return int(max(3*p.bytesIn, p.bytesOut) - p.bytesOut)
}

// nextSize is the size of packet to try now; 0: none.
func (p *path) nextSize(now time.Time, most int) int {
	if !p.usable() || !p.track.RTT.Measured() {
		return 0
	}
	return p.size.Next(now, most-p.remote.envelope())
}

// shrink goes back to what every path carries.
func (p *path) shrink(now time.Time) {
	p.size.Shrink(now, packetMin)
	p.controller.SetPacket(p.size.Size)
}

// open says whether the window has room for a full packet.
func (p *path) open() bool {
	flying := p.track.InFlight()
	return flying == 0 || flying+p.size.Size <= p.controller.Window()
}

// room says whether a full packet may leave now, by window and pace.
func (p *path) room(now time.Time) bool { return p.open() && !now.Before(p.pace) }

const (
	paceSlack   = time.Millisecond // in which what leaves is one batch
	paceCatchUp = 4                // packets that may leave at once after a late timer; RFC 9002 §7.7 allows ten
)

// left is told that n bytes leave now.
func (p *path) left(now time.Time, n int) {
	rate := p.controller.Rate()
	if p.bulk && p.rateMax > 0 && (rate == 0 || rate > p.rateMax) {
		rate = p.rateMax
	}
	if rate > 0 {
		// A busy machine wakes us up late each time. What is not made up for is missing from the window, which then doesn't grow either.
		late := time.Duration(paceCatchUp * float64(p.size.Size) / rate * 1e9)
		late = max(min(late, p.track.RTT.Smoothed/8), paceSlack)
		if early := now.Add(-late); p.pace.Before(early) {
			p.pace = early
		}
		p.pace = p.pace.Add(time.Duration(float64(n) / rate * 1e9))
	}
}
