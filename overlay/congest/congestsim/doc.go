// Package congestsim is a link with senders on it, in virtual time and in one goroutine: how congestion controllers behave alone and beside
// each other, a hundred times faster than on a wire.
//
//	sender ─┐   loss                            delay      receiver, an acknowledgement each two packets
//	sender ─┼──▶ │ ──▶ drop-tail queue ──▶ rate ──────────▶   │
//	sender ─┘                                                │
//	   ▲                        delay                        │
//	   └─────────────────────────────────────────────────────┘
//
// The same Link, Flows and seed give the same Results. A sender here always has something to send, finds losses as overlay/loss does (three
// packets or 9/8 of a round trip, RFC 9002 §6.1; a timer by RFC 6298), and measures rates of delivery. It is no proof of how a controller does on a
// machine with its own jitter and batches: that is measured on the real transport.
package congestsim
