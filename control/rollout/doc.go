// Package rollout is the pure heart of how a change reaches the nodes: a canary edge, the canary's cluster, a quarter of the edges, all;
// for software in waves that leave most of each cluster as it is. Nodes that have the change are watched (fault.go) and compared with what they
// did before and with what nodes without the change do meanwhile (gate.go); what is worse is taken back from all, at once.
//
// On the path of a configuration it stands between control, which keeps a State in its store and publishes State.Doc, and the reports that come
// up the tree.
//
// It promises that before the canary has passed the gate nobody else gets the change; that the phases only go forward; that after the end either all have the
// change or nobody; and that every roll-out that isn't paused ends. It doesn't promise to find what reports don't show, such as a page that is
// wrong but answered with 200.
//
// Step takes what is known and the time, and returns the next State. Nothing here has a clock, a goroutine or a socket. See
// docs/decisions/0030-rollout.md.
package rollout
