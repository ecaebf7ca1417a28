// Package network wires the rooms into the part of a network that one process runs: edges, DNS and the portal over given
// listeners, from one snapshot.
//
// cmd/wherry uses it with real sockets, once for `wherry edge` (one node) and once for `wherry dev` (all nodes); internal/testnet
// uses it over a network in memory. It holds no decisions of its own: which rooms there are, in which order they start and stop,
// and what a reload, a purge and a status page ask of whom.
//
// Run starts the parts top-down (what others need first) and stops them bottom-up; when it returns all goroutines are gone.
package network
