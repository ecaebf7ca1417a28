// Package wire draws what two nodes send each other: packets, and the frames in them. It reads and writes bytes and knows nothing of time,
// keys or order.
//
// A datagram is one packet, or a packet in an envelope that a third node forwards:
//
//	 0          1                6                9
//	┌──────────┬────────────────┬────────────────┬──────────────────────────────┬─────┐
//	│1001 ppp k│ connection, 5  │ number, low 24 │ frames, sealed               │ tag │   data, on path ppp
//	└──────────┴────────────────┴────────────────┴──────────────────────────────┴─────┘
//	┌────────┬────────────────┬────────┬────────────────┬────────────────┬─────────────┬─────┐
//	│ kind   │ connection, 8  │ 0      │ number, low 32 │ sender's ID, 8 │ frames      │ tag │   initial, handshake, early
//	└────────┴────────────────┴────────┴────────────────┴────────────────┴─────────────┴─────┘
//	┌────────┬────────────────┬────────────────────────────────────────────────────────┐
//	│envelope│ label, 8       │ another packet, whole                                  │
//	└────────┴────────────────┴────────────────────────────────────────────────────────┘
//	┌────────┬────────────────┬──────────────────────────┐
//	│ reset  │ connection, 8  │ token, 16                │   the receiver doesn't know the connection (any more)
//	└────────┴────────────────┴──────────────────────────┘
//	┌────────┬────────────────┬────────────────┬──────────────┐
//	│ retry  │ connection, 8  │ sender's ID, 8 │ cookie, 32   │   ask again with this, so that I know that your address is yours
//	└────────┴────────────────┴────────────────┴──────────────┘
//
// The header is authenticated with the packet, and not hidden: between nodes of one network there is nothing to gain by that, and it
// costs a block of AES for each packet. The nonce is the key's IV xor (path, 32 bits; number, 64 bits), so each path counts for itself.
// Bit k of a data packet tells which of two generations of keys sealed it (RFC 9001 §6). Of 1,500 bytes of an IPv4 packet 1,441 are a stream's.
//
// Integers in frames are those of RFC 9000 §16: the two highest bits tell whether 1, 2, 4 or 8 bytes hold it. Frames:
//
//	00 padding       (nothing)
//	01 ping          (nothing)
//	02 ack           path, largest, delay in µs, count, length-1 of the newest range, then count × (gap-1 before the next older, its length-1)
//	03 cookie        32 bytes                              of a retry, in the next initial packet
//	04 reset         stream, code, final size              the sender gives up; nothing more comes
//	05 stop          stream, code                          the receiver wants no more
//	06 crypto        offset, length, bytes                 TLS's handshake
//	07 crypto ack    offset                                all before it arrived (in handshake packets, which have no acks of their own)
//	08..0b stream    stream, offset, [length unless bit 1], bytes; bit 0: it ends here
//	10 max data      bytes of all streams together that may be sent
//	11 max stream    stream, bytes
//	12 max streams   number of streams that the peer may open in all
//	1a challenge     8 bytes                               is this path alive, and yours?
//	1b response      the same 8 bytes
//	1c close         code, length, words
//	1e done          (nothing)                             the handshake is confirmed
//	30 datagram      length, bytes                         sent once, never again
//	40 route open    id, length, name of the node          please forward for me to that node
//	41 route label   id, label                             then write this on the envelope; 0: no
//	42 route close   label
//	43 path use      path, 1                               this path is in use from now on; to peers that don't know 44
//	44 path state    path, state, number, bytes a second   0 given up, 1 in use, 2 for bulk too, 3 not for bulk; the greatest number counts
//	45 repair        stream, offset, size, index, length, bytes   parity row index of the stream's last size bytes, from offset to its end
//
// Whoever reads foreign bytes gets an error for what isn't exactly this; FuzzFrames and FuzzHeader hold it to that.
package wire
