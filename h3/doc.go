// Package h3 is HTTP/3 (RFC 9114) on one socket, by quic-go's server: what that leaves to its user.
//
//	socket ─ quic.Transport ─ Open ─ http3.Server ─ Handler
//
// It promises:
//   - Bounds: connections and handshakes (Options.Admit), streams, header sections, windows, and how long a connection may have no request. One
//     whose requests never come to an end of their header sections counts as one without.
//   - A client whose address isn't proven gets no more than thrice what it has sent (RFC 9000 §8.1, quic-go does it), and has to prove it first
//     when many handshakes are under way (Retry).
//   - No 0-RTT: what came in it could be played again by anybody who saw it (RFC 8470 §3).
//   - Requests are as net/http makes them: http.NoBody where there is no content.
//   - Leave, then Shutdown: handshakes that are under way end well, then each connection gets GOAWAY, finishes what it has begun, and is closed when
//     it is silent. What comes behind GOAWAY is rejected untouched (RFC 9114 §5.2), which clients ask again elsewhere.
//
// It doesn't do server push, datagrams, WebSocket (RFC 9220) or QPACK's dynamic table; quic-go drops :scheme, so that what is asked is for https.
// Requests that are malformed (RFC 9114 §4.1.2) are reset before the handler, and those with far too large header sections answered with 431;
// nobody counts them.
//
// Serve starts all goroutines and returns when they are gone.
package h3
