package origin

import (
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// heldGauge finds out whether it is set under mu.
type heldGauge struct {
	prometheus.Gauge
	mu    *sync.Mutex
	loose int // times that it wasn't
}

func (g *heldGauge) Set(value float64) {
	if g.mu.TryLock() {
		g.mu.Unlock()
		g.loose++
	}
	g.Gauge.Set(value)
}

func fail(h *health, now time.Time)  { h.failed(now, false, "refused") }
func succeed(h *health, _ time.Time) { h.succeeded() }

// Of two changes at once, the later one is shown last: the gauge changes with the health that it shows.
func TestGaugeChangesWithHealth(t *testing.T) {
	p := poolsOf(t, newMemory(), siteOf(t, defaults(), "http://a.test"))
	pool := (*p.sites.Load())["shop"]
	g := &heldGauge{Gauge: pool.servers[0].healthy, mu: &pool.mu}
	pool.servers[0].healthy = g
	for range failuresMax {
		pool.learn(0, fail)
	}
	if v := testutil.ToFloat64(g.Gauge); v != 0 {
		t.Errorf("gauge %v of an origin that is out", v)
	}
	pool.learn(0, succeed)
	if v := testutil.ToFloat64(g.Gauge); v != 1 {
		t.Errorf("gauge %v of an origin that is back", v)
	}
	if g.loose > 0 {
		t.Errorf("set %d times when the health might have changed again", g.loose)
	}
}

// An origin goes out in the old pool while a new one takes its place, in which it is healthy.
func TestGaugePassesToTheNextPool(t *testing.T) {
	p := poolsOf(t, newMemory(), siteOf(t, defaults(), "http://a.test"))
	old := (*p.sites.Load())["shop"]
	next := p.newPool(old.settings, nil)
	for range failuresMax {
		old.learn(0, fail)
	}
	old.retire(next)
	if v := testutil.ToFloat64(next.servers[0].healthy); v != 1 {
		t.Errorf("gauge %v, want that of the pool that is asked", v)
	}
}
