package portal

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the portal's counters.
type Metrics struct {
	requests *prometheus.CounterVec
	refused  *prometheus.CounterVec
}

// NewMetrics registers the counters with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_portal_requests_total",
			Help: "Requests to the portal by route and status.",
		}, []string{"route", "status"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_portal_refused_total",
			Help: "Requests that the portal refused: a Host that isn't its own, a page of another origin, a missing or wrong token, " +
				"a method, a body.",
		}, []string{"reason"}),
	}
	reg.MustRegister(m.requests, m.refused)
	return m
}
