//go:build !linux

package linux

// threadTime is, on hosts that don't tell a thread's time, the time that has passed.
func threadTime() int64 { return hostNow() }
