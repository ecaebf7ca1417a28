package tunnel

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"net/http/httputil"

	"github.com/wherry/wherry/fault"
)

// Offered says whether an agent offers a site's service here.
func (t *Table) Offered(p Protocol, site string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.members.of[offered{p, site}]) > 0
}

// Relay answers other nodes, which ask by Via, out of this table alone: what isn't offered here is refused, and goes in no circles.
func (t *Table) Relay() http.Handler {
	requests := t.relayRequests()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			requests.ServeHTTP(w, r)
			return
		}
		dial := func(ctx context.Context, _, site string) (net.Conn, error) { return t.DialContext(ctx, site) }
		joinTo(w, r, r.Host, dial, idleTimeout, &Watch{}, func(err error) string {
			if f := fault.Of(err); f.Err != nil {
				return f.Err.Error()
			}
			return err.Error()
		})
	})
}

func (t *Table) relayRequests() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: relayed{t},
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = "http", p.In.Host, p.In.Host
			passOn(p)
		},
		ModifyResponse: func(resp *http.Response) error {
			resp.Header.Del(refusalField)
			return nil
		},
		FlushInterval: -1, // the exchange's window is the only place where content waits
		ErrorLog:      log.New(quiet{}, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			f := fault.Of(err)
			why := f.Error()
			if f.Err != nil {
				why = f.Err.Error()
			}
			if f.Retry {
				refuse(w, f.Status, why)
				return
			}
			w.Header().Set(refusalField, "!"+safe(why)) // it may have been acted on
			http.Error(w, why, f.Status)
		},
	}
}

// passOn leaves what a node has written as it is.
func passOn(p *httputil.ProxyRequest) {
	p.Out.URL.RawQuery = p.In.URL.RawQuery
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := p.In.Header[name]; ok {
			p.Out.Header[name] = values // the node's, who can be trusted
		}
	}
	if _, ok := p.Out.Header["User-Agent"]; !ok {
		p.Out.Header["User-Agent"] = nil // or net/http adds its own
	}
}

// relayed asks the agents for the site that a request names.
type relayed struct{ table *Table }

func (r relayed) RoundTrip(req *http.Request) (*http.Response, error) {
	return r.table.Upstream(req.Header.Get(OfferField)).RoundTrip(req)
}

// Via asks the service of a site at another node, whose Relay answers.
type Via struct {
	Site string
	// Over asks that node: an *exchange.Transport.
	Over http.RoundTripper
}

var _ http.RoundTripper = Via{}

// DialContext connects to the site's service that speaks something else than HTTP. The connection has a method CloseWrite.
func (v Via) DialContext(ctx context.Context) (net.Conn, error) {
	conn, err := connect(ctx, v.Over, v.Site, "")
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// RoundTrip implements http.RoundTripper. Its error says by Retry that nothing was acted on.
func (v Via) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.Header[OfferField] = []string{v.Site}
	resp, err := v.Over.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	why := resp.Header.Get(refusalField)
	if why == "" {
		return resp, nil
	}
	_ = resp.Body.Close()
	f := &fault.Error{Party: fault.Origin, Op: "tunnel", Status: resp.StatusCode, Retry: true, Proxy: "destination_unavailable"}
	if why[0] == '!' {
		why, f.Retry, f.Proxy = why[1:], false, "connection_terminated"
	}
	f.Err = errors.New(why)
	return nil, f
}
