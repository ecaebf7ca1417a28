package edge

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/edge/page"
	"github.com/wherry/wherry/fault"
)

// deliver writes the error page if no step has answered, and decides whether the connection has to be broken.
func (e *Edge) deliver(x *exchange) (goOn bool) {
	x.blameBody()
	switch {
	case x.w.status != 0:
		if x.failure != nil && x.w.status != http.StatusSwitchingProtocols {
			x.abort = true
			_ = x.w.FlushError() // the client is to see what there was of it; if it has left, that is that
			x.note("the response broke off, so the connection does too")
		}
		return true
	case x.abort:
		return true
	case x.failure == nil:
		x.failure = fault.New(fault.Edge, "serve", http.StatusInternalServerError, errors.New("BUG: nobody answered"))
		e.log.Error("BUG: no step answered a request", "request_id", x.id, "step", x.step)
	}
	if x.failure.Status == fault.StatusClientClosedRequest {
		x.abort = true // or net/http would send an empty 200
		x.note("the client left")
		return true
	}
	e.writeErrorPage(x)
	return true
}

// blameBody makes a failure of the request's body the failure of the request: the upstream, which waited for the rest, has seen
// no more than a request that broke off.
func (x *exchange) blameBody() {
	if x.body == nil {
		return
	}
	f := x.body.failure.Load()
	if f == nil || x.failure == nil {
		return
	}
	x.failure = &f.Error
	switch f.why {
	case refusedBodySize:
		x.notice = "The body of the request is larger than this site accepts."
	case refusedBodyTimeout:
		x.notice = "The body of the request stopped arriving."
	case refusedMalformed:
		x.notice = "The body of the request isn't framed as HTTP/1.1 requires."
	default:
		return
	}
	x.refused = f.why
	x.outcome.Verdict, x.outcome.Detail = verdictRefused, string(f.why)
}

func (e *Edge) writeErrorPage(x *exchange) {
	status := x.failure.Status
	if status < 400 || status > 599 {
		status = http.StatusInternalServerError
	}
	if x.outcome.CacheStatus == "" {
		// Neither hit nor fwd (RFC 9211 §2): the request didn't get as far as the cache.
		x.outcome.CacheStatus = e.member + "; detail=" + detailOf(x)
	}
	h := x.w.Header()
	kept := http.Header{"Allow": h["Allow"], "Connection": h["Connection"]}
	clear(h) // of a response that came to nothing
	for name, values := range kept {
		if values != nil {
			h[name] = values
		}
	}
	if status == http.StatusRequestTimeout && x.r.ProtoMajor == 1 {
		h["Connection"] = []string{"close"} // RFC 9110 §15.5.9
	}
	if x.retry > 0 {
		h["Retry-After"] = []string{strconv.Itoa(int(x.retry / time.Second))}
	}
	p := &page.Page{
		Status: status, Notice: x.notice + x.failure.Notice, Party: x.failure.Party, ID: x.id, Node: string(e.node), When: x.began,
	}
	body, kind := p.Text(), "text/plain; charset=utf-8"
	if page.PrefersHTML(x.r.Header["Accept"]) {
		body, kind = p.HTML(), "text/html; charset=utf-8"
		h["Content-Security-Policy"] = []string{"default-src 'none'; style-src 'unsafe-inline'"}
	}
	h["Content-Type"] = []string{kind}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["Cache-Control"] = []string{"no-store"}
	h["Vary"] = []string{"Accept"}
	h["Cache-Status"] = []string{x.outcome.CacheStatus}
	h["Proxy-Status"] = []string{e.member + "; error=" + proxyError(x.failure)} // RFC 9209 §2
	x.w.WriteHeader(status)
	_, _ = x.w.Write([]byte(body)) // a client that left is nobody's fault
	if x.trace.On() {
		x.note("error page " + strconv.Itoa(status) + ", the fault is of: " + string(x.failure.Party))
	}
}

// detailOf returns a token (RFC 9651 §3.3.4) for Cache-Status.
func detailOf(x *exchange) string {
	if x.refused != "" {
		return string(x.refused)
	}
	return "failed"
}

// proxyError returns the RFC 9209 §2.3 error type of a failure.
func proxyError(f *fault.Error) string {
	if f.Proxy != "" {
		return f.Proxy
	}
	switch f.Party {
	case fault.Client:
		return "http_request_error"
	case fault.Origin, fault.Peer:
		return "destination_unavailable"
	case fault.Config:
		return "proxy_configuration_error"
	}
	return "proxy_internal_error"
}

// isHit says whether the verdict counts as answered without the origin's content.
func isHit(v cache.Verdict) bool {
	switch v {
	case cache.Hit, cache.Stale, cache.Revalidated, cache.Collapsed:
		return true
	}
	return false
}
