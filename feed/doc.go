// Package feed is the ordered, signed log in which control tells the nodes what holds: documents (a site's revision, the roster, the
// network's settings, who is revoked) and purges. It is what control and nodes say to each other, and how a node keeps what it was
// told: the log, the state that follows from it, and the objects that documents point to.
//
// Control signs (Ed25519) every entry and every checkpoint; an entry holds the hash of the one before it. So whoever carries the feed
// can hold it back, but can't change, reorder, leave out or invent anything without being noticed. Objects are named by their
// SHA-256.
//
// A node keeps the last good state on its disk (Keeper) and serves from it for as long as control can't be reached.
//
// Nothing here knows the network: feed/tree carries the feed, control writes it, internal/node makes a configuration of it. The room
// starts no goroutines.
package feed
