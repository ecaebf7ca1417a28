package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/edge/policy"
	"github.com/wherry/wherry/fault"
)

type peerKey struct{}

// FromPeer marks requests of another node of the network, whose edge stores what it gets: it asks for a client of its own.
func FromPeer(ctx context.Context) context.Context { return context.WithValue(ctx, peerKey{}, true) }

func fromPeer(ctx context.Context) bool { return ctx.Value(peerKey{}) != nil }

// serve lets the cache answer.
func (e *Edge) serve(x *exchange) (goOn bool) {
	p := &x.policy
	*p = x.treatment.Policy(&x.target)
	if x.treatment.Strict && e.behind.Load() && p.Bypass == "" {
		p.Bypass = behindText
	}
	if x.synthetic && x.ahead == nil && p.Bypass == "" {
		p.Bypass = syntheticText
	}
	p.Upstream, p.ToCache = x.treatment.Upstream, fromPeer(x.r.Context())
	if up, ok := p.Upstream.(policy.Connected); ok && x.conn != nil {
		p.Upstream = up.Over(&x.conn.program)
		x.w.overlap(x.body) // programs answer before they have read all
	}
	if p.Upstream == nil {
		x.failure = &fault.Error{
			Party: fault.Config, Op: x.step, Status: http.StatusBadGateway, Proxy: "proxy_configuration_error",
			Err: fmt.Errorf("site %s has no upstream", x.site.Name),
		}
		x.outcome.Verdict = cache.Failed
		return false
	}
	if x.trace.On() {
		x.note("to the cache" + bypassText(p.Bypass))
	}
	if !x.synthetic && p.Bypass == "" && e.ahead.Waiting() {
		if e.ahead.Used(string(keyOf(x.treatment, x.target.Scheme, x.target.Host, x.r.URL))) {
			x.note("it was fetched ahead, or is being")
		}
	}
	e.watchPage(x)
	x.outcome = e.serveSafely(x, p)
	if x.outcome.Err != nil {
		x.failure = fault.Of(x.outcome.Err)
		if cause := context.Cause(x.r.Context()); errors.Is(cause, errCutOff) {
			x.failure = fault.New(fault.Edge, x.step, http.StatusServiceUnavailable, cause) // not the client's, as it looks from below
		}
	}
	return true
}

// serveSafely keeps a panic below from taking the log record with it.
func (e *Edge) serveSafely(x *exchange, p *cache.Policy) (o cache.Outcome) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler: // how net/http/httputil and its like say that the client is to see a break
			err := errors.New("response aborted")
			o = cache.Outcome{Verdict: cache.Failed, Status: x.w.status, Err: fault.New(fault.Edge, x.step, 0, err)}
			x.abort = true
		default:
			e.log.Error("BUG: panic while serving", "request_id", x.id, "site", x.site.Name, "panic", v, "stack", string(debug.Stack()))
			err := fmt.Errorf("BUG: panic: %v", v)
			o = cache.Outcome{
				Verdict: cache.Failed, Status: x.w.status,
				Err: fault.New(fault.Edge, x.step, http.StatusInternalServerError, err),
			}
		}
	}()
	return e.cache.Serve(&x.w, x.r, p)
}

func bypassText(why string) string {
	if why == "" {
		return ""
	}
	return ", which only forwards it: " + why
}
