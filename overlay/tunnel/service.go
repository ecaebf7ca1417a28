package tunnel

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/wherry/wherry/overlay/exchange"
)

// Service is what an agent offers.
type Service struct {
	Site     string
	Protocol Protocol
	// To is where it listens: host:port.
	To string
}

// local answers what nodes ask of an agent.
type local struct {
	services map[offered]string // to where it listens
	proxies  map[string]*httputil.ReverseProxy
	over     *http.Transport
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	idle     time.Duration
	watch    *Watch
}

var _ http.Handler = (*local)(nil)

// dialError is a service that couldn't be reached; nothing was acted on.
type dialError struct{ cause error }

func (e *dialError) Error() string { return e.cause.Error() }

// Unwrap returns the cause.
func (e *dialError) Unwrap() error { return e.cause }

func newLocal(services []Service, o *AgentOptions) *local {
	l := &local{
		services: map[offered]string{}, proxies: map[string]*httputil.ReverseProxy{}, dial: o.DialLocal, idle: o.IdleTimeout, watch: &o.Watch,
	}
	l.over = &http.Transport{
		DialContext: l.connect, DisableCompression: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	for _, s := range services {
		l.services[offered{s.Protocol, s.Site}] = s.To
		if s.Protocol == HTTP {
			l.proxies[s.Site] = l.proxy(s, l.over, o.Log)
		}
	}
	return l
}

// connect dials a service.
func (l *local) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := l.dial(ctx, network, addr)
	if err != nil {
		return nil, &dialError{err}
	}
	return conn, nil
}

// proxy passes requests on as the node sent them.
func (l *local) proxy(s Service, transport http.RoundTripper, logger *slog.Logger) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: s.To})
			p.Out.Host = p.In.Host
			p.Out.Header.Del(OfferField)
			passOn(p)
		},
		ModifyResponse: func(resp *http.Response) error {
			resp.Header.Del(refusalField)
			return nil
		},
		FlushInterval: -1, // the exchange's window is the only place where content waits
		ErrorLog:      log.New(quiet{}, "", 0),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			var unreachable *dialError
			if errors.As(err, &unreachable) {
				refuse(w, http.StatusBadGateway, l.unreachable(s.To, err))
				return
			}
			if r.Context().Err() == nil {
				logger.Warn("service failed", "site", s.Site, "to", s.To, "error", err)
			}
			http.Error(w, "the service behind the tunnel failed while it answered", http.StatusBadGateway)
		},
	}
}

// quiet drops what ErrorHandler and the node say better.
type quiet struct{}

func (quiet) Write(p []byte) (int, error) { return len(p), nil }

func (l *local) unreachable(to string, err error) string {
	return fmt.Sprintf("nothing answers at %s: %v; start the service there, or name another place with --to", to, err)
}

// refuse answers that nothing was acted on, and why.
func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set(refusalField, safe(why))
	http.Error(w, why, status)
}

// safe makes words fit to be a field's value.
func safe(words string) string {
	b := []byte(words)
	if len(b) > 1000 {
		b = b[:1000]
	}
	for i, c := range b {
		if c < ' ' || c >= 0x7f {
			b[i] = '?'
		}
	}
	return string(b)
}

// ServeHTTP implements http.Handler.
func (l *local) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		l.serveTCP(w, r)
		return
	}
	site := r.Header.Get(OfferField)
	proxy, ok := l.proxies[site]
	if !ok {
		refuse(w, http.StatusBadGateway, fmt.Sprintf("the agent doesn't offer the site %q over HTTP", site))
		return
	}
	proxy.ServeHTTP(w, r)
}

func (l *local) serveTCP(w http.ResponseWriter, r *http.Request) {
	to, ok := l.services[offered{TCP, r.Host}]
	if !ok {
		refuse(w, http.StatusBadGateway, fmt.Sprintf("the agent doesn't offer the site %q over TCP", r.Host))
		return
	}
	joinTo(w, r, to, l.dial, l.idle, l.watch, func(err error) string { return l.unreachable(to, err) })
}

// joinTo dials to and joins it with what a CONNECT has opened.
func joinTo(
	w http.ResponseWriter, r *http.Request, to string, dial func(ctx context.Context, network, addr string) (net.Conn, error),
	idle time.Duration, watch *Watch, words func(err error) string,
) {
	dialed, err := dial(r.Context(), "tcp", to)
	if err != nil {
		watch.refused(r.Host, err)
		refuse(w, http.StatusBadGateway, words(err))
		return
	}
	far, ok := dialed.(duplex)
	if !ok {
		_ = dialed.Close()
		panic(fmt.Sprintf("BUG: a connection of type %T can't be closed in one direction", dialed))
	}
	near, err := exchange.TakeOver(w, http.StatusOK)
	if err != nil {
		breakOff(far)
		watch.refused(r.Host, err)
		return
	}
	watch.opened(r.Host)
	sent, received, err := join(r.Context(), near, far, idle)
	watch.closed(r.Host, sent, received, err)
}
