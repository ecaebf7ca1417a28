// Package linkem emulates links between network namespaces of this machine, so that kernel TCP, QUIC and our own transport cross the
// same link in one run. It needs neither netem nor any other module of the kernel than TUN; it does need root.
//
//	 Place "a" (namespace)                 Cable                       Place "b" (namespace)
//	┌──────────────┐   read  ┌──────┐  Link: hop ─▶ hop ─▶ hop  ┌──────┐ write  ┌──────────────┐
//	│ sockets, TCP │ ──TUN─▶ │ carry│ ────────────────────────▶ │      │ ─TUN──▶│ sockets, TCP │
//	│  10.77.1.1   │ ◀─TUN── │      │ ◀──────────────────────── │ carry│ ◀─TUN──│  10.77.1.2   │
//	└──────────────┘  write  └──────┘  Link: hop ◀─ hop ◀─ hop  └──────┘  read  └──────────────┘
//
// A Link is the model, one direction of a path of several hops. It is pure: it takes the time as a value, reads no clock and starts
// nothing. Each hop is, in this order,
//
//	queue in bytes (drop-tail or CoDel) ─▶ serialisation at the rate ─▶ loss, random or in bursts ─▶ corruption, duplication
//	─▶ propagation delay, jitter, reordering
//
// so that a packet that is lost has used the line, as on a wire: at 5 % loss at most 95 % of the rate can arrive. What the model decides
// depends only on when packets come, never on when it is asked: it is exact even if the process is late, and the lateness is measured.
//
// A Place is an anonymous namespace. It has no name and lives as long as its file descriptor, so nothing is left behind by an error, a
// signal or a crash. Only Lab.Run starts goroutines, two a cable, each on a thread of its own with real-time priority; when it returns they
// are gone. Place.Do runs a function on a thread inside the namespace and returns when it has; sockets made there stay there.
//
// It promises that every queue and table has a bound. It doesn't model routers that route: places talk over the cables they
// share. Reception in the kernel (TCP's and UDP's) happens on the carrying threads, inside their writes, and is accounted to them.
package linkem
