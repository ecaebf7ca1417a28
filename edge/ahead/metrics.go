package ahead

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what is fetched ahead.
type Metrics struct {
	scanned, skipped prometheus.Counter
	objects          [Failed + 1]prometheus.Counter
	bytes            prometheus.Counter
	used, wasted     prometheus.Counter
}

// NewMetrics makes the metrics and registers them with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	pages := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wherry_edge_prefetch_pages_total",
		Help: "Pages whose embedded objects may be fetched ahead: looked at (scanned), or not (skipped), because there were too many or of a content coding other than gzip.",
	}, []string{"result"})
	objects := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wherry_edge_prefetch_objects_total",
		Help: "Objects asked for ahead: stored, there already, unfit to be stored, failed.",
	}, []string{"result"})
	outcome := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wherry_edge_prefetch_outcome_total",
		Help: "Objects fetched ahead: used by a client within a minute, or wasted.",
	}, []string{"outcome"})
	m := &Metrics{
		scanned: pages.WithLabelValues("scanned"), skipped: pages.WithLabelValues("skipped"),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wherry_edge_prefetch_bytes_total", Help: "Content of objects fetched ahead, in bytes, with those that were there already.",
		}),
		used: outcome.WithLabelValues("used"), wasted: outcome.WithLabelValues("wasted"),
	}
	for r, name := range []string{Stored: "stored", There: "there", Unfit: "unfit", Failed: "failed"} {
		m.objects[r] = objects.WithLabelValues(name)
	}
	reg.MustRegister(pages, objects, outcome, m.bytes)
	return m
}
