// Package testnet is a declared whole network in one test: every node of a configuration on a host of its own in internal/simnet,
// a name server, origins that are http.Handlers, and clients.
//
// Start takes the YAML that a user would write. Each node runs what `wherry edge` runs, wired by internal/network; only the sockets
// and the clock are the test's. Made inside a testing/synctest bubble it runs in the bubble's time.
//
// It stands beside the house and is used by tests alone. Its goroutines end with the test.
package testnet
