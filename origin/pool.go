package origin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/config"
)

// Limits that no site has a reason to change.
const (
	// responseHeaderSizeMax bounds the header section of one response, each 1xx response by itself.
	responseHeaderSizeMax = 64 << 10
	// responseFieldsMax bounds the fields of one response: each costs far more memory than its bytes, and is stored.
	responseFieldsMax = 1000
	// continueTimeout is how long `Expect: 100-continue` holds the body back from an origin that doesn't answer it.
	continueTimeout = time.Second
	// idleTimeout closes connections that nobody used. Origins commonly close theirs after 60 s or more; being first avoids
	// requests that race with the close.
	idleTimeout = 50 * time.Second
	// pingAfter and pingTimeout find HTTP/2 connections whose peer is gone without a word.
	pingAfter   = 15 * time.Second
	pingTimeout = 10 * time.Second
	// requestSizeKept bounds what a pool keeps as room for requests.
	requestSizeKept = 8 << 10
	// waitersPerConnection bounds the requests that wait for one of the connections to an origin.
	waitersPerConnection = 8
)

// settings are what makes a pool what it is: as long as they stay the same, so does the pool.
type settings struct {
	site      config.SiteName
	origins   []config.Origin
	fetch     config.Fetch
	checkHost string // the Host of checks where clients' requests keep theirs; empty means the origin's own
}

func newSettings(site *config.Site) settings {
	s := settings{site: site.Name, origins: site.Origins, fetch: site.Fetch}
	for _, h := range site.Hosts {
		if !strings.HasPrefix(string(h), "*") {
			s.checkHost = string(h)
			break
		}
	}
	return s
}

func (s *settings) equal(t *settings) bool { return reflect.DeepEqual(s, t) }

// readAuthorities returns the content of a site's CA file, or nil if it has none.
func readAuthorities(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in it; write a PEM file with the authorities there", file)
	}
	return pem, nil
}

// pool asks the origins of one site.
type pool struct {
	settings settings
	ca       []byte // the content of settings.fetch.CAFile
	broken   error  // why no origin can be asked, or nil
	servers  []*server
	log      *slog.Logger
	now      func() time.Time
	metrics  *siteMetrics

	requests sync.Pool // of *[]byte: room for requests that go over wires

	retired atomic.Bool // connections that become idle are closed

	mu     sync.Mutex // protects choice; lost when the process dies
	choice chooser    // its members are as servers
}

// newPool returns a pool of s that trusts the authorities in ca, or those of the system if it is nil.
func (p *Pools) newPool(s settings, ca []byte) *pool {
	pool := &pool{settings: s, ca: ca, log: p.log, now: p.now, metrics: p.metrics.site(s.site)}
	pool.requests.New = func() any { return new([]byte) }
	if len(s.origins) == 0 {
		pool.broken = errors.New("the site has no origins")
	}
	if p.tunnel == nil && slices.ContainsFunc(s.origins, func(o config.Origin) bool { return o.URL.Scheme == config.SchemeTunnel }) {
		pool.broken = errors.New("an origin of the site is a tunnel, which only the nodes of a network with control have")
		return pool
	}
	var roots *x509.CertPool
	if ca != nil {
		roots = x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
	}
	now := p.now()
	for i := range s.origins {
		srv := p.newServer(&s, i, roots)
		srv.healthy = pool.metrics.healthy(srv.name)
		pool.servers = append(pool.servers, srv)
		pool.choice.members = append(pool.choice.members, member{
			weight: max(s.origins[i].Weight, 1),
			backup: s.origins[i].Backup,
			health: health{since: now},
		})
		srv.healthy.Set(1)
	}
	return pool
}

// newServer returns what asks one of a site's origins.
func (p *Pools) newServer(s *settings, i int, roots *x509.CertPool) *server {
	o := &s.origins[i]
	if o.URL.Scheme == config.SchemeTunnel {
		return newTunnelServer(o, p.tunnel(config.SiteName(o.URL.Host), &s.fetch))
	}
	return newServer(o, &s.fetch, roots, p.dial)
}

// newTransport returns a transport that does what origin promises, for one origin.
func newTransport(f *config.Fetch, roots *x509.CertPool, http2 bool) *http.Transport {
	t := &http.Transport{
		TLSClientConfig: &tls.Config{
			RootCAs:            roots,
			MinVersion:         tls.VersionTLS12,
			ClientSessionCache: tls.NewLRUClientSessionCache(32),
		},
		TLSHandshakeTimeout:    f.TLSTimeout,
		DisableCompression:     true, // the cache stores what the origin sent
		MaxIdleConnsPerHost:    max(f.Connections, http.DefaultMaxIdleConnsPerHost),
		MaxConnsPerHost:        f.Connections,
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: responseHeaderSizeMax,
		Protocols:              new(http.Protocols),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(http2)
	return t
}

// pick chooses the server for one attempt; it returns nil if all are in tried.
func (p *pool) pick(tried []*server) (*server, pick) {
	p.mu.Lock()
	defer p.mu.Unlock()
	choice := p.choice.pick(p.now(), func(i int) bool { return slices.Contains(tried, p.servers[i]) })
	if choice.index < 0 {
		return nil, choice
	}
	return p.servers[choice.index], choice
}

// otherHealthy says whether a healthy server is not in tried.
func (p *pool) otherHealthy(tried []*server) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.servers {
		if p.choice.members[i].health.available(p.now()) && !slices.Contains(tried, s) {
			return true
		}
	}
	return false
}

// answered learns that server i has answered a request: mostly nothing new.
func (p *pool) answered(i int) {
	p.mu.Lock()
	known := p.choice.members[i].health.unblemished()
	p.mu.Unlock()
	if !known {
		p.learn(i, func(h *health, _ time.Time) { h.succeeded() })
	}
}

// learn changes the health of one server and tells of it if that made a difference.
func (p *pool) learn(i int, change func(h *health, now time.Time)) {
	p.mu.Lock()
	h := &p.choice.members[i].health
	before := h.healthy()
	now := p.now()
	change(h, now)
	after := h.healthy()
	if before != after {
		h.since = now
	}
	lastError := h.lastError
	retired := p.retired.Load()
	if before != after && !retired {
		p.show(i)
	}
	p.mu.Unlock()
	switch {
	case retired:
	case before && !after:
		p.log.Warn("origin is out", "site", p.settings.site, "origin", p.servers[i].name, "error", lastError)
	case !before && after:
		p.log.Info("origin is back", "site", p.settings.site, "origin", p.servers[i].name)
	}
}

// show makes the gauge of server i tell its health. The caller holds mu, so that the last change is also shown last.
func (p *pool) show(i int) {
	value := 0.0
	if p.choice.members[i].health.healthy() {
		value = 1
	}
	p.servers[i].healthy.Set(value)
}

func (p *pool) status() []Status {
	all := make([]Status, len(p.servers))
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.servers {
		m := &p.choice.members[i]
		all[i] = Status{
			Site: p.settings.site, Origin: s.name, Weight: m.weight, Backup: m.backup,
			Healthy: m.health.healthy(), Since: m.health.since,
			LastError: m.health.lastError, LastErrorAt: m.health.failedAt,
			InFlight: int(s.inFlight.Load()),
		}
	}
	return all
}

// retire makes p close its connections as soon as each is idle. next is the pool in its place, or nil. The gauges of origins
// that stay pass to next.
func (p *pool) retire(next *pool) {
	p.mu.Lock()
	p.retired.Store(true)
	p.mu.Unlock()
	p.closeIdle()
	for _, s := range p.servers {
		if next == nil || !slices.ContainsFunc(next.servers, func(n *server) bool { return n.name == s.name }) {
			p.metrics.forgetOrigin(s.name)
		}
	}
	if next == nil {
		return
	}
	next.mu.Lock()
	defer next.mu.Unlock()
	for i := range next.servers {
		next.show(i) // p may have had the last word
	}
}

func (p *pool) closeIdle() {
	for _, s := range p.servers {
		s.closeIdle()
	}
}
