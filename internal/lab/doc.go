// Package lab runs a network of real processes on loopback, each node with its own state, for trying and for tests: wherry lab.
//
// What a lab has is in its directory (lab.json, and a directory for each node), so that one that was stopped can be started again. Other
// processes steer it over a unix socket in it. The nodes' HTTP doors share a port and have addresses of their own (127.0.1.1, 127.0.1.2,
// …), so that what the lab's name server answers can be asked.
//
// Run starts all goroutines and processes; when it returns they are gone.
package lab
