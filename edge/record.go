package edge

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/edge/hop"
	"github.com/wherry/wherry/edge/tally"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/logs"
	"github.com/wherry/wherry/trace"
)

// record tells the log, the metrics and the trace what became of the request.
func (e *Edge) record(x *exchange) (goOn bool) {
	if x.refused != "" && !x.synthetic {
		e.countRefused(x.refused)
	}
	if x.quiet {
		return true
	}
	status := x.w.status
	if status == 0 { // nothing was sent
		status = http.StatusInternalServerError
		if x.failure != nil && x.failure.Status != 0 {
			status = x.failure.Status
		}
	}
	responseBytes := x.w.bodyBytes + x.tunnel.ToClient.Load()
	took := e.now().Sub(x.began)
	if x.ahead != nil {
		*x.ahead = fetchedAhead{x.outcome, status}
		return true
	}
	if x.synthetic {
		if x.site != nil {
			x.site.counts.AddSynthetic(x.counted(status, took))
		}
		return true
	}

	if x.program != "" {
		e.recordWithin(x, status)
		return true
	}

	site := x.routes.nobody
	if x.site != nil {
		site = x.site.metrics
		x.site.counts.Add(x.counted(status, took))
	}
	e.count(site, x.r.ProtoMajor, x.outcome.Verdict, status, responseBytes, took)

	if e.access != nil {
		l := &x.line
		x.describe(l)
		l.Status, l.ResponseBodyBytes, l.Duration = status, responseBytes, took
		e.access.Write(l)
	}
	if x.trace.On() {
		x.trace.Addf("edge", x.step, "%s, status %d, %d body bytes in %v", x.outcome.Verdict, status, responseBytes, took)
		e.shelf.Put(x.report(status))
	}
	return true
}

// counted is what the site's tally counts. A client that leaves is no failure.
func (x *exchange) counted(status int, took time.Duration) tally.Answer {
	a := tally.Answer{
		Failed: status >= 500 || x.abort && (x.failure == nil || x.failure.Party != fault.Client), Hit: isHit(x.outcome.Verdict), FirstByte: took,
	}
	a.Rejected = status >= 400 && status < 500
	if !x.w.firstByte.IsZero() {
		a.FirstByte = x.w.firstByte.Sub(x.began)
	}
	return a
}

// count adds a request to the metrics and to what Stats tells.
func (e *Edge) count(site *siteMetrics, major int, v cache.Verdict, status int, responseBytes int64, took time.Duration) {
	site.request(v, status)
	if major < 0 || major >= protocolCount {
		major = 0
	}
	e.metrics.protocols[major].Inc()
	site.bytes.Add(float64(responseBytes))
	if status != http.StatusSwitchingProtocols { // a tunnel lasts as long as its users like
		e.metrics.seconds[verdictIndex(v)].Observe(took.Seconds())
	}
	e.tally.requests.Add(1)
	e.tally.bodyBytes.Add(responseBytes)
	if isHit(v) {
		e.tally.hits.Add(1)
	}
}

// describe fills the fields of a log record that don't change any more.
func (x *exchange) describe(l *logs.Record) {
	r := x.r
	l.Time, l.Node, l.RequestID, l.Client = x.began, string(x.edge.node), x.id, x.client()
	if x.site != nil {
		l.Site = string(x.site.Name)
		if rule := x.treatment.Rule; rule != nil {
			l.Rule = rule.Name
		}
	}
	l.Method, l.Host, l.Protocol = r.Method, x.asked, r.Proto
	l.Scheme, l.Path, l.Query = x.target.Scheme, x.target.Path, x.target.Query
	if l.Scheme == "" { // refused before the target was taken apart
		l.Scheme, l.Path, l.Query = "http", r.URL.EscapedPath(), r.URL.RawQuery
	}
	if r.TLS != nil {
		l.TLS, l.Scheme = tls.VersionName(r.TLS.Version), "https"
	}
	if x.body != nil {
		l.RequestBodyBytes = x.body.read.Load()
	}
	l.RequestBodyBytes += x.tunnel.ToOrigin.Load()
	if !x.w.firstByte.IsZero() {
		l.FirstByte = max(0, x.w.firstByte.Sub(x.began))
	}
	o := &x.outcome
	l.Cache, l.CacheDetail, l.CacheStatus, l.CacheStored = string(o.Verdict), o.Detail, o.CacheStatus, o.Stored
	l.FetchStatus, l.FetchTime = o.FetchStatus, o.FetchTime
	l.Refused, l.Aborted = string(x.refused), x.abort
	if f := x.failure; f != nil {
		l.Fault, l.FaultOp, l.Error = string(f.Party), f.Op, errorText(f, x.notice)
	}
	if v := r.Header["User-Agent"]; len(v) > 0 {
		l.UserAgent = v[0]
	}
	if v := r.Header["Referer"]; len(v) > 0 {
		l.Referer = v[0]
	}
}

// errorText returns what operators read: the cause, or what the client was told when a step refused the request.
func errorText(f *fault.Error, notice string) string {
	if f.Err == nil {
		return notice
	}
	var inner *fault.Error
	if errors.As(f.Err, &inner) {
		return inner.Error()
	}
	return f.Err.Error()
}

// client returns the address of the connection's peer.
func (x *exchange) client() netip.Addr {
	if x.conn != nil {
		return x.conn.client
	}
	return hop.ClientAddr(x.r.RemoteAddr)
}

func (x *exchange) report(status int) trace.Report {
	steps, dropped := x.trace.Steps()
	r := trace.Report{
		ID: x.trace.ID, Node: string(x.edge.node), Method: x.r.Method, Status: status, Steps: steps, Dropped: dropped,
		URL: x.target.Scheme + "://" + x.asked + x.r.URL.RequestURI(),
	}
	if x.site != nil {
		r.Site = string(x.site.Name)
	}
	return r
}
