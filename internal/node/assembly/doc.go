// Package assembly makes configurations of the documents that a node has from the feed: it parses what changed, keeps what it has
// parsed, composes one snapshot of settings, nodes and sites, and has it adopted. What can't be used is refused, document by document,
// and what was used before holds on: one bad site keeps nothing else from being adopted.
//
// It also remembers which documents were just adopted when a process died (Guard), so that one that kills the node is not tried again
// and again.
//
// An Assembly belongs to one goroutine. The room starts none.
package assembly
