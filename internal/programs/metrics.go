package programs

import "github.com/prometheus/client_golang/prometheus"

// collector shows what compute counts.
type collector struct{ host host }

var _ prometheus.Collector = collector{}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("wherry_program_"+name, help, append([]string{"program"}, labels...), nil)
}

var (
	callsDesc     = describe("calls_total", "Requests that a program was run for.")
	errorsDesc    = describe("errors_total", "Requests that a program failed to answer, by the limit that it passed, or crash, response, client, start, machine, stop, queue, monitor.", "limit")
	cpuDesc       = describe("cpu_seconds_total", "CPU time of a program's calls.")
	resetsDesc    = describe("resets_total", "Times that an instance's memory was taken back to the snapshot.")
	dirtyDesc     = describe("dirty_pages_total", "Pages that resets took back.")
	faultsDesc    = describe("faults_total", "Page faults of a program's machines.")
	exitsDesc     = describe("exits_total", "Ways from a program to the monitor, by kind.", "kind")
	coldDesc      = describe("cold_starts_total", "Requests that waited for the start of an instance.")
	evictionsDesc = describe("evictions_total", "Instances that were let go for the memory of others.")
	memoryDesc    = describe("memory_bytes", "Memory that a program is charged: its snapshot and its instances.")
	instancesDesc = describe("instances", "Instances of a program, ready or busy.", "state")
	restartsDesc  = prometheus.NewDesc("wherry_program_monitor_restarts_total", "Times that the process that runs the programs was started again after it had ended.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		callsDesc, errorsDesc, cpuDesc, resetsDesc, dirtyDesc, faultsDesc, exitsDesc, coldDesc, evictionsDesc, memoryDesc, instancesDesc, restartsDesc,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	_, restarts := c.host.Monitor()
	to <- prometheus.MustNewConstMetric(restartsDesc, prometheus.CounterValue, float64(restarts))
	for name, m := range c.host.Metrics() {
		send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(d, kind, v, append([]string{name}, labels...)...)
		}
		send(callsDesc, prometheus.CounterValue, float64(m.Calls))
		for limit, n := range m.Errors {
			send(errorsDesc, prometheus.CounterValue, float64(n), limit)
		}
		send(cpuDesc, prometheus.CounterValue, m.CPU.Seconds())
		send(resetsDesc, prometheus.CounterValue, float64(m.Resets))
		send(dirtyDesc, prometheus.CounterValue, float64(m.DirtyPages))
		send(faultsDesc, prometheus.CounterValue, float64(m.Faults))
		for kind, n := range m.Exits {
			send(exitsDesc, prometheus.CounterValue, float64(n), kind)
		}
		send(coldDesc, prometheus.CounterValue, float64(m.ColdStarts))
		send(evictionsDesc, prometheus.CounterValue, float64(m.Evictions))
		send(memoryDesc, prometheus.GaugeValue, float64(m.Memory))
		send(instancesDesc, prometheus.GaugeValue, float64(m.Ready), "ready")
		send(instancesDesc, prometheus.GaugeValue, float64(m.Busy), "busy")
	}
}
