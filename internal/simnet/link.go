package simnet

import (
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// Link is what lies between two hosts, for each direction by itself. The zero value is perfect. A host reaches itself without
// any link.
type Link struct {
	Latency time.Duration // from leaving the sender to arriving
	Jitter  time.Duration // a packet takes up to this much longer, evenly spread
	Loss    float64       // the chance of a packet to be lost, 0 to 1
	// RateBytesPerSecond is what the link carries; packets queue for it. 0 means no limit.
	RateBytesPerSecond int64
	// QueueBytes is how many bytes wait for the rate before further datagrams are dropped. TCP is held by its window instead.
	// default: 256 KiB
	QueueBytes int64
	// MTUBytes is the largest IP packet; larger datagrams vanish, as with "don't fragment" and no ICMP. 0 means no limit.
	MTUBytes int
}

// path is one direction of a link.
type path struct {
	link  Link
	cut   bool
	dice  *rand.Rand
	freed time.Time // when the rate has carried everything that was sent so far
}

// path returns the direction from → to. n.mu is held.
func (n *Network) path(from, to *Host) *path {
	key := [2]*Host{from, to}
	p := n.paths[key]
	if p == nil {
		names := fnv.New64a()
		names.Write([]byte(from.name + "\x00" + to.name))
		p = &path{link: n.options.Link, dice: rand.New(rand.NewPCG(n.options.Seed, names.Sum64()))}
		if from == to {
			p.link = Link{}
		}
		n.paths[key] = p
	}
	return p
}

// open says whether packets get from one host to the other at all.
func (n *Network) open(from, to *Host) bool {
	return from == to || !n.path(from, to).cut && !from.blackholed && !to.blackholed
}

// backlog returns how many bytes wait for the rate.
func (p *path) backlog(now time.Time) int64 {
	if p.link.RateBytesPerSecond == 0 || !p.freed.After(now) {
		return 0
	}
	return int64(p.freed.Sub(now).Seconds() * float64(p.link.RateBytesPerSecond))
}

// flight takes a packet of size bytes and returns how long it will be under way, or that it is lost.
func (p *path) flight(now time.Time, sizeBytes int) (d time.Duration, lost bool) {
	if rate := p.link.RateBytesPerSecond; rate > 0 {
		if p.freed.Before(now) {
			p.freed = now
		}
		p.freed = p.freed.Add(time.Duration(float64(sizeBytes) / float64(rate) * float64(time.Second)))
		d = p.freed.Sub(now)
	}
	d += p.link.Latency
	if p.link.Jitter > 0 {
		d += time.Duration(p.dice.Int64N(int64(p.link.Jitter) + 1))
	}
	return d, p.link.Loss > 0 && p.dice.Float64() < p.link.Loss
}

// segment is something that TCP sends again until it arrives.
type segment struct {
	conn      *tcpConn // whose it is; nothing is sent again once it is aborted
	from, to  *Host
	sizeBytes int
	timeout   time.Duration // until it is sent again, doubled each time up to timeoutMax
	tries     int           // how often it may still be sent
	ack       bool          // the next one makes up for its loss, so that only a cut stops it
	arrive    func() bool   // false if the receiver didn't take it: then it is sent again
	fail      func()        // no try is left
}

// timeoutMax bounds the time between two tries (RFC 6298 §2.5 wants at least 60 s).
const timeoutMax = 120 * time.Second

// carry sends s until it arrives.
func (n *Network) carry(s segment) {
	again := func() {
		if s.conn.aborted {
			return
		}
		if s.tries--; s.tries <= 0 {
			s.fail()
			return
		}
		wait := s.timeout
		s.timeout = min(2*s.timeout, timeoutMax)
		n.after(wait, func() {
			if !s.conn.aborted {
				n.carry(s)
			}
		})
	}
	d, lost := n.path(s.from, s.to).flight(time.Now(), s.sizeBytes)
	if lost && !s.ack || !n.open(s.from, s.to) {
		again()
		return
	}
	n.after(d, func() {
		// A packet that was under way when the link was cut is gone too.
		if !n.open(s.from, s.to) || !s.arrive() {
			again()
		}
	})
}

// drop sends a packet that nobody sends again.
func (n *Network) drop(from, to *Host, sizeBytes int, arrive func()) {
	d, lost := n.path(from, to).flight(time.Now(), sizeBytes)
	if lost || !n.open(from, to) {
		return
	}
	n.after(d, func() {
		if n.open(from, to) {
			arrive()
		}
	})
}

// retransmission returns how long TCP waits for an acknowledgement: the round trip and Linux' least margin of 200 ms.
func (n *Network) retransmission(a, b *Host) time.Duration {
	there, back := n.path(a, b).link, n.path(b, a).link
	return 200*time.Millisecond + there.Latency + there.Jitter + back.Latency + back.Jitter
}
