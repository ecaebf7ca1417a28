// Package feed is the ordered, signed log in which control tells the nodes what holds: documents (a site's revision, the roster, the
// network's settings, who is revoked) and purges. It is what control and nodes say to each other, and how a node keeps what it was
// told: the log, the state that follows from it, and the objects that documents point to.
//
// Control signs (Ed25519) every entry and every checkpoint; an entry holds the hash of the one before it. So whoever carries the feed
// can hold it back, but can't change, reorder, leave out or invent anything without being noticed. Objects are named by their
// SHA-256. Who verifies takes everything that control has signed: an entry that was refused would hold back all after it. What makes no
// sense isn't signed in the first place.
//
// A node keeps the last good state on its disk (Keeper) and serves from it for as long as control can't be reached. What a keeper
// acknowledges is on the disk: after a kill or a power cut at any moment the next process has it, and nothing that wasn't signed. After an
// error, such as that the disk is full, it has what it had before, and takes the same again when it can. It comes up from a
// disk that can't be written. Damage costs no more than what is damaged: of the log what stands before it is good, of the checkpoint
// there are two, a rotten object is asked for again.
//
// The log grows until somebody gives a newer checkpoint (Long, Rebase): a keeper can't sign one itself, and drops nothing that it needs.
// In memory are the state, the checkpoint and some fifty bytes of each entry; the entries themselves are read from the file.
//
// Nothing here knows the network: feed/tree carries the feed, control writes it, internal/node makes a configuration of it. The room
// starts no goroutines.
package feed
