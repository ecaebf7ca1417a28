package linkem_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wherry/wherry/internal/linkem"
)

const (
	ms   = time.Millisecond
	mbit = 1_000_000
)

// arrival is one packet that came out of a link.
type arrival struct {
	at     time.Duration
	number int
	data   []byte
}

// numbered is a packet of so many bytes that carries its number.
func numbered(number, bytes int) []byte {
	p := make([]byte, bytes)
	binary.BigEndian.PutUint32(p, uint32(number))
	return p
}

// send offers packets, each at its time, and takes what arrives as soon as the link says so.
func send(t testing.TB, l *linkem.Link, packets int, bytes int, at func(i int) time.Duration) []arrival {
	t.Helper()
	var got []arrival
	take := func(until time.Duration) {
		for {
			next, ok := l.Next()
			if !ok || next > until {
				return
			}
			got = popAll(l, next, got)
		}
	}
	for i := range packets {
		take(at(i))
		l.Push(at(i), numbered(i, bytes))
	}
	take(math.MaxInt64 - 1)
	return got
}

func popAll(l *linkem.Link, now time.Duration, got []arrival) []arrival {
	buf := make([]byte, 2048)
	for {
		n, ok := l.Pop(now, buf)
		if !ok {
			return got
		}
		got = append(got, arrival{now, int(binary.BigEndian.Uint32(buf)), bytes.Clone(buf[:n])})
	}
}

func newLink(t testing.TB, shapes ...linkem.Shape) *linkem.Link {
	t.Helper()
	l, err := linkem.NewLink(1, shapes...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func every(d time.Duration) func(int) time.Duration {
	return func(i int) time.Duration { return time.Duration(i) * d }
}

func TestPacketsTakeTheirTimeOnTheLineAndOnTheWay(t *testing.T) {
	// 1,500 bytes at 12 Mbit/s take 1 ms; then 10 ms of propagation.
	l := newLink(t, linkem.Shape{RateBits: 12 * mbit, Delay: 10 * ms, QueueBytes: 100_000})
	for i, a := range send(t, l, 5, 1500, every(0)) {
		if want := time.Duration(i+1)*ms + 10*ms; a.at != want || a.number != i {
			t.Errorf("packet %d arrives at %v, want packet %d at %v", a.number, a.at, i, want)
		}
	}
}

func TestAnIdleLineSavesNothingUp(t *testing.T) {
	l := newLink(t, linkem.Shape{RateBits: 12 * mbit, QueueBytes: 100_000})
	got := send(t, l, 4, 1500, func(i int) time.Duration { return time.Duration(i/2) * time.Second })
	for i, want := range []time.Duration{ms, 2 * ms, time.Second + ms, time.Second + 2*ms} {
		if got[i].at != want {
			t.Errorf("packet %d arrives at %v, want %v", i, got[i].at, want)
		}
	}
}

func TestASlowHopAfterAFastOneHoldsTheQueue(t *testing.T) {
	fast := linkem.Shape{RateBits: 120 * mbit, Delay: 2 * ms, QueueBytes: 1 << 20}
	slow := linkem.Shape{RateBits: 12 * mbit, Delay: 3 * ms, QueueBytes: 1 << 20}
	l := newLink(t, fast, slow, fast)
	got := send(t, l, 100, 1500, every(0))
	last := got[len(got)-1]
	// 0.1 ms on the first line, 2 ms; 100 × 1 ms on the second, 3 ms; 0.1 ms on the third, 2 ms.
	if want := 100*ms/1000 + 2*ms + 100*ms + 3*ms + 100*ms/1000 + 2*ms; len(got) != 100 || last.at != want {
		t.Errorf("%d packets, the last at %v; want 100, at %v", len(got), last.at, want)
	}
	hops := l.Stats().Hops
	if hops[1].QueueBytesPeak < 50*1500 || hops[2].QueueBytesPeak > 2*1500 {
		t.Errorf("queues grew to %d and %d bytes; want a long one before the slow line only", hops[1].QueueBytesPeak, hops[2].QueueBytesPeak)
	}
}

func TestDropTailDropsWhatDoesntFit(t *testing.T) {
	l := newLink(t, linkem.Shape{RateBits: 12 * mbit, QueueBytes: 10 * 1500})
	got := send(t, l, 50, 1500, every(0))
	// One is on the line, ten wait.
	if s := l.Stats().Hops[0]; len(got) != 11 || s.QueueDrops != 39 || s.QueueBytesPeak != 10*1500 {
		t.Errorf("%d arrived, %d dropped, queue up to %d; want 11, 39, 15000", len(got), s.QueueDrops, s.QueueBytesPeak)
	}
	if got[10].number != 10 {
		t.Errorf("packet %d came through, want the first eleven", got[10].number)
	}
}

func TestCoDelBringsAStandingQueueDownAndLeavesABurstAlone(t *testing.T) {
	shape := linkem.Shape{RateBits: 12 * mbit, QueueBytes: 1 << 20, AQM: linkem.CoDel}
	burst := newLink(t, shape)
	if got := send(t, burst, 60, 1500, every(0)); len(got) != 60 {
		t.Errorf("of a burst of 60 ms %d of 60 packets arrived: CoDel waits for an interval of 100 ms", len(got))
	}
	// 1.1 packets a millisecond for 20 s onto a line that sends 1.
	standing := newLink(t, shape)
	send(t, standing, 22_000, 1500, every(ms*10/11))
	s := standing.Stats().Hops[0]
	if s.QueueDrops != 0 || s.AQMDrops < 1500 || s.AQMDrops > 2500 {
		t.Errorf("%d dropped by CoDel and %d by the queue's end; want about 2,000 and none", s.AQMDrops, s.QueueDrops)
	}
	dropTail := newLink(t, linkem.Shape{RateBits: 12 * mbit, QueueBytes: 1 << 20})
	send(t, dropTail, 22_000, 1500, every(ms*10/11))
	if mean := dropTail.Stats().Hops[0].Sojourn.Mean(); s.Sojourn.Mean() > mean/4 {
		t.Errorf("mean delay %v with CoDel, %v without", s.Sojourn.Mean(), mean)
	}
}

// overload offers twice the line's rate of 12 Mbit/s from a time on, and returns when CoDel dropped.
func overload(l *linkem.Link, from, d time.Duration) (drops []time.Duration) {
	popAll(l, from, nil) // drops of the draining before aren't meant
	before := l.Stats().Hops[0].AQMDrops
	for now := from; now < from+d; now += ms / 2 {
		l.Push(now, numbered(0, 1500))
		for n := l.Stats().Hops[0].AQMDrops; before < n; before++ {
			drops = append(drops, now)
		}
	}
	return drops
}

func TestCoDelDropsOnTheScheduleOfTheRFC(t *testing.T) {
	// The queue's delay passes 5 ms at about 10 ms, so the first drop is an interval of 100 ms later, and then those of the control law
	// (RFC 8289, section 5.3): 100, 100/√2, 100/√3 … ms apart, without an error that adds up.
	l := newLink(t, linkem.Shape{RateBits: 12 * mbit, QueueBytes: 1 << 22, AQM: linkem.CoDel})
	drops := overload(l, 0, time.Second)
	if len(drops) < 20 || drops[0] < 105*ms || drops[0] > 115*ms {
		t.Fatalf("drops at %v, want the first at about 110 ms", drops)
	}
	want := drops[0]
	for i := 1; i < 20; i++ {
		want += time.Duration(float64(100*ms) / math.Sqrt(float64(i)))
		if drops[i] < want-2*ms || drops[i] > want+2*ms {
			t.Errorf("drop %d at %v, want %v", i+1, drops[i], want)
		}
	}
	// It drains, and is overloaded again soon: RFC 8289, section 5.5, begins with the rate that it had.
	again := overload(l, 2200*ms, time.Second)
	if gap := again[1] - again[0]; gap > 50*ms {
		t.Errorf("the second drop is %v after the first, as if nothing had been learnt", gap)
	}
	// A long time later it begins anew.
	anew := overload(l, time.Minute, time.Second)
	if gap := anew[1] - anew[0]; gap < 98*ms || gap > 102*ms {
		t.Errorf("the second drop is %v after the first, want an interval of 100 ms", gap)
	}
}

func TestCoDelLeavesALinePacketsToSend(t *testing.T) {
	// A packet takes 24 ms on this line and each waits as long for the one before it: more than the target, but nothing stands behind it.
	l := newLink(t, linkem.Shape{RateBits: mbit / 2, QueueBytes: 1 << 20, AQM: linkem.CoDel})
	got := send(t, l, 200, 1500, func(i int) time.Duration { return time.Duration(max(i-1, 0)) * 24 * ms })
	if len(got) != 200 {
		t.Errorf("%d of 200 packets arrived", len(got))
	}
}

func TestRandomLoss(t *testing.T) {
	const packets = 200_000
	l := newLink(t, linkem.Shape{Loss: linkem.RandomLoss(0.01)})
	got := send(t, l, packets, 100, every(ms))
	lost, runs := lossesOf(got, packets)
	if lost < 1850 || lost > 2150 {
		t.Errorf("%d of %d lost, want about 2,000", lost, packets)
	}
	if mean := float64(lost) / float64(runs); mean > 1.05 {
		t.Errorf("runs of %.2f packets on average, want single ones", mean)
	}
}

func TestBurstLossHasTheSameRateInLongerRuns(t *testing.T) {
	const packets = 400_000
	shape := linkem.Shape{Loss: linkem.BurstLoss(0.02, 8)}
	l := newLink(t, shape)
	got := send(t, l, packets, 100, every(ms))
	lost, runs := lossesOf(got, packets)
	if fraction := float64(lost) / packets; fraction < 0.017 || fraction > 0.023 {
		t.Errorf("%.4f lost, want 0.02", fraction)
	}
	if mean := float64(lost) / float64(runs); mean < 7 || mean > 9 {
		t.Errorf("runs of %.2f packets on average, want 8", mean)
	}
	if f, b := shape.Loss.Fraction(), shape.Loss.BurstPackets(); math.Abs(f-0.02) > 1e-9 || math.Abs(b-8) > 1e-9 {
		t.Errorf("the model says %v in bursts of %v", f, b)
	}
}

// lossesOf counts packets that didn't arrive, and runs of such.
func lossesOf(got []arrival, sent int) (lost, runs int) {
	there := make([]bool, sent)
	for _, a := range got {
		there[a.number] = true
	}
	for i, ok := range there {
		if !ok {
			lost++
			if i == 0 || there[i-1] {
				runs++
			}
		}
	}
	return lost, runs
}

func TestALostPacketHasUsedTheLine(t *testing.T) {
	l := newLink(t, linkem.Shape{RateBits: 12 * mbit, QueueBytes: 1 << 24, Loss: linkem.RandomLoss(0.5)})
	got := send(t, l, 1000, 1500, every(0))
	if last := got[len(got)-1].at; last < 980*ms {
		t.Errorf("all was through at %v; 1,000 packets take the line a second, lost or not", last)
	}
}

func TestJitterSpreadsButKeepsTheOrder(t *testing.T) {
	l := newLink(t, linkem.Shape{Delay: 10 * ms, Jitter: 5 * ms})
	got := send(t, l, 5000, 100, every(20*ms))
	least, most, sum := time.Hour, time.Duration(0), time.Duration(0)
	for i, a := range got {
		delay := a.at - time.Duration(i)*20*ms
		least, most, sum = min(least, delay), max(most, delay), sum+delay
		if a.number != i {
			t.Fatalf("packet %d arrived in place %d", a.number, i)
		}
	}
	if mean := sum / 5000; least < 10*ms || most > 15*ms || mean < 12*ms || mean > 13*ms {
		t.Errorf("delays from %v to %v, mean %v; want 10 to 15 ms, mean 12.5 ms", least, most, mean)
	}
	for i, a := range send(t, newLink(t, linkem.Shape{Delay: 10 * ms, Jitter: 5 * ms}), 5000, 100, every(ms/10)) {
		if a.number != i {
			t.Fatalf("close behind each other, packet %d arrived in place %d", a.number, i)
		}
	}
}

func TestReorderedPacketsAreOvertaken(t *testing.T) {
	l := newLink(t, linkem.Shape{Delay: 20 * ms, Reorder: 0.1, ReorderDelay: 7 * ms})
	got := send(t, l, 10_000, 100, every(ms))
	late, newest := 0, -1
	for _, a := range got {
		if a.number < newest {
			late++
			if a.at != time.Duration(a.number)*ms+27*ms {
				t.Fatalf("packet %d was overtaken and arrived at %v, want 7 ms late", a.number, a.at)
			}
		}
		newest = max(newest, a.number)
	}
	if late < 900 || late > 1100 || len(got) != 10_000 {
		t.Errorf("%d of %d were overtaken, want about 1,000 of 10,000", late, len(got))
	}
}

func TestDuplicatesAndCorruption(t *testing.T) {
	l := newLink(t, linkem.Shape{Duplicate: 0.1, Corrupt: 0.2})
	got := send(t, l, 10_000, 64, every(ms))
	turned := 0
	for _, a := range got {
		ones := 0
		for _, b := range a.data[4:] {
			ones += bits.OnesCount8(b)
		}
		if ones > 1 {
			t.Fatalf("%d bits turned in one packet, want one", ones)
		}
		turned += ones
	}
	if len(got) < 10_850 || len(got) > 11_150 {
		t.Errorf("%d arrived of 10,000, want about 11,000", len(got))
	}
	// A sixteenth of the turned bits is in the number, which isn't looked at.
	if turned < 1900 || turned > 2300 {
		t.Errorf("%d corrupted, want about 2,060", turned)
	}
}

func TestReshapeHoldsForWhatIsSentFromThen(t *testing.T) {
	l := newLink(t, linkem.Shape{Delay: 100 * ms})
	l.Push(0, numbered(0, 100))
	if err := l.Reshape(10*ms, linkem.Shape{Delay: 300 * ms}); err != nil {
		t.Fatal(err)
	}
	l.Push(10*ms, numbered(1, 100))
	if err := l.Reshape(20*ms, linkem.Shape{Delay: 1 * ms}); err != nil {
		t.Fatal(err)
	}
	l.Push(20*ms, numbered(2, 100)) // doesn't overtake
	got := send(t, l, 0, 0, nil)
	for i, want := range []time.Duration{100 * ms, 310 * ms, 310 * ms} {
		if got[i].number != i || got[i].at != want {
			t.Errorf("packet %d at %v, want packet %d at %v", got[i].number, got[i].at, i, want)
		}
	}
	if err := l.Reshape(0, linkem.Shape{}, linkem.Shape{}); err == nil {
		t.Error("two shapes were taken for one hop")
	}
	if err := l.Reshape(0, linkem.Shape{RateBits: mbit}); err == nil {
		t.Error("a line without a queue was taken")
	}
}

// TestWhenItIsAskedDoesntMatter holds the model to its promise: a process that is late gets the same packets, each with the same time.
func TestWhenItIsAskedDoesntMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shapes := rapid.SliceOfN(rapid.Custom(drawShape), 1, 3).Draw(t, "hops")
		gaps := rapid.SliceOfN(rapid.IntRange(0, 4000), 1, 200).Draw(t, "µs between packets")
		prompt, late := mustLink(shapes), mustLink(shapes)
		var now time.Duration
		var fromPrompt, fromLate []arrival
		for i, gap := range gaps {
			now += time.Duration(gap) * time.Microsecond
			for next, ok := prompt.Next(); ok && next <= now; next, ok = prompt.Next() {
				fromPrompt = popAll(prompt, next, fromPrompt)
			}
			prompt.Push(now, numbered(i, 64+gap%1400))
			late.Push(now, numbered(i, 64+gap%1400))
		}
		for next, ok := prompt.Next(); ok; next, ok = prompt.Next() {
			fromPrompt = popAll(prompt, next, fromPrompt)
		}
		fromLate = popAll(late, time.Hour, fromLate)
		if len(fromPrompt) != len(fromLate) {
			t.Fatalf("%d arrived when asked often, %d when asked at the end", len(fromPrompt), len(fromLate))
		}
		for i := range fromPrompt {
			if !bytes.Equal(fromPrompt[i].data, fromLate[i].data) {
				t.Fatalf("in place %d packet %d or %d", i, fromPrompt[i].number, fromLate[i].number)
			}
		}
		checkAccounts(t, prompt.Stats(), len(gaps), len(fromPrompt))
	})
}

func mustLink(shapes []linkem.Shape) *linkem.Link {
	l, err := linkem.NewLink(7, shapes...)
	if err != nil {
		panic(err)
	}
	return l
}

// checkAccounts wants each packet to be somewhere, and no more.
func checkAccounts(t *rapid.T, s linkem.LinkStats, sent, arrived int) {
	entered := int64(sent)
	for i, h := range s.Hops {
		if h.Offered != entered || h.Offered+h.Duplicated != h.Delivered+h.QueueDrops+h.AQMDrops+h.Lost+h.Overflows {
			t.Fatalf("hop %d: %d entered, accounts %+v", i, entered, h)
		}
		entered = h.Delivered
	}
	if entered != int64(arrived) {
		t.Fatalf("%d left the last hop, %d arrived", entered, arrived)
	}
	if s.Lateness.Max > 0 {
		t.Fatalf("packets were up to %v late for somebody who came at the time that Next said", s.Lateness.Max)
	}
}

func drawShape(t *rapid.T) linkem.Shape {
	s := linkem.Shape{
		RateBits:   rapid.SampledFrom([]int64{0, mbit, 10 * mbit, 100 * mbit}).Draw(t, "rate"),
		Delay:      time.Duration(rapid.IntRange(0, 50_000).Draw(t, "delay")) * time.Microsecond,
		Jitter:     time.Duration(rapid.IntRange(0, 5_000).Draw(t, "jitter")) * time.Microsecond,
		Reorder:    rapid.SampledFrom([]float64{0, 0.1}).Draw(t, "reorder"),
		Duplicate:  rapid.SampledFrom([]float64{0, 0.05}).Draw(t, "duplicate"),
		Corrupt:    rapid.SampledFrom([]float64{0, 0.05}).Draw(t, "corrupt"),
		QueueBytes: rapid.IntRange(1500, 50_000).Draw(t, "queue"),
		AQM:        rapid.SampledFrom([]linkem.AQM{linkem.DropTail, linkem.CoDel}).Draw(t, "aqm"),
	}
	if rapid.Bool().Draw(t, "bursts") {
		s.Loss = linkem.BurstLoss(0.1, 4)
	} else {
		s.Loss = linkem.RandomLoss(rapid.SampledFrom([]float64{0, 0.1}).Draw(t, "loss"))
	}
	return s
}

func TestShapesThatCantBe(t *testing.T) {
	for name, s := range map[string]linkem.Shape{
		"probability":  {Loss: linkem.RandomLoss(1.5)},
		"negative":     {Delay: -1},
		"no packet":    {RateBits: mbit, QueueBytes: 100},
		"no queue":     {AQM: "red"},
		"reorder":      {Reorder: math.NaN()},
		"isn't a prob": {Loss: linkem.BurstLoss(0.5, 0.1)},
	} {
		if _, err := linkem.NewLink(1, linkem.Shape{}, s); err == nil || !strings.Contains(err.Error(), "hop 2") {
			t.Errorf("%s: %v, want an error that names hop 2", name, err)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h linkem.Histogram
	for i := range 1000 {
		h.Add(time.Duration(i+1) * 100 * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 50 * ms, 0.95: 95 * ms, 0.99: 99 * ms} {
		if got := h.Quantile(q); got < want || got > want*9/8 {
			t.Errorf("quantile %v is %v, want %v or up to an eighth more", q, got, want)
		}
	}
	if h.Mean() != 50050*time.Microsecond || h.Max != 100*ms || h.Quantile(1) != 100*ms {
		t.Errorf("mean %v, max %v, all within %v", h.Mean(), h.Max, h.Quantile(1))
	}
	h.Add(1000 * time.Hour) // beyond the last bucket
	if h.Quantile(1) != 1000*time.Hour {
		t.Errorf("the longest is %v", h.Quantile(1))
	}
}

func BenchmarkLink(b *testing.B) {
	l := newLink(b, linkem.Shape{RateBits: 1000 * mbit, Delay: 10 * ms, QueueBytes: 1 << 20, Loss: linkem.RandomLoss(0.001)})
	packet, buf := make([]byte, 1500), make([]byte, 2048)
	b.SetBytes(1500)
	b.ReportAllocs()
	var now time.Duration
	for b.Loop() {
		now += 12 * time.Microsecond
		l.Push(now, packet)
		l.Pop(now, buf)
	}
}
