// Package route decides by which ways a node's packets go to another node: directly, as the internet's routing has it, or through a third node that
// forwards them.
//
//	arrivals, losses, timeouts ─▶ Estimator (one a route) ─┐
//	probes: Probes ─▶ … ─▶ Answered ───────────────────────┼─▶ Choose ─▶ Decision: which paths to have open, to use, to race, with what weights
//	reports of others ─▶ Graph ─▶ hints: whom to try ──────┘       └──▶ Explain: the same in words
//
// All is a function of what was said and when: a Router has no clock, socket or goroutine. It belongs to one goroutine or lock of the caller's. What
// is lost with the process is measured again within seconds.
//
// It promises: a route that falls silent is left as soon as it is suspected, if another one answers; otherwise nothing is changed but for a gain that
// lasts; what others report decides whom to try and never what is used, for that each route is measured from end to end; detours stay within
// their budget of bytes; and a node probes a number of routes that doesn't grow with the network. Every table is bounded.
//
// It doesn't open paths or send probes: package overlay does.
package route
