package logs

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the counters of a Writer.
type Metrics struct {
	records prometheus.Counter
	full    prometheus.Counter
	failed  prometheus.Counter
}

// NewMetrics makes the metrics and registers them with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	records := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "wherry_logs_records_total",
		Help: "Access log records written.",
	})
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wherry_logs_dropped_total",
		Help: "Access log records lost: full (the writer fell behind), failed (the file could not be written).",
	}, []string{"reason"})
	reg.MustRegister(records, dropped)
	return &Metrics{
		records: records,
		full:    dropped.WithLabelValues("full"),
		failed:  dropped.WithLabelValues("failed"),
	}
}
