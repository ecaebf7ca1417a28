package store

import "github.com/prometheus/client_golang/prometheus"

// Watch registers what s holds.
func Watch(reg prometheus.Registerer, s Store) {
	gauge := func(name, help string, value func(Usage) int64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(value(s.Usage())) }))
	}
	gauge("wherry_cache_store_responses", "Stored responses.", func(u Usage) int64 { return u.Responses })
	gauge("wherry_cache_store_bytes", "Bytes that the store is charged with.", func(u Usage) int64 { return u.Bytes })
	gauge("wherry_cache_store_bytes_max", "Bytes that the store may hold.", func(u Usage) int64 { return u.BytesMax })
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "wherry_cache_store_evictions_total", Help: "Responses dropped to make room.",
	}, func() float64 { return float64(s.Usage().Evictions) }))
}
