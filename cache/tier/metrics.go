package tier

import "github.com/prometheus/client_golang/prometheus"

// Metrics are what a Store counts beside what its memory and its disk do.
type Metrics struct {
	loads      *prometheus.CounterVec
	admissions *prometheus.CounterVec
}

// NewMetrics registers the metrics with reg, if that isn't nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_cache_disk_loads_total", Help: "Look-ups that weren't in memory but in the disk's index, by what came of them.",
		}, []string{"result"}),
		admissions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wherry_cache_disk_admissions_total", Help: "Stored responses by whether they were queued for the disk, or why not.",
		}, []string{"result"}),
	}
	if reg != nil {
		reg.MustRegister(m.loads, m.admissions)
	}
	return m
}
