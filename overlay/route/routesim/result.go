package routesim

import (
	"math"
	"time"
)

// Who chooses; the index of what belongs to each.
const (
	byDirect = iota
	byOracle
	byOurs
	byKnown
	byHeard
	choices
)

// Result is what came of a run.
type Result struct {
	Places, Pairs          int
	Exchanges              uint64
	Direct, Oracle, Ours   Outcome
	Known                  Outcome // by an oracle that only has the routes that the nodes measure (Options.Limits)
	Heard                  Outcome // and that only knows of them what the latest answer or timeout could tell: no policy with these probes knows more
	Missed                 Missed
	Switches               int // of all pairs
	SwitchesHour           float64
	SwitchesHourMost       float64 // of one pair
	Detours                float64 // part of the exchanges
	DetourBytes            uint64
	Held                   uint64 // exchanges that the budget kept from a detour
	Probes                 uint64
	ProbesSecond           float64 // of one node
	ProbeBytes             float64 // bytes a second of one node, with the answers
	ReportBytes            uint64
	ReportBytesSecond      float64 // bytes a second that one node gets
	DetourBytesSecond      float64 // of one node
	DetourBytesSecondBound float64 // that the budget allows
}

// Outcome is how exchanges went that took their way by one choice.
type Outcome struct {
	Prompt    float64       // part that was done within 1 s
	Useful    float64       // part that was done within 3 s
	Working   float64       // part that was sent over a route that carried anything then
	Mean, P50 time.Duration // means over the pairs
	P95, P99  time.Duration
}

// Gains are how much of what the oracle gains over the direct path is ours: 1 is all.
func (r *Result) Gains() (prompt, useful, working, mean, p95 float64) { return r.GainsOf(&r.Ours) }

// GainsOf is the same for another outcome.
func (r *Result) GainsOf(o *Outcome) (prompt, useful, working, mean, p95 float64) {
	part := func(direct, oracle, ours float64) float64 {
		if oracle == direct {
			return math.NaN()
		}
		return (ours - direct) / (oracle - direct)
	}
	d, b := &r.Direct, &r.Oracle
	return part(d.Prompt, b.Prompt, o.Prompt), part(d.Useful, b.Useful, o.Useful), part(d.Working, b.Working, o.Working),
		part(float64(d.Mean), float64(b.Mean), float64(o.Mean)), part(float64(d.P95), float64(b.P95), float64(o.P95))
}

const buckets = 11000 // of a thousandth each, from 0.2 ms on

// outcome counts.
type outcome struct {
	count, useful uint64
	prompt        uint64
	tries, worked uint64
	total         time.Duration
	histogram     [buckets]uint32
}

func (o *outcome) sent(works bool) {
	o.tries++
	if works {
		o.worked++
	}
}

func (o *outcome) took(d time.Duration) {
	o.count++
	o.total += d
	if d <= promptFor {
		o.prompt++
	}
	if d <= usefulFor {
		o.useful++
	}
	i := int(math.Log(float64(d)/float64(200*time.Microsecond)) / math.Log(1.001))
	o.histogram[min(max(i, 0), buckets-1)]++
}

func (o *outcome) quantile(part float64) time.Duration {
	left := uint64(math.Ceil(part * float64(o.count)))
	for i, n := range o.histogram {
		if uint64(n) >= left {
			return time.Duration(math.Pow(1.001, float64(i)+0.5) * float64(200*time.Microsecond))
		}
		left -= uint64(n)
	}
	return givenUp
}

func (s *sim) sum() Result {
	r := s.result
	r.Places, r.Pairs = len(s.nodes), len(s.pairs)
	hours := s.o.Duration.Hours()
	detours := 0
	for _, p := range s.pairs {
		r.Exchanges += p.outcome[byOurs].count
		r.Switches += p.switches
		r.SwitchesHourMost = max(r.SwitchesHourMost, float64(p.switches)/hours)
		detours += p.detours
	}
	if len(s.pairs) > 0 {
		r.Direct, r.Oracle, r.Ours = s.outcome(byDirect), s.outcome(byOracle), s.outcome(byOurs)
		r.Known, r.Heard = s.outcome(byKnown), s.outcome(byHeard)
		r.SwitchesHour = float64(r.Switches) / hours / float64(len(s.pairs))
		for _, m := range []*time.Duration{&r.Missed.Near, &r.Missed.Unknown, &r.Missed.Late} {
			*m /= time.Duration(max(r.Exchanges, 1))
		}
		r.Detours = float64(detours) / float64(max(r.Exchanges, 1))
	}
	each := float64(len(s.nodes)) * s.o.Duration.Seconds()
	r.ProbesSecond = float64(r.Probes) / each
	r.ProbeBytes = r.ProbesSecond * 2 * probeBytes
	r.ReportBytesSecond = float64(r.ReportBytes) / each
	r.DetourBytesSecond = float64(r.DetourBytes) / each
	r.DetourBytesSecondBound = s.o.Router.DetourRateAll
	return r
}

// outcome joins what came of the pairs.
func (s *sim) outcome(who int) (o Outcome) {
	var count, prompt, useful, tries, worked uint64
	n := time.Duration(len(s.pairs))
	for _, p := range s.pairs {
		x := &p.outcome[who]
		prompt += x.prompt
		count, useful, tries, worked = count+x.count, useful+x.useful, tries+x.tries, worked+x.worked
		o.Mean += x.total / time.Duration(max(x.count, 1)) / n
		o.P50 += x.quantile(0.5) / n
		o.P95 += x.quantile(0.95) / n
		o.P99 += x.quantile(0.99) / n
	}
	o.Prompt = float64(prompt) / float64(max(count, 1))
	o.Useful, o.Working = float64(useful)/float64(max(count, 1)), float64(worked)/float64(max(tries, 1))
	return o
}
