//go:build !amd64

package tsc

// Read is 0 here.
func Read() uint64 { return 0 }

// Steady is false here.
func Steady() bool { return false }
