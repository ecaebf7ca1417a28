package cache

import "github.com/prometheus/client_golang/prometheus"

// Metrics are what a Cache counts.
type Metrics struct {
	verdicts  map[Verdict]prometheus.Counter
	stored    prometheus.Counter
	fetches   map[string]prometheus.Counter // by result
	inFlight  prometheus.Gauge
	fetchTime prometheus.Histogram
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wherry_cache_requests_total", Help: "Requests by how they were answered.",
	}, []string{"verdict"})
	fetches := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wherry_cache_fetches_total", Help: "Fetches that others may share, by what came of them.",
	}, []string{"result"})
	m := &Metrics{
		verdicts: map[Verdict]prometheus.Counter{},
		stored: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wherry_cache_stored_total", Help: "Responses that were stored whole, or renewed by a 304.",
		}),
		fetches: map[string]prometheus.Counter{},
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wherry_cache_fetches_in_flight", Help: "Fetches that are under way.",
		}),
		fetchTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "wherry_cache_fetch_seconds", Help: "Time until the upstream's header section was there.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
		}),
	}
	for _, v := range [...]Verdict{Hit, Stale, Revalidated, Collapsed, Miss, Pass, Failed} {
		m.verdicts[v] = requests.WithLabelValues(string(v))
	}
	for _, result := range [...]string{
		"storable", "not storable", "revalidated", "stale instead", "failed", "part", "changed", // all that fetched is called with
	} {
		m.fetches[result] = fetches.WithLabelValues(result)
	}
	reg.MustRegister(requests, m.stored, fetches, m.inFlight, m.fetchTime)
	return m
}

func (m *Metrics) served(o *Outcome) {
	m.verdicts[o.Verdict].Inc()
	if o.FetchStatus != 0 {
		m.fetchTime.Observe(o.FetchTime.Seconds())
	}
}

func (m *Metrics) kept() { m.stored.Inc() }

func (m *Metrics) fetching(n float64) { m.inFlight.Add(n) }

func (m *Metrics) fetched(result string) { m.fetches[result].Inc() }
