package flows

import (
	"math"
	"slices"
	"time"

	"github.com/wherry/wherry/internal/linkem"
)

// LinkReport is what wherry bench link --json prints; docs/operate/bench-link.md describes the fields.
type LinkReport struct {
	Link        LinkDescription `json:"link"`
	Seconds     float64         `json:"seconds"`
	ObjectBytes int64           `json:"object_bytes,omitempty"`
	Together    bool            `json:"together"`
	Results     []Result        `json:"results"`
	All         *Summary        `json:"all,omitempty"`
}

// LinkDescription is the link as it was asked for.
type LinkDescription struct {
	RateMbit     float64 `json:"rate_mbit"`
	DelayMs      float64 `json:"delay_ms"`
	JitterMs     float64 `json:"jitter_ms"`
	Loss         float64 `json:"loss"`
	BurstPackets float64 `json:"burst_packets"`
	Reorder      float64 `json:"reorder"`
	QueueBytes   int     `json:"queue_bytes"`
	AQM          string  `json:"aqm"`
	BDPBytes     int     `json:"bdp_bytes"`
	Seed         uint64  `json:"seed"`
}

// Result is one kind of flow.
type Result struct {
	Kind           string    `json:"kind"`
	Flows          int       `json:"flows"`
	GoodputMbit    float64   `json:"goodput_mbit"`
	Share          float64   `json:"share"`
	LaterHalfMbit  float64   `json:"later_half_mbit"`
	FlowMbit       []float64 `json:"flow_mbit"`
	Jain           float64   `json:"jain"`
	Retransmits    int64     `json:"retransmits"`
	RTT            Spread    `json:"rtt"`
	CPUSeconds     float64   `json:"cpu_seconds,omitempty"`
	CPUSecondsOfGB float64   `json:"cpu_seconds_per_gb,omitempty"`
	Queue          Spread    `json:"queue_delay"`
	Objects        *Objects  `json:"objects,omitempty"`
	Series         []Point   `json:"series"`
	Emulator       Emulator  `json:"emulator"`
}

// Spread is of times in milliseconds.
type Spread struct {
	MinMs  float64 `json:"min_ms"`
	MeanMs float64 `json:"mean_ms"`
	P95Ms  float64 `json:"p95_ms"`
}

// Objects is how long objects took.
type Objects struct {
	Count int     `json:"count"`
	P50Ms float64 `json:"p50_ms"`
	P99Ms float64 `json:"p99_ms"`
	MaxMs float64 `json:"max_ms"`
}

// Point is one moment of all flows of a kind.
type Point struct {
	Ms          float64 `json:"ms"`
	GoodputMbit float64 `json:"goodput_mbit"` // since the point before
	WindowBytes int64   `json:"window_bytes"` // mean of the flows
	RTTMs       float64 `json:"rtt_ms"`       // mean of the flows that know it
	QueueBytes  int     `json:"queue_bytes"`
}

// Emulator is what the link itself did, in the direction of the data, and how well.
type Emulator struct {
	Offered       int64   `json:"offered_packets"`
	QueueDrops    int64   `json:"queue_drops"`
	AQMDrops      int64   `json:"aqm_drops"`
	Lost          int64   `json:"lost_packets"`
	LateP50Micros float64 `json:"late_p50_us"`
	LateP99Micros float64 `json:"late_p99_us"`
	Missed        int64   `json:"missed_packets"`
	CPUSeconds    float64 `json:"cpu_seconds"`
}

// Summary is of all flows together.
type Summary struct {
	GoodputMbit float64 `json:"goodput_mbit"`
	Share       float64 `json:"share"`
	Jain        float64 `json:"jain"`
	CPUSeconds  float64 `json:"cpu_seconds"`
}

// Jain is the index of fairness (RFC 5166, section 2.3): 1 when all have the same, 1/n when one has all.
func Jain(shares []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, x := range shares {
		sum += x
		squares += x * x
	}
	if squares == 0 {
		return 1
	}
	return sum * sum / (float64(len(shares)) * squares)
}

// percentile is the value below or at which the q-th part of sorted lies (nearest rank).
func percentile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

func spread(values []float64, least float64) Spread {
	if len(values) == 0 {
		return Spread{MinMs: least}
	}
	slices.Sort(values)
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	if least == 0 {
		least = values[0]
	}
	return Spread{least, sum / float64(len(values)), percentile(values, 0.95)}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func mbit(bytes int64, in time.Duration) float64 {
	if in <= 0 {
		return 0
	}
	return float64(bytes) * 8 / in.Seconds() / 1e6
}

// results makes a Result of each kind that ran.
func (t *track) results(group []Flow) []Result {
	var results []Result
	for _, f := range group {
		r := Result{Kind: f.Kind, Flows: f.Count, Emulator: t.emulator(), Queue: t.queue()}
		var legs []*leg
		for _, l := range t.legs {
			if l.kind == f.Kind {
				legs = append(legs, l)
			}
		}
		r.fill(legs, t.elapsed)
		r.Share = t.share(r.GoodputMbit)
		if len(group) == 1 {
			r.CPUSeconds = t.cpu.Seconds()
			if gb := r.GoodputMbit / 8e3 * t.elapsed.Seconds(); gb > 0 {
				r.CPUSecondsOfGB = r.CPUSeconds / gb
			}
		}
		results = append(results, r)
	}
	return results
}

// summary is of all kinds that shared the link.
func (t *track) summary(results []Result) *Summary {
	s := &Summary{CPUSeconds: t.cpu.Seconds()}
	var flows []float64
	for _, r := range results {
		s.GoodputMbit += r.GoodputMbit
		flows = append(flows, r.FlowMbit...)
	}
	s.Share, s.Jain = t.share(s.GoodputMbit), Jain(flows)
	return s
}

func (t *track) share(mbit float64) float64 {
	return mbit * 1e6 / float64(t.plan.Shape.RateBits)
}

// fill takes what the legs of one kind have seen.
func (r *Result) fill(legs []*leg, elapsed time.Duration) {
	var rtts, completions []float64
	least := time.Duration(math.MaxInt64)
	for _, l := range legs {
		flow := mbit(l.ended-l.began, elapsed)
		r.FlowMbit = append(r.FlowMbit, flow)
		r.GoodputMbit += flow
		middle := l.samples[len(l.samples)/2]
		r.LaterHalfMbit += mbit(l.ended-l.began-middle.received, elapsed-middle.at)
		r.Retransmits += l.final.Retransmitted
		for _, s := range l.samples {
			if s.vitals.RTT > 0 {
				rtts = append(rtts, milliseconds(s.vitals.RTT))
			}
			if s.vitals.MinRTT > 0 {
				least = min(least, s.vitals.MinRTT)
			}
		}
		for _, c := range l.completions {
			completions = append(completions, milliseconds(c))
		}
	}
	if least == math.MaxInt64 {
		least = 0
	}
	r.RTT = spread(rtts, milliseconds(least))
	r.Jain = Jain(r.FlowMbit)
	r.Series = series(legs)
	if len(completions) > 0 {
		slices.Sort(completions)
		r.Objects = &Objects{len(completions), percentile(completions, 0.5), percentile(completions, 0.99), completions[len(completions)-1]}
	}
}

// series adds the samples of flows up; all were taken at the same times.
func series(legs []*leg) []Point {
	points := make([]Point, len(legs[0].samples))
	for i := range points {
		p := &points[i]
		at, last, known := legs[0].samples[i].at, sample{}, 0.0
		p.Ms, p.QueueBytes = milliseconds(at), legs[0].samples[i].queueBytes
		for _, l := range legs {
			s := l.samples[i]
			if i > 0 {
				last = l.samples[i-1]
			}
			p.GoodputMbit += mbit(s.received-last.received, at-last.at)
			p.WindowBytes += s.vitals.WindowBytes / int64(len(legs))
			if s.vitals.RTT > 0 {
				known++
				p.RTTMs += (milliseconds(s.vitals.RTT) - p.RTTMs) / known
			}
		}
	}
	return points
}

func (t *track) queue() Spread {
	h := t.data.Hops[0].Sojourn
	return Spread{MeanMs: milliseconds(h.Mean()), P95Ms: milliseconds(h.Quantile(0.95))}
}

func (t *track) emulator() Emulator {
	h, late := t.data.Hops[0], t.data.Lateness
	return Emulator{
		Offered: h.Offered, QueueDrops: h.QueueDrops, AQMDrops: h.AQMDrops, Lost: h.Lost,
		LateP50Micros: float64(late.Quantile(0.5)) / 1e3, LateP99Micros: float64(late.Quantile(0.99)) / 1e3,
		Missed: t.missed, CPUSeconds: t.carried.Seconds(),
	}
}

func describe(plan LinkPlan) LinkDescription {
	s := plan.Shape
	d := LinkDescription{
		RateMbit: float64(s.RateBits) / 1e6, DelayMs: milliseconds(s.Delay), JitterMs: milliseconds(s.Jitter),
		Loss: s.Loss.Fraction(), BurstPackets: s.Loss.BurstPackets(), Reorder: s.Reorder,
		QueueBytes: s.QueueBytes, AQM: string(s.AQM), BDPBytes: s.BDPBytes(), Seed: plan.Seed,
	}
	if d.AQM == "" {
		d.AQM = string(linkem.DropTail)
	}
	return d
}
