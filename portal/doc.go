// Package portal is the network's face to people: the status page and the metrics, and the door to the API.
//
// It stands on the third floor, beside the path of the data: no client's request passes it. It asks the network through the
// Network interface, which internal/network implements, and shows what it hears.
//
//	GET  /                 the status page; its script refreshes it every 2 s. With Options.Control the portal: see desk.go
//	GET  /node             with Options.Control: the status page
//	GET  /healthz          200 once the network is ready, else 503
//	GET  /metrics          Prometheus
//	GET  /api/status       Status as JSON; with Accept: text/html alone the body of the page
//	GET  /api/traces/{id}  a trace.Report, for operators
//	     /api/v1/          Options.API: what control answers, see control/api
//
// It promises that errors are problem+json (RFC 9457) with the next thing to do in `action`, that what changes or reveals requests
// needs the operator's token, that a page of another origin can neither post to it nor, by DNS rebinding, read from it on a
// loopback address, and that no script runs in its pages but its own file.
//
// Status and metrics are open to whoever reaches the listener: keep it where only operators get to. On other than loopback
// addresses the Host isn't checked, because nothing here knows the names of that address.
//
// The portal shows what the API of control lets the token see that a person signs in with. The token stays in the browser's tab and goes out
// in Authorization alone; no cookie is set, so nobody else's page can use it.
//
// Serve runs the goroutines of its connections and returns when they are gone. A Portal keeps nothing that could be lost.
package portal
