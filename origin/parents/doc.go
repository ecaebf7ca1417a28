// Package parents decides whom an edge asks instead of a site's origin: edges of a cluster that stands much nearer to the origin.
//
//	my time to connect to the origin, that of nodes elsewhere ──▶ Choose ──▶ a cluster, or none
//	the key of a request, the cluster's nodes ──▶ Rank ──▶ whom to ask first, second, …
//
// A cluster is a parent only if it is at least twice as near, so that the two sides never take each other for a parent, and it stays one until
// another one is clearly nearer. Rank spreads keys over a cluster's nodes so that each key has one node that is likely to have it, and a node
// that goes away moves only its own keys (rendezvous hashing).
//
// It is pure: no clock, no network.
package parents
