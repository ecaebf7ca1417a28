package api

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what the API answers.
type Metrics struct {
	requests *prometheus.CounterVec
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wherry_api_requests_total", Help: "Requests to the API by operation, as the description calls it, and status.",
	}, []string{"operation", "status"})}
	r.MustRegister(m.requests)
	return m
}
