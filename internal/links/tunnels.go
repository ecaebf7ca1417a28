package links

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/origin/parents"
	"github.com/wherry/wherry/overlay/tunnel"
)

const (
	locateMax      = 8                // edges that are asked who has a tunnel: agents take the first ones of the same order
	locateTimeout  = 2 * time.Second  // for their answers
	locatedFor     = 10 * time.Second // an answer counts
	locatedMax     = 4096
	tunnelAttempts = 3
)

// Tunnel is a tunnel that is an origin of a site.
type Tunnel struct {
	Name config.SiteName // what its agents offer
	// HeaderTimeout is the time from the request to the response's header section, BodyTimeout the longest silence in its body.
	HeaderTimeout, BodyTimeout time.Duration
}

// tunnels are those that end here, and what is known of others.
type tunnels struct {
	table  *tunnel.Table // nil: none end here
	gate   *tunnel.Gate
	guests guests

	mu      sync.Mutex // protects located; lost with the process
	located map[offer]place
}

// offer is what agents offer.
type offer struct {
	protocol tunnel.Protocol
	name     config.SiteName
}

// place is where a tunnel ends, as was said a moment ago.
type place struct {
	node config.NodeID
	at   time.Time
}

func (t *tunnels) init(l *Links) {
	o := &l.o
	t.located, t.guests.of = map[offer]place{}, map[config.NodeID]int{}
	t.gate = l.newGate()
	if o.Edge == nil {
		return
	}
	t.table = tunnel.NewTable(tunnel.TableOptions{
		Node: string(o.Self), AgentsMax: guestsMax,
		Check: func(ctx context.Context, token, site string, _ tunnel.Protocol) error {
			return o.Offers(ctx, token, config.SiteName(site))
		},
	})
}

func (t *tunnels) offered(o offer) bool {
	return t.table != nil && t.table.Offered(o.protocol, string(o.name))
}

// Through returns who asks the service behind a tunnel.
func (l *Links) Through(t Tunnel) http.RoundTripper { return through{l, t} }

type through struct {
	links  *Links
	tunnel Tunnel
}

var _ http.RoundTripper = through{}

func (t through) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.links.askTunnel(r, t.tunnel)
}

// askTunnel asks the service behind a tunnel: by an agent of this node, or by one of another's. A request goes to another agent where nothing was acted
// on, and it has no content that could have been read.
func (l *Links) askTunnel(r *http.Request, t Tunnel) (*http.Response, error) {
	out := r.Clone(r.Context())
	again := r.Body == nil || r.Body == http.NoBody
	what := offer{tunnel.HTTP, t.Name}
	var tried []config.NodeID
	var err error
	if l.tunnels.offered(what) {
		var resp *http.Response
		if resp, err = t.timed(out, l.tunnels.table.Upstream(string(t.Name)).RoundTrip, nil); err == nil || !again || !retries(err) {
			return resp, err
		}
	}
	for len(tried) < tunnelAttempts && r.Context().Err() == nil {
		node := l.locate(r.Context(), what, tried)
		if node == "" {
			break
		}
		k, dialErr := l.to(r.Context(), node)
		if dialErr != nil {
			l.tunnels.forget(what)
			tried, err = append(tried, node), &fault.Error{Party: fault.Peer, Op: "tunnel", Status: http.StatusBadGateway, Retry: true, Err: dialErr}
			continue
		}
		var resp *http.Response
		if resp, err = t.timed(out, tunnel.Via{Site: string(t.Name), Over: k.tunnel}.RoundTrip, k); err == nil {
			return resp, nil
		}
		l.tunnels.forget(what)
		if !again || !retries(err) && !(errors.Is(err, errSilent) && safe(r)) {
			return nil, err
		}
		tried = append(tried, node)
	}
	closeBody(r)
	if err == nil || len(tried) == 0 && !l.tunnels.offered(what) {
		err = what.nobody()
	}
	return nil, err
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close() // RoundTrip owns it
	}
}

// nobody is the error where no agent is known.
func (o offer) nobody() error {
	err := fmt.Errorf("no tunnel offers site %s: run wherry tunnel --site %s --to HOST:PORT", o.name, o.name)
	if o.protocol == tunnel.TCP {
		err = fmt.Errorf("no tunnel is called %s: run wherry tunnel --name %s --tcp HOST:PORT", o.name, o.name)
	}
	return &fault.Error{Party: fault.Origin, Op: "tunnel", Status: http.StatusBadGateway, Retry: true, Proxy: "destination_unavailable", Err: err}
}

// dialTunnel connects to what a tunnel offers over TCP: by an agent of this node, or by one of another's.
func (l *Links) dialTunnel(ctx context.Context, name config.SiteName) (net.Conn, error) {
	what := offer{tunnel.TCP, name}
	err := what.nobody()
	if l.tunnels.offered(what) {
		var conn net.Conn
		if conn, err = l.tunnels.table.DialContext(ctx, string(name)); err == nil {
			return conn, nil
		}
	}
	for tried := []config.NodeID(nil); len(tried) < tunnelAttempts && ctx.Err() == nil; {
		node := l.locate(ctx, what, tried)
		if node == "" {
			break
		}
		k, failed := l.to(ctx, node)
		if failed == nil {
			var conn net.Conn
			if conn, failed = (tunnel.Via{Site: string(name), Over: k.tunnel}).DialContext(ctx); failed == nil {
				return conn, nil
			}
		}
		l.tunnels.forget(what)
		tried, err = append(tried, node), failed
	}
	return nil, err
}

// retries is whether a request that failed can be sent elsewhere as it is.
func retries(err error) bool { return fault.Of(err).Retry }

// locate finds a node at which a tunnel ends, but for those that were tried; empty: there is none.
func (l *Links) locate(ctx context.Context, what offer, tried []config.NodeID) config.NodeID {
	l.tunnels.mu.Lock()
	p := l.tunnels.located[what]
	l.tunnels.mu.Unlock()
	if p.node != "" && time.Since(p.at) < locatedFor && !slices.Contains(tried, p.node) {
		return p.node
	}
	var nodes []config.NodeID
	for _, cluster := range l.edges() {
		nodes = append(nodes, cluster...)
	}
	nodes = slices.DeleteFunc(parents.Rank(string(what.name), nodes), func(n config.NodeID) bool { return n == l.o.Self || slices.Contains(tried, n) })
	node := l.whoOffers(ctx, what, nodes[:min(len(nodes), locateMax)])
	if node != "" {
		l.tunnels.mu.Lock()
		defer l.tunnels.mu.Unlock()
		if len(l.tunnels.located) >= locatedMax {
			clear(l.tunnels.located)
		}
		l.tunnels.located[what] = place{node, time.Now()}
	}
	return node
}

func (t *tunnels) forget(what offer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.located, what)
}

// whoOffers asks nodes at once, and returns the first that says yes.
func (l *Links) whoOffers(ctx context.Context, what offer, nodes []config.NodeID) config.NodeID {
	ctx, cancel := context.WithTimeout(ctx, locateTimeout)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	answers := make(chan config.NodeID, len(nodes))
	for _, node := range nodes {
		all.Go(func() {
			var yes bool
			if l.askOwn(ctx, node, offersPath, url.Values{"site": {string(what.name)}, "over": {what.protocol.String()}}, &yes) != nil || !yes {
				node = ""
			}
			answers <- node
		})
	}
	for range nodes {
		if node := <-answers; node != "" {
			return node
		}
	}
	return ""
}

var (
	errHeaderLate = errors.New("the service behind the tunnel sent no response header in time")
	errBodyLate   = errors.New("the service behind the tunnel sent nothing of the response body in time")
)

// timed sends a request within the tunnel's limits; with a link also as long as its node isn't silent.
func (t *Tunnel) timed(r *http.Request, ask func(*http.Request) (*http.Response, error), k *link) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	limit := time.AfterFunc(t.HeaderTimeout, func() { cancel(errHeaderLate) })
	out := r.WithContext(ctx)
	var content *sending
	if r.Body != nil && r.Body != http.NoBody { // the time begins with the request's last byte
		limit.Stop()
		content = &sending{ReadCloser: r.Body, sent: func() { limit.Reset(t.HeaderTimeout) }}
		out.Body = content
	}
	answered := func() {}
	if k != nil {
		answered = watch(k, cancel)
	}
	resp, err := ask(out)
	answered()
	if content != nil {
		content.once.Do(func() {}) // it has been answered before its end
	}
	if !limit.Stop() && err == nil && context.Cause(ctx) == errHeaderLate {
		_ = resp.Body.Close()
		err = errHeaderLate
	}
	if err != nil {
		switch cause := context.Cause(ctx); {
		case errors.Is(cause, errHeaderLate):
			err = &fault.Error{Party: fault.Origin, Op: "await", Status: http.StatusGatewayTimeout, Proxy: "http_response_timeout", Err: errHeaderLate}
		case errors.Is(cause, errSilent):
			err = &fault.Error{Party: fault.Peer, Op: "tunnel", Status: http.StatusBadGateway, Proxy: "connection_terminated", Err: errSilent}
		}
		cancel(nil)
		return nil, err
	}
	resp.Request = r
	if resp.StatusCode == http.StatusSwitchingProtocols {
		context.AfterFunc(r.Context(), func() { cancel(nil) })
		return resp, nil
	}
	resp.Body = &receiving{ReadCloser: resp.Body, limit: t.BodyTimeout, end: cancel, ctx: ctx}
	return resp, nil
}

// sending tells when a request's content is over.
type sending struct {
	io.ReadCloser
	once sync.Once
	sent func()
}

func (s *sending) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil {
		s.once.Do(s.sent)
	}
	return n, err
}

func (s *sending) Close() error {
	s.once.Do(s.sent)
	return s.ReadCloser.Close()
}

// receiving breaks a response off that is silent for too long.
type receiving struct {
	io.ReadCloser
	limit time.Duration
	end   context.CancelCauseFunc
	ctx   context.Context
}

func (v *receiving) Read(p []byte) (int, error) {
	late := time.AfterFunc(v.limit, func() { v.end(errBodyLate) })
	n, err := v.ReadCloser.Read(p)
	late.Stop()
	if err != nil && err != io.EOF && errors.Is(context.Cause(v.ctx), errBodyLate) {
		err = &fault.Error{Party: fault.Origin, Op: "read", Status: http.StatusGatewayTimeout, Proxy: "connection_read_timeout", Err: errBodyLate}
	}
	return n, err
}

func (v *receiving) Close() error {
	defer v.end(nil)
	return v.ReadCloser.Close()
}
