package disk

import "github.com/prometheus/client_golang/prometheus"

// Metrics are what a Store counts.
type Metrics struct {
	puts    *prometheus.CounterVec
	dropped *prometheus.CounterVec
	reads   *prometheus.CounterVec
	copied  prometheus.Counter
	torn    prometheus.Counter
	faults  *prometheus.CounterVec
}

// What becomes of a put.
const (
	putWritten  = "written"
	putQueue    = "queue"    // refused: the queue is full
	putDown     = "down"     // refused: no volume takes puts
	putTooLarge = "toolarge" // refused: doesn't fit a segment
	putFailed   = "failed"   // the disk or the body returned an error
	putRemoved  = "removed"  // removed while it was queued
)

// Why a blob is dropped.
const (
	dropEvicted  = "evicted"
	dropReplaced = "replaced"
	dropRemoved  = "removed"
	dropDamaged  = "damaged"
)

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	m := &Metrics{
		puts:    vec("wherry_disk_puts_total", "Blobs to be written, by what became of them.", "result"),
		dropped: vec("wherry_disk_dropped_total", "Blobs that were dropped, by reason.", "reason"),
		reads:   vec("wherry_disk_reads_total", "Reads of heads and bodies, by result.", "result"),
		faults:  vec("wherry_disk_faults_total", "Errors of a disk, by operation.", "operation"),
		copied: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wherry_disk_copied_total", Help: "Blobs that were read since they were written and outlived their segment.",
		}),
		torn: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wherry_disk_torn_total", Help: "Segments that ended in the middle of a record when they were opened, as after a kill.",
		}),
	}
	reg.MustRegister(m.puts, m.dropped, m.reads, m.copied, m.torn, m.faults)
	return m
}

// WatchStore registers what s holds.
func WatchStore(reg prometheus.Registerer, s *Store) {
	gauge := func(name, help string, value func(Usage) int64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(value(s.Usage())) }))
	}
	gauge("wherry_disk_blobs", "Blobs that are stored.", func(u Usage) int64 { return u.Blobs })
	gauge("wherry_disk_bytes", "Bytes of all segments.", func(u Usage) int64 { return u.Bytes })
	gauge("wherry_disk_bytes_max", "Bytes that the segments may take.", func(u Usage) int64 { return u.BytesMax })
	gauge("wherry_disk_queue_bytes", "Bytes that wait to be written.", func(u Usage) int64 { return u.Queued })
	for n, v := range s.volumes {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "wherry_disk_volume_up", Help: "1 if the volume is ok, 0 if it is slow, failing or full.",
			ConstLabels: prometheus.Labels{"dir": v.dir},
		}, func() float64 {
			if s.volumes[n].usage().State == OK {
				return 1
			}
			return 0
		}))
	}
}
