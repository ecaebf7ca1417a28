// Package simnet is a network of hosts in memory, for tests that want latency, loss and dead machines without real sockets.
//
//	          Network
//	┌────────┐  path (latency, jitter, loss, rate, MTU, cut)  ┌────────┐
//	│  Host  │ ─────────────────────────────────────────────▶ │  Host  │
//	│ lisbon │ ◀───────────────────────────────────────────── │ origin │
//	└────────┘  a path for each direction                     └────────┘
//	 192.0.2.1    every host reaches every other by addresses   192.0.2.9
//	 Listen, ListenPacket, DialContext: as package net has them
//
// It stands beside the house: rooms take a net.Listener, a net.PacketConn or a dial function, and a test hands them simnet's.
//
// It promises what a user of package net relies on: deadlines, half-close, back-pressure by a window, resets, and errors that are
// *net.OpError around the system's error numbers. TCP segments are never lost for good: a lost one arrives a retransmission later,
// and those behind it wait. UDP datagrams are lost, reordered by jitter, dropped where a queue is full or the MTU too small. The
// only clock is package time, all waiting is on channels and condition variables: made inside a testing/synctest bubble, a Network
// runs in the bubble's time. Each path draws its chances from its own generator, seeded by Options.Seed and the hosts' names, so
// that traffic elsewhere doesn't change them; only goroutines that run at the same instant may still swap their turns.
//
// It doesn't model congestion control, fragmentation or ICMP other than an unreachable port. There is no NAT yet: its place is
// Network.route, which already separates the address that a packet names from the host that gets it.
//
// It starts no goroutines; deliveries run on the timers of package time. What is lost with the process is everything.
package simnet
