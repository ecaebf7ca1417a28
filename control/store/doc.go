// Package store is where control keeps what it decides: keys and values with transactions, watches and terms of a leader, over etcd. etcd is
// embedded, with this node as a member of its cluster, or runs elsewhere.
//
// What it promises:
//
//   - A transaction that Commit acknowledges is on the disks of a majority, and was applied once, also where the answer got lost on the way
//     and it had to be asked for again. One that Commit says conflicts was not applied, and never will be. Where neither is known when the
//     caller's patience ends, or 15 s are over, the error is ErrUnknown.
//   - What a leader does under its Term's condition is refused once there was another leader, whatever the first one believes. Term.Done is
//     closed before the others may think that the term is over, by this machine's clock alone; the clocks of machines are never compared.
//   - Get and List see every acknowledged transaction; with Local they answer from this member's disk, without a majority, and may be late.
//   - A backup is of one moment; what is damaged, cut off or foreign is found before anything is restored.
//
// What it doesn't do: decide without a majority, keep values of more than 256 KiB, keep secrets (callers seal them), or slow down a watcher's
// source: what Watch's function hasn't taken waits in memory, so it must be quick.
//
// Members speak to each other over a listener of the caller's, which lets only control nodes through; what it yields is handed to etcd on a
// socket in Dir that only this process's user can reach. There is no listener for clients. Below Dir are etcd's own files.
//
// An embedded member whose disk fails stops taking part at once, so that the others go on; Failed is closed and Err says why. etcd can't
// be started anew in the same process then, because its locks on the files are still held: the process has to be restarted.
//
// Open starts etcd's goroutines and those of the listener, and Close ends them; a Term has one that ends with it; RunBackups is the
// caller's. etcd registers metrics of its own with prometheus.DefaultRegisterer.
package store
