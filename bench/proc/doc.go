// Package proc runs the processes that the measurements under bench are about: it starts them, waits until they say that they are
// ready, tells how much CPU time they used with all their children, and ends them. It touches no process that it didn't start.
//
// A Process has one goroutine, which reads what the process prints; it is gone when Stop or Kill returns.
package proc
