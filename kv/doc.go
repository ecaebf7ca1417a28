// Package kv is the key-value store that programs on edges have: namespaces of keys and values, replicated between edges in the order that
// control gives them.
//
// A write is applied at once on the edge where it is made, and is on its disk before it is acknowledged (Store); it stands in an outbox until
// control has ordered it (Page). What is ordered wins over what came before it, the last writer by control's order; a node's own writes that
// aren't ordered yet lie over it, so that a program sees what it has written (machine). Adds to a counter are carried as adds, so all of them
// count, wherever they were made.
//
//	write ─► machine.push ─► journal (synced) ─► acknowledged
//	             │
//	             └─ outbox ─► Options.Send ─► control: Store.Order ─► Page ─► the feed ─► Source ─► machine.take, on every node
//
// Promises. Nothing that was acknowledged is lost by a crash of the process or the machine. A batch that is sent twice is ordered once. All
// nodes that have the same pages hold the same. Reads on one edge never go back behind that edge's own writes, as long as nobody else writes
// the key. Keys, values, namespaces, the outbox and the rate of writes are bounded (Limits); quotas are for what all nodes have together, and quota.go says by how much nodes that hear nothing of each other can
// pass them. What was acknowledged is dropped only where all values would take more memory than a node may use for them.
//
// What it doesn't do: transactions over several keys, locks, or conditions against what other edges have: If-Match and If-None-Match are of
// what this edge has, and of two edges that both put "if absent" at the same moment the one that control orders last wins. It doesn't know
// the network: Options.Send and Source do. Without a Source the store is of one process alone, and orders its writes itself.
//
// The door for programs is Handler, which takes the namespace from the request's context; Operator is the one for operators.
//
// All goroutines belong to Store.Run, and are gone when it returns.
package kv
