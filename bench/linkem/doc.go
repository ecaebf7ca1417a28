// Command linkem holds the link emulator against tools that know nothing of it: ping for delay and loss, iperf3 for rate and loss, and the kernel's own
// TCP for what the square-root formula says of it. It prints a table for BENCH.md, and needs root, ping and iperf3.
//
//	go run ./bench/linkem
package main
