// Package tier is a store.Store of two tiers: memory, and below it one or several disks.
//
// It is a chamber of cache, which knows only the Store contract. What is looked up is taken from memory; else, if the disk's index
// knows the key, it is read from there and goes into memory, with its body if that is small. What is written is what was asked for
// twice: a response is remembered when it comes, and goes to disk when its key is asked for again while it is in memory, or comes again.
// Of a large body that is on disk, memory keeps nothing but where it is.
//
// It promises what the contract does, over a restart: never a response that was removed, never one that another replaced, as long as the
// process lives and the disk takes what it is told; a look-up waits for one read of the disk at most, whoever else wants the same; a
// disk that fails or is slow makes misses, not failures. What is on disk comes back with the age that it has by the wall clock.
//
// It doesn't: write to disk what nobody has asked for twice, keep the memory's content over a restart, or promise that what was replaced
// stays away when the process is killed before its successor was written. A body that a disk fails to return in the middle of a
// transfer breaks that transfer off; the next request finds it missing.
//
// Run runs the disk's goroutines and one that removes and sweeps. What is lost if the process dies: the memory, the queue of
// writes and removals, and which keys were seen once.
package tier
