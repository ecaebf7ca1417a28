// Package rollout is the pure heart of how a change reaches the nodes: a canary edge, the canary's cluster, a quarter of the edges, all; for
// software in waves that leave most of each cluster as it is. At each step the nodes with the change are compared with what they did
// before and with those without it (gate.go); what is worse is taken back from all, at once.
//
// A State is a value that control keeps in its store; Step takes what is known and the time, and returns the next one. Nothing here
// has a clock, a goroutine or a socket.
package rollout
