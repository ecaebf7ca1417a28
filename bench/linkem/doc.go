// Command linkem holds the link emulator against tools that know nothing of it: ping for delay and loss, iperf3 for rate and loss, and the kernel's own
// TCP for what the square-root formula says of it. It prints a table for BENCH.md, and needs root, ping and iperf3.
//
//	go run ./bench/linkem [delays] [losses] [rates] [formulas]
//
// With -bars it measures instead what the overlay has to reach beside the kernel's TCP and QUIC, in repeated runs over the same link:
//
//	go run ./bench/linkem -bars all -runs 5 -out DIR
//
// which takes about 25 minutes of a machine with two cores on which nothing else runs, and leaves the numbers of each run and pictures in DIR.
package main
