package tree

import "github.com/prometheus/client_golang/prometheus"

// Metrics are what a Tree counts.
type Metrics struct {
	children  prometheus.Gauge
	depth     prometheus.Gauge
	refused   *prometheus.CounterVec // by why
	cut       *prometheus.CounterVec // by why
	sent      prometheus.Counter     // bytes
	parents   *prometheus.CounterVec // left, by why
	entries   prometheus.Counter
	resets    prometheus.Counter
	objects   *prometheus.CounterVec // by how
	reports   *prometheus.CounterVec // by what became of them
	forwarded prometheus.Counter
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "wherry_feed_" + name, Help: help})
	}
	counters := func(name, label, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "wherry_feed_" + name, Help: help}, []string{label})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "wherry_feed_" + name, Help: help})
	}
	m := &Metrics{
		children:  gauge("children", "Nodes that follow this one."),
		depth:     gauge("depth", "Nodes above this one."),
		refused:   counters("refused_children_total", "why", "Nodes that wanted to follow this one and weren't taken."),
		cut:       counters("cut_children_total", "why", "Nodes that followed this one and were cut off."),
		sent:      counter("sent_bytes_total", "Bytes of the log that were sent to children."),
		parents:   counters("parents_left_total", "why", "Parents that were left."),
		entries:   counter("entries_total", "Entries that were taken from a parent."),
		resets:    counter("checkpoints_total", "Checkpoints that were taken from a parent."),
		objects:   counters("objects_total", "how", "Objects that were asked for, by where they came from."),
		reports:   counters("reports_total", "became", "Reports of other nodes, by what became of them."),
		forwarded: counter("forwarded_reports_total", "Reports that were sent on."),
	}
	reg.MustRegister(m.children, m.depth, m.refused, m.cut, m.sent, m.parents, m.entries, m.resets, m.objects, m.reports, m.forwarded)
	return m
}
