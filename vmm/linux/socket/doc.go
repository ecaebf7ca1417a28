// Package socket is the stream sockets of one guest process: of AF_UNIX, AF_INET and AF_INET6, with no network behind them.
//
// Connections are within the process, made from outside by Dial, or made by the guest to the gate, of whose other ends the host has Conns; any other way out is ENETUNREACH. A connection is two queues of bytes. Nothing blocks: EAGAIN
// means that the call can't go on now. What changes readiness changes the ledger's Version, and Edges count what came and when there came to be room.
//
// It knows nothing of descriptors. Names of AF_UNIX sockets in the tree of files are the caller's: Paths.
//
// Bounds: Files and Buffers of the ledger's limits, and limits.go. What changes is kept in the ledger's log before. A Graph is all sockets of a state, to be
// written and read; what it reads is checked before a Net takes it.
//
// What isn't here: datagrams, sequenced packets, descriptors sent over sockets.
//
// A Net, its Sockets and its Conns belong to one goroutine. This room starts no goroutines.
package socket
