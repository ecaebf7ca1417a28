package origin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
)

// Options are what Pools need from outside. The zero value works.
type Options struct {
	Metrics *Metrics     // nil: counted, but shown to nobody
	Log     *slog.Logger // nil means slog.Default
	// Dial opens connections to origins; nil means TCP. It has to respect its context.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Tunnel returns who asks what a tunnel offers, within the limits of a site's fetch; nil: there are no tunnels.
	Tunnel func(name config.SiteName, f *config.Fetch) http.RoundTripper
	Now    func() time.Time // nil means time.Now
}

// Pools asks the origins of all sites. It is safe for use by many goroutines.
type Pools struct {
	metrics *Metrics
	log     *slog.Logger
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	tunnel  func(name config.SiteName, f *config.Fetch) http.RoundTripper
	now     func() time.Time

	mu      sync.Mutex // serialises hold
	sites   atomic.Pointer[map[config.SiteName]*pool]
	applied chan struct{} // tells Run that sites changed
}

// New returns Pools without any site.
func New(o Options) *Pools {
	p := &Pools{metrics: o.Metrics, log: o.Log, dial: o.Dial, tunnel: o.Tunnel, now: o.Now, applied: make(chan struct{}, 1)}
	if p.metrics == nil {
		p.metrics = NewMetrics(nil)
	}
	if p.log == nil {
		p.log = slog.Default()
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

// Prepare reads the CA files of snap's sites and returns how to make the pools those of snap. Nothing changes before commit,
// which can't fail. The error names all files that can't be used.
//
// A site whose origins, fetch settings and authorities are as before keeps its pool, with connections and health; the pool of a
// site that is gone or different serves the requests that it has and is closed then.
func (p *Pools) Prepare(snap *config.Snapshot) (commit func(), err error) {
	authorities := map[config.SiteName][]byte{}
	var bad []error
	for i := range snap.Sites {
		site := &snap.Sites[i]
		pem, err := readAuthorities(site.Fetch.CAFile)
		if err != nil {
			bad = append(bad, fmt.Errorf("site %s: %w", site.Name,
				fault.New(fault.Config, "read ca_file", http.StatusInternalServerError, err)))
		}
		authorities[site.Name] = pem
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	return func() { p.hold(snap, authorities) }, nil
}

// hold makes the pools those of snap, with the content of its sites' CA files.
func (p *Pools) hold(snap *config.Snapshot, authorities map[config.SiteName][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := *p.sites.Load()
	after := make(map[config.SiteName]*pool, len(snap.Sites))
	for i := range snap.Sites {
		site := &snap.Sites[i]
		s, ca, old := newSettings(site), authorities[site.Name], before[site.Name]
		if old == nil || !old.settings.equal(&s) || !slices.Equal(old.ca, ca) {
			old = p.newPool(s, ca)
		}
		after[site.Name] = old
	}
	p.sites.Store(&after)
	for name, old := range before {
		next := after[name]
		if next != old {
			old.retire(next)
		}
		if next == nil {
			p.metrics.forget(name)
		}
	}
	select {
	case p.applied <- struct{}{}:
	default:
	}
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
