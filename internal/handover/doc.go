// Package handover lets a program of a node make room for the next one without a refused connection, and decides which program a node runs.
//
//	old                                   new
//	Start ── doors, two pipes ─────────▶  Inherited
//	      ◀─────────────── "prepared" ──  Parent.Prepared   has read its configuration
//	stops accepting, lets its locks go; requests under way may go on
//	Child.Go ── "go" ──────────────────▶  takes the locks, serves
//	      ◀──────────────── "serving" ──  Parent.Serving    (or Failed)
//	ends what is under way, ends
//
// Sockets are shared by both: what connects between the one that stopped accepting and the one that begins waits in the system's queue.
// If the new program says that it failed, ends, or says nothing in time, it is ended, and the old one gets its doors again (Child.Doors).
//
// Programs (programs.go) are kept on the node's disk. Launch, at the begin of main, runs the one that is to be run instead of the one that the machine
// came with; one that died twice before it proved good is given up for the former one.
//
// It promises that no descriptor leaks into the new program but the doors and pipes, or is left over by a try that failed. It doesn't carry state of
// connections: datagrams that the old program hasn't read are the new one's, which is enough for DNS; internal/quicdoor tells QUIC's apart.
//
// Nothing here starts goroutines. Linux alone. See docs/decisions/0031-handover.md.
package handover
