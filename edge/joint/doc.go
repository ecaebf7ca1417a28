// Package joint carries bytes between a client's connection and an origin's that have switched to another protocol (RFC 9110 §7.8).
//
// It promises that both are closed and its two goroutines gone when Run returns, and that no more than two buffers of 16 KiB wait in it. It knows nothing of
// what the bytes mean. Run starts the goroutines.
package joint
