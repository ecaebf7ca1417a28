// Command failover measures how long a dead edge stays in the DNS answers, and how long one that came back takes to be in them:
//
//	go run ./bench/failover              # after make build
//
// It runs two nodes from one configuration, each a process of its own: lisbon at 127.0.0.1, which is nearest to all clients, and
// osaka at 127.0.0.2, which also serves the names. In each round it kills lisbon's process as kill -9 does, at a moment that has
// nothing to do with the health checks, and asks the name server every few milliseconds until lisbon's address is gone; then it
// starts lisbon again and asks until the address is back, counted from the process's line "ready".
//
// What a user feels is the time measured here and what is left of the answer's TTL in the user's resolver.
package main
