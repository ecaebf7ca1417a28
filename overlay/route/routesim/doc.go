// Package routesim is an internet of places with nodes that choose routes on it, in virtual time and in one goroutine.
//
//	NewWorld ─▶ places, links, and all that will befall them      direct  ─┐
//	                 │                                            oracle  ─┼─▶ exchanges ─▶ Result
//	                 └─ a packet sent at this time: lost, or when? ours    ─┘
//	                                                               (a Router a node; probes and reports cross the same world)
//
// With Options.Limits two more choose: the oracle among the routes that the nodes measure, and one that knows of these what the latest answers and timeouts
// told. What they lose is what no better decision by the same probes would bring.
//
// The same Options give the same Result. Nothing in it is copied from a real network: delays follow from distance and an inflation of routing drawn by
// chance, failures and congestion from distributions whose parameters stand in Options.
//
// An exchange is a request of one packet and a response of six. It isn't package overlay that carries it here, but a model of it: what is lost is
// sent again after a round trip, or after a timeout if nothing came.
package routesim
