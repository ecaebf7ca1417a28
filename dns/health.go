package dns

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/mapper"
)

const (
	// downAfter is within how long after its last answer an edge has left the answers.
	downAfter = 2 * time.Second
	// downSlack is what the machine may lose of it to scheduling.
	downSlack = 150 * time.Millisecond
	// timeoutMin is the shortest timeout: a new connection to the far side of the earth and an answer take two round trips.
	// A health_interval above one second makes it outlast downAfter.
	timeoutMin = 350 * time.Millisecond
	// jitter is the part of the interval by which checks are spread, so that they don't all start together.
	jitter = 0.1
	// streak is how many checks in a row must contradict a node's state to turn it.
	streak = 2
	// probesMax bounds the checks under way at once.
	probesMax = 1024
)

// probeTimes returns how long a check may take and how soon a check that contradicts the last one is repeated. An edge may die
// right after an answer, so that it takes a whole interval to the next check and then two timeouts.
func probeTimes(interval time.Duration) (timeout, repeat time.Duration) {
	longest := time.Duration(float64(interval) * (1 + jitter))
	timeout = max((downAfter-downSlack-longest)/streak, timeoutMin)
	return timeout, min(interval, timeout)
}

// NodeHealth is what is known of one address of a node.
type NodeHealth struct {
	Node    config.NodeID      `json:"node"`
	Cluster config.ClusterName `json:"cluster"`
	Addr    netip.Addr         `json:"address"`
	Up      bool               `json:"up"`
	Since   time.Time          `json:"since"`                // when Up became so
	Checked time.Time          `json:"checked"`              // when the last check ended; zero before the first
	RTT     time.Duration      `json:"rtt_ns"`               // of the last answered check
	LastErr string             `json:"last_error,omitempty"` // of the last failed check, even if one was answered since
}

// Health returns what is known of all nodes, in the order of the configuration.
func (s *Server) Health() []NodeHealth {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []NodeHealth
	for _, c := range s.view.Load().snapshot.Clusters {
		for _, n := range c.Nodes {
			for _, addr := range n.Addresses {
				h := s.checks[mapper.Endpoint{Node: n.Name, Addr: addr}]
				list = append(list, NodeHealth{
					Node: n.Name, Cluster: c.Name, Addr: addr,
					Up: h.up, Since: h.since, Checked: h.checked, RTT: h.rtt, LastErr: h.lastErr,
				})
			}
		}
	}
	return list
}

// health is the state of one endpoint.
type health struct {
	door     Door
	up       bool
	contrary int // checks in a row that contradict up
	since    time.Time
	checked  time.Time
	rtt      time.Duration
	lastErr  string
}

// note takes the result of a check and says whether it turned the state.
func (h *health) note(rtt time.Duration, err error, now time.Time) (turned bool) {
	h.checked = now
	if err != nil {
		h.lastErr = err.Error()
	} else {
		h.rtt = rtt
	}
	if (err == nil) == h.up {
		h.contrary = 0
		return false
	}
	if h.contrary++; h.contrary < streak {
		return false
	}
	h.up, h.contrary, h.since = !h.up, 0, now
	return true
}

// result is one finished check.
type result struct {
	endpoint mapper.Endpoint
	rtt      time.Duration
	err      error
}

// watch is a running check of an endpoint.
type watch struct {
	door     Door
	interval time.Duration
	stop     context.CancelFunc
}

// keepHealth keeps one watch for each endpoint of the snapshot and enters their results, until ctx is done.
func (s *Server) keepHealth(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	results := make(chan result)
	slots := make(chan struct{}, probesMax)
	watches := map[mapper.Endpoint]watch{}
	for {
		select {
		case <-ctx.Done():
			for _, w := range watches {
				w.stop()
			}
			return
		case <-s.changed:
			wanted := s.wanted()
			for e, w := range watches {
				if next, ok := wanted[e]; !ok || next.door != w.door || next.interval != w.interval {
					w.stop()
					delete(watches, e)
				}
			}
			for e, w := range wanted {
				if _, ok := watches[e]; ok {
					continue
				}
				var watched context.Context
				watched, w.stop = context.WithCancel(ctx)
				watches[e] = w
				wg.Go(func() { s.watch(watched, e, w, slots, results) })
			}
		case r := <-results:
			s.enter(r, results)
		}
	}
}

// wanted returns the watches that the snapshot asks for.
func (s *Server) wanted() map[mapper.Endpoint]watch {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[mapper.Endpoint]watch{}
	for e, h := range s.checks {
		if h.door.Port != 0 {
			wanted[e] = watch{door: h.door, interval: s.view.Load().snapshot.DNS.HealthInterval}
		}
	}
	return wanted
}

// enter notes r and all results that wait behind it, makes them count in the answers if a state has turned, and then says so.
func (s *Server) enter(r result, more <-chan result) {
	var turned []result
	s.mu.Lock()
	for waiting := true; waiting; {
		if s.enterOne(r) {
			turned = append(turned, r)
		}
		select {
		case r = <-more:
		default:
			waiting = false
		}
	}
	if len(turned) > 0 {
		v := *s.view.Load()
		v.reports = s.report(v.m)
		s.view.Store(&v)
	}
	s.mu.Unlock()
	for _, r := range turned {
		if r.err == nil {
			s.log.Info("edge is back in the answers", "node", r.endpoint.Node, "address", r.endpoint.Addr)
		} else {
			s.log.Warn("edge is out of the answers", "node", r.endpoint.Node, "address", r.endpoint.Addr, "error", r.err)
		}
	}
}

// enterOne says whether r has turned the state of its endpoint; it needs mu.
func (s *Server) enterOne(r result) (turned bool) {
	h := s.checks[r.endpoint]
	if h == nil {
		return false // of a node that the snapshot has no more
	}
	outcome := "ok"
	if r.err != nil {
		outcome = "failed"
	} else {
		s.metrics.probeSeconds.Observe(r.rtt.Seconds())
	}
	s.metrics.probes.WithLabelValues(outcome).Inc()
	return h.note(r.rtt, r.err, s.now())
}

// report returns the state of all endpoints of m; it needs mu.
func (s *Server) report(m *mapper.Map) *mapper.Reports {
	nodes := map[config.NodeID]bool{}
	reports := m.Reports(func(e mapper.Endpoint) bool {
		up := s.checks[e].up
		nodes[e.Node] = nodes[e.Node] || up
		return up
	})
	for node, up := range nodes {
		value := 0.0
		if up {
			value = 1
		}
		s.metrics.nodeUp.WithLabelValues(string(node)).Set(value)
	}
	return reports
}

// watch checks one endpoint until ctx is done.
func (s *Server) watch(ctx context.Context, e mapper.Endpoint, w watch, slots chan struct{}, results chan<- result) {
	timeout, repeat := probeTimes(w.interval)
	// The first checks are spread over one interval.
	timer := time.NewTimer(time.Duration(rand.Float64() * float64(w.interval)))
	defer timer.Stop()
	last := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		began := time.Now()
		err := s.check(ctx, netip.AddrPortFrom(e.Addr, w.door.Port), w.door.TLS, timeout)
		rtt := time.Since(began)
		<-slots
		select {
		case <-ctx.Done():
			return
		case results <- result{endpoint: e, rtt: rtt, err: err}:
		}
		next := repeat
		if ok := err == nil; ok == last {
			next = time.Duration(float64(w.interval) * (1 - jitter + 2*jitter*rand.Float64()))
		} else {
			last = ok
		}
		timer.Reset(next - time.Since(began))
	}
}
