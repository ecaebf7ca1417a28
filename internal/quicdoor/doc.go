// Package quicdoor is the UDP socket of HTTP/3, as two programs share it while one makes room for the next.
//
// A TCP listener is simply given to the next program: what connects waits in its queue. A UDP socket has one queue for all connections, so
// whoever reads it has to tell whose a packet is. The connection IDs that a program gives to clients (RFC 9000 §5.1) bear a tag under a key of its
// own:
//
//	 0                       8               12
//	+-----------------------+---------------+
//	| random                | tag           |   tag: the first bytes of AES(key, random ‖ 0…)
//	+-----------------------+---------------+
//
// The first packets of a connection have an ID that the client has made up, which bears no tag.
//
//	          before          the old one leaves        the new one serves        the old one is gone
//	socket ─▶ old             old ─ not its own ─▶ queue
//	                                                    new ◀─ first the queue
//	                                                    new ─ the old one's ─▶ old    new
//
// From Leave on, the old program keeps what is of its connections, and passes what begins new ones on, through a pair of unix sockets of which
// the next program has the other end. That is where new connections wait until the next one serves; what is too much for the system's
// buffer is lost, as on any network, and sent again by clients. Once the next program reads, it passes back what bears the old one's tag,
// and the old one reads nothing but that. Answers go out through the shared socket.
//
//	what is passed on   | family 1 | port 2 | address 4 or 16 | n 1 | zone n | m 1 | control messages m | packet |
//	the first message   | 0 | key 16 |, from the old program to the next
//	the last message    | 1 |, from the old program to the next: it has stopped to read the socket
//
// Control messages are the system's, for ECN and the address that a packet came to; both programs run on one system. Numbers are big-endian.
//
// It promises that a connection's packets reach the program that has the connection, and that without a second program nothing is done to
// packets but a look at the first byte. It doesn't speak QUIC: it reads the version-independent part of headers (RFC 8999) alone.
//
// Nothing here starts goroutines. Linux alone. See docs/decisions/0040-http3.md.
package quicdoor
