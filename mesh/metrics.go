package mesh

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts connections between nodes.
type Metrics struct {
	accepted, dialed prometheus.Gauge
	refused          *prometheus.CounterVec
	expires          prometheus.Gauge
}

// NewMetrics returns metrics that reg shows; reg may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	connections := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "wherry_mesh_connections",
		Help: "Open connections with other nodes. by says which side made them: peer or self.",
	}, []string{"by"})
	m := &Metrics{
		accepted: connections.WithLabelValues("peer"), dialed: connections.WithLabelValues("self"),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_mesh_refused_total",
			Help: "Connections that weren't taken. reason is one of anonymous, early, evicted, expired, foreign, full, handshake, malformed, removed, role, timeout, usage.",
		}, []string{"reason"}),
		expires: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wherry_mesh_certificate_expires_timestamp_seconds",
			Help: "When the node's certificate ends, in seconds since 1970. It is renewed with two days left.",
		}),
	}
	if reg != nil {
		reg.MustRegister(connections, m.refused, m.expires)
	}
	return m
}
