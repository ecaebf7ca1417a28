package congest_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/overlay/congest"
	"github.com/wherry/wherry/overlay/congest/congestsim"
)

const packet = 1400

func link(rate float64, rtt time.Duration, queueBDP, loss float64) congestsim.Link {
	l := congestsim.Link{Rate: rate, Delay: rtt / 2, Loss: loss, Seed: 1}
	l.Queue = int(queueBDP * float64(l.BDP()))
	return l
}

func mustNew(kind congest.Kind) congest.Controller {
	c, err := congest.New(kind, congest.Options{Packet: packet})
	if err != nil {
		panic(err)
	}
	return c
}

func flows(kinds ...congest.Kind) []congestsim.Flow {
	var fs []congestsim.Flow
	for i, k := range kinds {
		fs = append(fs, congestsim.Flow{Name: string(k), Controller: mustNew(k), Packet: packet, Start: time.Duration(i) * 10 * time.Millisecond})
	}
	return fs
}

// TestGoodput: part of a link of 100 Mbit/s and 100 ms, with a queue of one product of both, that arrives in 30 s from the first packet on.
func TestGoodput(t *testing.T) {
	for _, c := range []struct {
		kind        congest.Kind
		loss        float64
		least, most float64 // Mbit/s
	}{
		// What Linux got on such a link: 96, 36, 9, 1.4.
		{congest.KindCubic, 0, 90, 100},
		{congest.KindCubic, 0.0001, 31, 45},
		{congest.KindCubic, 0.001, 7.6, 10.4},
		{congest.KindCubic, 0.01, 1.2, 1.7},
		// And its Reno: 20, 6, 1.4.
		{congest.KindReno, 0.0001, 17, 25},
		{congest.KindReno, 0.001, 5, 7},
		{congest.KindReno, 0.01, 1.1, 1.7},
		{congest.KindBBR, 0, 90, 100},
		{congest.KindBBR, 0.01, 75, 100},
		{congest.KindDefault, 0, 96, 100},
		{congest.KindDefault, 0.001, 96, 100},
		{congest.KindDefault, 0.01, 95, 100},
		{congest.KindDefault, 0.05, 91, 100},
	} {
		l := link(12.5e6, 100*time.Millisecond, 1, c.loss)
		got := 0.0
		const runs = 5
		for l.Seed = range uint64(runs) {
			got += congestsim.Run(l, flows(c.kind), 0, 30*time.Second, nil)[0].Goodput / 125e3 / runs
		}
		if got < c.least || got > c.most {
			t.Errorf("%s with %g %% loss: %.1f Mbit/s, want %g to %g", c.kind, 100*c.loss, got, c.least, c.most)
		}
	}
}

// TestBeside: a flow of ours and one of another controller on one bottleneck of 100 Mbit/s and 100 ms; ours gets half to double of a fair share, and
// leaves the other as much.
func TestBeside(t *testing.T) {
	for _, c := range []struct {
		other string
		queue float64 // products of rate and round trip
		late  time.Duration
	}{
		{"cubic", 1, 0},
		{"cubic", 1, 5 * time.Second},
		{"cubic", 2, 0},
		{"cubic", 2, 5 * time.Second},
		{"bbr1", 1, 0},
		{"bbr1", 1, 5 * time.Second},
		{"bbr1", 2, 0},
		{"bbr1", 2, 5 * time.Second},
	} {
		fs := named("default", c.other)
		fs[1].Start = c.late
		r := congestsim.Run(link(12.5e6, 100*time.Millisecond, c.queue, 0), fs, 10*time.Second, 40*time.Second, nil)
		ours, theirs := r[0].Goodput/125e3, r[1].Goodput/125e3
		if part := ours / (ours + theirs); part < 0.25 || part > 0.75 {
			t.Errorf("beside %s that begins %v later, queue %g: %.1f Mbit/s to %.1f", c.other, c.late, c.queue, ours, theirs)
		}
	}
}

// TestLate: a flow of ours that comes five seconds after others has half of a fair share ten to twenty seconds later.
func TestLate(t *testing.T) {
	for _, c := range []struct {
		others []string
		queue  float64
	}{
		{[]string{"cubic"}, 1},
		{[]string{"cubic"}, 2},
		{[]string{"reno"}, 1},
		{[]string{"reno"}, 2},
		{[]string{"bbr1"}, 1},
		{[]string{"bbr1"}, 2},
		{slices.Repeat([]string{"default"}, 7), 1},
		{slices.Repeat([]string{"default"}, 7), 2},
	} {
		fs := named(append([]string{"default"}, c.others...)...)
		fs[0].Start = 5 * time.Second
		r := congestsim.Run(link(12.5e6, 100*time.Millisecond, c.queue, 0), fs, 15*time.Second, 25*time.Second, nil)
		fair := 0.0
		for _, f := range r {
			fair += f.Goodput / float64(len(r))
		}
		if r[0].Goodput < fair/2 {
			t.Errorf("after %d of %s, queue %g: %.1f Mbit/s, a fair share is %.1f", len(c.others), c.others[0], c.queue, r[0].Goodput/125e3, fair/125e3)
		}
	}
}

// TestQueue: a flow of ours on a queue of two products keeps it shorter than a third of what Cubic makes it.
func TestQueue(t *testing.T) {
	l := link(12.5e6, 100*time.Millisecond, 2, 0)
	ours := congestsim.Run(l, flows(congest.KindDefault), 0, 30*time.Second, nil)[0].Queued
	cubic := congestsim.Run(l, flows(congest.KindCubic), 0, 30*time.Second, nil)[0].Queued
	if 3*ours > cubic {
		t.Errorf("packets waited %v, with Cubic %v", ours, cubic)
	}
}

// TestCompetitorLeaves: when the other one has gone, the queue is short again.
func TestCompetitorLeaves(t *testing.T) {
	for _, other := range []string{"cubic", "bbr1"} {
		fs := named("default", other)
		fs[1].Stop = 20 * time.Second
		var sum time.Duration
		n := 0
		congestsim.Run(link(12.5e6, 100*time.Millisecond, 1, 0), fs, 0, 90*time.Second, func(flow int, now time.Duration, a congest.Ack) {
			if flow == 0 && now > 80*time.Second {
				sum += a.RTT - 100*time.Millisecond
				n++
			}
		})
		if mean := sum / time.Duration(n); mean > 15*time.Millisecond {
			t.Errorf("a minute after %s has gone, packets wait %v", other, mean)
		}
	}
}

// TestNew: what can't work is refused, and says what to do.
func TestNew(t *testing.T) {
	for _, c := range []struct {
		kind congest.Kind
		o    congest.Options
		says string
	}{
		{"vegas", congest.Options{Packet: packet}, "use default, reno, cubic or bbr"},
		{congest.KindReno, congest.Options{}, "set Options.Packet"},
		{congest.KindReno, congest.Options{Packet: packet, Initial: 100}, "Packet <= Initial <= Max"},
	} {
		if _, err := congest.New(c.kind, c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, want %q", c.kind, err, c.says)
		}
	}
}

// named makes flows of our controllers and of the model of Linux's BBR.
func named(names ...string) []congestsim.Flow {
	var fs []congestsim.Flow
	for i, name := range names {
		f := congestsim.Flow{Name: name, Packet: packet, Start: time.Duration(i) * 10 * time.Millisecond}
		if name == "bbr1" {
			f.Controller = newBBR1(packet, uint64(i+1))
		} else {
			f.Controller = mustNew(congest.Kind(name))
		}
		fs = append(fs, f)
	}
	return fs
}

func many(k congest.Kind, n int) []congest.Kind {
	var ks []congest.Kind
	for range n {
		ks = append(ks, k)
	}
	return ks
}

func jain(rs []congestsim.Result) float64 {
	var sum, squares float64
	for _, r := range rs {
		sum += r.Goodput
		squares += r.Goodput * r.Goodput
	}
	return sum * sum / squares / float64(len(rs))
}

// TestFairAmongOurselves: flows that begin together share evenly.
func TestFairAmongOurselves(t *testing.T) {
	for _, n := range []int{2, 8, 32} {
		r := congestsim.Run(link(12.5e6, 100*time.Millisecond, 1, 0), flows(many(congest.KindDefault, n)...), 5*time.Second, 20*time.Second, nil)
		if j := jain(r); j < 0.95 {
			t.Errorf("%d flows: Jain's index is %.3f, want 0.95", n, j)
		}
	}
}

// TestSmallWindows: at 1 % loss Reno carries what the square-root formula (RFC 5348 §3.1, without timeouts) says but for a tenth, which is what of a window of ten
// packets isn't whole, or waits for its pace; and Cubic is no faster than Reno there by more than Linux's is.
func TestSmallWindows(t *testing.T) {
	carried := func(kind congest.Kind) float64 {
		return congestsim.Run(link(12.5e6, 100*time.Millisecond, 1, 0.01), flows(kind), 20*time.Second, 2020*time.Second, nil)[0].Goodput
	}
	reno, cubic := carried(congest.KindReno), carried(congest.KindCubic)
	formula := math.Sqrt(1.5/0.01) * packet / 0.1
	t.Logf("Reno %.3f Mbit/s, Cubic %.3f, formula %.3f", reno/125e3, cubic/125e3, formula/125e3)
	if reno < 0.89*formula {
		t.Errorf("Reno carries %.2f of what the formula says", reno/formula)
	}
	if cubic > 1.12*reno || cubic < 0.9*reno {
		t.Errorf("Cubic carries %.2f of what Reno does", cubic/reno)
	}
}
