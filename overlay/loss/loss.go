package loss

import (
	"errors"
	"time"

	"github.com/wherry/wherry/overlay/congest"
	"github.com/wherry/wherry/overlay/wire"
)

// ReorderingPackets is how many packets must have arrived that left later until one is taken for lost: three duplicates.
const ReorderingPackets = 3

const reorderingPacketsMax = 300

// ErrNeverSent says that the peer acknowledged what never left: its connection can't be trusted.
var ErrNeverSent = errors.New("a packet was acknowledged that was never sent")

type state byte

const (
	onItsWay state = iota
	arrived
	lost    // by what arrived after it
	givenUp // with everything else
)

// Packet is what is known of a packet that left. F is what was in it, for whoever must send it again.
type Packet[F any] struct {
	Number    uint64
	Sent      time.Time
	Bytes     int
	Eliciting bool // it asks for an acknowledgement, and counts as in flight
	Probe     bool // it only tries something out: its loss is no sign of congestion
	Frames    F

	state      state
	appLimited bool
	delivered  uint64    // of the path, when it left
	deliveredT time.Time // and when the newest of that arrived
	firstSent  time.Time // when the packet left that the interval of sending begins with
	lostBefore uint64
	txInFlight int
}

// Tracker keeps the packets of one path. Make one with New.
type Tracker[F any] struct {
	RTT RTT

	packets  []Packet[F] // a ring; its length is a power of two
	base     uint64      // the oldest number in the ring
	next     uint64      // the next to leave
	scan     uint64      // all below are settled
	inFlight int

	largest  uint64 // the newest that arrived
	any      bool   // one has
	lossTime time.Time
	lastSent time.Time // of what asks for an acknowledgement
	news     time.Time // when something new was acknowledged
	timeouts int       // of the retransmission timer and the probe before it, in a row
	delayMax time.Duration

	reordering int // packets
	reorderRTT int // eighths of a round trip, beside the whole one

	delivered   uint64
	deliveredT  time.Time
	firstSent   time.Time
	lostBytes   uint64
	limitedTill uint64 // delivered counts app-limited up to here; 0: not limited

	// For people and for the choice of paths.
	Arrived, Lost, Spurious uint64 // packets
}

// New makes a Tracker; delayMax is how long the peer may wait with an acknowledgement.
func New[F any](delayMax time.Duration) *Tracker[F] {
	return &Tracker[F]{packets: make([]Packet[F], 64), delayMax: delayMax, reordering: ReorderingPackets, reorderRTT: 1}
}

// Continue makes next the number of the first packet: those before it were another Tracker's.
func (t *Tracker[F]) Continue(next uint64) { t.base, t.next, t.scan = next, next, next }

func (t *Tracker[F]) at(number uint64) *Packet[F] { return &t.packets[number&uint64(len(t.packets)-1)] }

// Next is the number that the next packet will have.
func (t *Tracker[F]) Next() uint64 { return t.next }

// InFlight is how many bytes are on their way.
func (t *Tracker[F]) InFlight() int { return t.inFlight }

// Timeouts is how many timers ran out since the last acknowledgement.
func (t *Tracker[F]) Timeouts() int { return t.timeouts }

// Delivered is how many bytes arrived in all.
func (t *Tracker[F]) Delivered() uint64 { return t.delivered }

// Unsettled is how far the oldest packet on its way is behind the next: what the peer must remember.
func (t *Tracker[F]) Unsettled() uint64 { return t.next - t.scan }

// Limited says that the sender has nothing more to send now, so that the rate of what is in flight isn't the path's.
func (t *Tracker[F]) Limited() { t.limitedTill = max(t.delivered+uint64(t.inFlight), 1) }

// Sent takes a packet that leaves now; its Number must be Next.
func (t *Tracker[F]) Sent(now time.Time, p Packet[F]) {
	if p.Number != t.next {
		panic("BUG: packet numbers must follow each other")
	}
	if t.next-t.base == uint64(len(t.packets)) {
		t.forget(now)
	}
	if t.next-t.base == uint64(len(t.packets)) {
		t.grow()
	}
	t.next++
	p.state = arrived // nobody waits for what doesn't ask for an acknowledgement
	if p.Eliciting {
		p.state = onItsWay
		if t.inFlight == 0 {
			t.firstSent, t.deliveredT = now, now
		}
		t.inFlight += p.Bytes
		t.lastSent = now
	}
	p.Sent = now
	p.delivered, p.deliveredT, p.firstSent = t.delivered, t.deliveredT, t.firstSent
	p.appLimited, p.lostBefore, p.txInFlight = t.limitedTill > 0, t.lostBytes, t.inFlight
	*t.at(p.Number) = p
}

func (t *Tracker[F]) grow() {
	old := t.packets
	t.packets = make([]Packet[F], 2*len(old))
	for n := t.base; n < t.next; n++ {
		*t.at(n) = old[n&uint64(len(old)-1)]
	}
}

// Result is what an acknowledgement or a timer showed.
type Result struct {
	Ack  congest.Ack
	Loss congest.Loss // Bytes is 0 if nothing is lost
}

// Ack takes an acknowledgement: ranges with the newest first. It calls gotten for each packet that is new in it and gone for each that it shows
// to be lost. Result.Ack.Bytes is 0 if nothing is new.
func (t *Tracker[F]) Ack(now time.Time, ranges []wire.Range, delay time.Duration, gotten, gone func(*Packet[F])) (Result, error) {
	var r Result
	if len(ranges) == 0 {
		return r, nil
	}
	if ranges[0].Last >= t.next {
		return r, ErrNeverSent
	}
	r.Ack = congest.Ack{Now: now, Prior: t.inFlight}
	var newest *Packet[F]
	for _, span := range ranges {
		if span.Last < t.base {
			break
		}
		for n := span.Last; ; n-- {
			p := t.at(n)
			if t.arrive(now, p, &r, gotten) && (newest == nil || p.Number > newest.Number) {
				newest = p
			}
			if n == max(span.First, t.base) {
				break
			}
		}
	}
	if newest == nil {
		r.Ack.Bytes = 0
		return r, nil
	}
	if newest.Number == ranges[0].Last {
		r.Ack.RTT = max(now.Sub(newest.Sent), time.Microsecond)
		t.RTT.Add(now, r.Ack.RTT, delay)
	}
	t.largest, t.any = max(t.largest, newest.Number), true
	t.timeouts, t.news = 0, now
	t.findLost(now, &r, gone)
	t.sample(now, newest, &r.Ack)
	t.forget(now)
	r.Ack.Sent, r.Ack.Lost = newest.Sent, r.Loss.Bytes
	t.fill(&r)
	return r, nil
}

// arrive settles one packet that was acknowledged and says whether it was on its way: what was given up before tells nothing of the path as it
// is now.
func (t *Tracker[F]) arrive(now time.Time, p *Packet[F], r *Result, gotten func(*Packet[F])) bool {
	switch p.state {
	case arrived:
		return false
	case givenUp:
	case lost:
		// It wasn't: the path reorders, or the timer was too short.
		t.Spurious++
		if n := int(t.largest - p.Number); t.any && t.largest > p.Number && n > t.reordering {
			t.reordering = min(n, reorderingPacketsMax)
		}
		t.reorderRTT = min(t.reorderRTT+1, 8)
	case onItsWay:
		t.inFlight -= p.Bytes
	}
	fresh := p.state == onItsWay
	if !fresh && !p.Probe {
		t.Lost--
	}
	p.state = arrived
	t.Arrived++
	t.delivered += uint64(p.Bytes)
	t.deliveredT = now
	r.Ack.Bytes += p.Bytes
	gotten(p)
	return fresh
}

// sample measures the rate of delivery by the newest packet (draft-cheng-iccrg-delivery-rate-estimation §3.3).
func (t *Tracker[F]) sample(now time.Time, p *Packet[F], a *congest.Ack) {
	if t.limitedTill > 0 && t.delivered > t.limitedTill {
		t.limitedTill = 0
	}
	t.firstSent = p.Sent
	interval := max(p.Sent.Sub(p.firstSent), now.Sub(p.deliveredT))
	if interval < t.RTT.Min() {
		interval = 0 // acknowledgements came in a heap: it would be too fast
	}
	a.Sample = congest.Sample{
		Delivered: t.delivered, Prior: p.delivered, Interval: interval, TxInFlight: p.txInFlight,
		Lost: t.lostBytes - p.lostBefore, AppLimited: p.appLimited,
	}
}

// fill writes what all events say.
func (t *Tracker[F]) fill(r *Result) {
	a, l := &r.Ack, &r.Loss
	a.Largest, a.Next, a.InFlight = t.largest, t.next, t.inFlight
	a.Smoothed, a.Min = t.RTT.Smoothed, t.RTT.Min()
	l.Now, l.Next, l.InFlight = a.Now, t.next, t.inFlight
	l.Smoothed, l.Latest, l.Min = t.RTT.Smoothed, t.RTT.Latest, t.RTT.Min()
}

// findLost gives up what left so long before what has arrived that it won't, and sets the timer for what may yet.
func (t *Tracker[F]) findLost(now time.Time, r *Result, gone func(*Packet[F])) {
	t.lossTime = time.Time{}
	if !t.any {
		return
	}
	round := max(t.RTT.Smoothed, t.RTT.Latest)
	patience := max(round+round*time.Duration(t.reorderRTT)/8, granularity) // RFC 9002 §6.1.2
	settled := true
	for n := t.scan; n < t.largest; n++ {
		p := t.at(n)
		if p.state != onItsWay {
			if settled {
				t.scan = n + 1
			}
			continue
		}
		switch {
		case t.largest-n >= uint64(t.reordering) || now.Sub(p.Sent) >= patience:
			t.giveUp(p, r, gone)
			if settled {
				t.scan = n + 1
			}
		default:
			if settled {
				t.lossTime = p.Sent.Add(patience)
			}
			settled = false
		}
	}
}

func (t *Tracker[F]) giveUp(p *Packet[F], r *Result, gone func(*Packet[F])) {
	p.state = lost
	t.inFlight -= p.Bytes
	if !p.Probe {
		t.Lost++
		t.lostBytes += uint64(p.Bytes)
		r.Loss.Bytes += p.Bytes
		r.Loss.Largest, r.Loss.Sent, r.Loss.TxInFlight = p.Number, p.Sent, p.txInFlight
	}
	gone(p)
}

// forget drops what is settled and too old for a late acknowledgement.
func (t *Tracker[F]) forget(now time.Time) {
	old := now.Add(-3 * t.RTT.Probe(t.delayMax))
	for t.base < t.next {
		p := t.at(t.base)
		if p.state == onItsWay || p.state != arrived && p.Sent.After(old) {
			break
		}
		var none F
		p.Frames = none
		t.base++
	}
	t.scan = max(t.scan, t.base)
}

// Timer is when Expire is due; zero if it isn't.
func (t *Tracker[F]) Timer() time.Time {
	switch {
	case !t.lossTime.IsZero():
		return t.lossTime
	case t.inFlight == 0:
		return time.Time{}
	case t.timeouts == 0:
		// From the oldest that is on its way, or the last news, and not from the newest packet (RFC 9002 §6.2.1): a path that dies while
		// packets go on leaving is noticed after one round trip, and not when the window is full.
		since := t.news
		t.Oldest(func(p *Packet[F]) bool {
			if p.Sent.After(since) {
				since = p.Sent
			}
			return false
		})
		return since.Add(t.RTT.Probe(t.delayMax))
	}
	return t.lastSent.Add(t.RTT.Timeout(t.timeouts - 1))
}

// Verdict is what an expired timer asks for.
type Verdict byte

// The verdicts.
const (
	Nothing Verdict = iota // it wasn't due, or only found losses (in Result.Loss)
	Probe                  // send something that asks for an acknowledgement, whatever the window says
	Timeout                // everything was given up: start from one packet
)

// Expire is called when Timer is due.
func (t *Tracker[F]) Expire(now time.Time, gone func(*Packet[F])) (Result, Verdict) {
	var r Result
	r.Ack.Now = now
	due := t.Timer()
	if due.IsZero() || now.Before(due) {
		return r, Nothing
	}
	if !t.lossTime.IsZero() {
		t.findLost(now, &r, gone)
		t.fill(&r)
		return r, Nothing
	}
	if t.onlyProbes() {
		t.GiveUpAll(now, &r, gone) // they were too large, or unlucky: nothing else is known to be amiss
		return r, Nothing
	}
	t.timeouts++
	if t.timeouts == 1 {
		t.lastSent = now // the probe that the caller sends starts the next timer, and if it can't send one, this does
		return r, Probe
	}
	t.GiveUpAll(now, &r, gone)
	t.lastSent = now
	return r, Timeout
}

func (t *Tracker[F]) onlyProbes() bool {
	only := true
	t.Oldest(func(p *Packet[F]) bool {
		only = p.Probe
		return only
	})
	return only
}

// GiveUpAll takes everything for lost that is on its way.
func (t *Tracker[F]) GiveUpAll(now time.Time, r *Result, gone func(*Packet[F])) {
	r.Ack.Now = now
	for n := t.scan; n < t.next; n++ {
		if p := t.at(n); p.state == onItsWay {
			t.giveUp(p, r, gone)
			p.state = givenUp
		}
	}
	t.scan, t.lossTime = t.next, time.Time{}
	t.forget(now)
	t.fill(r)
}

// Oldest calls f with the packets on their way, the oldest first, until it says false.
func (t *Tracker[F]) Oldest(f func(*Packet[F]) bool) {
	for n := t.scan; n < t.next; n++ {
		if p := t.at(n); p.state == onItsWay && !f(p) {
			return
		}
	}
}
