package route

import (
	"testing"
	"time"
)

func TestSilenceIsSuspectWhenLossDoesntExplainIt(t *testing.T) {
	for _, c := range []struct {
		lost, of int // of the packets before
		timeouts int // until it is suspect
	}{{0, 1000, 2}, {5, 1000, 2}, {10, 1000, 3}, {50, 1000, 4}, {100, 1000, 5}, {200, 1000, 5}, {500, 1000, 5}} {
		var e Estimator
		now := began
		for i := range c.of {
			now = now.Add(20 * time.Millisecond)
			if i*c.lost/c.of != (i+1)*c.lost/c.of {
				e.Lost(now, 1)
			} else {
				e.Arrived(now, 50*time.Millisecond, 1)
			}
		}
		if x := e.Estimate(now); x.State != Alive {
			t.Fatalf("%d of %d lost: %v", c.lost, c.of, x.State)
		}
		n := 0
		for x := e.Estimate(now); x.State == Alive && n < 20; x = e.Estimate(now) {
			n++
			now = now.Add(60 * time.Millisecond)
			e.Timeout(now)
		}
		if n != c.timeouts {
			t.Errorf("%d of %d lost: suspect after %d timeouts, want %d", c.lost, c.of, n, c.timeouts)
		}
		now = now.Add(deadAfter)
		if x := e.Estimate(now); x.State != Dead {
			t.Errorf("silent for seconds: %v", x.State)
		}
		if e.Arrived(now, 50*time.Millisecond, 1); e.Estimate(now).State != Alive || e.Estimate(now).Steady != 0 {
			t.Errorf("after an answer: %+v", e.Estimate(now))
		}
	}
}

func TestOutagesArentLoss(t *testing.T) {
	var e Estimator
	now := began
	for range 500 {
		now = now.Add(20 * time.Millisecond)
		e.Arrived(now, 50*time.Millisecond, 1)
	}
	for range 300 {
		now = now.Add(100 * time.Millisecond)
		e.Timeout(now)
	}
	e.Arrived(now, 50*time.Millisecond, 1)
	if x := e.Estimate(now); x.Loss > 0.02 {
		t.Errorf("an outage of half a minute counts as a loss of %.3f afterwards", x.Loss)
	}
}

func TestLossIsNoticedFastAndForgottenInTime(t *testing.T) {
	var e Estimator
	now := began
	send := func(count int, each time.Duration, loseEach int) {
		for i := range count {
			now = now.Add(each)
			if loseEach > 0 && i%loseEach == 0 {
				e.Lost(now, 1)
			} else {
				e.Arrived(now, 100*time.Millisecond, 1)
			}
		}
	}
	send(5000, 2*time.Millisecond, 0)
	before := now
	send(150, 2*time.Millisecond, 5)
	if x := e.Estimate(now); !x.Heavy || x.LossFast < 0.1 {
		t.Errorf("%v after it began to lose a fifth: %+v", now.Sub(before), x)
	}
	send(500, 2*time.Millisecond, 0)
	if x := e.Estimate(now); x.Heavy || x.LossFast > 0.01 {
		t.Errorf("a second after it stopped: %+v", x)
	}
	// Of two minutes ago nothing is left.
	send(260, 500*time.Millisecond, 0)
	if x := e.Estimate(now); x.Loss > 0.001 {
		t.Errorf("two minutes after it stopped: %+v", x)
	}
}

func TestRoundTripsFollow(t *testing.T) {
	var e Estimator
	now := began
	for range 50 {
		now = now.Add(2 * time.Second)
		e.Arrived(now, 100*time.Millisecond, 1)
	}
	for range 10 {
		now = now.Add(2 * time.Second)
		e.Arrived(now, 200*time.Millisecond, 1)
	}
	x := e.Estimate(now)
	if x.Smoothed < 195*time.Millisecond || x.Min != 100*time.Millisecond || x.Variance > 10*time.Millisecond {
		t.Errorf("20 s after it doubled: %+v", x)
	}
	if rto := e.RTO(); rto < x.Smoothed+10*time.Millisecond || rto > 300*time.Millisecond {
		t.Errorf("RTO %v of %v ± %v", rto, x.Smoothed, x.Variance)
	}
}

func TestLateAnswersArentLosses(t *testing.T) {
	var e Estimator
	now := began
	for range 20 {
		now = now.Add(time.Second)
		e.Arrived(now, 100*time.Millisecond, 1)
	}
	for range 10 {
		now = now.Add(time.Second)
		e.Timeout(now)
		e.Late(now.Add(50*time.Millisecond), 400*time.Millisecond)
	}
	if x := e.Estimate(now); x.State != Alive || x.Loss > 0.01 {
		t.Errorf("%+v", x)
	}
}

func TestCountersOfATransport(t *testing.T) {
	var e Estimator
	now := began
	c := Counters{Smoothed: 80 * time.Millisecond, Variance: 2 * time.Millisecond, Alive: true}
	for range 100 {
		now = now.Add(100 * time.Millisecond)
		c.Arrived, c.Lost, c.Delivered, c.Heard, c.Full = c.Arrived+99, c.Lost+1, c.Delivered+125_000, now, true
		e.Observe(now, c)
	}
	x := e.Estimate(now)
	if x.State != Alive || x.Smoothed != c.Smoothed || x.Loss < 0.009 || x.Loss > 0.011 || x.Capacity < 1.2e6 || x.Capacity > 1.3e6 {
		t.Errorf("%+v", x)
	}
	// The path is opened anew.
	now = now.Add(time.Second)
	e.Observe(now, Counters{Smoothed: c.Smoothed, Alive: true, Arrived: 10, Heard: now})
	if x := e.Estimate(now); x.Samples != 100*99+10 {
		t.Errorf("%d samples", x.Samples)
	}
	// The transport says that it is silent: once that may be a lost tail.
	heard := now
	for i, want := range []State{Alive, Suspect, Suspect} {
		now = now.Add(100 * time.Millisecond)
		e.Observe(now, Counters{Smoothed: c.Smoothed, Arrived: 10, Heard: heard})
		if x := e.Estimate(now); x.State != want {
			t.Errorf("silent for the time of %d: %v", i+1, x.State)
		}
	}
	now = now.Add(100 * time.Millisecond)
	e.Observe(now, Counters{Smoothed: c.Smoothed, Arrived: 11, Heard: now, Alive: true})
	if x := e.Estimate(now); x.State != Alive || x.Silent != 0 {
		t.Errorf("it answers again: %+v", x)
	}
}

func BenchmarkChoose(b *testing.B) {
	r, now := network(b, 500), began
	for i := range 60 {
		r.Choose(id(i*7%500+1), Latency, now)
	}
	r.Probes(now)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		now = now.Add(time.Millisecond)
		r.Choose(id(i%60*7%500+1), Latency, now)
	}
}
