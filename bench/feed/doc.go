// Command feed measures how long an entry takes from control to every node of a large network, and what a relay of it needs:
//
//	go run ./bench/feed                  # 5,000 subscribers, less than two minutes
//
// This process is control (the root of a feed/tree). Relays are processes of their own, in two layers, and run feed/tree over a feed.Keeper
// on the disk. Subscribers are simulated, a thousand or so in a process: each has a certificate and a TLS connection of its own (HTTP/2 in one
// goroutine, both sides verified), takes the log, checks each object's hash, and sends reports, at once when it has an entry and at each
// beat, but has no keeper; signatures are verified once in a process. All of it shares one machine.
//
// A round appends an entry with a new object of 1 KiB and ends when all have it. The time begins before the entry is signed.
package main
