// Package node is what one machine of a network runs: it knows who it is (mesh), follows the feed (feed/tree) and keeps what it was told
// on its disk (feed.Keeper), makes its configuration of that (assembly), and by its roles runs edges and a name server
// (internal/network), control with its store, or nothing but the relay of the feed.
//
// Init makes a network of which this machine is the first node, Join makes it a node of another's; Run runs it. A node whose control is
// away, also at its start, runs from what it has on its disk. It never waits for control for longer than catchUpPatience.
//
// All goroutines belong to Run, and are gone when it returns.
package node
