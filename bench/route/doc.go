// Command route measures what choosing routes is worth, in virtual time, on any machine:
//
//	go run ./bench/route                 # three internets of 30 places, four hours each; and 500 nodes for five minutes
//
// It prints how exchanges between pairs of places went over the direct path, over the route that was truly best at each moment (the oracle, which
// knows what nobody can know), over the best that one could know of with the same probes, and over the one that our nodes chose by what they had
// measured; and what the probes, the reports and the detours cost. What befalls these internets stands in package routesim. A run with the same flags prints the same.
package main
