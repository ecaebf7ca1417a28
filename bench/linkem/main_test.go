package main

import (
	"math"
	"testing"

	"github.com/wherry/wherry/internal/linkem/flows"
)

func TestWhatPingSays(t *testing.T) {
	out := []byte("300 packets transmitted, 297 received, 1% packet loss, time 3007ms\nrtt min/avg/max/mdev = 10.133/10.200/11.092/0.132 ms, pipe 2\n")
	times, err := numbers(pingTimes, out)
	if err != nil || times[0] != 10.133 || times[1] != 10.2 {
		t.Errorf("times %v, %v", times, err)
	}
	lost, err := numbers(pingLost, out)
	if err != nil || lost[0] != 1 {
		t.Errorf("lost %v, %v", lost, err)
	}
	if _, err := numbers(pingTimes, []byte("connect: Network is unreachable")); err == nil {
		t.Error("no times were found in an error")
	}
}

func TestBarsAreMeasurable(t *testing.T) {
	for _, g := range groups() {
		if _, err := flows.LinkFlows(g.flows); err != nil {
			t.Errorf("%s: %v", g.name, err)
		}
		if err := g.shape.Check(); err != nil {
			t.Errorf("%s: %v", g.name, err)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		b      bar
		median float64
		want   string
	}{
		{bar{least: 0.95, most: 1}, 0.96, "yes"},
		{bar{least: 0.95, most: 1}, 0.94, "**no**"},
		{bar{least: 0, most: 0.5}, math.Inf(1), "**no**"},
		{bar{least: 1, most: math.Inf(1)}, math.Inf(1), "yes"},
		{bar{least: 0, most: math.Inf(1)}, 3, ""},
	} {
		if got := c.b.verdict(c.median); got != c.want {
			t.Errorf("%v in %v–%v: %q, want %q", c.median, c.b.least, c.b.most, got, c.want)
		}
	}
}
