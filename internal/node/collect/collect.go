package collect

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/feed"
)

const (
	// every is how often control is asked.
	every = 5 * time.Second
	// StaleAfter is for how long a node is live of which control can't say more.
	StaleAfter = 15 * time.Second
	// nodesMax bounds what is kept: the tree has no more.
	nodesMax = 16384
)

// Node is what control has heard of one.
type Node struct {
	feed.NodeRecord
	Live   bool         `json:"live"`
	Seen   time.Time    `json:"seen,omitzero"`    // by control's clock
	Report *feed.Report `json:"report,omitempty"` // nil: nothing was heard of it since that control node was started
}

// Network is what control has heard of all of them.
type Network struct {
	Position feed.Position `json:"position"` // of the feed
	Nodes    []Node        `json:"nodes"`
}

// Options say where it comes from.
type Options struct {
	// Ask asks control.
	Ask func(context.Context) (Network, error)
	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: slog.Default
}

// Collector is what a node of role collect has.
type Collector struct {
	o      Options
	latest atomic.Pointer[view]
}

type view struct {
	Network
	at time.Time
}

var _ prometheus.Collector = (*Collector)(nil)

// New returns one that has heard of nobody.
func New(o Options) *Collector {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Collector{o: o}
}

// Run asks until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	said := false
	for {
		err := c.ask(ctx)
		if failing := err != nil && ctx.Err() == nil; failing != said {
			said = failing
			if failing {
				c.o.Log.Warn("control doesn't say how the nodes are; showing what it said last", "error", err)
			} else {
				c.o.Log.Info("control says again how the nodes are")
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

func (c *Collector) ask(ctx context.Context) error {
	network, err := c.o.Ask(ctx)
	if err != nil {
		return err
	}
	network.Nodes = network.Nodes[:min(len(network.Nodes), nodesMax)]
	c.latest.Store(&view{network, c.o.Now()})
	return nil
}

var (
	at       = prometheus.NewDesc("wherry_network_collected_timestamp_seconds", "when control said last how the nodes are", nil, nil)
	info     = desc("info", "a node of the network; always 1", "cluster", "roles", "version")
	live     = desc("live", "1 if control hears of the node, 0 if it doesn't, or can't be asked itself")
	seen     = desc("seen_timestamp_seconds", "when control heard of the node, by control's clock")
	behind   = desc("feed_behind", "entries of the feed that the node hasn't adopted")
	refused  = desc("refused_documents", "documents that the node can't use; it goes on with those that it had")
	alerts   = desc("alerts", "what the node says that a person should know")
	cpu      = desc("cpu_cores", "cores in use by the node's process")
	memory   = desc("memory_bytes", "memory of the node's process")
	requests = desc("requests_total", "requests of clients that the node answered")
	errs     = desc("errors_total", "of these, answered with 5xx or broken off")
	hits     = desc("hits_total", "of these, answered from the cache")
)

func desc(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc("wherry_network_node_"+name, help, append([]string{"node"}, more...), nil)
}

// Describe implements prometheus.Collector.
func (*Collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{at, info, live, seen, behind, refused, alerts, cpu, memory, requests, errs, hits} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	v := c.latest.Load()
	if v == nil {
		return
	}
	stale := c.o.Now().Sub(v.at) > StaleAfter
	out <- prometheus.MustNewConstMetric(at, prometheus.GaugeValue, seconds(v.at))
	for i := range v.Nodes {
		v.Nodes[i].show(out, v.Position, stale)
	}
}

func (n *Node) show(out chan<- prometheus.Metric, head feed.Position, stale bool) {
	name := string(n.Name)
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, name)
	}
	counter := func(d *prometheus.Desc, v uint64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), name)
	}
	version := ""
	if n.Report != nil {
		version = strings.ToValidUTF8(n.Report.Version, "?")
	}
	out <- prometheus.MustNewConstMetric(info, prometheus.GaugeValue, 1, name, string(n.Cluster), roles(n.Roles), version)
	if n.Live && !stale {
		gauge(live, 1)
	} else {
		gauge(live, 0)
	}
	r := n.Report
	if r == nil {
		return
	}
	gauge(seen, seconds(n.Seen))
	switch p := r.Position; {
	case p.Epoch == head.Epoch:
		gauge(behind, max(0, float64(head.Seq)-float64(p.Seq)))
	case p.Before(head): // how many a restore put between them nobody knows
		gauge(behind, float64(head.Seq))
	}
	gauge(refused, float64(len(r.Refused)))
	gauge(alerts, float64(len(r.Alerts)))
	gauge(cpu, r.Load.CPU)
	gauge(memory, float64(r.Load.Memory))
	for _, s := range r.Sites {
		if s.Site == "" && !s.Synthetic { // of all sites together
			counter(requests, s.Requests)
			counter(errs, s.Errors)
			counter(hits, s.Hits)
			break
		}
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func roles(all []feed.Role) string {
	var names []string
	for _, r := range all {
		names = append(names, string(r))
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}
