// Package gate lets only those HTTP/1 requests through to net/http that can be read in one way.
//
// It is a chamber of room edge, between the client's bytes and net/http. What net/http reads generously, or refuses without a word to
// the log, could be read in another way by what stands before or behind the node, and then one side's content is the other side's
// next request (RFC 9112 §11.2):
//
//	client ─ lane ─ gate ─┬─ header section ─ whole, judged ─┬─ good ── net/http ─ steps
//	                      │                                  └─ bad ─── a request of the gate's own ─ steps: refused, logged, counted
//	                      └─ content ─ followed, to find where the next header section begins
//
// A request of the gate's own takes the place of one that is bad, or comes too slowly, or is too large. It carries the method and
// the target if these at least are good. Step receive asks for the Refusal and ends it like any other one. Nothing of what the
// client sent after it is read as a request.
//
// It promises that net/http never has a byte of a second message in its buffer while it reads a first one, but for one that it reads
// ahead to see whether the client leaves, and that both end each message at the same byte. It holds at most one header section, and
// nothing while a connection is idle. It doesn't judge what only the steps know: limits of a site, hosts, rules. It does no I/O but
// through Conn and starts no goroutines.
//
// Re-check when the version of Go changes: that net/http reads header sections only while the connection is new or idle, and one byte
// at a time while it is active (connReader.backgroundRead); that it closes a connection in two steps when much of a request's content
// is unread.
package gate
