// Package h2 is an HTTP/2 server (RFC 9113) for one connection at a time: whoever accepts connections hands each of them over.
//
// It stands beside net/http, below the rooms that answer. A request goes one of two ways:
//
//	          ┌─ Hit: asked in the connection's goroutine; its header block and content are copied into what is sent next
//	request ──┤
//	          └─ http.Handler: in a goroutine of its own, with what net/http's server for HTTP/2 would give it
//
// One goroutine reads a connection. It handles all frames that it has got before it writes, so that many responses leave in one
// piece: one record of TLS, one system call. Who has something to send puts it in line and, unless somebody writes already, writes
// one batch itself; what is left over after that is written by a goroutine that ends with it. So a connection at rest has one
// goroutine and no buffer, and a client that doesn't read doesn't keep the server from reading for longer than one batch.
//
// It promises:
//   - A malformed request (RFC 9113 §8) gets RST_STREAM with PROTOCOL_ERROR and reaches nobody.
//   - Streams share the connection fairly: they take turns, one DATA frame each. Flow control is kept both ways.
//   - Nothing is unbounded: streams, handlers that outlive their streams, header lists and the bytes that they come in, bodies that
//     nobody reads, frames that wait to be written, and frames that lead to nothing (see guard).
//   - A response may end before its request: the client gets its window for the rest first, which is thrown away, within bounds.
//   - Silence is bounded by Limits: of a client that begins a frame, that reads nothing, that has no request.
//   - Shutdown lets requests finish and tells clients which ones were not begun (RFC 9113 §6.8).
//
// It doesn't push, doesn't prioritize, keeps no dynamic table for what it sends (a header block is the same for all connections and
// can be kept), and doesn't speak extended CONNECT. It trusts Hit and Handler.
//
// ServeConn runs in the caller's goroutine and starts those of its handlers; when it returns they are gone.
package h2
