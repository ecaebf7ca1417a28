package edge

import (
	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/edge/hop"
)

// forward takes off the fields that were for this hop, and puts on what the origin may know of the client.
//
// The set is X-Forwarded-For (the client's address), X-Forwarded-Proto and X-Forwarded-Host, because that is what origins read;
// Forwarded (RFC 7239) is not sent, so that the two can't contradict each other. The values are this node's own knowledge, not
// appended to what the client sent: an origin that trusts the edge must not believe a stranger.
//
// With key.host false there is no X-Forwarded-Host, whatever fetch.host says: one client's host must not shape the copy that
// others get. For the same reason nothing gets through in which origins look for another host, path or method than the request has:
// the cache's key doesn't know of it.
func (e *Edge) forward(x *exchange) (goOn bool) {
	h := x.r.Header
	x.upgrade = hop.UpgradeOf(x.r)
	field.EndHop(h) // before the edge's own are added: a client could name those otherwise
	h[RequestIDField] = x.w.requestID
	hop.RemoveForgeries(h, x.target.Method)
	if x.conn != nil {
		h["X-Forwarded-For"] = x.conn.forwardedFor
	} else {
		h["X-Forwarded-For"] = []string{hop.ClientAddr(x.r.RemoteAddr).String()}
	}
	if x.target.Scheme == "https" {
		h["X-Forwarded-Proto"] = e.https
	} else {
		h["X-Forwarded-Proto"] = e.http
	}
	if x.treatment.Caching.KeyHost {
		h["X-Forwarded-Host"] = []string{x.r.Host}
	}
	h["Cdn-Loop"] = append(h["Cdn-Loop"][:len(h["Cdn-Loop"]):len(h["Cdn-Loop"])], e.cdnLoop) // RFC 8586 §2
	if x.trace.On() {
		x.note("for " + h["X-Forwarded-For"][0] + " by " + x.target.Scheme)
	}
	return true
}
