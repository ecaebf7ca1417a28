package origin

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/config"
)

// Options are what Pools need from outside. The zero value works.
type Options struct {
	Metrics *Metrics     // nil: counted, but shown to nobody
	Log     *slog.Logger // nil: nothing is logged
	// Dial opens connections to origins; nil means TCP. It has to respect its context.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	Now  func() time.Time // nil means time.Now
}

// Pools asks the origins of all sites. It is safe for use by many goroutines.
type Pools struct {
	metrics *Metrics
	log     *slog.Logger
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	now     func() time.Time

	mu      sync.Mutex // serialises Apply
	sites   atomic.Pointer[map[config.SiteName]*pool]
	applied chan struct{} // tells Run that sites changed
}

// New returns Pools without any site.
func New(o Options) *Pools {
	p := &Pools{metrics: o.Metrics, log: o.Log, dial: o.Dial, now: o.Now, applied: make(chan struct{}, 1)}
	if p.metrics == nil {
		p.metrics = NewMetrics(nil)
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.dial == nil {
		p.dial = new(net.Dialer).DialContext
	}
	if p.now == nil {
		p.now = time.Now
	}
	p.sites.Store(&map[config.SiteName]*pool{})
	return p
}

// Apply makes the pools those of snap. A site whose origins and fetch settings are as before keeps its pool, with connections
// and health; the pool of a site that is gone or different serves the requests that it has and is closed then. Apply reads the
// sites' CA files.
func (p *Pools) Apply(snap *config.Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := *p.sites.Load()
	after := make(map[config.SiteName]*pool, len(snap.Sites))
	for i := range snap.Sites {
		site := &snap.Sites[i]
		after[site.Name] = p.poolFor(site, before[site.Name])
	}
	p.sites.Store(&after)
	for name, old := range before {
		if after[name] != old {
			old.retire(after[name])
		}
		if after[name] == nil {
			p.metrics.forget(name)
		}
	}
	select {
	case p.applied <- struct{}{}:
	default:
	}
}

// poolFor returns old if it is right for site, else a new pool.
func (p *Pools) poolFor(site *config.Site, old *pool) *pool {
	s := newSettings(site)
	ca, err := s.readCA()
	if old != nil && old.settings.equal(&s) {
		if err != nil && old.broken == nil {
			// What was read before is still good, and better than no origin at all.
			p.log.Warn("origin authorities not reloaded", "site", site.Name, "error", err)
			return old
		}
		if err == nil && old.broken == nil && slices.Equal(old.ca, ca) {
			return old
		}
	}
	if err != nil {
		p.log.Error("site has no usable origins", "site", site.Name, "error", err)
	}
	return p.newPool(s, ca, err)
}

// Upstream returns what asks the origins of a site, by the newest snapshot at the time of each request. It is never nil: for a
// site that isn't there it answers a fault of the configuration.
func (p *Pools) Upstream(site config.SiteName) http.RoundTripper {
	return upstream{pools: p, site: site}
}

// Run checks the origins of the sites that ask for it until ctx ends. After that requests are still served, but the idle
// connections are closed.
func (p *Pools) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	running := map[*pool]context.CancelFunc{}
	var checks sync.WaitGroup
	defer func() {
		stop()
		checks.Wait()
		for _, pool := range *p.sites.Load() {
			pool.closeIdle()
		}
	}()
	for {
		sites := *p.sites.Load()
		for pool, cancel := range running {
			if sites[pool.settings.site] != pool {
				cancel()
				delete(running, pool)
			}
		}
		for _, pool := range sites {
			if running[pool] != nil || pool.settings.fetch.Health == nil {
				continue
			}
			poolCtx, cancel := context.WithCancel(ctx)
			running[pool] = cancel
			for i := range pool.servers {
				checks.Go(func() { pool.check(poolCtx, i) })
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.applied:
		}
	}
}

// Status is what the status page shows of one origin.
type Status struct {
	Site        config.SiteName
	Origin      string // its URL
	Weight      int
	Backup      bool
	Healthy     bool
	Since       time.Time // of Healthy
	LastError   string    // empty if it never failed
	LastErrorAt time.Time
	InFlight    int // requests, until their response body has been read
}

// Status returns all origins, by site and in the order of the configuration.
func (p *Pools) Status() []Status {
	var all []Status
	for _, pool := range *p.sites.Load() {
		all = append(all, pool.status()...)
	}
	slices.SortStableFunc(all, func(a, b Status) int { return strings.Compare(string(a.Site), string(b.Site)) })
	return all
}
