package origin

import (
	"context"
	"net"
	"net/url"
	"time"

	"github.com/wherry/wherry/config"
)

const (
	nearFor     = 5 * time.Minute // a measurement counts
	nearTimeout = 2 * time.Second
)

// nearness is how long it took to connect to a server, and when that was.
type nearness struct {
	took time.Duration
	at   time.Time
}

// Near is how long it takes to connect to the nearest of a site's origins: from the last minutes, or by a connection that it opens for that and
// closes. 0: none can be reached, or there is no such site.
func (p *Pools) Near(ctx context.Context, site config.SiteName) (nearest time.Duration) {
	pool := (*p.sites.Load())[site]
	if pool == nil {
		return 0
	}
	for _, s := range pool.servers {
		if s.tunnel != nil {
			continue // how near its agents are, the edges know that they have dialed
		}
		if d := s.near(ctx); d > 0 && (nearest == 0 || d < nearest) {
			nearest = d
		}
	}
	return nearest
}

func (s *server) near(ctx context.Context) time.Duration {
	if n := s.nearness.Load(); n != nil && time.Since(n.at) < nearFor {
		return n.took
	}
	ctx, cancel := context.WithTimeout(ctx, nearTimeout)
	defer cancel()
	conn, err := s.connect(ctx, "tcp", s.address())
	if err != nil {
		s.nearness.Store(&nearness{0, time.Now()})
		return 0
	}
	_ = conn.Close()
	return s.nearness.Load().took
}

// address is HOST:PORT.
func (s *server) address() string {
	if _, _, err := net.SplitHostPort(s.host); err == nil {
		return s.host
	}
	u := url.URL{Host: s.host}
	port := "80"
	if s.scheme == "https" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}
