package store

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what operators read of a Store.
type Metrics struct {
	commits       *prometheus.CounterVec
	commitSeconds prometheus.Histogram
	retried       prometheus.Counter
	rewatched     prometheus.Counter
	terms         prometheus.Counter
	peers         prometheus.Gauge
	refused       prometheus.Counter
	backups       *prometheus.CounterVec
	backupAt      prometheus.Gauge

	mu sync.Mutex
	of *Store // under mu: what the gauges below are of; nil: none
}

// NewMetrics registers the metrics with reg, which may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &Metrics{
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_store_commits_total", Help: "Transactions by outcome: ok, conflict, unknown, error.",
		}, []string{"outcome"}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "wherry_store_commit_seconds", Help: "How long transactions took that were applied, with all their attempts.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5},
		}),
		retried:   counter("wherry_store_commit_retries_total", "Attempts at a transaction after the first one."),
		rewatched: counter("wherry_store_watch_restarts_total", "Watches that broke and were taken up again."),
		terms:     counter("wherry_store_terms_total", "Terms for which this member became a leader."),
		peers:     gauge("wherry_store_peer_connections", "Connections of other members."),
		refused:   counter("wherry_store_peers_refused_total", "Connections refused at the door for members."),
		backups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_store_backups_total", Help: "Backups by outcome: ok, error.",
		}, []string{"outcome"}),
		backupAt: gauge("wherry_store_backup_timestamp_seconds", "When the newest backup was written."),
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(m.commits, m.commitSeconds, m.retried, m.rewatched, m.terms, m.peers, m.refused, m.backups, m.backupAt)
	for _, g := range []struct {
		name, help string
		of         func(Health) float64
	}{
		{"wherry_store_majority", "Whether this member knows a leader.", func(h Health) float64 { return number(h.Majority) }},
		{"wherry_store_leader", "Whether this member is the leader of etcd's cluster.", func(h Health) float64 { return number(h.Leading) }},
		{"wherry_store_members", "Members of the cluster.", func(h Health) float64 { return float64(len(h.Members)) }},
		{"wherry_store_size_bytes", "Size of the database.", func(h Health) float64 { return float64(h.SizeBytes) }},
		{"wherry_store_disk_free_bytes", "What is free on the disk of the database.", func(h Health) float64 { return float64(h.DiskFreeBytes) }},
	} {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: g.name, Help: g.help}, func() float64 { return m.health(g.of) }))
	}
	return m
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (m *Metrics) health(of func(Health) float64) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil {
		return 0
	}
	return of(m.of.Health())
}

func (m *Metrics) watch(s *Store) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of = s
}

// unwatch returns when nobody asks for the health of what is about to be closed.
func (m *Metrics) unwatch() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of = nil
}

func (m *Metrics) committed(err error, took time.Duration) {
	switch {
	case err == nil:
		m.commits.WithLabelValues("ok").Inc()
		m.commitSeconds.Observe(took.Seconds())
	case errors.Is(err, ErrConflict):
		m.commits.WithLabelValues("conflict").Inc()
	case errors.Is(err, ErrUnknown):
		m.commits.WithLabelValues("unknown").Inc()
	default:
		m.commits.WithLabelValues("error").Inc()
	}
}
