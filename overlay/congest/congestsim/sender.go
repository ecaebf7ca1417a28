package congestsim

import (
	"time"

	"github.com/wherry/wherry/overlay/congest"
)

const (
	rtoMin        = 200 * time.Millisecond
	rtoFirst      = time.Second
	ackDelay      = 25 * time.Millisecond
	lossPackets   = 3                // RFC 9002 §6.1.1
	paceSlack     = time.Millisecond // as overlay makes up for late timers
	paceCatchUp   = 4
	minimumWindow = 10 * time.Second
	never         = time.Duration(1<<63 - 1)
)

type packet struct {
	sent        time.Duration
	dropped     bool
	lost        bool // found out
	delivered   uint64
	deliveredAt time.Duration
	firstSent   time.Duration
	lostBefore  uint64
	txInFlight  int
}

type ack struct {
	at   time.Duration
	upTo uint64 // all below that weren't dropped arrived
}

// sender is a flow with its receiver.
type sender struct {
	sim   *sim
	index int
	flow  Flow
	c     congest.Controller
	next  time.Duration // when something happens to it

	packets  []packet // of the numbers from base on
	base     uint64
	inFlight int
	paced    time.Duration // when the next packet may leave
	acks     []ack
	ackHead  int

	// the receiver's
	unacked    int // packets since the last acknowledgement
	ackTimer   time.Duration
	arrivedTo  uint64
	lastArrive time.Duration
	lastAckAt  time.Duration

	acked    uint64   // all below are acknowledged, or open to be found lost
	holes    []uint64 // dropped, below acked, not found lost yet
	smoothed time.Duration
	variance time.Duration
	latest   time.Duration
	minimum  time.Duration
	minAt    time.Duration
	rto      time.Duration
	rtoAt    time.Duration
	backoff  int

	delivered   uint64
	deliveredAt time.Duration
	firstSent   time.Duration
	lostBytes   uint64

	last     congest.Ack
	measured int64
	waited   time.Duration
	waits    int
	r        Result
}

func newSender(s *sim, index int, f Flow) *sender {
	return &sender{sim: s, index: index, flow: f, c: f.Controller, next: f.Start, paced: f.Start, rto: rtoFirst, rtoAt: never, ackTimer: never, r: Result{Name: f.Name}}
}

func (s *sender) nextNumber() uint64 { return s.base + uint64(len(s.packets)) }

// step does what is due at now, and says whether an acknowledgement was among it.
func (s *sender) step(now time.Duration) (acks bool) {
	if s.ackTimer <= now {
		s.acknowledge(s.ackTimer)
	}
	for s.ackHead < len(s.acks) && s.acks[s.ackHead].at <= now {
		upTo := s.acks[s.ackHead].upTo
		for s.ackHead++; s.ackHead < len(s.acks) && s.acks[s.ackHead].at <= now; s.ackHead++ {
			upTo = s.acks[s.ackHead].upTo
		}
		s.onAck(now, upTo)
		acks = true
	}
	if s.ackHead > 1024 {
		s.acks = append(s.acks[:0], s.acks[s.ackHead:]...)
		s.ackHead = 0
	}
	s.findLost(now, false)
	if now >= s.rtoAt {
		s.timeout(now)
	}
	if s.flow.Stop == 0 || now < s.flow.Stop {
		s.send(now)
	}
	s.schedule(now)
	return acks
}

func (s *sender) schedule(now time.Duration) {
	s.next = min(s.rtoAt, s.ackTimer)
	if s.ackHead < len(s.acks) {
		s.next = min(s.next, s.acks[s.ackHead].at)
	}
	if len(s.holes) > 0 {
		s.next = min(s.next, s.lostAt(s.holes[0]))
	}
	if s.room() && (s.flow.Stop == 0 || now < s.flow.Stop) {
		s.next = min(s.next, s.paced)
	}
	s.next = max(s.next, now+1)
}

func (s *sender) room() bool { return s.inFlight+s.flow.Packet <= max(s.c.Window(), s.flow.Packet) }

func (s *sender) send(now time.Duration) {
	for s.room() && s.paced <= now {
		p := packet{sent: now}
		if s.inFlight == 0 {
			s.firstSent, s.deliveredAt = now, now
		}
		s.inFlight += s.flow.Packet
		p.delivered, p.deliveredAt, p.firstSent, p.lostBefore, p.txInFlight = s.delivered, s.deliveredAt, s.firstSent, s.lostBytes, s.inFlight
		arrives, waited, ok := s.sim.carry(s.flow.Packet)
		p.dropped = !ok
		s.packets = append(s.packets, p)
		s.r.Sent++
		if ok {
			s.waited += waited
			s.waits++
			s.arrive(arrives)
		}
		s.c.OnSent(clock(now), s.flow.Packet, s.inFlight)
		if s.rtoAt == never {
			s.rtoAt = now + s.rto
		}
		if rate := s.c.Rate(); rate > 0 {
			each := time.Duration(float64(s.flow.Packet) / rate * 1e9)
			late := max(min(paceCatchUp*each, s.smoothed/8), paceSlack)
			s.paced = max(s.paced, now-late) + each
		}
	}
}

// arrive is the receiver's part: an acknowledgement each two packets, and at once when there is a hole (RFC 9000 §13.2).
func (s *sender) arrive(at time.Duration) {
	number := s.nextNumber() - 1
	if s.ackTimer <= at {
		s.acknowledge(s.ackTimer)
	}
	hole := number != s.arrivedTo
	s.arrivedTo, s.lastArrive = number+1, at
	if at >= s.sim.warm && at < s.sim.end {
		s.measured += int64(s.flow.Packet)
	}
	if s.unacked++; s.unacked >= 2 || hole {
		s.acknowledge(at)
	} else {
		s.ackTimer = at + ackDelay
	}
}

func (s *sender) acknowledge(at time.Duration) {
	l := s.sim.link
	at += l.Delay
	if l.Jitter > 0 {
		at += time.Duration(s.sim.random.Int64N(int64(l.Jitter)))
	}
	if l.Batch > 0 {
		at = (at + l.Batch - 1) / l.Batch * l.Batch
	}
	at = max(at, s.lastAckAt)
	s.lastAckAt = at
	s.acks = append(s.acks, ack{at, s.arrivedTo})
	s.unacked, s.ackTimer = 0, never
}

func (s *sender) onAck(now time.Duration, upTo uint64) {
	prior, lostBefore := s.inFlight, s.lostBytes
	bytes, newest := 0, -1
	for n := s.acked; n < upTo; n++ {
		p := &s.packets[n-s.base]
		switch {
		case p.lost: // by a timeout
		case p.dropped:
			s.holes = append(s.holes, n)
		default:
			bytes += s.flow.Packet
			newest = int(n - s.base)
		}
	}
	s.acked = max(s.acked, upTo)
	if newest < 0 {
		return
	}
	p := s.packets[newest]
	s.inFlight -= bytes
	s.delivered += uint64(bytes)
	s.deliveredAt, s.backoff = now, 0
	s.measure(now, now-p.sent)
	interval := max(p.sent-p.firstSent, now-p.deliveredAt)
	s.firstSent = p.sent
	s.findLost(now, true)
	if interval < s.minimum { // too short to be true
		interval = 0
	}
	s.last = congest.Ack{
		Now: clock(now), Bytes: bytes, Sent: clock(p.sent), Largest: s.base + uint64(newest), Next: s.nextNumber(),
		RTT: now - p.sent, Smoothed: s.smoothed, Min: s.minimum, Prior: prior, InFlight: s.inFlight, Lost: int(s.lostBytes - lostBefore),
		Sample: congest.Sample{
			Delivered: s.delivered, Prior: p.delivered, Interval: interval, TxInFlight: p.txInFlight,
			Lost: s.lostBytes - p.lostBefore,
		},
	}
	s.c.OnAck(s.last)
	s.rtoAt = now + s.rto
	if s.inFlight == 0 {
		s.rtoAt = never
	}
	s.forget()
}

func (s *sender) measure(now, rtt time.Duration) {
	s.latest = rtt
	if s.smoothed == 0 {
		s.smoothed, s.variance = rtt, rtt/2
	} else {
		s.variance += ((s.smoothed - rtt).Abs() - s.variance) / 4
		s.smoothed += (rtt - s.smoothed) / 8
	}
	if s.minimum == 0 || rtt <= s.minimum || now > s.minAt+minimumWindow {
		s.minimum, s.minAt = rtt, now
	}
	s.rto = max(s.smoothed+4*s.variance, s.smoothed+rtoMin)
}

// lostAt is when a hole counts as lost by time (RFC 9002 §6.1.2).
func (s *sender) lostAt(n uint64) time.Duration {
	return s.packets[n-s.base].sent + max(s.smoothed, s.latest)*9/8
}

// findLost tells the controller of the holes that are lost by now.
func (s *sender) findLost(now time.Duration, acked bool) {
	bytes, newest := 0, packet{}
	var number uint64
	for len(s.holes) > 0 {
		n := s.holes[0]
		if s.acked-1 < n+lossPackets && s.lostAt(n) > now {
			break
		}
		s.holes = s.holes[1:]
		p := &s.packets[n-s.base]
		if p.lost {
			continue
		}
		p.lost = true
		bytes += s.flow.Packet
		newest, number = *p, n
	}
	if bytes == 0 {
		return
	}
	s.inFlight -= bytes
	s.lostBytes += uint64(bytes)
	s.r.Lost += bytes / s.flow.Packet
	s.c.OnLoss(congest.Loss{
		Now: clock(now), Bytes: bytes, Largest: number, Sent: clock(newest.sent), Next: s.nextNumber(), InFlight: s.inFlight,
		TxInFlight: newest.txInFlight, Smoothed: s.smoothed, Latest: s.latest, Min: s.minimum,
	})
	if !acked {
		s.forget()
	}
}

func (s *sender) timeout(now time.Duration) {
	s.r.Timeouts++
	for n := s.acked; n < s.nextNumber(); n++ {
		s.packets[n-s.base].lost = true
	}
	for _, n := range s.holes {
		s.packets[n-s.base].lost = true
	}
	s.lostBytes += uint64(s.inFlight)
	s.inFlight, s.holes = 0, nil
	s.c.OnTimeout(clock(now))
	s.backoff++
	s.rto = min(2*s.rto, time.Minute)
	s.rtoAt, s.paced = never, now
}

// forget lets go of packets that nothing will ask for.
func (s *sender) forget() {
	until := s.acked
	if len(s.holes) > 0 {
		until = s.holes[0]
	}
	if n := until - s.base; n > 4096 {
		s.packets = append(s.packets[:0], s.packets[n:]...)
		s.base = until
	}
}

func (s *sender) result() Result {
	from, to := max(s.sim.warm, s.flow.Start), s.sim.end
	if s.flow.Stop > 0 {
		to = min(to, s.flow.Stop)
	}
	s.r.Delivered = s.measured
	s.r.Goodput = float64(s.measured) / (to - from).Seconds()
	if s.waits > 0 {
		s.r.Queued = s.waited / time.Duration(s.waits)
	}
	return s.r
}
