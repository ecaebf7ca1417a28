package kv

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// counts are what a store counts.
type counts struct {
	writes, rejected *prometheus.CounterVec
	dropped, batches prometheus.Counter
}

func newCounts() counts {
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "wherry_kv_" + name, Help: help}, []string{label})
	}
	one := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "wherry_kv_" + name, Help: help})
	}
	return counts{
		writes:   vec("writes_total", "Writes that this node has taken, by what they do.", "op"),
		rejected: vec("rejected_total", "Requests that were refused, by reason.", "reason"),
		dropped:  one("dropped_total", "Writes that control dropped when it ordered them: they went over what a node may have in memory."),
		batches:  one("batches_total", "Batches that control has ordered for this node."),
	}
}

var opNames = map[OpKind]string{OpPut: "put", OpDelete: "delete", OpAdd: "add"}

func (c *counts) write(kind OpKind) { c.writes.WithLabelValues(opNames[kind]).Inc() }

// count counts a refusal.
func (s *Store) count(err error) error {
	var e *Error
	if errors.As(err, &e) {
		s.counts.rejected.WithLabelValues(e.Reason).Inc()
	}
	return err
}

// collector shows what a store counts, and what it has.
type collector struct{ s *Store }

var _ prometheus.Collector = collector{}

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("wherry_kv_"+name, help, nil, nil)
}

var (
	keysDesc       = describe("keys", "Keys of all namespaces on this node.")
	bytesDesc      = describe("bytes", "Bytes of keys and values of all namespaces on this node.")
	namespacesDesc = describe("namespaces", "Namespaces that have keys.")
	outboxDesc     = describe("outbox", "Writes of this node that control hasn't ordered yet.")
	outboxSizeDesc = describe("outbox_bytes", "Their size, against which the outbox is bounded.")
	lagDesc        = describe("lag_seconds", "Age of the oldest write of this node that control hasn't ordered yet.")
	seqDesc        = describe("sequence", "Number of the last page of control's order that this node has.")
	readyDesc      = describe("ready", "1 if this node has the values, and answers.")
)

func (c collector) shown() []prometheus.Collector {
	n := &c.s.counts
	return []prometheus.Collector{n.writes, n.rejected, n.dropped, n.batches}
}

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{keysDesc, bytesDesc, namespacesDesc, outboxDesc, outboxSizeDesc, lagDesc, seqDesc, readyDesc} {
		to <- d
	}
	for _, one := range c.shown() {
		one.Describe(to)
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) { to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	s := c.s
	s.mu.RLock()
	lag, ready := 0.0, 0.0
	if len(s.m.pending) > 0 {
		lag = max(0, float64(s.o.Now().UnixMilli()-s.m.pending[0].At)/1000)
	}
	if s.loaded {
		ready = 1
	}
	gauge(keysDesc, float64(s.m.view.keys))
	gauge(bytesDesc, float64(s.m.view.bytes))
	gauge(namespacesDesc, float64(len(s.m.spaces)))
	gauge(outboxDesc, float64(len(s.m.pending)))
	gauge(outboxSizeDesc, float64(s.m.outbox))
	gauge(lagDesc, lag)
	gauge(seqDesc, float64(s.m.seq))
	gauge(readyDesc, ready)
	s.mu.RUnlock()
	for _, one := range c.shown() {
		one.Collect(to)
	}
}
