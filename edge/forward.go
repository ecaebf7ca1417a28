package edge

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/wherry/wherry/cache/field"
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
	x.upgrade = upgradeOf(x.r)
	field.EndHop(h) // before the edge's own are added: a client could name those otherwise
	h[RequestIDField] = x.w.requestID
	removeForgeries(h, x.target.Method)
	if x.conn != nil {
		h["X-Forwarded-For"] = x.conn.forwardedFor
	} else {
		h["X-Forwarded-For"] = []string{clientAddr(x.r.RemoteAddr).String()}
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

// removeForgeries removes what proxies tell origins and clients may forge.
func removeForgeries(h http.Header, method string) {
	for name := range h {
		if forged(name) || (method == http.MethodGet || method == http.MethodHead) && overridesMethod(name) {
			delete(h, name)
		}
	}
}

// forged says whether origins may take what a client says in the field name for this node's word.
func forged(name string) bool {
	if strings.IndexByte(name, '_') >= 0 {
		// CGI and its kin make one variable of X_Forwarded_For and X-Forwarded-For (RFC 3875 §4.1.18), and one of the length.
		name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Cdn-Loop", "Via", RequestIDField:
			return true
		}
		if overridesMethod(name) {
			return true
		}
	}
	switch name {
	case "Forwarded", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip", "Front-End-Https",
		"X-Host", "X-Original-Host", "X-Http-Host-Override", "X-Original-Url", "X-Rewrite-Url":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-")
}

// overridesMethod says whether origins may take what the field says for the method. On POST that is what it is for; a GET with it
// would have another method's response stored.
func overridesMethod(name string) bool {
	switch name {
	case "X-Http-Method-Override", "X-Http-Method", "X-Method-Override":
		return true
	}
	return false
}

// upgradeOf returns the protocols that the request would switch to (RFC 9110 §7.8), or the empty string for a request that is
// served like any other. Those that would carry further requests past the steps (h2c, HTTP, TLS) are not among them: with them a
// client could talk to the origin as if there were no edge.
func upgradeOf(r *http.Request) string {
	values := r.Header["Upgrade"]
	if values == nil {
		return ""
	}
	defer delete(r.Header, "Upgrade")
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 || r.ContentLength != 0 || !hasToken(r.Header["Connection"], "upgrade") {
		return ""
	}
	var protocols []string
	for _, value := range values {
		for protocol := range strings.SplitSeq(value, ",") {
			protocol = strings.TrimSpace(protocol)
			name, _, _ := strings.Cut(strings.ToLower(protocol), "/")
			if name != "" && name != "h2c" && name != "h2" && name != "http" && name != "tls" {
				protocols = append(protocols, protocol)
			}
		}
	}
	return strings.Join(protocols, ", ")
}

// hasToken says whether token, which is in lower case, is in the list that values make.
func hasToken(values []string, token string) bool {
	for _, value := range values {
		for t := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// clientAddr returns the address in an ADDRESS:PORT, without the IPv6 form of IPv4.
func clientAddr(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
