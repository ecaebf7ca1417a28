package origin

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
)

// Metrics counts what origins were asked. Its labels are bounded by the configuration: those of a site that is gone go too.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	healthy  *prometheus.GaugeVec
	retries  *prometheus.CounterVec
}

// NewMetrics returns metrics that reg shows; reg may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_origin_requests_total",
			Help: "Requests sent to origins, each attempt by itself. " +
				"result is the response's class, such as 2xx, or the error's type (RFC 9209), or client_left.",
		}, []string{"site", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "wherry_origin_request_seconds",
			Help:    "Time from asking an origin to its response's header section.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"site"}),
		healthy: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "wherry_origin_healthy",
			Help: "1 if the origin is healthy, 0 if it is left alone.",
		}, []string{"site", "origin"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_origin_retries_total",
			Help: "Requests sent again, to another origin.",
		}, []string{"site"}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds, m.healthy, m.retries)
	}
	return m
}

// forget drops what was counted for a site.
func (m *Metrics) forget(site config.SiteName) {
	labels := prometheus.Labels{"site": string(site)}
	m.requests.DeletePartialMatch(labels)
	m.seconds.DeletePartialMatch(labels)
	m.healthy.DeletePartialMatch(labels)
	m.retries.DeletePartialMatch(labels)
}

// siteMetrics are those of one site, looked up ahead of its requests.
type siteMetrics struct {
	all     *Metrics
	site    string
	classes [6]prometheus.Counter // by status/100
	seconds prometheus.Observer
	retries prometheus.Counter
}

func (m *Metrics) site(name config.SiteName) *siteMetrics {
	s := &siteMetrics{all: m, site: string(name)}
	for class := 1; class < len(s.classes); class++ {
		s.classes[class] = m.requests.WithLabelValues(s.site, strconv.Itoa(class)+"xx")
	}
	s.seconds = m.seconds.WithLabelValues(s.site)
	s.retries = m.retries.WithLabelValues(s.site)
	return s
}

func (s *siteMetrics) healthy(origin string) prometheus.Gauge {
	return s.all.healthy.WithLabelValues(s.site, origin)
}

func (s *siteMetrics) forgetOrigin(origin string) {
	s.all.healthy.DeleteLabelValues(s.site, origin)
}

func (s *siteMetrics) responded(resp *http.Response, seconds float64) {
	s.classes[resp.StatusCode/100].Inc()
	s.seconds.Observe(seconds)
}

func (s *siteMetrics) failed(e *fault.Error) {
	result := e.Proxy
	if e.Party == fault.Client {
		result = "client_left"
	}
	s.all.requests.WithLabelValues(s.site, result).Inc()
}
