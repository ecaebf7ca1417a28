package origin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/trace"
)

// upstream asks the origins of one site.
type upstream struct {
	pools *Pools
	site  config.SiteName
}

var _ http.RoundTripper = upstream{}

// RoundTrip asks one origin, and after a failure further ones where that is safe. The error is a *fault.Error.
func (u upstream) RoundTrip(req *http.Request) (*http.Response, error) {
	p := (*u.pools.sites.Load())[u.site]
	var err error
	switch {
	case p == nil:
		err = misconfigured(fmt.Errorf("no site %q in this configuration", u.site))
	case p.broken != nil:
		err = misconfigured(p.broken)
	case req.Method == http.MethodConnect:
		err = fault.New(fault.Client, "pick", http.StatusNotImplemented, errors.New("origins are asked no tunnels"))
	}
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // RoundTrip owns it
		}
		return nil, err
	}
	return p.roundTrip(req)
}

func misconfigured(err error) error {
	e := fault.New(fault.Config, "pick", http.StatusInternalServerError, err)
	e.Proxy = "proxy_configuration_error"
	return e
}

// roundTrip takes req through the steps: pick, connect, send, response (in ask), and retry.
func (p *pool) roundTrip(req *http.Request) (*http.Response, error) {
	t := trace.From(req.Context())
	up := newUpload(req.Body)
	var tried []*server
	var held answer // the last response: better than none, if the next origin has none
	for {
		s, choice := p.pick(tried)
		if t.On() {
			t.Addf("origin", "pick", "%s: %v", s.name, choice)
		}
		resp, err := p.ask(req, s, choice, up)
		if err == nil {
			held.drop()
			if !unwilling(resp.StatusCode) {
				up.end()
				return resp, nil
			}
			held = answer{resp}
		}
		tried = append(tried, s)
		o := p.outcome(req.Method, resp, err, tried)
		again, why := o.retry()
		if again && !up.rewind() {
			again, why = false, "no: the request's body has been read"
		}
		if t.On() && why != "" {
			t.Add("origin", "retry", why)
		}
		if !again {
			up.end()
			if held.Response != nil {
				return held.Response, nil
			}
			return nil, err.fault
		}
		p.metrics.retries.Inc()
	}
}

// answer is a response, or none, that may turn out not to be needed.
type answer struct{ *http.Response }

func (a answer) drop() {
	if a.Response != nil {
		_ = a.Body.Close() // nobody reads it
	}
}

// outcome is what came of one attempt, as far as it decides on another.
type outcome struct {
	method       string
	status       int          // of the response
	err          *fault.Error // instead of a response
	sent         bool         // the origin may have seen a part of the request
	attempts     int
	retriesMax   int
	otherAny     bool // there is an origin that has not been asked
	otherHealthy bool // and a healthy one
}

func (p *pool) outcome(method string, resp *http.Response, err *attemptError, tried []*server) outcome {
	o := outcome{method: method, attempts: len(tried), retriesMax: p.settings.fetch.Retries}
	o.otherAny, o.otherHealthy = len(tried) < len(p.servers), p.otherHealthy(tried)
	if err != nil {
		o.err, o.sent = err.fault, err.sent
	} else {
		o.status = resp.StatusCode
	}
	return o
}

// retry says whether to ask another origin and, where that was a question at all, why or why not. It's the caller's to see that
// the request's body is still whole.
func (o *outcome) retry() (again bool, why string) {
	switch {
	case o.err != nil && !o.err.Retry:
		return false, ""
	case o.err == nil && !unwilling(o.status):
		return false, ""
	}
	what := fmt.Sprintf("status %d", o.status)
	if o.err != nil {
		what = o.err.Op + ": " + o.err.Proxy
	}
	switch {
	case o.attempts > o.retriesMax:
		return false, fmt.Sprintf("no: %s, but %d retries are the limit", what, o.retriesMax)
	case !o.otherAny:
		return false, fmt.Sprintf("no: %s, but there is no other origin", what)
	case o.err != nil && o.sent && !idempotent(o.method):
		return false, fmt.Sprintf("no: %s, but %s may have been carried out", what, o.method)
	case o.err == nil && o.method != http.MethodGet && o.method != http.MethodHead:
		return false, fmt.Sprintf("no: %s, but to %s it is an answer", what, o.method)
	case o.err == nil && !o.otherHealthy:
		return false, fmt.Sprintf("no: %s, but no other origin is healthy", what)
	}
	return true, what + ": asking another origin"
}

// unwilling says whether an origin says by status that another one may do better.
func unwilling(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// idempotent follows RFC 9110 §9.2.2.
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete, "":
		return true
	}
	return false
}

// upgradeWanted returns the protocols that req offers to go on with (RFC 9110 §7.8), or "".
func upgradeWanted(req *http.Request) string {
	return strings.Join(req.Header["Upgrade"], ",")
}
