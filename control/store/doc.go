// Package store is where control keeps what it decides: keys and values with transactions, watches and terms of a leader, over etcd. etcd is
// embedded, with this node as a member of its cluster, or runs elsewhere.
//
// What it promises: a transaction that Commit acknowledges is on the disks of a majority, and was applied once, also where the answer
// got lost on the way and had to be asked for again; and what a leader does under its Term's condition is refused once there is another
// leader. What it doesn't: answer without a majority.
//
// Members speak to each other over a listener of the caller's, which lets only control nodes through; etcd itself listens on a socket that
// only this process's user can reach. Open starts etcd's goroutines and Close ends them; RunBackups is another.
package store
