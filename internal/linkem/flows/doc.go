// Package flows measures transports over an emulated link, or over loopback: wherry bench link and wherry bench loopback.
//
// A transport is anything that opens sessions from one side to the other; the table transports in flows.go names them. Each kind is measured
// alone, in namespaces of its own, or all together over one link. What is counted is what the receiver has read.
//
//	Plan ─▶ RunLink ─▶ for each kind: Lab, listen, dial, start together ─▶ samples ─▶ Result ─▶ Report (table, JSON), plot
//
// Bulk flows send from the first place to the second as fast as they may. With an object's size, each flow fetches objects of that size from the
// second place, one after another, on a connection that is warm: HTTP/2 over TLS for the kinds of TCP, a stream for each object for the others.
//
// RunLink and RunLoopback start all goroutines and return when they are gone. Results are bounded by the time of the measurement: a sample
// each 100 ms, and at most completionsMax times of objects for each flow.
package flows
