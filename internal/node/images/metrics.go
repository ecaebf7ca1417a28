package images

import "github.com/prometheus/client_golang/prometheus"

// Metrics are what Images count.
type Metrics struct {
	fetched *prometheus.CounterVec // by kind of source
	fetches *prometheus.CounterVec // by kind of source, and what became of it
	sent    prometheus.Counter
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		fetched: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_images_fetched_bytes_total", Help: "Bytes of programs' images that this node was sent, by what sent them.",
		}, []string{"from"}),
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_images_fetches_total", Help: "Attempts to fetch the image of a program, by whom was asked and what became of them.",
		}, []string{"from", "became"}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wherry_images_sent_bytes_total", Help: "Bytes of programs' images that this node has sent to those that follow it.",
		}),
	}
	reg.MustRegister(m.fetched, m.fetches, m.sent)
	return m
}
