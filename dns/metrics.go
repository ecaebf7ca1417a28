package dns

import (
	miekg "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what operators read of a Server.
type Metrics struct {
	queries        *prometheus.CounterVec
	dropped        *prometheus.CounterVec
	truncated      prometheus.Counter
	connections    prometheus.Gauge
	connectionsBad *prometheus.CounterVec
	nodeUp         *prometheus.GaugeVec
	probes         *prometheus.CounterVec
	probeSeconds   prometheus.Histogram
}

// NewMetrics registers the metrics with reg, which may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_dns_queries_total", Help: "Queries answered, by type and response code.",
		}, []string{"type", "rcode"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_dns_dropped_total", Help: "Packets that got no answer, by reason.",
		}, []string{"reason"}),
		truncated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wherry_dns_truncated_total", Help: "Answers that didn't fit and sent the asker to TCP.",
		}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wherry_dns_tcp_connections", Help: "Open TCP connections.",
		}),
		connectionsBad: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_dns_tcp_closed_total", Help: "TCP connections that the server closed, by reason.",
		}, []string{"reason"}),
		nodeUp: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "wherry_dns_node_up", Help: "Whether a node answers its health check at one of its addresses or more.",
		}, []string{"node"}),
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_dns_probes_total", Help: "Health checks, by outcome.",
		}, []string{"outcome"}),
		probeSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "wherry_dns_probe_seconds", Help: "How long answered health checks took.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1},
		}),
	}
	if reg != nil {
		reg.MustRegister(m.queries, m.dropped, m.truncated, m.connections, m.connectionsBad, m.nodeUp, m.probes, m.probeSeconds)
	}
	return m
}

func (m *Metrics) answered(q *query, rcode int, truncated bool) {
	m.queries.WithLabelValues(typeLabel(q), miekg.RcodeToString[rcode]).Inc()
	if truncated {
		m.truncated.Inc()
	}
}

// typeLabel keeps the label's values few: clients choose the type.
func typeLabel(q *query) string {
	if q.question == nil {
		return "none"
	}
	switch q.qtype {
	case miekg.TypeA, miekg.TypeAAAA, miekg.TypeANY, miekg.TypeAXFR, miekg.TypeCAA, miekg.TypeCNAME, miekg.TypeDNSKEY, miekg.TypeDS,
		miekg.TypeHTTPS, miekg.TypeIXFR, miekg.TypeMX, miekg.TypeNS, miekg.TypePTR, miekg.TypeSOA, miekg.TypeSRV, miekg.TypeSVCB,
		miekg.TypeTXT:
		return miekg.TypeToString[q.qtype]
	}
	return "other"
}
