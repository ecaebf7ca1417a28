package edge

// reason is why a request or connection was refused: the label of wherry_edge_refused_total, the field refused of the log and
// the detail in Cache-Status.
type reason string

const (
	refusedConnections   reason = "connections"    // limits.connections: 503, or closed under TLS
	refusedHeaderSize    reason = "header_size"    // limits.header_size: 431
	refusedHeaderTimeout reason = "header_timeout" // limits.header_timeout: closed
	refusedMalformed     reason = "malformed"      // no readable header section: 400, 431, 501, 505 or closed
	refusedMethod        reason = "method"         // CONNECT, TRACE: 405
	refusedHost          reason = "host"           // no valid host: 400
	refusedTarget        reason = "target"         // no valid request target: 400
	refusedMisdirected   reason = "misdirected"    // not for this connection: 421
	refusedNoSite        reason = "no_site"        // no site claims the host: 421
	refusedLoop          reason = "loop"           // was here before: 508
	refusedRule          reason = "rule"           // a rule's refuse
	refusedBodySize      reason = "body_size"      // the site's body_size: 413
	refusedBodyTimeout   reason = "body_timeout"   // limits.body_timeout: 408
)

func reasons() []reason {
	return []reason{
		refusedConnections, refusedHeaderSize, refusedHeaderTimeout, refusedMalformed, refusedMethod, refusedHost, refusedTarget,
		refusedMisdirected, refusedNoSite, refusedLoop, refusedRule, refusedBodySize, refusedBodyTimeout,
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
	case refusedRule:
		return "http_request_denied"
	}
	return "http_request_error"
}
