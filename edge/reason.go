package edge

import "github.com/wherry/wherry/edge/gate"

// reason is why a request or connection was refused: the label of wherry_edge_refused_total, the field refused of the log and
// the detail in Cache-Status.
type reason string

const (
	refusedConnections   reason = "connections"              // limits.connections: 503, or closed under TLS
	refusedHeaderSize    reason = reason(gate.HeaderSize)    // limits.header_size, or too many fields: 431
	refusedHeaderTimeout reason = reason(gate.HeaderTimeout) // limits.header_timeout: 408
	refusedMalformed     reason = reason(gate.Malformed)     // not to be read in one way: 400, 417, 501, 505
	refusedMethod        reason = "method"                   // CONNECT, TRACE: 405
	refusedHost          reason = reason(gate.Host)          // no valid host: 400
	refusedTarget        reason = reason(gate.Target)        // no valid request target: 400
	refusedMisdirected   reason = "misdirected"              // not for this connection: 421
	refusedNoSite        reason = "no_site"                  // no site claims the host: 421
	refusedForeign       reason = "foreign_site"             // of a program, for another site: 403
	refusedLoop          reason = "loop"                     // was here before: 508
	refusedRule          reason = "rule"                     // a rule's refuse
	refusedBodySize      reason = "body_size"                // the site's body_size: 413
	refusedBodyTimeout   reason = "body_timeout"             // limits.body_timeout: 408
	refusedFlood         reason = "flood"                    // HTTP/2 that leads to nothing: GOAWAY
)

func reasons() []reason {
	return []reason{
		refusedConnections, refusedHeaderSize, refusedHeaderTimeout, refusedMalformed, refusedMethod, refusedHost, refusedTarget,
		refusedMisdirected, refusedNoSite, refusedForeign, refusedLoop, refusedRule, refusedBodySize, refusedBodyTimeout, refusedFlood,
	}
}

// proxyError returns the error type of RFC 9209 §2.3 that comes nearest.
func (r reason) proxyError() string {
	switch r {
	case refusedConnections:
		return "connection_limit_reached"
	case refusedNoSite:
		return "destination_not_found"
	case refusedLoop:
		return "proxy_loop_detected"
	case refusedRule, refusedForeign:
		return "http_request_denied"
	}
	return "http_request_error"
}
