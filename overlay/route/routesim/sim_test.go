package routesim

import (
	"reflect"
	"testing"
	"time"
)

// small is an internet with as much trouble in minutes as the usual one has in hours.
func small(seed uint64) Options {
	o := Usual(seed)
	o.Places, o.Pairs, o.Duration, o.WarmUp = 30, 10, 12*time.Minute, time.Minute
	for _, t := range []*Trouble{&o.Outage, &o.Blip, &o.Congestion, &o.Corridor, &o.Access} {
		t.Every /= 8
	}
	return o
}

func TestOursReachesWhatAnOracleWould(t *testing.T) {
	for _, seed := range []uint64{1} {
		o := small(seed)
		r := Run(o)
		prompt, useful, working, mean, p95 := r.Gains()
		t.Logf("direct %+v", r.Direct)
		t.Logf("oracle %+v", r.Oracle)
		t.Logf("ours   %+v", r.Ours)
		t.Logf("of the oracle's gain: within 1 s %.4f, within 3 s %.4f, on a path that works %.4f, mean %.3f, p95 %.3f; %.1f switches an hour, most %.1f",
			prompt, useful, working, mean, p95, r.SwitchesHour, r.SwitchesHourMost)
		if r.Direct.Useful > 0.999 || r.Oracle.Useful <= r.Direct.Useful {
			t.Fatal("nothing happens on this internet")
		}
		if useful < 0.995 || prompt < 0.995 {
			t.Errorf("seed %d: %.4f and %.4f of the oracle's gain, want 0.995", seed, prompt, useful)
		}
		if mean < 0.98 || p95 < 0.98 {
			t.Errorf("seed %d: %.3f of what it gains in time, p95 %.3f", seed, mean, p95)
		}
		if r.SwitchesHour > 12 || r.SwitchesHourMost > 60 {
			t.Errorf("seed %d: it flaps: %.1f switches an hour, most %.1f", seed, r.SwitchesHour, r.SwitchesHourMost)
		}
		if r.DetourBytesSecond > r.DetourBytesSecondBound {
			t.Errorf("seed %d: %.0f bytes a second by detours", seed, r.DetourBytesSecond)
		}
	}
}

func TestTheSameSeedGivesTheSame(t *testing.T) {
	o := small(3)
	o.Duration = time.Minute
	if a, b := Run(o), Run(o); !reflect.DeepEqual(a, b) {
		t.Errorf("%+v\n%+v", a, b)
	}
}

// TestProbesOfLargeNetworks is the claim that a node's work doesn't grow with the network.
func TestProbesOfLargeNetworks(t *testing.T) {
	cost := func(places int) Result {
		o := Usual(1)
		o.Places, o.Pairs, o.Rate, o.Duration, o.WarmUp, o.Alone = places, places, 0.5, 20*time.Second, 20*time.Second, true
		return Run(o)
	}
	few, many := cost(50), cost(500)
	t.Logf("50 nodes: %.2f probes a second and node, %.0f bytes of reports; 500 nodes: %.2f, %.0f", few.ProbesSecond, few.ReportBytesSecond, many.ProbesSecond, many.ReportBytesSecond)
	if many.ProbesSecond > 1.2*few.ProbesSecond || many.ReportBytesSecond > 1.2*few.ReportBytesSecond {
		t.Error("the work of a node grows with the network")
	}
}

// TestDetoursStayWithinTheirBudget wants much more over detours than they may carry.
func TestDetoursStayWithinTheirBudget(t *testing.T) {
	o := small(1)
	o.Places, o.Pairs, o.Rate, o.Duration = 8, 20, 8, 2*time.Minute
	o.Router.DetourRate, o.Router.DetourRateAll = 20_000, 30_000
	r := Run(o)
	if r.Held == 0 || r.DetourBytesSecond > 30_000*1.01 || r.DetourBytesSecond < 1000 {
		t.Errorf("%.0f bytes a second by detours, %d held back", r.DetourBytesSecond, r.Held)
	}
	t.Logf("%.0f B/s of 30,000; %d held back; useful %.4f, direct %.4f", r.DetourBytesSecond, r.Held, r.Ours.Useful, r.Direct.Useful)
}

// TestLimits: an oracle with fewer routes isn't better, and one that hears of an outage when packets are missing sends some into it.
func TestLimits(t *testing.T) {
	o := small(2)
	o.Duration, o.Limits = 4*time.Minute, true
	r := Run(o)
	t.Logf("oracle %+v", r.Oracle)
	t.Logf("known  %+v", r.Known)
	t.Logf("heard  %+v", r.Heard)
	if r.Known.Mean < r.Oracle.Mean-r.Oracle.Mean/200 || r.Heard.Mean < r.Known.Mean-r.Known.Mean/200 {
		t.Errorf("means: oracle %v, of the known routes %v, by what was heard of them %v", r.Oracle.Mean, r.Known.Mean, r.Heard.Mean)
	}
	if r.Heard.Working >= r.Known.Working || r.Heard.Useful < 0.99*r.Known.Useful {
		t.Errorf("sent on a route that works: %.5f of what is heard, %.5f of what is true", r.Heard.Working, r.Known.Working)
	}
}
