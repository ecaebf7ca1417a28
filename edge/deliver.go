package edge

import (
	"errors"
	"html"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wherry/wherry/cache"
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
	p := &page{
		status: status, notice: x.notice, party: x.failure.Party, id: x.id, node: string(e.node), when: x.began,
	}
	body, kind := p.text(), "text/plain; charset=utf-8"
	if prefersHTML(x.r.Header["Accept"]) {
		body, kind = p.html(), "text/html; charset=utf-8"
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

// page is what an error page tells. Nothing on it comes from behind the edge.
type page struct {
	status   int
	notice   string // empty: the words for party
	party    fault.Party
	id, node string
	when     time.Time
}

// words returns what went wrong and who can do something about it.
func (p *page) words() (what, todo string) {
	switch p.party {
	case fault.Client:
		what, todo = "The request cannot be served as it was sent.", "Check the address or the program that sent the request."
	case fault.Origin:
		what = "The origin of this site gave no usable answer."
		switch p.status {
		case http.StatusGatewayTimeout:
			what = "The origin of this site did not answer in time."
		case http.StatusServiceUnavailable:
			what = "The origin of this site takes no requests at the moment."
		}
		todo = "Try again in a while. If you run the site, look at its own server; the delivery network is working."
	case fault.Peer:
		what, todo = "Another node of the delivery network did not answer.", "Try again in a while."
	case fault.Config:
		what = "This site is not set up to answer the request."
		todo = "If you run the site, check its configuration on the delivery network."
	default:
		what, todo = "This node of the delivery network could not serve the request.", "Try again in a while."
	}
	if p.notice != "" {
		what = p.notice
	}
	return what, todo
}

func (p *page) title() string { return strconv.Itoa(p.status) + " " + http.StatusText(p.status) }

func (p *page) text() string {
	what, todo := p.words()
	return p.title() + "\n\n" + what + "\n" + todo + "\n\nfault: " + string(p.party) + "\nrequest: " + p.id + "\nnode: " + p.node +
		"\ntime: " + p.when.UTC().Format(time.RFC3339) + "\n"
}

func (p *page) html() string {
	what, todo := p.words()
	title := html.EscapeString(p.title())
	return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>` + title + `</title>
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1.5rem }
h1 { font-size: 1.4rem }
dl { display: grid; grid-template-columns: max-content auto; gap: .1rem 1rem; margin-top: 2rem; font-size: .85rem; opacity: .75 }
dd { margin: 0; font-family: ui-monospace, monospace; overflow-wrap: anywhere }
</style>
<h1>` + title + `</h1>
<p><strong>` + html.EscapeString(what) + `</strong></p>
<p>` + html.EscapeString(todo) + `</p>
<dl>
<dt>Fault</dt><dd>` + string(p.party) + `</dd>
<dt>Request</dt><dd>` + html.EscapeString(p.id) + `</dd>
<dt>Node</dt><dd>` + html.EscapeString(p.node) + `</dd>
<dt>Time</dt><dd>` + p.when.UTC().Format(time.RFC3339) + `</dd>
</dl>
</html>
`
}

// prefersHTML says whether an Accept field (RFC 9110 §12.5.1) names text/html and doesn't like text/plain better. A wildcard is
// not enough: that is what programs send.
func prefersHTML(accept []string) bool {
	htmlQ, plainQ := -1.0, -1.0
	for _, value := range accept {
		for part := range strings.SplitSeq(value, ",") {
			kind, params, _ := strings.Cut(part, ";")
			q := weight(params)
			switch strings.ToLower(strings.TrimSpace(kind)) {
			case "text/html":
				htmlQ = max(htmlQ, q)
			case "text/plain":
				plainQ = max(plainQ, q)
			}
		}
	}
	return htmlQ > 0 && htmlQ >= plainQ
}

// weight returns the q parameter (RFC 9110 §12.4.2), 1 if there is none, 0 if it is no number.
func weight(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				return 0
			}
			return q
		}
	}
	return 1
}

// isHit says whether the verdict counts as answered without the origin's content.
func isHit(v cache.Verdict) bool {
	switch v {
	case cache.Hit, cache.Stale, cache.Revalidated, cache.Collapsed:
		return true
	}
	return false
}
