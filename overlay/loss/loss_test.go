package loss

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wherry/wherry/overlay/wire"
)

var start = time.Unix(1_800_000_000, 0)

func ms(n int) time.Time { return start.Add(time.Duration(n) * time.Millisecond) }

// sender sends packets of 1,000 bytes and notes what became of them.
type sender struct {
	*Tracker[int]
	t            *testing.T
	gotten, gone []uint64
}

func newSender(t *testing.T) *sender { return &sender{Tracker: New[int](5 * time.Millisecond), t: t} }

func (s *sender) send(now time.Time, n int) {
	for range n {
		s.Sent(now, Packet[int]{Number: s.Next(), Bytes: 1000, Eliciting: true})
	}
}

func (s *sender) got(p *Packet[int])  { s.gotten = append(s.gotten, p.Number) }
func (s *sender) lost(p *Packet[int]) { s.gone = append(s.gone, p.Number) }

func (s *sender) ack(now time.Time, ranges ...wire.Range) Result {
	s.t.Helper()
	s.gotten, s.gone = nil, nil
	r, err := s.Tracker.Ack(now, ranges, 0, s.got, s.lost)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func TestThreeLaterArrivalsShowALoss(t *testing.T) {
	s := newSender(t)
	s.send(ms(0), 6)
	s.ack(ms(100), wire.Range{First: 0, Last: 1})
	if r := s.ack(ms(101), wire.Range{First: 3, Last: 4}, wire.Range{First: 0, Last: 1}); r.Loss.Bytes != 0 {
		t.Errorf("two later arrivals: %v lost", s.gone)
	}
	r := s.ack(ms(102), wire.Range{First: 3, Last: 5}, wire.Range{First: 0, Last: 1})
	if !slices.Equal(s.gone, []uint64{2}) || r.Loss.Bytes != 1000 || r.Ack.InFlight != 0 {
		t.Errorf("lost %v, %d bytes, %d in flight; want packet 2", s.gone, r.Loss.Bytes, r.Ack.InFlight)
	}
}

func TestALaterArrivalAndTimeShowALoss(t *testing.T) {
	s := newSender(t)
	s.send(ms(0), 2)
	s.ack(ms(100), wire.Range{First: 1, Last: 1})
	due := s.Timer()
	if due.Before(ms(110)) || due.After(ms(115)) {
		t.Fatalf("timer after %v, want 9/8 of 100 ms", due.Sub(start))
	}
	if _, v := s.Expire(due, s.lost); v != Nothing || !slices.Equal(s.gone, []uint64{0}) {
		t.Errorf("verdict %v, lost %v; want packet 0 lost", v, s.gone)
	}
}

func TestSilenceAsksOnceThenGivesUpAndBacksOff(t *testing.T) {
	s := newSender(t)
	s.send(ms(0), 1)
	s.ack(ms(100), wire.Range{First: 0, Last: 0})
	s.send(ms(100), 3)
	now := s.Timer()
	if _, v := s.Expire(now, s.lost); v != Probe || s.InFlight() != 3000 {
		t.Fatalf("first timer: %v with %d in flight, want a probe and 3000", v, s.InFlight())
	}
	var waits []time.Duration
	for range 4 {
		s.send(now, 1)
		due := s.Timer()
		waits = append(waits, due.Sub(now))
		now = due
		if _, v := s.Expire(now, s.lost); v != Timeout || s.InFlight() != 0 {
			t.Fatalf("%v with %d in flight, want a timeout and nothing", v, s.InFlight())
		}
	}
	for i := 1; i < len(waits); i++ {
		if waits[i] != 2*waits[i-1] {
			t.Errorf("waits %v, want each twice the one before", waits)
		}
	}
}

func TestALateArrivalTeachesPatience(t *testing.T) {
	s := newSender(t)
	s.send(ms(0), 20)
	s.ack(ms(100), wire.Range{First: 1, Last: 10})
	if !slices.Equal(s.gone, []uint64{0}) {
		t.Fatalf("lost %v, want 0", s.gone)
	}
	s.ack(ms(101), wire.Range{First: 0, Last: 10})
	if !slices.Equal(s.gotten, []uint64{0}) || s.Spurious != 1 || s.Lost != 0 {
		t.Errorf("arrived late %v, spurious %d, lost %d", s.gotten, s.Spurious, s.Lost)
	}
	s.ack(ms(102), wire.Range{First: 12, Last: 18}, wire.Range{First: 0, Last: 10})
	if len(s.gone) != 0 {
		t.Errorf("lost %v although the path reorders by ten", s.gone)
	}
}

func TestAcknowledgingWhatNeverLeftIsRefused(t *testing.T) {
	s := newSender(t)
	s.send(ms(0), 1)
	if _, err := s.Tracker.Ack(ms(1), []wire.Range{{First: 0, Last: 1}}, 0, s.got, s.lost); !errors.Is(err, ErrNeverSent) {
		t.Errorf("error %v", err)
	}
}

func TestTheRateOfDeliveryIsMeasured(t *testing.T) {
	s := newSender(t)
	// 1,000 bytes a ms, acknowledged 50 ms later, for 200 ms.
	var r Result
	for i := range 200 {
		s.send(ms(i), 1)
		if i >= 50 {
			r = s.ack(ms(i), wire.Range{First: 0, Last: uint64(i - 50)})
		}
	}
	if rate := r.Ack.Sample.Rate(); rate < 980_000 || rate > 1_020_000 || r.Ack.Sample.AppLimited {
		t.Errorf("rate %.0f bytes a second, limited %v; want 1,000,000", rate, r.Ack.Sample.AppLimited)
	}
	if r.Ack.RTT != 50*time.Millisecond {
		t.Errorf("round trip %v, want 50ms", r.Ack.RTT)
	}
}

// Whatever is acknowledged in whatever order, each packet ends once as arrived or is still known as lost or on its way, and the bytes in flight
// are those on their way.
func TestEveryPacketIsCountedOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newSender(t)
		now := start
		fate := map[uint64]string{}
		gotten := func(p *Packet[int]) {
			if fate[p.Number] == "arrived" {
				rt.Fatalf("packet %d arrived twice", p.Number)
			}
			fate[p.Number] = "arrived"
		}
		gone := func(p *Packet[int]) {
			if fate[p.Number] != "" {
				rt.Fatalf("packet %d is %s and then lost", p.Number, fate[p.Number])
			}
			fate[p.Number] = "lost"
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 50).Draw(rt, "ms")) * time.Millisecond)
			switch rapid.IntRange(0, 2).Draw(rt, "what") {
			case 0:
				s.send(now, rapid.IntRange(1, 100).Draw(rt, "packets"))
			case 1:
				if s.Next() == 0 {
					continue
				}
				last := uint64(rapid.Int64Range(0, int64(s.Next()-1)).Draw(rt, "last"))
				first := uint64(rapid.Int64Range(0, int64(last)).Draw(rt, "first"))
				if _, err := s.Tracker.Ack(now, []wire.Range{{First: first, Last: last}}, 0, gotten, gone); err != nil {
					rt.Fatal(err)
				}
			case 2:
				s.Expire(now, gone)
			}
			flying := 0
			for n := range s.Next() {
				if fate[n] == "" {
					flying += 1000
				}
			}
			if flying != s.InFlight() {
				rt.Fatalf("%d bytes in flight, counted %d", s.InFlight(), flying)
			}
		}
	})
}

func TestReceivedIsASetThatForgets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Received
		seen := map[uint64]bool{}
		for range rapid.IntRange(1, 300).Draw(t, "packets") {
			n := uint64(rapid.IntRange(0, 400).Draw(t, "number"))
			fresh, _ := r.Add(n)
			if fresh && seen[n] {
				t.Fatalf("%d counts as new twice", n)
			}
			if !fresh && !seen[n] && n >= r.floor {
				t.Fatalf("%d is refused and was never here", n)
			}
			seen[n] = true
			if len(r.Ranges()) > wire.RangesMax {
				t.Fatalf("%d ranges", len(r.Ranges()))
			}
			for i, s := range r.Ranges() {
				if s.First > s.Last || i > 0 && s.Last+1 >= r.Ranges()[i-1].First {
					t.Fatalf("ranges %v", r.Ranges())
				}
				for n := s.First; n <= s.Last; n++ {
					if !seen[n] {
						t.Fatalf("%d is acknowledged and never came: %v", n, r.Ranges())
					}
				}
			}
		}
	})
}

func BenchmarkSentAndAcknowledged(b *testing.B) {
	t := New[[4]int](5 * time.Millisecond)
	now := start
	ignore := func(*Packet[[4]int]) {}
	b.ReportAllocs()
	for b.Loop() {
		for range 44 {
			t.Sent(now, Packet[[4]int]{Number: t.Next(), Bytes: 1400, Eliciting: true})
		}
		now = now.Add(time.Millisecond)
		if _, err := t.Ack(now, []wire.Range{{First: 0, Last: t.Next() - 1}}, 0, ignore, ignore); err != nil {
			b.Fatal(err)
		}
	}
}
