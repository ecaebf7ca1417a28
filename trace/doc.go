// Package trace collects the steps that one request went through.
//
// A Trace travels in the request's context. Each room adds a Step at each decision, in the words that Cache-Status, the access
// log and the metrics use: edge adds receive, admit, route; cache adds lookup, fetch, store, deliver; origin adds pick, connect,
// response. An operator asks for one with `wherry trace URL`; for every other request From returns nil, and the methods of a
// nil *Trace do nothing.
//
// A trace is bounded: after MaxSteps further steps are counted, not kept. It starts no goroutines. If the process dies, traces
// are lost.
package trace
