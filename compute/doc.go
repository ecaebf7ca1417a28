// Package compute runs many programs on one edge and asks them over HTTP. internal/programs deploys those of a configuration.
//
//	Deploy: check ─▶ boot to the first read of descriptor 0, or until it listens ─▶ snapshot ─▶ one instance ─▶ takes over
//
//	Prepare: the same for a set ─▶ Commit: all take over, others go; or Drop
//
//	RoundTrip ─▶ exchange ─▶ queue, by tenant ─▶ worker: instance ─▶ call, by turns ─▶ reset or destroy
//	                │                                                 │ line: a connection, or standard input and output
//	                └── upload ──▶ bytes to the program ──────────────┤
//	          response, Body ◀──── answer ◀── bytes from the program ─┘   parked while all wait
//	                                    any: ──▶ gate, bytes both ways ──▶ Options.Gate
//
// A program is a static Linux program that reads HTTP/1.1 requests from standard input and writes responses to standard output; the end of a call is its next read
// that finds nothing behind the request. Or it is an ordinary server that listens on a TCP port: the host connects to it, once, and keeps the connection, which may be upgraded.
//
// Bodies are streamed both ways through buffers of a fixed size: a program that writes more waits, as does its client. A body of up to 16 KiB of a known length is there before the program is asked. The caller gets
// a response when its head is there. That of a program on standard output leaves with the end of the program's turn: when it waits, has no room, or has computed for 20 ms; what is whole by then is one piece of a known
// length. Or the caller gets a *fault.Error that says whose fault it is and names the limit that was passed; once the head has left, Body ends with it. What
// waits, for a timer, for the client or for the gate, holds no worker. What a call
// does stays in its instance: other calls notice nothing.
//
// While it answers, a program of either kind may ask Options.Gate, over HTTP/1.1 by connections of its own to 10.0.0.1, which end with the call.
//
// Promises. With isolation by request each call finds the memory as it was at the snapshot; with isolation by connection what calls of its Connection left, and with isolation by instance
// what any before it left. A deployment
// that fails changes nothing, one that succeeds fails no request: calls under way end on the old version. The programs' memory stays within Options.Memory:
// a call under way counts with all that its program may use, an idle instance with what it has written. What has to go is worth least: the cost of a start, times how
// often the program is asked, by the byte. Tenants share workers by deficit round robin.
//
// It doesn't have an instance answer two requests at a time, or let programs reach anything but the gate. compute/apart runs a
// Host in a process of its own.
//
// Run owns all goroutines: workers, Options.Workers of them, each of which holds a thread while it works on a call, one that lets go of what is idle, a timer that ends turns, and, where exits of KVM's are expensive, one that tries
// programs in the emulator. Deploy boots in its
// caller's goroutine, the server at the gate has a goroutine for each of its connections, and the body of a request that isn't small is read by a goroutine that ends with it, or with its next read after the response.
package compute
