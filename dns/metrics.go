package dns

import (
	"sync/atomic"

	miekg "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what operators read of a Server.
type Metrics struct {
	queries *prometheus.CounterVec
	// answers has the counters of queries by row and RCODE, so that an answer needs no look-up by text. Each is nil until it is
	// needed first: most combinations never occur and would only make /metrics long.
	answers [][rcodesMax]atomic.Pointer[prometheus.Counter]
	rows    [miekg.TypeCAA + 1]uint8 // of the types in labelledTypes, 0 for all others

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
	types := labelledTypes()
	m.answers = make([][rcodesMax]atomic.Pointer[prometheus.Counter], rowsFirst+len(types))
	for i, t := range types {
		m.rows[t] = uint8(rowsFirst + i)
	}
	if reg != nil {
		reg.MustRegister(m.queries, m.dropped, m.truncated, m.connections, m.connectionsBad, m.nodeUp, m.probes, m.probeSeconds)
	}
	return m
}

func (m *Metrics) answered(q *query, rcode int, truncated bool) {
	row := m.row(q)
	counter := m.answers[row][rcode].Load()
	if counter == nil {
		c := m.queries.WithLabelValues(rowLabel(row), miekg.RcodeToString[rcode])
		counter = &c
		m.answers[row][rcode].Store(counter)
	}
	(*counter).Inc()
	if truncated {
		m.truncated.Inc()
	}
}

// rcodesMax is above the RCODEs that answers have.
const rcodesMax = miekg.RcodeBadVers + 1

// The rows of Metrics.answers; those of labelledTypes follow.
const (
	rowNone  = iota // there is no question
	rowOther        // clients choose the type, and labels are to be few
	rowsFirst
)

// labelledTypes are the query types that are counted by name.
func labelledTypes() []uint16 {
	return []uint16{
		miekg.TypeA, miekg.TypeAAAA, miekg.TypeANY, miekg.TypeAXFR, miekg.TypeCAA, miekg.TypeCNAME, miekg.TypeDNSKEY, miekg.TypeDS,
		miekg.TypeHTTPS, miekg.TypeIXFR, miekg.TypeMX, miekg.TypeNS, miekg.TypePTR, miekg.TypeSOA, miekg.TypeSRV, miekg.TypeSVCB,
		miekg.TypeTXT,
	}
}

func (m *Metrics) row(q *query) int {
	switch {
	case q.question == nil:
		return rowNone
	case int(q.qtype) < len(m.rows) && m.rows[q.qtype] != 0:
		return int(m.rows[q.qtype])
	}
	return rowOther
}

func rowLabel(row int) string {
	switch row {
	case rowNone:
		return "none"
	case rowOther:
		return "other"
	}
	return miekg.TypeToString[labelledTypes()[row-rowsFirst]]
}
