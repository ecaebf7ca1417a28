// Package edge is where a client's request enters a node: listeners and the table of request steps.
//
// It stands above the cache: above it everything is a request handler, below it everything is an http.RoundTripper. The steps
// are listed in the function steps in edge.go, in order; their names are the words of traces, logs and docs:
//
//	client ─ receive ─ admit ─ route ─ forward ─ decide ─ upgrade ─ serve ─ prefetch ─ deliver ─ record
//	                                                         │         └ cache ─ upstream
//	                                                         └ upstream (WebSocket and the like: the cache has no part)
//
// A plain hit on an HTTP/1.1 connection doesn't go through net/http: the lane (lane.go) reads it where net/http asks the connection
// for the next request (edge/plain), takes the same decisions in passage.go and writes the stored response at once, without allocating. All
// that it doesn't know to be plain it returns to net/http with its bytes. HTTP/2 is spoken by package h2, which asks lane2.go for
// each plain request. Nobody can tell which way a request went, but by the clock: the tests compare the ways, and net/http's
// HTTP/2, on the same requests.
//
// What stands in memory goes out in one call; what stands in a file the system sends from there, but for TLS. The calls themselves are
// those of socket.
//
//	client ─┬─ conn ─┬─ lane ─ gate ─ net/http ─┬─ receive …
//	        │        └─ h2 ─── lane2 ────────────┤
//	        └─ h3 (quic-go) ─────────────────────┘
//
// Behind the lane stands the gate (edge/gate): net/http gets only HTTP/1 requests that can be read in one way. What is bad, too large
// or too slow goes through the steps as a refusal.
//
// It promises:
//   - Every request that has a readable header section gets a response with Cache-Status (RFC 9211), Date and
//     Wherry-Request-Id, and one access log record; what is refused is counted once in wherry_edge_refused_total{reason}.
//   - An error page says whose fault it is (package fault) and never shows addresses behind the edge; Proxy-Status (RFC 9209)
//     says it to programs.
//   - A response that breaks off is made to look broken to the client: the connection is closed or the stream reset.
//   - One request sees one config.Snapshot from begin to end.
//   - What the origin gets in X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host is what this node saw itself. Whatever a
//     client says in these, in Forwarded (RFC 7239) and their kin is taken off: see forward.go.
//   - Nothing is unbounded: header section, body where the site limits it, connections, streams, and the silence of each phase.
//
// A request that went through this node before (its name in CDN-Loop, RFC 8586, or in Via) gets 508. Upgrades to h2c, HTTP and TLS
// are not passed on, because further requests inside them would go past the steps.
//
// A program that answers a request may ask this node in turn (FromProgram): for its own site's hosts, past its programs.
//
// Chamber joint carries what is upgraded, chamber stall bounds silence; chamber policy is what the configuration makes of a request, and of a purge; chamber tally counts per site and revision; chamber page writes error pages;
// chamber ahead has fetched what a page embeds; chamber hop knows what a node puts on and takes off. Synthetic is how a
// node asks itself.
//
// It doesn't decide about caching (package cache), choose origins (package origin) or hold certificates (package certs). It does
// not trust a proxy in front of it: client addresses are those of the connections. HTTP/2 streams that h2 finds malformed are
// reset before any step: they are counted in wherry_edge_refused_total, but have no log record. Streams beyond the most that a
// connection may have at once are refused without a count.
//
// Serve starts all goroutines and returns when they are gone; while a connection is upgraded, ServeHTTP has two more, which end
// before it returns.
package edge
