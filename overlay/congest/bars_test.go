package congest_test

import (
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
