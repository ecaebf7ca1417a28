// Package origin asks the customer's servers.
//
// It stands at the lower end of the request's path: cache (or edge, for what the cache has no part in) hands a request to the
// http.RoundTripper that Pools.Upstream returns, and gets the response of one of the site's origins or a *fault.Error. The
// steps of one request are pick, connect, send, response and, after a failure, retry; they stand in upstream.go and have the
// same names in traces.
//
// It promises: the path and query reach the origin byte for byte as the client sent them, behind the path prefix of the
// origin's URL; no field is added that the client didn't send; bodies, trailers, 1xx responses and upgrades stream through;
// each phase has its time limit; a request is repeated only on another origin and only where that is safe (RFC 9110 §9.2.2);
// TLS is always verified, against the host of the origin's URL; a configuration with a ca_file that can't be used is refused
// whole, at the start as on reload; a client that leaves never counts against an origin; the connections of one origin are never
// used for another site.
//
// It doesn't follow redirects, decode contents, use proxies, or remove connection-specific fields (cache does that).
//
// Origins that fail are left alone for a while (health.go), and asked by themselves where the site's configuration says so
// (check.go). What is known of their health is lost when the process dies: then all are healthy until they fail.
//
// A request without content to an http:// origin goes out and comes back in the caller's goroutine, over a connection of this room's
// own (plain.go, wire.go, head.go); all others go through net/http.Transport. Both share the limit on connections (conns.go).
//
// Only Pools.Run starts goroutines, one for each origin that is checked; when it returns, they are gone. The goroutines of
// net/http.Transport live as long as the connections that they serve.
package origin
