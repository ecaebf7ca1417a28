// Package exchange is HTTP between two nodes: each request and its response on a stream of their own, over any Session that has
// such streams.
//
// The side that opens a stream asks, the other answers; both sides of a session may do both. A stream carries frames; integers
// are those of RFC 9000 §16, whose two highest bits tell whether 1, 2, 4 or 8 bytes hold them:
//
//	┌────┬─────────────┬──────────────────┐
//	│ 00 │ length, int │ content          │   content, a piece
//	├────┼─────────────┼──────────────────┤
//	│ 01 │ length, int │ header section   │   then frames: content, at last trailers or nothing
//	│ 02 │ length, int │ header section   │   then content up to the end of the stream, without frames
//	│ 03 │ length, int │ header section   │   then nothing: there is no content
//	│ 04 │ length, int │ header section   │   of an interim response (1xx); another one follows
//	│ 05 │ length, int │ trailer section  │   then nothing
//	├────┼─────────────┼──────────────────┤
//	│ 10…│ length, int │ to be left out   │   for later; up to UnknownBytesMax
//	└────┴─────────────┴──────────────────┘
//
// A request is one of 01, 02, 03 and what belongs to it; a response any number of 04 and then the same. Where its end stands in
// the stream's own (FIN), the message is whole; who can't complete one resets the stream with a Code. Content has to be as long
// as Content-Length says (RFC 9110 §8.6).
//
// A section:
//
//	┌───────────┬───────────────────────────────────────────────────────┬──────────────────┐
//	│ base, int │ in requests: count, int, then count × (base, n), ints │ lines            │
//	└───────────┴───────────────────────────────────────────────────────┴──────────────────┘
//
// A line is one field. D says which table i is of: 0 the static one (table.go), 1 the dictionary of this session and direction.
//
//	1 D i i i i i i                          the field i
//	0 1 D i i i i i  value                   the name of the field i, and a value
//	0 0 1 D i i i i  4 bytes                 the name of the field i, and a date: seconds since 1970, as IMF-fixdate (RFC 9110 §5.6.7)
//	0 0 0 1 0 0 0 0  name  value             both; the name in lower case
//	0 0 0 1 0 0 0 1  slot, int               the next line, which has its own value, is also kept in that slot of the dictionary
//
// Indices and the lengths of strings are integers with a prefix, as in RFC 7541 §5.1; a string is one of RFC 7541 §5.2, in
// Huffman's code where that is shorter. Requests have :method, :scheme, :authority, :path and, to ask for another protocol,
// :protocol (what Upgrade says); responses have :status, and :protocol with 101 (the idea of RFC 8441, with the method, the key and
// the status kept, so that both ends can be HTTP/1.1). These names come from the static table only, and before all others.
//
// The dictionary never makes one exchange wait for another. Who sends decides what is kept in which of SlotsMax slots and refers
// only to what it knows to have arrived: a response says that its request's section was read; what was read of responses is
// confirmed in later requests (the pairs of base and n: n sections with that base). Kept lines are counted by who sends: base is
// the count when the section was written, and the k-th line that a section keeps has the number base+k. A reference to a line whose
// number is above the base means a slot that was filled anew since then: the exchange fails, and no wrong field is ever read.
// To avoid that, a slot is filled anew only when all sections that refer to it are confirmed or a minute old. Base 0: the section
// needs no dictionary. Trailers and interim responses have base 0. Fields with credentials are never kept (RFC 7541 §7.1.3).
//
// What it promises:
//   - Back-pressure both ways: content waits in the stream's window, and nowhere else.
//   - Who gives up resets the stream at once, and the other side's request context ends.
//   - An error of Transport is a *fault.Error, whose Retry says that the request wasn't acted on and can be sent again as it is.
//   - All is bounded: sections, interim responses, exchanges of a session, the time for a header section, the dictionary.
//   - A handler that panics costs its own exchange only.
//
// It neither dials nor pools sessions, repeats nothing and routes nothing. Transport runs a goroutine only for a request with
// content, which ends with the exchange; Server.Serve runs one for each exchange and returns when all are gone.
package exchange
