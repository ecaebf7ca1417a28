package cache

import (
	"net/http"
	"net/http/httptrace"

	"github.com/wherry/wherry/cache/field"
)

// pass forwards the request as it is, in this goroutine.
func (x *exchange) pass() step {
	x.t.Add("cache", "pass", x.out.Detail)
	interim := &interim{w: x.w, open: true}
	ctx := httptrace.WithClientTrace(x.r.Context(), &httptrace.ClientTrace{Got1xxResponse: interim.forward})
	requested, born := x.c.now(), x.c.purges.Now()
	req := x.upstreamRequest(ctx)
	if x.stored != nil {
		x.p.Keys.Reduce(req) // the response to HEAD may freshen it
	}
	resp, err := x.p.Upstream.RoundTrip(req)
	received := x.c.now()
	interim.close()
	x.out.FetchTime = received.Sub(requested)
	if err != nil {
		if x.r.Method == http.MethodHead && x.key != "" {
			return x.staleInstead(err)
		}
		return x.fail(err)
	}
	x.out.FetchStatus, x.status.fwdStatus = resp.StatusCode, resp.StatusCode
	field.EndHop(resp.Header)
	field.EnsureDate(resp.Header, received)
	if unsafe(x.r.Method) && resp.StatusCode >= 200 && resp.StatusCode < 400 {
		x.invalidate(resp.Header) // RFC 9111 §4.4
	}
	if unsafe(x.r.Method) {
		x.invalidateGroups(resp.Header) // RFC 9875 §3: not by safe methods
	}
	if x.r.Method == http.MethodHead && x.stored != nil && resp.StatusCode == http.StatusOK {
		x.freshenByHead(resp, born, requested, received)
	}
	x.keepPosted(resp, born, requested, received)
	x.direct = resp
	return stepDeliver
}

// unsafe says whether a method may change what is at the target (RFC 9110 §9.2.1); unknown ones may.
func unsafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return false
	}
	return true
}
