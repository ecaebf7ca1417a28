// Command control measures what the store of control does when its members fail. It runs members as processes of their own on loopback,
// with TLS between them, and lets clients of each of them put, compare-and-swap, read, append to a log, and act as the leader, while in each
// round one member is
//
//   - killed (SIGKILL) and started again,
//   - paused (SIGSTOP) and let go on,
//   - cut off from the others, both ways, without closing connections, and healed,
//   - unable to write (RLIMIT_FSIZE, which fails like a full disk), killed and started again.
//
// The member is etcd's leader in every other round, else the one whose term as control's leader it is, or any. All times are taken by one
// clock, the machine's. After each round it checks
//
//   - the log: what was acknowledged is in it exactly once; what has no known outcome at most once,
//   - registers: their history is linearizable (by porcupine),
//   - the steps that control.Lead takes with roll-outs, which clients keep beginning: what a leader was told that it did is in the store, no more
//     than that is, and no step is of an older term than one before it, in the store's order and (by porcupine) in the order of time,
//   - the leader's actions: the term of an action is never older than that of one before it, in the store's order and (by porcupine) in the order
//     of time; members act with the last term they had, also when it is over for them, so that only the fence holds them back,
//
// and prints the longest time without an acknowledged write, and without an action of a leader, after the fault.
//
//	go run ./bench/control -rounds 200
package main
