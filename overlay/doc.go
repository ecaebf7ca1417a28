// Package overlay is the transport between Wherry's nodes: reliable streams and datagrams over UDP, with congestion control of our own, over
// one or several paths.
//
//	Dial, Accept ─▶ Conn ─▶ Stream: Read, Write, CloseWrite, Reset
//	                 │  ▲
//	   what is to be │  │ what came
//	   sent          ▼  │
//	pump: fill ─▶ seal ─▶ udp.Socket ═══ the network ═══▶ readAll: open ─▶ process ─▶ frames
//	        ▲                                                │ acknowledgements, losses
//	        └────── loss.Tracker, congest.Controller ◀───────┘
//
// What is safe to repeat may leave before the handshake is done (DialEarly, OpenEarly): a ticket of the peer's is good for that once. The end of a
// stream is followed by parity where packets get lost (tail.go).
//
// A Conn has up to eight paths at a time: to the peer's address, to other addresses of it, and through a third node, which forwards sealed packets in
// envelopes (Conn.OpenRoute, Conn.AddPath). Each path has its own packet numbers, round trip, congestion controller and packet size. A path that falls
// silent hands all that was on its way to another one; large streams may go over several (UseForBulk). Who is who is TLS 1.3's business, by the mutual certificates of the mesh; afterwards each
// packet is sealed for itself.
//
// It promises that what was written to a stream is read once, whole and in order, or that both sides get an error; that nobody without a
// certificate gets further than a handshake, and nobody who doesn't answer at his address gets more than three times what he sends; and that
// every queue is bounded.
//
// It doesn't choose paths (overlay/route does), speak HTTP (overlay/exchange does), or know where nodes are.
//
// Endpoint.Run starts one goroutine a connection, and returns when all are gone. What is lost with the process: what Writes left with us and the peer
// hasn't acknowledged.
package overlay
