package edge

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge/gate"
	"github.com/wherry/wherry/edge/policy"
	"github.com/wherry/wherry/fault"
)

const (
	// allowed is what Allow says where a method is refused.
	allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	// loopEntriesMax bounds the CDNs that a request may have gone through: past that it goes round a loop that nobody marks
	// with a name that we know (RFC 8586 §3).
	loopEntriesMax = 16
)

const badTarget = "The target of the request is not one that this node can serve."

// admit refuses what goes beyond the limits or isn't well-formed, before anything is spent on it.
func (e *Edge) admit(x *exchange) (goOn bool) {
	r := x.r
	if r.URL.Path == config.HealthPath && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		return e.health(x)
	}
	if x.conn != nil && x.conn.over {
		x.retry = time.Second
		x.w.Header()["Connection"] = []string{"close"} // also makes net/http send GOAWAY on HTTP/2
		return x.refuse(refusedConnections, fault.Edge, http.StatusServiceUnavailable,
			"This node has as many connections as it can serve.")
	}
	size, fields := headerSize(r)
	if limit := x.routes.snapshot.Limits.HeaderSize; x.oversized || limit > 0 && size > int(limit) || fields > gate.FieldsMax {
		return x.refuse(refusedHeaderSize, fault.Client, http.StatusRequestHeaderFieldsTooLarge,
			"The header section of the request is larger than this node accepts.")
	}
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		// TRACE would show the client fields that the edge added (RFC 9110 §9.3.8); a tunnel is not what an edge is for.
		x.w.Header()["Allow"] = []string{allowed}
		return x.refuse(refusedMethod, fault.Client, http.StatusMethodNotAllowed, "This node does not serve the method "+r.Method+".")
	}
	host, ok := policy.ParseHost(r.Host)
	if !ok {
		return x.refuse(refusedHost, fault.Client, http.StatusBadRequest, "The request names no valid host.")
	}
	if r.ProtoMajor >= 2 && !x.admitFields(host) {
		return false
	}
	x.target.Method, x.target.Host = r.Method, host
	if !x.admitTarget() {
		return false
	}
	if e.looped(r.Header) {
		return x.refuse(refusedLoop, fault.Config, http.StatusLoopDetected,
			"The request came back to a node that it had already gone through: an origin of the site leads to this network itself.")
	}
	if r.RequestURI == "*" || r.Method == http.MethodOptions && lastHop(r.Header) { // only OPTIONS comes with *
		x.w.Header()["Allow"] = []string{allowed}
		return x.answer(http.StatusNoContent, "options", "")
	}
	x.note("admitted")
	return true
}

// lastHop says whether Max-Forwards makes this node the final recipient of a request for OPTIONS; if not, it counts this hop
// (RFC 9110 §7.6.2). TRACE doesn't come so far.
func lastHop(h http.Header) bool {
	lines := h["Max-Forwards"]
	if len(lines) != 1 {
		return false
	}
	n, err := strconv.ParseUint(lines[0], 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return false // what isn't a number limits nothing
	}
	if n > 0 {
		h["Max-Forwards"] = []string{strconv.FormatUint(n-1, 10)}
	}
	return n == 0
}

// admitFields checks the fields that HTTP/2 has beside what says the same in another way, and net/http keeps.
func (x *exchange) admitFields(host config.Host) (goOn bool) {
	h := x.r.Header
	for _, named := range h["Host"] {
		if other, ok := policy.ParseHost(named); !ok || other != host { // RFC 9113 §8.3.1
			return x.refuse(refusedHost, fault.Client, http.StatusBadRequest, "The request names two hosts.")
		}
	}
	delete(h, "Host")
	if len(h["Content-Length"]) > 1 { // RFC 9110 §8.6
		return x.refuse(refusedMalformed, fault.Client, http.StatusBadRequest, "The request says in two ways how long its content is.")
	}
	return true
}

func (e *Edge) health(x *exchange) (goOn bool) {
	x.quiet = true
	if e.draining.Load() {
		return x.answer(http.StatusServiceUnavailable, "health", "draining\n")
	}
	return x.answer(http.StatusOK, "health", "ok\n")
}

// admitTarget checks the request target (RFC 9112 §3.2) and that it is for this connection.
func (x *exchange) admitTarget() (goOn bool) {
	r := x.r
	secure := r.TLS != nil
	x.target.Scheme = "http"
	if secure {
		x.target.Scheme = "https"
	}
	if x.conn != nil && x.conn.secure != secure || r.URL.Scheme != "" && !strings.EqualFold(r.URL.Scheme, x.target.Scheme) {
		// RFC 9110 §7.4. The first is HTTP/2 over TLS with :scheme http, which net/http takes for cleartext.
		return x.misdirected("The scheme of the request is not that of its connection.")
	}
	x.target.Path, x.target.Query = policy.PathOf(r.URL), r.URL.RawQuery
	if r.ProtoMajor >= 2 && !validPath(r.RequestURI) {
		return x.refuse(refusedTarget, fault.Client, http.StatusBadRequest, badTarget)
	}
	asterisk := r.RequestURI == "*" && r.Method == http.MethodOptions // RFC 9112 §3.2.4
	if x.target.Path[0] != '/' && !asterisk || r.URL.User != nil || strings.IndexByte(r.RequestURI, '#') >= 0 ||
		strings.Contains(x.target.Path, "%00") { // where a path ends for origins that are written in C
		// User information is an error in a received URI (RFC 9110 §4.2.4), a fragment is no part of a target (§7.1).
		return x.refuse(refusedTarget, fault.Client, http.StatusBadRequest, badTarget)
	}
	return true
}

// validPath says whether a :path is what a request line could have for a path with a query, or an asterisk (RFC 9113 §8.3.1).
func validPath(path string) bool {
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	return strings.HasPrefix(path, "/") || path == "*"
}

func (x *exchange) misdirected(notice string) (goOn bool) {
	return x.refuse(refusedMisdirected, fault.Client, http.StatusMisdirectedRequest, notice)
}

// headerSize returns the size of the request line and the header section as HTTP/1.1 writes them, and the number of fields.
func headerSize(r *http.Request) (bytes, fields int) {
	n := len(r.Method) + len(r.RequestURI) + len(r.Proto) + len("  \r\n") + len("Host: \r\n") + len(r.Host) + len("\r\n")
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
		fields += len(values)
	}
	return n, fields
}

// looped says whether the request has gone through this node before: by CDN-Loop (RFC 8586 §2) or by Via (RFC 9110 §7.6.3),
// which proxies that don't know CDN-Loop keep.
func (e *Edge) looped(h http.Header) bool {
	entries := 0
	for _, value := range h["Cdn-Loop"] {
		for entry := range strings.SplitSeq(value, ",") {
			id, _, _ := strings.Cut(entry, ";")
			if strings.EqualFold(strings.TrimSpace(id), e.cdnLoop) {
				return true
			}
			entries++
		}
	}
	for _, value := range h["Via"] {
		for entry := range strings.SplitSeq(value, ",") {
			// received-protocol RWS received-by [ RWS comment ]
			_, by, _ := strings.Cut(strings.TrimSpace(entry), " ")
			by, _, _ = strings.Cut(strings.TrimSpace(by), " ")
			if strings.EqualFold(by, string(e.node)) {
				return true
			}
		}
	}
	return entries > loopEntriesMax
}
