package main

import (
	"fmt"
	"math"
	"time"

	"github.com/wherry/wherry/internal/linkem"
	"github.com/wherry/wherry/internal/linkem/flows"
)

// group is one measurement that is repeated, and what is read off each report: the bars of a name are measured with -bars NAME.
type group struct {
	name  string
	flows string
	shape linkem.Shape
	// objectBytes and together are as LinkPlan has them.
	objectBytes int64
	together    bool
	times       int // as long as others; 0: once. Flows of different kinds need time to find their shares
	bars        []bar
}

// bar is a number of which the median over the runs should lie between least and most.
type bar struct {
	what        string
	least, most float64
	value       func(results) float64
}

// results are of one run, by kind.
type results map[string]flows.Result

func long(loss float64, queueBDP float64) linkem.Shape {
	s := linkem.Shape{RateBits: 100e6, Delay: 50 * time.Millisecond, Loss: linkem.RandomLoss(loss)}
	s.QueueBytes = int(queueBDP * float64(s.BDPBytes()))
	return s
}

// Goodput is that of the second half of a run: how long it takes to fill the link depends on the length of the run.
func (r results) share(kind string) float64 { return r[kind].LaterHalfMbit / 100 }

func ratio(a, b float64) float64 {
	if b == 0 {
		return math.Inf(1)
	}
	return a / b
}

func goodputRatio(a, b string) func(results) float64 {
	return func(r results) float64 { return ratio(r[a].LaterHalfMbit, r[b].LaterHalfMbit) }
}

// groups are what the overlay has to reach.
func groups() []group {
	var all []group
	for _, g := range []struct{ loss, least float64 }{{0, 0.95}, {0.001, 0.93}, {0.01, 0.90}, {0.05, 0.85}} {
		bars := []bar{
			{"overlay, part of the link", g.least, 1, func(r results) float64 { return r.share("overlay") }},
			{"overlay ÷ tcp-bbr", 1, math.Inf(1), goodputRatio("overlay", "tcp-bbr")},
			{"overlay ÷ tcp-bbr, with the start", 1, math.Inf(1), func(r results) float64 {
				return ratio(r["overlay"].GoodputMbit, r["tcp-bbr"].GoodputMbit)
			}},
		}
		least := 0.0
		if g.loss == 0.01 {
			least = 10
		}
		bars = append(
			bars,
			bar{"overlay ÷ tcp-cubic", least, math.Inf(1), goodputRatio("overlay", "tcp-cubic")},
			bar{"overlay ÷ quic", least, math.Inf(1), goodputRatio("overlay", "quic")},
		)
		all = append(all, group{name: "goodput", flows: "overlay:1,tcp-bbr:1,tcp-cubic:1,quic:1", shape: long(g.loss, 1), bars: bars})
	}
	all = append(all, group{name: "objects", flows: "overlay:8,tcp-cubic:8", shape: long(0.01, 1), objectBytes: 100 << 10, bars: []bar{
		{"100 KiB, p50: overlay ÷ HTTP/2 over CUBIC", 0, 0.7, func(r results) float64 { return ratio(r.p50("overlay"), r.p50("tcp-cubic")) }},
		{"100 KiB, p99: overlay ÷ HTTP/2 over CUBIC", 0, 0.5, func(r results) float64 { return ratio(r.p99("overlay"), r.p99("tcp-cubic")) }},
	}})
	for _, n := range []int{2, 8, 32} {
		all = append(all, group{name: "fairness", flows: fmt.Sprintf("overlay:%d", n), shape: long(0, 1), bars: []bar{
			{fmt.Sprintf("Jain's index of overlay:%d", n), 0.95, 1, func(r results) float64 { return r["overlay"].Jain }},
		}})
	}
	for _, other := range []string{"tcp-cubic", "tcp-bbr"} {
		all = append(all, group{name: "fairness", flows: "overlay:1," + other + ":1", shape: long(0, 1), together: true, times: 2, bars: []bar{
			{"overlay beside " + other + ", of its fair share", 0.5, 2, func(r results) float64 {
				return ratio(2*r["overlay"].LaterHalfMbit, r["overlay"].LaterHalfMbit+r[other].LaterHalfMbit)
			}},
		}})
	}
	all = append(all, group{name: "queue", flows: "overlay:1,tcp-cubic:1", shape: long(0, 2), bars: []bar{
		{"mean wait in a queue of 2 BDP: overlay ÷ tcp-cubic", 0, 1.0 / 3, func(r results) float64 {
			return ratio(r["overlay"].Queue.MeanMs, r["tcp-cubic"].Queue.MeanMs)
		}},
	}})
	for _, g := range []struct {
		loss  float64
		count int
	}{{0, 1}, {0.001, 8}, {0.01, 32}} {
		// One flow sees few losses in a run; several that don't fill the link together are as many runs of one.
		kinds := fmt.Sprintf("overlay-reno:%[1]d,tcp-reno:%[1]d,overlay-cubic:%[1]d,tcp-cubic:%[1]d", g.count)
		all = append(all, group{name: "same", flows: kinds, shape: long(g.loss, 1), bars: []bar{
			{"overlay-reno ÷ tcp-reno", 0.85, 1.15, goodputRatio("overlay-reno", "tcp-reno")},
			{"overlay-cubic ÷ tcp-cubic", 0.85, 1.15, goodputRatio("overlay-cubic", "tcp-cubic")},
		}})
	}
	return all
}

func (r results) p50(kind string) float64 {
	if o := r[kind].Objects; o != nil {
		return o.P50Ms
	}
	return math.Inf(1)
}

func (r results) p99(kind string) float64 {
	if o := r[kind].Objects; o != nil {
		return o.P99Ms
	}
	return math.Inf(1)
}

func (b bar) wanted() string {
	switch {
	case b.least == 0 && math.IsInf(b.most, 1):
		return ""
	case b.least == 0:
		return fmt.Sprintf("≤ %.3g", b.most)
	case math.IsInf(b.most, 1) || b.most == 1:
		return fmt.Sprintf("≥ %.3g", b.least)
	}
	return fmt.Sprintf("%.3g–%.3g", b.least, b.most)
}

func (b bar) verdict(median float64) string {
	switch {
	case b.wanted() == "":
		return ""
	case median >= b.least && median <= b.most:
		return "yes"
	}
	return "**no**"
}
