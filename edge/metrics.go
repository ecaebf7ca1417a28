package edge

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/edge/ahead"
)

// noSite is the site label of requests that led to no site; no site can be called so, because a name is a DNS label.
const noSite = "-"

// verdictRefused stands with the cache's verdicts for requests that a step of edge refused.
const verdictRefused cache.Verdict = "refused"

const (
	verdictCount = 9 // with one for words that are none
	classCount   = 6 // 1xx to 5xx, and none
	// protocolCount is the number of HTTP's major versions, and one for what is none.
	protocolCount = 4
)

// Metrics are the counters of an Edge. Several edges in one process need registerers that add a label of their own.
type Metrics struct {
	requests       *prometheus.CounterVec
	protocols      [protocolCount]prometheus.Counter
	bytes          *prometheus.CounterVec
	seconds        [verdictCount]prometheus.Observer
	connections    prometheus.Gauge
	refused        map[reason]prometheus.Counter // read-only after NewMetrics
	tracesAccepted prometheus.Counter
	tracesRefused  prometheus.Counter
	ahead          *ahead.Metrics
	within         *prometheus.CounterVec // requests of programs
}

// NewMetrics makes the metrics and registers them with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "wherry_edge_request_seconds",
		Help:    "Time from a request's header section to the end of its response.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"verdict"})
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wherry_edge_refused_total",
		Help: "Requests and connections that were refused, by reason.",
	}, []string{"reason"})
	traces := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wherry_edge_traces_total",
		Help: "Requests with a trace credential, by whether it was accepted or refused.",
	}, []string{"result"})
	protocols := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wherry_edge_protocol_requests_total",
		Help: "Requests answered, by protocol.",
	}, []string{"protocol"})
	m := &Metrics{
		within: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_edge_program_requests_total",
			Help: "Requests that programs made while they answered, by site, by verdict of the cache (refused: by none).",
		}, []string{"site", "verdict"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_edge_requests_total",
			Help: "Requests answered, by site, by verdict of the cache (refused: by none), by class of status.",
		}, []string{"site", "verdict", "status_class"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_edge_response_bytes_total",
			Help: "Response body bytes sent to clients.",
		}, []string{"site"}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wherry_edge_connections",
			Help: "Client connections that are open.",
		}),
		refused:        map[reason]prometheus.Counter{},
		ahead:          ahead.NewMetrics(reg),
		tracesAccepted: traces.WithLabelValues("accepted"),
		tracesRefused:  traces.WithLabelValues("refused"),
	}
	for _, why := range reasons() {
		m.refused[why] = refused.WithLabelValues(string(why))
	}
	for i := range m.seconds {
		m.seconds[i] = seconds.WithLabelValues(verdictLabel(i))
	}
	for i := range m.protocols {
		m.protocols[i] = protocols.WithLabelValues([protocolCount]string{"unknown", "HTTP/1", "HTTP/2", "HTTP/3"}[i])
	}
	reg.MustRegister(m.requests, protocols, m.bytes, seconds, m.connections, m.within, refused, traces)
	return m
}

func (m *Metrics) forget(site string) {
	m.requests.DeletePartialMatch(prometheus.Labels{"site": site})
	m.bytes.DeletePartialMatch(prometheus.Labels{"site": site})
	m.within.DeletePartialMatch(prometheus.Labels{"site": site})
}

// siteMetrics are the series of one site, looked up at their first use, so that a request costs no label hashing and a site
// makes only the series that it needs.
type siteMetrics struct {
	metrics  *Metrics
	site     string
	requests [verdictCount][classCount]atomic.Pointer[prometheus.Counter]
	bytes    prometheus.Counter
}

func newSiteMetrics(m *Metrics, site string) *siteMetrics {
	return &siteMetrics{metrics: m, site: site, bytes: m.bytes.WithLabelValues(site)}
}

func (s *siteMetrics) request(v cache.Verdict, status int) {
	verdict, class := verdictIndex(v), min(status/100, classCount-1)
	slot := &s.requests[verdict][class]
	counter := slot.Load()
	if counter == nil {
		c := s.metrics.requests.WithLabelValues(s.site, verdictLabel(verdict), classLabel(class))
		counter = &c
		slot.Store(counter)
	}
	(*counter).Inc()
}

func verdictIndex(v cache.Verdict) int {
	switch v {
	case cache.Hit:
		return 1
	case cache.Stale:
		return 2
	case cache.Revalidated:
		return 3
	case cache.Collapsed:
		return 4
	case cache.Miss:
		return 5
	case cache.Pass:
		return 6
	case cache.Failed:
		return 7
	case verdictRefused:
		return 8
	}
	return 0
}

func verdictLabel(index int) string {
	return [verdictCount]string{
		"unknown", string(cache.Hit), string(cache.Stale), string(cache.Revalidated), string(cache.Collapsed), string(cache.Miss),
		string(cache.Pass), string(cache.Failed), string(verdictRefused),
	}[index]
}

func classLabel(class int) string {
	return [classCount]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}[class]
}
